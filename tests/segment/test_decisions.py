"""Conformal p-values, the subject factor, and what they promise."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.segment.decisions import Decisions, check_alpha, given_factor


def decisions(known, bundle=None, strangers=(), n_bundles=1):
    bundle = np.zeros(len(known), int) if bundle is None else bundle
    strangers = np.asarray(strangers, dtype=float)
    return Decisions(known, bundle, strangers, np.zeros(len(strangers), int), n_bundles)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.01, 0.05, 0.1, 0.3]))
def test_those_that_belong_are_rejected_as_often_as_promised(seed, alpha):
    rng = np.random.default_rng(seed)
    bundle = rng.integers(0, 3, 3000)
    known = rng.gamma(1 + bundle, size=3000)
    judge = decisions(known, bundle, n_bundles=3)
    other = rng.integers(0, 3, 3000)
    new = rng.gamma(1 + other, size=3000)
    for code in range(3):
        p = judge.p_values(new[other == code], other[other == code])
        # Four standard deviations, and what the pooled part may add.
        assert (p <= alpha).mean() <= alpha + 4 * np.sqrt(alpha / 1000) + 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_p_values_fall_with_the_distance_and_rise_with_the_factor(seed):
    rng = np.random.default_rng(seed)
    bundle = rng.integers(0, 2, 200)
    judge = decisions(rng.normal(size=200), bundle, n_bundles=2)
    values = np.sort(rng.normal(size=50))
    for code in (0, 1):
        p = judge.p_values(values, np.full(50, code))
        assert ((p > 0) & (p <= 1)).all()
        assert (np.diff(p) <= 0).all()
        assert (judge.p_values(values, np.full(50, code), 1.5) >= p).all()


def test_a_bundle_without_streamlines_is_judged_by_all():
    known = np.arange(99.0)
    judge = decisions(known, n_bundles=2)
    new = np.array([0.0, 50.0, 1000.0])
    empty, full = (judge.p_values(new, np.full(3, code)) for code in (1, 0))
    np.testing.assert_allclose(empty, full, atol=0.01)
    assert empty[-1] == pytest.approx(0.01)


@pytest.mark.parametrize("factor", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("fraction", [0.4, 0.9, 1.0])
def test_factor_and_fraction_are_found(factor, fraction, rng):
    known = rng.normal(0, 0.4, 4000)
    strangers = rng.normal(3, 0.7, 4000)
    n_known = int(4000 * fraction)
    new = rng.normal(np.log(factor), 0.4, n_known)
    new = np.concatenate([new, rng.normal(3, 0.7, 4000 - n_known)])
    found = decisions(known, strangers=strangers).fit_factor(rng.permutation(new))
    assert found.factor == pytest.approx(factor, rel=0.1)
    assert found.fraction == pytest.approx(fraction, abs=0.05)
    assert found.n_streamlines == 4000


def test_a_file_of_strangers_does_not_get_a_large_factor(rng):
    known, strangers = rng.normal(0, 0.4, 2000), rng.normal(2, 0.5, 2000)
    judge = decisions(known, strangers=strangers)
    found = judge.fit_factor(rng.normal(1.9, 0.5, 3000))
    assert found.factor <= 1.5
    assert found.fraction < 0.15


def test_no_allowance_is_made_where_only_strangers_can_explain_the_factor(rng):
    # A few of the reference lie far out, so that some strangers of another space pass.
    known = np.concatenate([rng.normal(0, 0.35, 140), rng.normal(1.5, 0.1, 10)])
    judge = decisions(known, strangers=rng.normal(2.6, 0.15, 150))
    new, bundle = rng.normal(2.4, 0.35, 5000), np.zeros(5000, int)
    found = judge.fit_factor(new)
    assert found.estimate > 2.5
    assert found.factor == 1
    kept, allowed = (
        (judge.p_values(new, bundle, factor) > 0.05).mean()
        for factor in (found.factor, 1.5)
    )
    assert kept < 0.01 < allowed


def test_predicted_strangers_are_those_above_alpha(rng):
    judge = decisions(np.arange(100.0), strangers=[10.0, 20.0, 500.0, 600.0])
    assert judge.labelled_strangers(0.05) == 0.5
    assert judge.labelled_strangers(0.0) == 1.0
    assert np.isnan(decisions(np.arange(9.0)).labelled_strangers())


def test_nothing_to_judge_gives_nothing():
    judge = decisions(np.arange(10.0))
    assert len(judge.p_values(np.empty(0), np.empty(0, int))) == 0
    found = judge.fit_factor(np.array([np.nan]))
    assert (found.factor, found.n_streamlines) == (1.0, 0)


def test_the_smallest_p_value_depends_on_the_size_of_the_reference():
    """Few streamlines cannot show that one in twenty lies as far away."""
    assert decisions(np.arange(8.0)).smallest_p > 0.05
    assert decisions(np.arange(100.0)).smallest_p < 0.05


@pytest.mark.parametrize("alpha", [-0.1, 1.1, np.nan, "x"])
def test_alpha_is_a_fraction(alpha):
    with pytest.raises(InvalidArgumentError, match="alpha"):
        check_alpha(alpha)


def test_a_known_factor_is_above_0():
    assert given_factor(1.5).factor == 1.5
    with pytest.raises(InvalidArgumentError, match="subject_factor"):
        given_factor(0)
