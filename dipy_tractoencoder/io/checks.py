"""Check the headers of tractogram files before reading them.

Readers allocate as much memory as a header claims, use any affine, or silently read
fewer streamlines; the checks compare the header with the size of the file first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
import zipfile
import zlib

import numpy as np

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.formats import file_format

TRK_HEADER = 1000  # bytes
TCK_TRIPLET = 12
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


def check_contents(path: str | Path) -> None:
    """Raise an error if the header of a TRK, TCK or DPY file is wrong.

    Parameters
    ----------
    path : str or Path
        An existing file; formats other than .trk, .tck and .dpy pass.

    Raises
    ------
    InputFileError
        If header and size of the file contradict each other, or the image space is
        invalid.
    """
    from dipy_tractoencoder.io.dpy import check_dpy

    path = Path(path)
    checks: dict[str, Callable] = {
        ".trk": _check_trk,
        ".tck": _check_tck,
        ".dpy": check_dpy,
    }
    check = checks.get(file_format(path))
    if check is None:
        return
    try:
        check(path)
    except InputFileError:
        raise
    except DAMAGE as err:
        raise broken(path, f"{type(err).__name__}: {err}") from err


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


def check_trk_end(path: str | Path, n_streamlines: int, n_points: int) -> None:
    """Raise an error unless a TRK file has as many streamlines as its header says.

    Readers stop after the number of streamlines in the header, or at the end of the
    file.

    Parameters
    ----------
    path : str or Path
        TRK file.
    n_streamlines, n_points : int
        Number of streamlines and points that were read.

    Raises
    ------
    InputFileError
        If streamlines are missing, or bytes are left after the last one.
    """
    header = _trk_header(path)
    promised = int(header["nb_streamlines"])
    if promised == 0:  # Unknown in TrackVis' convention: the file was read to its end.
        return
    if promised != n_streamlines:
        raise broken(
            path,
            f"its header promises {promised} streamlines, but it ends after "
            f"{n_streamlines}",
        )
    per_point = 3 + int(header["nb_scalars_per_point"])
    per_streamline = 1 + int(header["nb_properties_per_streamline"])
    numbers = promised * per_streamline + n_points * per_point
    found = Path(path).stat().st_size
    if (expected := TRK_HEADER + 4 * numbers) != found:
        raise broken(
            path,
            f"its header promises {promised} streamlines; with the {n_points} points "
            f"that were read they would take {expected} bytes, but it has {found}",
        )


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


def _check_count(path, count, least_bytes, n_bytes):
    """Raise an error unless a number of streamlines can fit into a number of bytes."""
    if count < 0:
        raise broken(path, f"its header says {count} streamlines")
    if count * least_bytes > n_bytes:
        raise broken(
            path,
            f"its header promises {count} streamlines, which cannot fit into its "
            f"{n_bytes} bytes",
        )


def _trk_header(path):
    """Read the header of a TRK file, in its byte order."""
    from nibabel.streamlines.trk import header_2_dtype

    with open(path, "rb") as file:
        content = file.read(TRK_HEADER)
    if len(content) < TRK_HEADER:
        raise broken(path, "it ends within its header")
    header = np.frombuffer(content, dtype=header_2_dtype)[0]
    if header["hdr_size"] != TRK_HEADER:
        header = header.view(header_2_dtype.newbyteorder())
    if header["hdr_size"] != TRK_HEADER:
        raise broken(path, f"its header says it has {header['hdr_size']} bytes")
    return header


def _check_trk(path):
    header = _trk_header(path)
    if header["version"] not in (1, 2):
        raise broken(
            path, f"its version is {header['version']}; only 1 and 2 are known"
        )
    affine = np.array(header["voxel_to_rasmm"], dtype=np.float64)
    if header["version"] == 1 or affine[3, 3] == 0:
        affine = np.eye(4)  # Unknown in TrackVis' convention.
    check_space(path, affine, header["dimensions"], header["voxel_sizes"])
    for name in ("nb_scalars_per_point", "nb_properties_per_streamline"):
        if header[name] < 0:
            raise broken(path, f"its header has {name} of {header[name]}")
    n_bytes = path.stat().st_size - TRK_HEADER
    _check_count(path, int(header["nb_streamlines"]), 4, n_bytes)


def _check_tck(path):
    with open(path, "rb") as file:
        content = file.read(LARGEST_TEXT)
    text, end, _ = content.partition(b"\nEND")
    if not end:
        raise broken(path, "its header has no end")
    for line in text.decode("utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "count":
            _check_count(path, int(value), TCK_TRIPLET, path.stat().st_size)
