"""Register centroids of streamlines from any pose, with DIPY's registration.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

import numpy as np

# Of starts, those that are refined; and how far translations and angles may go.
N_ROTATIONS, N_REFINED, BOUND = 192, 8, 60.0
SIZES = {"rigid": 6, "similarity": 7, "affine": 12}
FAR = 12.0  # mm; solutions further apart are different ones


def even_rotations(n: int) -> np.ndarray:
    """Spread rotations evenly, by a super-Fibonacci spiral :footcite:p:`Alexa2022`.

    Parameters
    ----------
    n : int
        Number of rotations.

    Returns
    -------
    rotations : ndarray, shape (n, 3, 3)
        Rotation matrices.

    References
    ----------
    .. footbibliography::
    """
    from scipy.spatial.transform import Rotation

    psi = 1.533751168755204288118041
    steps = np.arange(n) + 0.5
    low, high = np.sqrt(steps / n), np.sqrt(1 - steps / n)
    alpha, beta = 2 * np.pi * steps / np.sqrt(2), 2 * np.pi * steps / psi
    quaternions = np.c_[
        low * np.sin(alpha),
        low * np.cos(alpha),
        high * np.sin(beta),
        high * np.cos(beta),
    ]
    return Rotation.from_quat(quaternions).as_matrix()


def bundle_minimum_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the bundle-minimum distance of two sets :footcite:p:`Garyfallidis2015`.

    Parameters
    ----------
    one, other : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    distance : float
        Mean of both directions' mean distance (MDF) to the nearest streamline, mm.

    References
    ----------
    .. footbibliography::
    """
    from dipy.align.bundlemin import distance_matrix_mdf

    pairs = np.asarray(
        distance_matrix_mdf(list(one.astype(float)), list(other.astype(float)))
    )
    return float(pairs.min(axis=0).mean() + pairs.min(axis=1).mean()) / 2


def refine(
    static: np.ndarray, moving: np.ndarray, start: np.ndarray, transform: str
) -> tuple[np.ndarray, float]:
    """Refine a transform by DIPY's streamline-based linear registration.

    Parameters
    ----------
    static, moving : ndarray, shape (n_streamlines, n_points, 3)
        Centroids, mm.
    start : ndarray, shape (4, 4)
        Transform from ``moving`` to ``static`` to start from.
    transform : {"rigid", "similarity", "affine"}
        Degrees of freedom.

    Returns
    -------
    matrix : ndarray, shape (4, 4)
        Refined transform.
    distance : float
        Bundle-minimum distance, mm.
    """
    from dipy.align.streamlinear import (
        BundleMinDistanceMetric,
        StreamlineLinearRegistration,
    )

    size = SIZES[transform]
    bounds = [(-BOUND, BOUND)] * 6 + [(0.5, 2.0)] * (min(size, 9) - 6)
    bounds += [(-1.0, 1.0)] * (size - len(bounds))
    registration = StreamlineLinearRegistration(
        metric=BundleMinDistanceMetric(num_threads=1), x0=transform, bounds=bounds
    )
    found = registration.optimize(list(static), list(moving), mat=start)
    return found.matrix, float(np.sqrt(found.fopt))
