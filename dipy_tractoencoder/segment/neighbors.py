"""Distances to nearest neighbours in latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
)

SMALLEST_DISTANCE = 1e-6  # mm; keeps logarithms of distances finite

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors


def nearest_distances(mean: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the distance of each latent to the nearest reference latent.

    This is the score of FINTA's filter :footcite:p:`Legarreta2021`: small for
    streamlines that resemble a reference streamline.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents; in mm for a model with the linear skip.
    reference : ndarray, shape (n_reference, latent_dim)
        Latents of plausible streamlines, or a ``NearestNeighbors`` fitted to them.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Distances, in the unit of the latents.
    """
    if len(mean) == 0:
        return np.empty(0)
    neighbors = reference if hasattr(reference, "kneighbors") else fit(reference)
    return neighbors.kneighbors(mean, n_neighbors=1)[0][:, 0].astype(np.float64)


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
    found = fit(reference).kneighbors(n_neighbors=1)[0]
    return found[:, 0].astype(np.float64)


def mean_distances(
    mean: np.ndarray, reference: NearestNeighbors, n_neighbors: int
) -> np.ndarray:
    """Compute the mean distance of each latent to the nearest reference latents.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    reference : sklearn.neighbors.NearestNeighbors
        From `fit`.
    n_neighbors : int
        Number of reference latents, as far as there are so many.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Mean distances, in the unit of the latents.
    """
    n_neighbors = min(n_neighbors, reference.n_samples_fit_)
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
    return fit(reference).kneighbors(n_neighbors=n_neighbors)[0].mean(axis=1)


def fit(reference: np.ndarray) -> NearestNeighbors:
    """Fit a Euclidean nearest-neighbour search to latents.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents, at least one.

    Returns
    -------
    neighbors : sklearn.neighbors.NearestNeighbors
        The fitted search.

    Raises
    ------
    EmptyDataError
        If there are no latents.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(reference) == 0:
        raise EmptyDataError("There are no reference streamlines to search.")
    return NearestNeighbors().fit(reference)
