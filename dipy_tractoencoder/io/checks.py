"""Check what headers of tractogram files say before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any
import zipfile
import zlib

import numpy as np

from dipy_tractoencoder.errors import InputFileError

LARGEST_TEXT = 2**20
# Errors raised while reading zip archives, JSON, text and numbers of a damaged file.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def check_space(
    path: str | Path,
    affine: Any,
    dimensions: Any,
    voxel_sizes: Any = None,
    voxel_order: str | None = None,
) -> None:
    """Raise an error unless an image space is valid.

    Parameters
    ----------
    path : str or Path
        File with this image space, for the message.
    affine : array_like, shape (4, 4)
        Transformation from voxels to RASMM.
    dimensions : array_like, shape (3,)
        Size of the image in voxels.
    voxel_sizes : array_like, shape (3,), optional
        Voxel sizes, mm.
    voxel_order : str, optional
        Orientation of the voxel axes, for example "RAS".

    Raises
    ------
    InputFileError
        If the affine is singular or not finite, a size is not positive, or the voxel
        order is unknown.
    """
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise broken(path, f"its affine is not a finite 4x4 matrix: {affine.tolist()}")
    size = np.abs(affine[:3, :3]).max()
    if size == 0 or abs(np.linalg.det(affine[:3, :3] / size)) < 1e-9:
        raise broken(path, f"its affine is singular: {affine.tolist()}")
    dimensions = np.asarray(dimensions, dtype=np.float64)
    fine = np.isfinite(dimensions) & (dimensions >= 1)
    if dimensions.shape != (3,) or not fine.all():
        raise broken(path, f"its image has the dimensions {dimensions.tolist()}")
    axes = {"L": "x", "R": "x", "P": "y", "A": "y", "I": "z", "S": "z"}
    if voxel_order is not None:
        named = sorted(axes.get(letter, "") for letter in str(voxel_order))
        if named != ["x", "y", "z"]:
            raise broken(path, f"its voxel order is {voxel_order!r}")
    if voxel_sizes is None:
        return
    voxel_sizes = np.asarray(voxel_sizes, dtype=np.float64)
    fine = np.isfinite(voxel_sizes) & (voxel_sizes > 0)
    if voxel_sizes.shape != (3,) or not fine.all():
        raise broken(path, f"its voxels have the sizes {voxel_sizes.tolist()} mm")


def broken(path: str | Path, why: str) -> InputFileError:
    """Create the error for a damaged file.

    Parameters
    ----------
    path : str or Path
        Damaged file.
    why : str
        What is wrong with it.

    Returns
    -------
    error : InputFileError
        The error, to be raised.
    """
    return InputFileError(
        f"Cannot read {path}: {' '.join(str(why).split())}. The file is damaged; copy "
        "or create it again."
    )


def changed(path: str | Path) -> InputFileError:
    """Create the error for a file that changes while it is read.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    error : InputFileError
        The error, to be raised.
    """
    return InputFileError(
        f"Cannot read {path}: it has changed while it was read. Wait until it is "
        "complete, then try again."
    )


def check_count(path: str | Path, count: int, least_bytes: int, n_bytes: int) -> None:
    """Raise an error unless a number of streamlines can fit into a number of bytes.

    Parameters
    ----------
    path : str or Path
        File with this number of streamlines, for the message.
    count : int
        Number of streamlines by its header.
    least_bytes : int
        Size of the shortest streamline.
    n_bytes : int
        Size of all streamlines.

    Raises
    ------
    InputFileError
        If the number is negative or too large.
    """
    if count < 0:
        raise broken(path, f"its header says {count} streamlines")
    if count * least_bytes > n_bytes:
        raise broken(
            path,
            f"its header promises {count} streamlines, which cannot fit into its "
            f"{n_bytes} bytes",
        )
