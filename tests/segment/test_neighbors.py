"""Distances to the nearest latents."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.segment.neighbors import nearest_distances, reference_distances


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
