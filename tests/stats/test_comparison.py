"""Subjects against a reference group: tests, corrections, what is found, pictures."""

from group_data import make_group, train_on
import numpy as np
import pytest

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.stats.comparison import compare, runs_text
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
    with pytest.raises(EmptyDataError, match="AF of p .*9 .*10"):
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
