"""How far a subject's bundle is from a group's, in latent space and in mm."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dipy_tractoencoder.streamlines.metrics import mdf_matrix

SAMPLE_SIZE = 100  # streamlines of each side, for distances between bundles


def surprise(means, is_reference):
    """Minus log density of each subject's latents under the reference group's.

    Parameters
    ----------
    means : sequence of ndarray, shape (n_streamlines, latent_dim)
        Latents of one bundle, per subject.
    is_reference : ndarray, shape (n_subjects,), bool
        Whose streamlines the density is fitted to; each by those of the others.

    Returns
    -------
    surprise : ndarray, shape (n_subjects,)
        Nats, mean over streamlines.
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


def streamline_surprise(mean, reference_mean):
    """Minus log density of latents under a Gaussian fitted to others.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents to score; to colour streamlines by, say.
    reference_mean : ndarray, shape (n_reference, latent_dim)
        Latents of the same bundle in the reference group. The covariance is shrunk as
        Ledoit and Wolf do, so that few will do.

    Returns
    -------
    surprise : ndarray, shape (n_streamlines,)
        Nats.
    """
    from sklearn.covariance import LedoitWolf

    density = LedoitWolf().fit(np.asarray(reference_mean, dtype=np.float64))
    log_volume = np.linalg.slogdet(2 * np.pi * density.covariance_)[1]
    return 0.5 * (density.mahalanobis(mean.astype(np.float64)) + log_volume)


def group_distances(means, points, is_reference, *, seed=0):
    """Distances of each subject's bundle from the reference group's.

    Parameters
    ----------
    means : sequence of ndarray, shape (n_streamlines, latent_dim)
        Latents of one bundle, per subject.
    points : sequence of ndarray, shape (n_streamlines, n_points, 3)
        Their streamlines, mm.
    is_reference : ndarray, shape (n_subjects,), bool
        The group; its members are compared with the others.
    seed : int, optional
        Of the samples, 100 streamlines of each side at most.

    Returns
    -------
    distances : dict of ndarray, shape (n_subjects,)
        "latent_distance": Wasserstein distance of the latents (first order, exact on
        the sample). "bmd": bundle-minimum distance :footcite:p:`Garyfallidis2015`,
        mm, the mean of both ways' mean MDF to the nearest streamline.
    """
    distances = {"latent_distance": [], "bmd": []}
    rng = np.random.default_rng(seed)
    size = min(SAMPLE_SIZE, min(map(len, means)))
    pooled, pooled_points = np.concatenate(means), np.concatenate(points)
    owner = np.repeat(range(len(means)), [*map(len, means)])
    for i in range(len(means)):
        own = rng.choice(np.flatnonzero(owner == i), size, replace=False)
        others = np.flatnonzero(is_reference[owner] & (owner != i))
        others = rng.choice(others, size, replace=False)
        costs = cdist(pooled[own], pooled[others])
        # Equal sizes: the best transport is an assignment.
        transport = costs[linear_sum_assignment(costs)].mean()
        distances["latent_distance"].append(transport)
        mdf = mdf_matrix(pooled_points[own], pooled_points[others])
        nearest = (mdf.min(axis=0).mean() + mdf.min(axis=1).mean()) / 2
        distances["bmd"].append(nearest)
    return {name: np.array(values) for name, values in distances.items()}
