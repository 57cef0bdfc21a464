"""Subjects against a reference group: tests, corrections, what is found, pictures."""

from group_data import make_group, make_subject, train_on
import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest, t as t_distribution

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.stats.comparison import compare, runs_text
from dipy_tractoencoder.stats.group_distances import (
    group_distances,
    streamline_surprise,
    surprise,
)
from dipy_tractoencoder.stats.group_statistics import (
    correct_p_values,
    deviation_size,
    group_p,
    new_observation_p,
    z_from_p,
)
from dipy_tractoencoder.stats.profiles import MEASURES
from dipy_tractoencoder.viz.base import save_figure
from dipy_tractoencoder.viz.comparison import comparison_figure

BEND = 8.0  # mm


@pytest.fixture(scope="module")
def reference():
    return make_group(0, 12)


@pytest.fixture(scope="module")
def subjects():
    return {
        **make_group(1, 3, bend_mm=BEND, name="bent"),
        **make_group(2, 3, name="healthy"),
    }


@pytest.fixture(scope="module")
def model(reference):
    return train_on(reference)


@pytest.fixture(scope="module")
def comparison(model, reference, subjects):
    return compare(model, reference, subjects, n_dims=3)


# Statistics


def test_one_value_is_the_t_test_of_a_new_observation():
    rng = np.random.default_rng(0)
    group, new = rng.normal(5, 2, (9, 4, 1)), rng.normal(5, 2, (3, 4, 1))
    spread = group.std(axis=0, ddof=1) * (1 + 1 / 9) ** 0.5
    t = ((new - group.mean(axis=0)) / spread)[..., 0]
    p = new_observation_p(group, new)
    np.testing.assert_allclose(p, 2 * t_distribution.sf(np.abs(t), 8), rtol=1e-3)
    p = new_observation_p(group, new, one_sided=True)
    np.testing.assert_allclose(p, t_distribution.sf(t, 8), rtol=1e-3)


@pytest.mark.parametrize("n_values", [1, 2])
@pytest.mark.parametrize("n_reference", [5, 20])
def test_p_values_are_uniform_for_members_of_the_group(n_values, n_reference):
    rng = np.random.default_rng(1)
    shape = (n_reference + 1, 4000, n_values)
    mixing = rng.normal(size=(n_values, n_values))  # Correlated components.
    values = rng.normal(size=shape) @ mixing * 3 + 7
    p = new_observation_p(values[:-1], values[-1:])
    assert kstest(p.ravel(), "uniform").pvalue > 0.001


def test_missing_values_are_left_out():
    rng = np.random.default_rng(2)
    group, new = rng.normal(size=(8, 4, 2)), rng.normal(size=(2, 4, 2))
    expected = new_observation_p(group[:6, 1:2], new[:, 1:2])
    group[6:, 1] = np.nan
    group[3:, 2] = np.nan
    new[1, 3] = np.nan
    p = new_observation_p(group, new)
    np.testing.assert_allclose(p[:, [1]], expected)
    np.testing.assert_array_equal(
        np.isnan(p), [[False, False, True, False], [False, False, True, True]]
    )


def test_a_group_all_alike_gives_finite_values():
    p = new_observation_p(np.ones((6, 3, 2)), np.ones((1, 3, 2)) * [[[1, 1]]])
    np.testing.assert_allclose(p, 1)
    p = new_observation_p(np.ones((6, 3, 2)), np.full((1, 3, 2), 2.0))
    assert (p < 1e-4).all()


def test_members_are_compared_with_the_others():
    values = np.array([1.0, 1.1, 0.9, 1.0, 1.05, 9.0, 9.0])
    p = group_p(values, np.array([True] * 6 + [False]))
    assert p[5] < 1e-6 < p[6]  # The outlier in the group widens the group's spread.


def test_departures_are_from_the_mean_of_the_others():
    profiles = np.array([[1.0, 0], [3, 0], [5, 0], [3, 4], [np.nan, 0]])[:, None]
    is_reference = np.array([True] * 3 + [False] * 2)
    sizes = deviation_size(profiles, is_reference)[:, 0]
    np.testing.assert_allclose(sizes, [3, 0, 3, 4, np.nan])
    profiles[0] = np.nan  # One of the group has no points there.
    np.testing.assert_allclose(
        deviation_size(profiles, is_reference)[:, 0], [np.nan, 2, 2, 17**0.5, np.nan]
    )


