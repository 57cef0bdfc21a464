"""The image space of a tractogram, as plain values and back."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError


def tractogram_space(tractogram):
    """Space of a StatefulTractogram as plain values, empty for anything else.

    Parameters
    ----------
    tractogram : object
        Possibly a StatefulTractogram.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" and "voxel_order".
    """
    if not hasattr(tractogram, "space_attributes"):
        return {}
    return named_space(tractogram.space_attributes)


def named_space(attributes):
    """Name the four attributes of an image space, as DIPY orders them.

    Parameters
    ----------
    attributes : tuple
        Affine, dimensions, voxel sizes (mm) and voxel order.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" and "voxel_order".
    """
    affine, dimensions, voxel_sizes, voxel_order = attributes
    return {
        "affine": np.asarray(affine, dtype=np.float64),
        "dimensions": np.asarray(dimensions, dtype=np.int64),
        "voxel_sizes": np.asarray(voxel_sizes, dtype=np.float64),
        "voxel_order": str(voxel_order),
    }


def tractogram_like(points, space):
    """Make a tractogram of points in a given space.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    space : dict
        As from `tractogram_space`.

    Returns
    -------
    tractogram : StatefulTractogram
        RASMM, mm.

    Raises
    ------
    InvalidArgumentError
        If the space is empty.
    """
    if not space:
        raise InvalidArgumentError(
            "Invalid value received for `space`. Expected that of a tractogram. "
            "Received: none, as of streamlines without a file; give them as a "
            "StatefulTractogram."
        )
    from dipy.io.stateful_tractogram import Space, StatefulTractogram
    from dipy.io.utils import create_nifti_header

    header = create_nifti_header(
        space["affine"], space["dimensions"], space["voxel_sizes"]
    )
    return StatefulTractogram(list(points), header, Space.RASMM)
