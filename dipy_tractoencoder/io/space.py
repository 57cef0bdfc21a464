"""Convert the image space of a tractogram to plain values and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.array import as_sequence

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram


def tractogram_space(tractogram: object) -> dict[str, Any]:
    """Return the image space of a tractogram.

    Parameters
    ----------
    tractogram : object
        StatefulTractogram, or streamlines without an image space.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order"; empty if
        ``tractogram`` is not a StatefulTractogram.
    """
    if not hasattr(tractogram, "space_attributes"):
        return {}
    return named_space(tractogram.space_attributes)


def named_space(attributes: Sequence) -> dict[str, Any]:
    """Convert DIPY's space attributes to a dictionary.

    Parameters
    ----------
    attributes : tuple
        Affine, dimensions, voxel sizes (mm) and voxel order.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order".
    """
    affine, dimensions, voxel_sizes, voxel_order = attributes
    return {
        "affine": np.asarray(affine, dtype=np.float64),
        "dimensions": np.asarray(dimensions, dtype=np.int64),
        "voxel_sizes": np.asarray(voxel_sizes, dtype=np.float64),
        "voxel_order": str(voxel_order),
    }


def space_around(points: np.ndarray, *, margin: float = 10.0) -> dict[str, Any]:
    """Return an image space that encloses streamlines.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        Points, RASMM, mm.
    margin : float, optional
        Distance of the points to the sides of the image, mm.

    Returns
    -------
    space : dict
        Image space of voxels of 1 mm with axes to the right, anterior and superior; see
        `tractogram_space`.
    """
    flat = points.reshape(-1, 3).astype(np.float64)
    low = np.floor(flat.min(axis=0) - margin)
    affine = np.eye(4)
    affine[:3, 3] = low
    dimensions = np.ceil(flat.max(axis=0) + margin) - low + 1
    return named_space((affine, dimensions, np.ones(3), "RAS"))


def tractogram_like(points: Any, space: Mapping[str, Any]) -> StatefulTractogram:
    """Create a tractogram of streamlines in a given image space.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3), or ArraySequence
        Streamlines, RASMM, mm.
    space : dict
        Image space returned by `tractogram_space`.

    Returns
    -------
    tractogram : StatefulTractogram
        Streamlines, RASMM, mm.

    Raises
    ------
    InvalidArgumentError
        If the space is empty.
    """
    if not space:
        raise InvalidArgumentError(
            "Invalid value received for `space`. Expected the image space of a "
            "tractogram. Received: none, because the streamlines had no file; use a "
            "StatefulTractogram instead."
        )
    from dipy.io.stateful_tractogram import Space, StatefulTractogram
    from dipy.io.utils import create_nifti_header

    header = create_nifti_header(
        space["affine"], space["dimensions"], space["voxel_sizes"]
    )
    # As an ArraySequence, because nibabel drops streamlines without points of a list.
    return StatefulTractogram(as_sequence(points), header, Space.RASMM)
