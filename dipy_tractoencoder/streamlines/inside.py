"""Find out whether points lie inside of an image."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from nibabel.affines import apply_affine
import numpy as np

from dipy_tractoencoder.streamlines.resampling import any_outside, is_compiled

POINTS_AT_A_TIME = 1_000_000


def any_point_outside(points: np.ndarray, space: Mapping[str, Any]) -> bool:
    """Return whether points are outside of an image.

    Parameters
    ----------
    points : ndarray, shape (n_points, 3)
        Points, RASMM, mm, origin at the voxel centre.
    space : dict
        "affine" and "dimensions" of the image.

    Returns
    -------
    outside : bool
        True if a point is more than half a voxel away from all voxel centres, or not
        finite.
    """
    to_voxels = np.linalg.inv(np.asarray(space["affine"], dtype=np.float64))
    size = np.asarray(space["dimensions"], dtype=np.float64)

    def outside(some):
        if is_compiled() and some.dtype in (np.float32, np.float64):
            return any_outside(np.ascontiguousarray(some), to_voxels, size)
        with np.errstate(invalid="ignore"):  # Infinite points are rejected later.
            voxels = apply_affine(to_voxels, some) + 0.5
            return not ((voxels >= 0) & (voxels <= size)).all()

    for start in range(0, len(points), POINTS_AT_A_TIME):
        chunk = points[start : start + POINTS_AT_A_TIME]
        ends = [(column.min(), column.max()) for column in chunk.T]
        corners = np.array(list(product(*ends)), dtype=np.float64)
        # If the corners of a box around the points are inside, all points are.
        if outside(corners) and outside(chunk):
            return True
    return False
