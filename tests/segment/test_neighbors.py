"""Distances to the nearest latents."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.segment.neighbors import (
    different_rows,
    nearest_distances,
    reference_distances,
    same_distance,
)


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


@pytest.mark.parametrize("count", [0, 1])
def test_a_reference_of_one_is_refused(count):
    with pytest.raises(EmptyDataError, match=str(count)):
        reference_distances(np.zeros((count, 3)))


def test_streamlines_rounded_differently_are_the_same():
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 10, (500, 4)).astype(np.float32)
    copies = [mean + rng.normal(0, 1e-6, mean.shape).astype(np.float32)] * 2
    order = rng.permutation(2000)
    doubled = np.concatenate([mean, mean, *copies])[order]
    rows, number = different_rows(doubled, same_distance(doubled))
    assert len(rows) == 500
    np.testing.assert_allclose(doubled[rows[number]], doubled, atol=1e-4)
    np.testing.assert_allclose(doubled[rows], mean[np.argsort(mean[:, 0])], atol=1e-4)
    equal = np.zeros((3000, 2)) + rng.normal(0, 1e-9, (3000, 2))
    rows, number = different_rows(equal, 1e-3)
    assert len(rows) == 1 and set(number) == {0}
    assert same_distance(mean[:0]) == 0
