"""Votes of the nearest latents: bundles, doubt, and what belongs to none."""

import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier, vote


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
