"""Thresholds of scores, and what they do to labelled streamlines."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.segment.thresholds import balanced_threshold, filter_metrics


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40))
def test_balanced_threshold_balances(seed, n_good, n_bad):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(0, 1, n_good), rng.normal(1, 1, n_bad)])
    plausible = np.arange(n_good + n_bad) < n_good
    threshold = balanced_threshold(scores, plausible)
    figures = filter_metrics(scores, plausible, threshold)
    gap = abs(figures["sensitivity"] - figures["specificity"])
    # No threshold has a smaller gap.
    for other in [*scores, scores.min() - 1]:
        tried = filter_metrics(scores, plausible, other)
        assert gap <= abs(tried["sensitivity"] - tried["specificity"]) + 1e-9


def test_balanced_threshold_lies_between_kinds_that_do_not_mix():
    scores = np.array([1.0, 2, 3, 9, 10, np.nan])
    plausible = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    assert balanced_threshold(scores, plausible) == 6
    figures = filter_metrics(scores, plausible, 6)
    assert figures == dict.fromkeys(figures, 1.0)


def test_figures_count_what_they_say():
    scores = np.array([1.0, 1, 5, 5, 1])
    plausible = np.array([1, 1, 1, 0, 0], dtype=bool)
    figures = filter_metrics(scores, plausible, 2)
    assert figures["accuracy"] == 3 / 5
    assert figures["sensitivity"] == pytest.approx(2 / 3)
    assert figures["specificity"] == 1 / 2
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["f1"] == pytest.approx(2 / 3)
    assert filter_metrics(scores, plausible, 0)["precision"] == 0


@pytest.mark.parametrize("value", [True, False])
def test_one_kind_only_is_refused(value):
    with pytest.raises(InvalidArgumentError, match="both kinds"):
        balanced_threshold(np.arange(3.0), np.full(3, value))
