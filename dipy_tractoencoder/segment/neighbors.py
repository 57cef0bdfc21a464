"""Plausible or not, and of which bundle, by the nearest neighbours among latents."""

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
)


def nearest_distances(mean, reference):
    """Distance of each latent to the nearest of some references.

    The score of FINTA's filter :footcite:p:`Legarreta2021`: small for streamlines that
    run like one of the reference.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents, mm for a model with the linear skip.
    reference : ndarray, shape (n_reference, latent_dim)
        Latents of plausible streamlines, or a `NearestNeighbors` fitted to them.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        In the latents' unit.
    """
    if len(mean) == 0:
        return np.empty(0)
    neighbors = reference if hasattr(reference, "kneighbors") else fit(reference)
    return neighbors.kneighbors(mean, n_neighbors=1)[0][:, 0].astype(np.float64)


def reference_distances(reference, source=None):
    """Distance of each reference latent to the nearest of the others.

    Where they come from several subjects, of the other subjects': one's own
    streamlines lie nearer than those of a new subject will.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents.
    source : ndarray, shape (n_reference,), int, optional
        Subject, or file, of each; one by default.

    Returns
    -------
    distance : ndarray, shape (n_reference,), float64
        In the latents' unit.

    Raises
    ------
    EmptyDataError
        If there is but one.
    """
    if len(reference) < 2:
        raise EmptyDataError(
            "Two reference streamlines or more are needed to know how far apart they "
            f"lie. Received: {len(reference)}."
        )
    sources = np.unique(source) if source is not None else ()
    if len(sources) < 2:
        # Without an argument, a row is no neighbour of itself.
        found = fit(reference).kneighbors(n_neighbors=1)[0]
        return found[:, 0].astype(np.float64)
    distance = np.empty(len(reference))
    for one in sources:
        own = source == one
        distance[own] = nearest_distances(reference[own], reference[~own])
    return distance


def fit(reference):
    """Make ready for neighbour searches among latents.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents, one at least.

    Returns
    -------
    neighbors : sklearn.neighbors.NearestNeighbors
        Fitted, Euclidean.

    Raises
    ------
    EmptyDataError
        If there are none.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(reference) == 0:
        raise EmptyDataError("No reference streamline to search among.")
    return NearestNeighbors().fit(reference)
