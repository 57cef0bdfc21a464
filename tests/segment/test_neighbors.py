"""Nearest neighbours among latents: scores, thresholds, votes."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier, vote
from dipy_tractoencoder.segment.neighbors import nearest_distances, reference_distances
from dipy_tractoencoder.segment.thresholds import balanced_threshold, filter_metrics


@pytest.fixture
def clusters(rng):
    """Three clusters of 30 latents, far apart."""
    centres = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0]])
    bundle = np.repeat([0, 1, 2], 30)
    return centres[bundle] + rng.normal(size=(90, 3)), bundle, ("A", "B", "C")


def test_nearest_distances_are_those_of_all_pairs(rng):
    first, second = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
    expected = cdist(first, second).min(axis=1)
    np.testing.assert_allclose(nearest_distances(first, second), expected)
    assert nearest_distances(first[:0], second).shape == (0,)


def test_own_distances_leave_out_the_streamline_itself(rng):
    latents = rng.normal(size=(20, 4))
    expected = cdist(latents, latents) + np.diag(np.full(20, np.inf))
    np.testing.assert_allclose(reference_distances(latents), expected.min(axis=1))
    # A double is a neighbour, though it lies at distance 0.
    assert reference_distances(np.repeat(latents, 2, axis=0)).max() == 0


def test_own_distances_go_to_other_sources():
    latents = np.array([[0.0], [0.1], [7], [7.1]])
    np.testing.assert_allclose(reference_distances(latents), 0.1)
    source = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(reference_distances(latents, source), [7, 6.9, 6.9, 7])


@pytest.mark.parametrize("count", [0, 1])
def test_a_reference_of_one_is_refused(count):
    with pytest.raises(EmptyDataError, match=str(count)):
        reference_distances(np.zeros((count, 3)))


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


def test_bundles_are_found_again_and_outsiders_left_out(clusters, rng):
    mean, bundle, names = clusters
    neighbors = fit_latent_classifier(mean, bundle, names)
    found, share, distance = neighbors.label(mean + 0.01)
    np.testing.assert_array_equal(found, bundle)
    assert (share == 1).all()
    assert (distance < 0.1).all()
    outsiders = np.array([[25.0, 0, 0], [0, 0, 90]])
    np.testing.assert_array_equal(neighbors.label(outsiders)[0], [-1, -1])
    anyway = fit_latent_classifier(mean, bundle, names, margin=np.inf).label(outsiders)[
        0
    ]
    assert (anyway >= 0).all()


def test_thresholds_allow_for_a_new_subject(rng):
    # Subjects lie 10 apart, the streamlines of each within 1.
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    source = np.repeat(np.arange(4), 20)
    mean = centres[source] + rng.normal(0, 0.3, (80, 2))
    bundle = np.zeros(80, dtype=int)
    new = np.array([[20.0, 0], [0, 20]]) + rng.normal(0, 0.3, (2, 2))
    alone = fit_latent_classifier(mean, bundle, ["A"])
    np.testing.assert_array_equal(alone.label(new)[0], [-1, -1])
    aware = fit_latent_classifier(mean, bundle, ["A"], source=source)
    np.testing.assert_array_equal(aware.label(new)[0], [0, 0])


def test_votes_are_counted_and_the_nearest_decides_ties():
    labels = np.array([[0, 1, 1], [2, 0, 1], [1, 1, 0], [0, 0, 0]])
    distances = np.array([[1.0, 2, 3]] * 4)
    bundle, share, distance = vote(labels, distances, 3)
    np.testing.assert_array_equal(bundle, [1, 2, 1, 0])
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(distance, [2, 1, 1, 1])


def test_bundle_smaller_than_the_vote_is_refused(clusters):
    mean, bundle, names = clusters
    keep = (bundle != 1) | (np.arange(90) < 34)
    with pytest.raises(InvalidArgumentError, match="B has 4 streamlines.*at most 3"):
        fit_latent_classifier(mean[keep], bundle[keep], names)


def test_nothing_to_label_gives_nothing(clusters):
    found = fit_latent_classifier(*clusters).label(np.empty((0, 3)))
    assert [len(part) for part in found] == [0, 0, 0]
