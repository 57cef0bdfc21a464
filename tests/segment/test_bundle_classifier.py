"""Votes of the nearest latents: bundles, doubt, and what belongs to none."""

import numpy as np
import pytest

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.votes import vote


@pytest.fixture
def clusters(rng):
    """Three clusters of 30 latents, far apart."""
    centres = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0]])
    bundle = np.repeat([0, 1, 2], 30)
    return centres[bundle] + rng.normal(size=(90, 3)), bundle, ("A", "B", "C")


def test_bundles_are_found_again_and_outsiders_left_out(clusters, rng):
    mean, bundle, names = clusters
    neighbors = fit_latent_classifier(mean, bundle, names)
    found, share, distance = neighbors.label(mean + 0.01)
    np.testing.assert_array_equal(found, bundle)
    assert (share == 1).all()
    others = np.linalg.norm(mean[:30, None] - mean[None, :30] + 0.01, axis=-1)
    expected = np.sort(others, axis=1)[:, :5].mean(axis=1)
    np.testing.assert_allclose(distance[:30], expected, rtol=1e-5)
    outsiders = np.array([[25.0, 0, 0], [0, 0, 90]])
    np.testing.assert_array_equal(neighbors.label(outsiders)[0], [-1, -1])
    assert (neighbors.label(outsiders, alpha=0)[0] >= 0).all()


def test_a_new_subject_is_allowed_to_lie_further_away(rng):
    """All of it lies twice as far from the atlas as the atlas from itself."""
    centres = 100 * np.eye(3)
    bundle = np.repeat([0, 1, 2], 200)
    mean = centres[bundle] + rng.normal(size=(600, 3))
    new = centres[bundle] + rng.normal(scale=1.6, size=(600, 3))
    classifier = fit_latent_classifier(mean, bundle, list("ABC"))
    factor = classifier.subject_factor(new)
    found = classifier.judge(new)
    true = np.exp(np.median(found.remoteness) - np.median(classifier.decisions.known))
    assert factor.factor == pytest.approx(true, abs=0.15)
    assert factor.fraction > 0.9
    strict = (classifier.label(new)[0] < 0).mean()
    fair = (classifier.label(new, factor=factor.factor)[0] < 0).mean()
    assert fair < strict / 2


def test_strangers_do_not_raise_the_factor_of_a_subject(clusters):
    """Hardly anything belongs to the atlas, as if it lies in another space."""
    mean, bundle, names = clusters
    classifier = fit_latent_classifier(mean, bundle, names)
    factor = classifier.subject_factor(np.concatenate([mean + [0, 0, 12.0]] * 5))
    assert factor.factor <= 1.5
    assert factor.fraction < 0.15


def test_order_and_doubles_of_the_reference_change_nothing(clusters, rng):
    mean, bundle, names = clusters
    new = mean + rng.normal(size=mean.shape)
    first = fit_latent_classifier(mean, bundle, names)
    rows = rng.permutation(np.repeat(np.arange(90), 2))
    other = fit_latent_classifier(mean[rows], bundle[rows], names)
    for one, two in zip(
        vars(first.judge(new)).values(), vars(other.judge(new)).values()
    ):
        np.testing.assert_array_equal(one, two)
    pairs = zip(first.p_values(first.judge(new)), other.p_values(other.judge(new)))
    for one, two in pairs:
        np.testing.assert_array_equal(one, two)


def test_the_next_bundle_is_named(clusters):
    mean, bundle, names = clusters
    mean = mean.copy()
    mean[bundle == 1] -= [44, 0, 0]  # Now next to the first.
    classifier = fit_latent_classifier(mean, bundle, names)
    found = classifier.judge(np.array([[2.9, 0, 0], [0, 50.0, 0]]))
    assert set(found.bundle.tolist()) | set(found.second.tolist()) == {0, 1, 2, -1}
    _, second_p = classifier.p_values(found)
    assert 0 < second_p[0] <= 1 and np.isnan(second_p[1])


def test_votes_are_counted_and_the_nearest_decides_ties():
    labels = np.array([[0, 1, 1], [2, 0, 1], [1, 1, 0], [0, 0, 0]])
    distances = np.array([[1.0, 2, 3]] * 4)
    bundle, share, distance = vote(labels, distances, 3)
    np.testing.assert_array_equal(bundle, [1, 2, 1, 0])
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(distance, [2, 1, 1, 1])


def test_small_bundles_are_judged_by_the_others_with_one_warning(clusters, caplog):
    mean, bundle, names = clusters
    keep = (bundle == 0) | np.isin(np.arange(90), [30, 31, 32, 60])
    classifier = fit_latent_classifier(mean[keep], bundle[keep], [*names, "D"])
    (record,) = caplog.records
    assert "3 of 4 bundles" in record.getMessage()
    assert "B (3), C (1), D (0)" in record.getMessage()
    found, _, _ = classifier.label(mean[[0, 30]])
    np.testing.assert_array_equal(found, [0, 1])
    np.testing.assert_allclose(classifier.scale[1:], classifier.scale[0])


def test_reference_without_two_different_streamlines_is_refused(clusters):
    mean, _, names = clusters
    with pytest.raises(EmptyDataError, match="two different streamlines"):
        fit_latent_classifier(mean[[0, 0, 30]], np.array([0, 0, 1]), names)


def test_nothing_to_label_gives_nothing(clusters):
    found = fit_latent_classifier(*clusters).label(np.empty((0, 3)))
    assert [len(part) for part in found] == [0, 0, 0]


def test_lengths_of_bundles_are_known_if_given(clusters):
    mean, bundle, names = clusters
    unknown = fit_latent_classifier(mean, bundle, names).length
    assert unknown.shape == (3, 3) and np.isnan(unknown).all()
    length = np.arange(90.0)
    known = fit_latent_classifier(mean, bundle, [*names, "D"], length=length).length
    np.testing.assert_allclose(known[1], [31.45, 44.5, 57.55])
    assert np.isnan(known[3]).all()
