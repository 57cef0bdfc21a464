"""Refine the pose of centroids with DIPY's streamline-based linear registration.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

import numpy as np

BOUND = 60.0  # mm and degrees, from the start
SIZES = {"rigid": 6, "similarity": 7, "affine": 12}


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