def test_one_bundle_is_corrected_as_scipy_does():
    p = np.random.default_rng(3).uniform(size=50) ** 3
    (p_fdr,) = correct_p_values([p])
    np.testing.assert_allclose(p_fdr, false_discovery_control(p))


def test_bundles_are_corrected_too():
    rng = np.random.default_rng(4)
    strong = np.r_[np.full(30, 1e-8), rng.uniform(size=70)]
    weak = np.r_[2e-4, rng.uniform(0.1, 1, 99)]  # 0.02 by itself
    flat = [rng.uniform(0.2, 1, 100) for _ in range(5)]
    missing = np.full(100, np.nan)
    p_fdr = correct_p_values([strong, weak, *flat, missing])
    assert (p_fdr[0] < 0.05).sum() >= 30
    # All segments at once, the strong bundle's 30 would have made room for it.
    assert false_discovery_control(np.r_[strong, weak, *flat])[100] < 0.05
    assert (p_fdr[1] > 0.05).all()
    assert np.isnan(p_fdr[-1]).all()
    smallest = [false_discovery_control(p).min() for p in (strong, weak, *flat)]
    np.testing.assert_allclose(
        [p.min() for p in p_fdr[:-1]], false_discovery_control([*smallest, 1])[:-1]
    )


def test_healthy_subjects_are_rarely_found():
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(300):
        # Neighbouring segments are alike, as in a bundle.
        walk = rng.normal(size=(13, 7, 120, 2)).cumsum(axis=2)
        smooth = walk[:, :, 20:] - walk[:, :, :-20]
        p = [new_observation_p(smooth[:-1, b], smooth[-1:, b])[0] for b in range(7)]
        found += any((v < 0.05).any() for v in correct_p_values(p))
    assert found / 300 < 0.09


def test_deviates_stay_finite():
    assert np.isfinite(z_from_p(np.array([0.0, 1e-320, 0.5, 1.0]))).all()
    assert z_from_p(np.array([0.025]))[0] == pytest.approx(1.96, abs=0.001)


# Distances


def test_distances_and_surprise_grow_with_the_shift():
    rng = np.random.default_rng(6)
    is_reference = np.array([True] * 6 + [False] * 3)
    shifts = [0] * 6 + [0, 3, 9]
    points = [np.array(make_subject(rng, 40)) + (0, 0, s) for s in shifts]
    means = [rng.normal(size=(40, 4)) + s for s in shifts]
    unusual = surprise(means, is_reference)
    assert unusual[6] < unusual[7] < unusual[8]
    for values in group_distances(means, points, is_reference).values():
        assert values[6] < values[7] < values[8]
        assert values[8] == pytest.approx(9, rel=1.1)


def test_surprise_is_minus_the_log_density():
    rng = np.random.default_rng(7)
    group = rng.normal(size=(20000, 3)) * 2
    scores = streamline_surprise(np.zeros((1, 3)), group)
    assert scores[0] == pytest.approx(1.5 * np.log(2 * np.pi * 4), abs=0.05)


# All together


@pytest.mark.parametrize("measure", MEASURES)
def test_bent_bundles_are_found_where_they_are_bent(
    model, reference, subjects, measure
):
    result = compare(model, reference, subjects, measure=measure, n_dims=3)
    rows = {(r["bundle"], r["subject"]): r for r in result.summary_rows()}
    assert len(rows) == 2 * (12 + 6)
    for i in range(3):
        assert rows["AF", f"bent{i}"]["detected"] == "yes"
        assert 40 <= rows["AF", f"bent{i}"]["disk"] <= 60
    healthy = [rows[b, f"healthy{i}"] for b in ("AF", "CST") for i in range(3)]
    assert sum(row["detected"] == "yes" for row in healthy) <= 1


