"""Nearest neighbours, by few and by many pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.segment import search
from dipy_tractoencoder.segment.search import NeighborSearch


@pytest.mark.parametrize("few", [0, 10**9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_the_nearest_of_all_pairs(few, dtype, rng, monkeypatch):
    monkeypatch.setattr(search, "FEW_PAIRS", few)
    reference, new = (rng.normal(5, 3, (n, 8)).astype(dtype) for n in (200, 70))
    distances, rows = NeighborSearch(reference).kneighbors(new, n_neighbors=5)
    every = cdist(new, reference)
    np.testing.assert_array_equal(rows, np.argsort(every, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :5], rtol=1e-5)
    assert distances.dtype == np.float64


@pytest.mark.parametrize("few", [0, 10**9])
def test_a_row_is_not_its_own_neighbour_but_its_double_is(few, rng, monkeypatch):
    monkeypatch.setattr(search, "FEW_PAIRS", few)
    reference = np.repeat(rng.normal(size=(30, 4)), 2, axis=0)
    distances, rows = NeighborSearch(reference).kneighbors(n_neighbors=3)
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-6)
    np.testing.assert_array_equal(rows[:, 0], np.arange(60) ^ 1)


def test_all_of_few_are_found(rng):
    reference = rng.normal(size=(4, 3))
    distances, rows = NeighborSearch(reference).kneighbors(reference, n_neighbors=4)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(4), (4, 1)))
    assert (np.diff(distances, axis=1) >= 0).all()


def test_nothing_cannot_be_searched():
    with pytest.raises(EmptyDataError, match="no reference"):
        NeighborSearch(np.empty((0, 3)))
