"""Statistics of one subject beside a group."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest, t as t_distribution

from dipy_tractoencoder.stats.group_statistics import (
    correct_p_values,
    deviation_size,
    group_p,
    new_observation_p,
    z_from_p,
)


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
