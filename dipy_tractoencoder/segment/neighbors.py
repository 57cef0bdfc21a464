"""Distances to nearest neighbours in latent space."""

from __future__ import annotations

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.latent.search import NeighborSearch

SMALLEST_DISTANCE = 1e-6  # mm; keeps logarithms of distances finite
# Of the latents' root mean square distance from their mean: closer ones are the same
# streamline, whose points were rounded differently in two files.
SAME = 1e-5


def same_distance(mean: np.ndarray) -> float:
    """Return the distance up to which two latents are of the same streamline.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.

    Returns
    -------
    distance : float
        Distance, in the unit of the latents.
    """
    if not len(mean):
        return 0.0
    variances = np.asarray(mean).var(axis=0, dtype=np.float64)
    return float(SAME * np.sqrt(variances.sum()))


def different_rows(mean: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the streamlines that differ from each other.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    distance : float
        Distance up to which two are the same, see `same_distance`.

    Returns
    -------
    rows : ndarray, shape (n_different,), int64
        A row of each, in the order of the latents, whatever that of the rows.
    number : ndarray, shape (n_streamlines,), int64
        Position in ``rows`` of the one that each row is the same as.
    """
    values, rows, number = np.unique(
        mean, axis=0, return_index=True, return_inverse=True
    )
    number = number.reshape(-1)
    # They are sorted by the first latent: what is the same is close there, too.
    left, same_as = np.arange(len(values)), np.arange(len(values))
    step = 1
    while step < len(left):
        one, other = left[:-step], left[step:]
        near = np.flatnonzero(values[other, 0] - values[one, 0] <= distance)
        if not len(near):
            break
        apart = values[other[near]].astype(np.float64) - values[one[near]]
        same = near[(apart**2).sum(axis=1) <= distance**2]
        if not len(same):
            step += 1
            continue
        same_as[other[same]] = one[same]
        left, step = np.delete(left, same + step), 1
    while (same_as != same_as[same_as]).any():
        same_as = same_as[same_as]
    return rows[left], np.searchsorted(left, same_as)[number]


def nearest_distances(
    mean: np.ndarray, reference: np.ndarray | NeighborSearch
) -> np.ndarray:
    """Compute the distance of each latent to the nearest reference latent.

    This is the score of FINTA's filter :footcite:p:`Legarreta2021`: small for
    streamlines that resemble a reference streamline.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents; in mm for a model with the linear skip.
    reference : ndarray, shape (n_reference, latent_dim), or NeighborSearch
        Latents of plausible streamlines, or the search in them.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Distances, in the unit of the latents.
    """
    if len(mean) == 0:
        return np.empty(0)
    search = reference
    if not isinstance(search, NeighborSearch):
        search = NeighborSearch(search)
    return search.kneighbors(mean, n_neighbors=1)[0][:, 0]


def reference_distances(reference: np.ndarray) -> np.ndarray:
    """Compute the distance of each reference latent to the nearest other one.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents.

    Returns
    -------
    distance : ndarray, shape (n_reference,), float64
        Distances, in the unit of the latents.

    Raises
    ------
    EmptyDataError
        If there are fewer than two latents.
    """
    if len(reference) < 2:
        raise EmptyDataError(
            "At least two reference streamlines are needed to measure their distances. "
            f"Received: {len(reference)}."
        )
    # Without an argument a row is not counted as its own neighbour.
    return NeighborSearch(reference).kneighbors(n_neighbors=1)[0][:, 0]


def mean_distances(
    mean: np.ndarray, reference: NeighborSearch, n_neighbors: int
) -> np.ndarray:
    """Compute the mean distance of each latent to the nearest reference latents.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    reference : NeighborSearch
        Search in the reference latents.
    n_neighbors : int
        Number of reference latents, as far as there are so many.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Mean distances, in the unit of the latents.
    """
    n_neighbors = min(n_neighbors, len(reference))
    return reference.kneighbors(mean, n_neighbors=n_neighbors)[0].mean(axis=1)


def own_mean_distances(reference: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Compute the mean distance of each reference latent to the nearest other ones.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents, at least two.
    n_neighbors : int
        Number of other latents, as far as there are so many.

    Returns
    -------
    distance : ndarray, shape (n_reference,), float64
        Mean distances, in the unit of the latents.
    """
    n_neighbors = min(n_neighbors, len(reference) - 1)
    # Without an argument a row is not counted as its own neighbour.
    search = NeighborSearch(reference)
    return search.kneighbors(n_neighbors=n_neighbors)[0].mean(axis=1)
