"""Read the header of a TRK file: its image space, and the columns of its data.

All fields are checked before they are used. Format:
http://trackvis.org/docs/?subsect=fileformat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import gzip
import logging
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes
from nibabel.streamlines.trk import decode_value_from_name, header_2_dtype
import numpy as np

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.checks import DAMAGE, broken, check_space
from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.io.space import named_space
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

HEADER = 1000  # bytes
DEFAULT_ORDER = "LPS"  # TrackVis' own
# Relative difference of voxel sizes that are meant to be the same.
SAME_SIZE = 0.01


def has_matrix(path: str | Path) -> bool:
    """Return whether the header of a TRK file has a voxel-to-RASMM matrix.

    Parameters
    ----------
    path : str or Path
        TRK file, or one compressed by gzip.

    Returns
    -------
    known : bool
        False for files of version 1, and of other versions with a matrix of zeros.

    Raises
    ------
    InputFileError
        If the file has no such header.
    """
    return _is_placed(read_header(path))


def trk_space(path: str | Path) -> dict[str, Any]:
    """Read the image space from the header of a TRK file.

    Parameters
    ----------
    path : str or Path
        TRK file, or one compressed by gzip.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order".

    Raises
    ------
    InputFileError
        If the space is invalid, or the file has no voxel-to-RASMM matrix.
    """
    path = Path(path)
    header = read_header(path)
    if not _is_placed(header):
        raise InputFileError(
            f"Cannot take the image space of {path}: its header has no voxel-to-RASMM "
            "matrix. Give the image (NIfTI) instead."
        )
    return header_space(path, header)


def read_header(path: str | Path) -> np.void:
    """Read the header of a TRK file, without checking its fields.

    Parameters
    ----------
    path : str or Path
        TRK file, or one compressed by gzip.

    Returns
    -------
    header : numpy.void
        Fields named as in ``nibabel.streamlines.trk``, in the byte order of the file.

    Raises
    ------
    InputFileError
        If the file is too short, or of another kind.
    """
    is_packed = Path(path).suffix.lower() == ".gz"
    try:
        with gzip.open(path) if is_packed else open(path, "rb") as file:
            return parse_header(path, file.read(HEADER))
    except InputFileError:
        raise
    except DAMAGE as err:
        raise broken(path, f"{type(err).__name__}: {err}") from err


def parse_header(path: str | Path, content: bytes) -> np.void:
    """Interpret the header of a TRK file, in its byte order.

    Parameters
    ----------
    path : str or Path
        File, for messages.
    content : bytes
        Its first 1000 bytes.

    Returns
    -------
    header : numpy.void
        Fields named as in ``nibabel.streamlines.trk``.

    Raises
    ------
    InputFileError
        If it is too short, of another kind, or has negative numbers of columns.
    """
    if len(content) < HEADER:
        raise broken(path, "it ends within its header")
    for dtype in (header_2_dtype, header_2_dtype.newbyteorder()):
        header = np.frombuffer(content, dtype=dtype)[0]
        if header["hdr_size"] == HEADER:
            break
    else:
        size = np.frombuffer(content, dtype=header_2_dtype)[0]["hdr_size"]
        raise broken(path, f"its header says it has {size} bytes")
    if header["version"] not in (1, 2):
        raise broken(
            path, f"its version is {header['version']}; only 1 and 2 are known"
        )
    for name in ("nb_scalars_per_point", "nb_properties_per_streamline"):
        if header[name] < 0:
            raise broken(path, f"its header has {name} of {header[name]}")
    return header


def _is_placed(header):
    """Return whether there is a matrix, as TrackVis says it."""
    return bool(header["version"] != 1 and header["voxel_to_rasmm"][3, 3] != 0)


def header_space(
    path: str | Path,
    header: np.void,
    reference: Callable[[], Mapping[str, Any] | None] | None = None,
) -> dict[str, Any]:
    """Return the image space of a header, from a reference if it has no matrix.

    Parameters
    ----------
    path : str or Path
        File, for messages.
    header : numpy.void
        Its header.
    reference : callable, optional
        Function that returns an image space or None; called if there is no matrix.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order", in capital
        letters. Without matrix and reference, the affine has the voxel sizes only, and
        a warning says so.

    Raises
    ------
    InputFileError
        If the space is invalid, or the reference is another image.
    """
    native = {
        name: np.asarray(header[name]).astype(kind)
        for name, kind in (
            ("voxel_to_rasmm", np.float32),
            ("dimensions", np.int16),
            ("voxel_sizes", np.float32),
        )
    }
    affine, dimensions, sizes = native.values()
    order = header["voxel_order"].item().decode("latin-1").strip(" \0").upper()
    if not _is_placed(header):
        known = reference() if reference is not None else None
        if known is None:
            affine, order = _assumed(path, dimensions, sizes, order)
        else:
            dimensions, sizes = _compared(path, dimensions, sizes, known)
            affine = np.asarray(known["affine"], np.float32)
    check_space(path, affine, dimensions, sizes, order or None)
    codes = aff2axcodes(affine)
    if None in codes:
        raise broken(path, f"its affine has no directions: {affine.tolist()}")
    if not order:
        order = "".join(codes)
        if order != DEFAULT_ORDER:
            log_once(
                logger,
                logging.WARNING,
                "%s: its header has no voxel order. That of its affine, %s, is used; "
                "DIPY and nibabel would assume %s, and mirror the streamlines.",
                path,
                order,
                DEFAULT_ORDER,
            )
    of_affine = voxel_sizes(affine)
    if not np.allclose(of_affine, sizes, rtol=SAME_SIZE):
        log_once(
            logger,
            logging.WARNING,
            "%s: its voxels have %s mm by its voxel-to-RASMM matrix, but %s mm by its "
            "header. Both are used, as in nibabel and TrackVis, so its lengths may be "
            "wrong by their ratio.",
            path,
            _text(of_affine),
            _text(sizes),
        )
    return named_space((affine, dimensions, sizes, order))


def _assumed(path, dimensions, sizes, order):
    """Return an affine and a voxel order for a file that has no matrix."""
    fine = np.isfinite(sizes).all() and (sizes > 0).all() and (dimensions >= 1).all()
    if not fine:
        raise InputFileError(
            f"Cannot read {path}: its header has no voxel-to-RASMM matrix, and voxels "
            f"of {_text(sizes)} mm in an image of {_text(dimensions)}. Give its image "
            "as `reference`."
        )
    order = order or DEFAULT_ORDER
    log_once(
        logger,
        logging.WARNING,
        "%s: its header has no voxel-to-RASMM matrix. Its voxel sizes (%s mm) and "
        "voxel order (%s) are used, so that lengths and shapes are right, but where "
        "its streamlines lie is not known. Give its image as `reference`.",
        path,
        _text(sizes),
        order,
    )
    return np.diag([*sizes, 1]).astype(np.float32), order


def _compared(path, dimensions, sizes, known):
    """Return dimensions and sizes, from a reference where the file has none."""
    if not (dimensions >= 1).all():
        dimensions = known["dimensions"]
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        sizes = known["voxel_sizes"]
    same = np.array_equal(dimensions, known["dimensions"])
    if not same or not np.allclose(sizes, known["voxel_sizes"], rtol=SAME_SIZE):
        raise InputFileError(
            f"Cannot read {path}: its header has no voxel-to-RASMM matrix, and "
            f"`reference` is another image: {_text(known['dimensions'])} voxels of "
            f"{_text(known['voxel_sizes'])} mm, where the file has {_text(dimensions)} "
            f"of {_text(sizes)} mm. Give the image that it was made from."
        )
    return dimensions, sizes


def _text(numbers):
    return " x ".join(f"{number:g}" for number in numbers)


def data_columns(path: str | Path, header: np.void, kind: str) -> dict[str, slice]:
    """Return the columns of each named scalar or property, as nibabel reads them.

    Parameters
    ----------
    path : str or Path
        File, for messages.
    header : numpy.void
        Its header.
    kind : {"scalar", "property"}
        Data per point, or per streamline.

    Returns
    -------
    columns : dict of slice
        Columns by name.

    Raises
    ------
    InputFileError
        If a number of columns is invalid.
    """
    count, rest = {
        "scalar": ("nb_scalars_per_point", "scalars"),
        "property": ("nb_properties_per_streamline", "properties"),
    }[kind]
    total = int(header[count])
    columns: dict[str, slice] = {}
    done = 0
    for field in header[f"{kind}_name"] if total else ():
        name, width = decode_value_from_name(field)
        if width < 0:
            raise broken(path, f"its {kind} {short(name)} has {width} columns")
        width = min(width, total - done)
        if not width:
            continue
        if name in columns:
            log_once(
                logger,
                logging.WARNING,
                "%s: it has several data named %s; only the last are read.",
                path,
                short(name),
            )
        columns[name] = slice(done, done + width)
        done += width
    if done < total:
        columns[rest] = slice(done, total)
    return columns