def test_rows_of_the_tables(comparison):
    rows = comparison.profile_rows()
    assert len(rows) == 2 * 18 * 100
    assert list(rows[0]) == [
        "bundle",
        "subject",
        "group",
        "disk",
        "residual_mm",
        "z",
        "p",
        "p_fdr",
    ]
    assert [row["disk"] for row in rows[:100]] == list(range(1, 101))
    assert {row["group"] for row in rows if row["subject"][0] == "c"} == {0}
    summary = comparison.summary_rows()
    for row in summary:
        found = [
            r["disk"]
            for r in rows
            if (r["bundle"], r["subject"]) == (row["bundle"], row["subject"])
            and r["p_fdr"] < 0.05
        ]
        assert row["disks"] == runs_text(found)
        assert row["detected"] == ("yes" if found else "no")
        assert (row["p_fdr"] < 0.05) == bool(found)
    bent = next(r for r in summary if (r["bundle"], r["subject"]) == ("AF", "bent0"))
    assert bent["surprise_z"] > 2 and bent["bmd"] > 0 and bent["n_streamlines"] == 30


def test_same_result_with_streamlines_turned_round(model, reference, subjects):
    def turned(group):
        return {
            s: {b: [line[::-1] for line in lines] for b, lines in given.items()}
            for s, given in group.items()
        }

    options = {"n_dims": 3, "n_segments": 40}
    first = compare(model, reference, subjects, **options)
    second = compare(model, turned(reference), turned(subjects), **options)
    for name, p in first.p_fdr.items():
        np.testing.assert_allclose(p, second.p_fdr[name], atol=1e-3)


def test_bundles_are_read_when_needed(model, reference, subjects, comparison):
    store, seen = [], []

    def by_number(group):
        numbered = {}
        for subject, given in group.items():
            for bundle, lines in given.items():
                numbered.setdefault(subject, {})[bundle] = len(store)
                store.append((bundle, lines))
        return numbered

    def read(number):
        seen.append(store[number][0])
        return store[number][1]

    counted = []
    result = compare(
        model, by_number(reference), by_number(subjects),
        n_dims=3, read=read, progress=counted.append,
    )  # fmt: skip
    assert seen == ["AF"] * 18 + ["CST"] * 18 and sum(counted) == 36
    np.testing.assert_array_equal(result.p_fdr["AF"], comparison.p_fdr["AF"])


def test_subjects_may_lack_bundles(model, reference, subjects):
    few = {"bent0": {"AF": subjects["bent0"]["AF"]}}
    result = compare(model, reference, few, n_dims=3)
    assert list(result.bundles) == ["AF"]
    assert result.summary_rows()[-1]["detected"] == "yes"


def test_picture_has_a_panel_per_bundle(comparison, tmp_path):
    figure = comparison_figure(comparison)
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == ["AF", "CST"]
    found = {r["subject"] for r in comparison.summary_rows() if r["detected"] == "yes"}
    found -= set(make_group(0, 12))
    assert figure.get_suptitle().startswith(f"{len(found)} of 6 subjects")
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_runs_of_numbers():
    assert runs_text([3, 4, 5, 9, 11, 12]) == "3-5 9 11-12"
    assert runs_text([]) == ""


def test_bad_groups(model, reference, subjects):
    four = dict(list(reference.items())[:4])
    with pytest.raises(InvalidArgumentError, match="4 subjects with AF.*at least 5"):
        compare(model, four, subjects)
    with pytest.raises(InvalidArgumentError, match="no bundle OR; it has AF, CST"):
        compare(model, reference, {"p": {"OR": subjects["bent0"]["AF"]}})
    with pytest.raises(InvalidArgumentError, match="No bundle"):
        compare(model, reference, {})
    few = {"p": {"AF": subjects["bent0"]["AF"][:9]}}
    with pytest.raises(EmptyDataError, match="AF of p has 9 streamlines.*at least 10"):
        compare(model, reference, few)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"measure": "fa"}, "measure"),
        ({"alpha": 0}, "alpha"),
        ({"n_dims": -1}, "n_dims"),
        ({"n_segments": 2}, "n_segments"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments(model, reference, subjects, options, says):
    with pytest.raises(InvalidArgumentError, match=f"`{says}`"):
        compare(model, reference, subjects, **options)
