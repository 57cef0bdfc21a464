"""Distances of a subject's bundle from a group, in latent space and in mm."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dipy_tractoencoder.streamlines.metrics import mdf_matrix

SAMPLE_SIZE = 100  # Streamlines drawn from each bundle for distances between bundles.


def surprise(means: Sequence[np.ndarray], is_reference: np.ndarray) -> np.ndarray:
    """Compute the negative log density of each subject under the reference group.

    Parameters
    ----------
    means : sequence of ndarray, shape (n_streamlines, latent_dim)
        Latents of one bundle, per subject.
    is_reference : ndarray, shape (n_subjects,), bool
        True for subjects that the density is fitted to; for each of them it is fitted
        to the others.

    Returns
    -------
    surprise : ndarray, shape (n_subjects,)
        Mean negative log density over the streamlines of each subject, nats.
    """
    pooled, owner = (
        np.concatenate(means),
        np.repeat(range(len(means)), [*map(len, means)]),
    )
    values = []
    for i, mean in enumerate(means):
        others = is_reference[owner] & (owner != i)
        values.append(streamline_surprise(mean, pooled[others]).mean())
    return np.array(values)


def streamline_surprise(mean: np.ndarray, reference_mean: np.ndarray) -> np.ndarray:
    """Compute the negative log density of latents under a Gaussian fitted to others.

    The covariance is estimated with Ledoit-Wolf shrinkage, which needs few streamlines.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents to score.
    reference_mean : ndarray, shape (n_reference, latent_dim)
        Latents of the same bundle in the reference group.

    Returns
    -------
    surprise : ndarray, shape (n_streamlines,)
        Negative log density, nats.
    """
    from sklearn.covariance import LedoitWolf

    density = LedoitWolf().fit(np.asarray(reference_mean, dtype=np.float64))
    log_volume = np.linalg.slogdet(2 * np.pi * density.covariance_)[1]
    return 0.5 * (density.mahalanobis(mean.astype(np.float64)) + log_volume)


def group_distances(
    means: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    is_reference: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure the distance of each subject's bundle from the reference group.

    Parameters
    ----------
    means : sequence of ndarray, shape (n_streamlines, latent_dim)
        Latents of one bundle, per subject.
    points : sequence of ndarray, shape (n_streamlines, n_points, 3)
        Streamlines of the latents, mm.
    is_reference : ndarray, shape (n_subjects,), bool
        True for the reference group; its members are compared with the other members.
    seed : int, optional
        Seed of the samples of at most 100 streamlines.

    Returns
    -------
    distances : dict of ndarray, shape (n_subjects,)
        "latent_distance": Wasserstein distance of the latents (first order, exact on
        the sample). "bmd": bundle-minimum distance :footcite:p:`Garyfallidis2015`,
        mm: mean MDF to the nearest streamline of the other bundle, averaged over both
        bundles.
    """
    distances: dict[str, list] = {"latent_distance": [], "bmd": []}
    rng = np.random.default_rng(seed)
    size = min(SAMPLE_SIZE, min(map(len, means)))
    pooled, pooled_points = np.concatenate(means), np.concatenate(points)
    owner = np.repeat(range(len(means)), [*map(len, means)])
    for i in range(len(means)):
        own = rng.choice(np.flatnonzero(owner == i), size, replace=False)
        others = np.flatnonzero(is_reference[owner] & (owner != i))
        others = rng.choice(others, size, replace=False)
        costs = cdist(pooled[own], pooled[others])
        # With equal sizes the optimal transport is an assignment.
        transport = costs[linear_sum_assignment(costs)].mean()
        distances["latent_distance"].append(transport)
        mdf = mdf_matrix(pooled_points[own], pooled_points[others])
        nearest = (mdf.min(axis=0).mean() + mdf.min(axis=1).mean()) / 2
        distances["bmd"].append(nearest)
    return {name: np.array(values) for name, values in distances.items()}
