"""Nearest neighbours, by few and by many pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.latent import search
from dipy_tractoencoder.latent.search import NeighborSearch

WAYS = {"all pairs": (10**9, 0), "tree": (0, 10**9), "scikit-learn": (0, 0)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Search in one way, whatever the latents."""
    pairs, dimensions = WAYS[request.param]
    monkeypatch.setattr(search, "FEW_PAIRS", pairs)
    monkeypatch.setattr(search, "FEW_DIMENSIONS", dimensions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_the_nearest_of_all_pairs(way, dtype, rng):
    reference, new = (rng.normal(5, 3, (n, 8)).astype(dtype) for n in (200, 70))
    distances, rows = NeighborSearch(reference).kneighbors(new, n_neighbors=5)
    every = cdist(new, reference)
    np.testing.assert_array_equal(rows, np.argsort(every, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :5], rtol=1e-5)
    assert distances.dtype == np.float64


def test_a_row_is_not_its_own_neighbour_but_its_double_is(way, rng):
    reference = np.repeat(rng.normal(size=(30, 4)), 2, axis=0)
    distances, rows = NeighborSearch(reference).kneighbors(n_neighbors=3)
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-6)
    np.testing.assert_array_equal(rows[:, 0], np.arange(60) ^ 1)


def test_of_many_doubles_each_has_others(way):
    distances, rows = NeighborSearch(np.zeros((50, 2))).kneighbors(n_neighbors=4)
    np.testing.assert_array_equal(distances, 0)
    assert not (rows == np.arange(50)[:, None]).any()
    assert all(len(set(found)) == 4 for found in rows)


def test_dimensions_count_by_their_variance(rng):
    latents = rng.normal(size=(3000, 5)) * [9, 9, 0.1, 0.1, 0]
    assert NeighborSearch(latents).effective_dimensions == pytest.approx(2, abs=0.05)
    assert NeighborSearch(np.ones((3, 2))).effective_dimensions == 1


def test_all_of_few_are_found(way, rng):
    reference = rng.normal(size=(4, 3))
    distances, rows = NeighborSearch(reference).kneighbors(reference, n_neighbors=4)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(4), (4, 1)))
    assert (np.diff(distances, axis=1) >= 0).all()


def test_nothing_cannot_be_searched():
    with pytest.raises(EmptyDataError, match="no reference"):
        NeighborSearch(np.empty((0, 3)))
