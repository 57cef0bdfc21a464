"""TRX files written array by array, in one pass, without a temporary folder.

A TRX is a zip of arrays and a header. They are written by ordinary writes, so that a
full disk is an error that can be handled; a mapped file would end the process.
"""

from collections.abc import Iterable
import json
from pathlib import Path
import shutil
from typing import NamedTuple
import zipfile

import numpy as np

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.names import short, stored_names
from dipy_tractoencoder.io.trx import TYPES
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns
from dipy_tractoencoder.utils.atomic_files import whole_file

# Sizes beyond this (bytes), or unknown ones, take more room in a member's head.
LARGE = 2**31


class Column(NamedTuple):
    """Numbers to write, in pieces.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the numbers.
    width : int
        Numbers per streamline or point.
    pieces : iterable of ndarray, shape (any, width)
        The numbers in their order.
    n_bytes : int or None
        Of all of them, or more; None if that is not known.
    """

    dtype: np.dtype
    width: int
    pieces: Iterable
    n_bytes: int | None = None


def rows_of(values, rows):
    """Take rows of a matrix.

    Parameters
    ----------
    values : ndarray, shape (n_streamlines, any)
        Data per streamline.
    rows : ndarray of int
        Their numbers.

    Returns
    -------
    column : Column
        Made when it is written.
    """
    values = as_columns(values)
    pieces = (values[part] for part in _some(rows))
    size = values.dtype.itemsize * values.shape[1] * len(rows)
    return Column(values.dtype, values.shape[1], pieces, size)


def points_of(sequence, rows):
    """Take streamlines of a sequence, or their data per point.

    Parameters
    ----------
    sequence : ArraySequence
        Points, or data per point.
    rows : ndarray of int
        Numbers of streamlines.

    Returns
    -------
    column : Column
        Made when it is written.
    """
    data = as_columns(sequence._data)
    starts, counts = (np.asarray(n) for n in (sequence._offsets, sequence._lengths))

    def pieces():
        for part in _some(rows):
            lengths = counts[part].astype(np.int64)
            ends = np.cumsum(lengths)
            shift = starts[part].astype(np.int64) - (ends - lengths)
            if (shift == shift[0]).all():  # They follow each other.
                yield data[shift[0] : shift[0] + ends[-1]]
            else:
                yield data[np.arange(ends[-1]) + np.repeat(shift, lengths)]

    width = data.shape[1] if data.ndim > 1 else 1
    size = data.dtype.itemsize * width * int(counts[rows].sum(dtype=np.int64))
    return Column(data.dtype, width, pieces(), size)


def write_trx(
    path,
    points,
    counts,
    space,
    *,
    per_streamline=None,
    per_point=None,
    groups=None,
    per_group=None,
):
    """Write a TRX file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file.
    points : Column
        Points of all streamlines, RASMM, mm.
    counts : list of ndarray of int
        Points per streamline, looked at after the points were written.
    space : dict
        As `io.space.tractogram_space` gives.
    per_streamline, per_point : dict of Column, optional
        ``dps`` and ``dpv``.
    groups : dict of ndarray of int, optional
        Numbers of streamlines.
    per_group : dict of dict of ndarray, optional
        ``dpg``: data of groups.

    Raises
    ------
    OutputFileError
        If the file cannot be written, there is no room for it, or TRX cannot hold a
        name or a type.
    """
    path = Path(path)
    levels = (("dps", per_streamline or {}), ("dpv", per_point or {}))
    groups, per_group = groups or {}, per_group or {}
    members = {"positions": (("positions",), _known(points))}
    for folder, columns in levels:
        for name, stored in stored_names(columns, "trx", path, "data").items():
            members[folder, name] = ((folder, stored), columns[name])
    stored = stored_names(groups, "trx", path, "groups")
    for name, numbers in groups.items():
        size = np.uint64 if len(numbers) and numbers.max() >= 2**32 else np.uint32
        members["groups", name] = (("groups", stored[name]), _whole(numbers, size))
    for name, found in per_group.items():
        kinds = stored_names(found, "trx", path, f"data of the group {short(name)}")
        for kind, values in found.items():
            column = _whole(np.reshape(values, (1, -1)))
            members["dpg", name, kind] = (("dpg", stored[name], kinds[kind]), column)
    members = {
        key: ("/".join(place) + _ending(path, place, column), column)
        for key, (place, column) in members.items()
        if column.width
    }
    check_room(path, sum(column.n_bytes or 0 for _, column in members.values()))
    with (
        whole_file(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, column in members.values():
            _add(archive, name, column)
        lengths = np.concatenate([np.empty(0, np.int64), *counts])
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        kind = "uint64" if offsets[-1] >= 2**32 else "uint32"
        _add(archive, f"offsets.{kind}", _whole(offsets, kind))
        header = {
            "VOXEL_TO_RASMM": np.asarray(space["affine"], np.float64).tolist(),
            "DIMENSIONS": np.asarray(space["dimensions"], np.int64).tolist(),
            "NB_STREAMLINES": len(lengths),
            "NB_VERTICES": int(offsets[-1]),
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        _add(archive, "header.json", _whole(text))


def check_room(path, needed):
    """Raise unless there is room for a file, before the work that makes it.

    Parameters
    ----------
    path : Path
        The file.
    needed : int
        Bytes.

    Raises
    ------
    OutputFileError
        If there is less.
    """
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OutputFileError(
            f"Cannot write {path}: it needs {needed / 2**20:.0f} MiB, and there is "
            f"room for {free / 2**20:.0f} MiB. Make room, or choose another `path`."
        )


def _some(rows):
    """Cut numbers of rows into parts."""
    for start in range(0, len(rows), CHUNK_SIZE):
        yield rows[start : start + CHUNK_SIZE]


def _whole(values, dtype=None):
    """Make a column of an array that is there."""
    values = as_columns(np.asarray(values, dtype))
    return Column(values.dtype, values.shape[1], (values,), values.nbytes)


def _known(points):
    """Give points in a type that TRX has."""
    if points.dtype.newbyteorder("<") in (TYPES["float16"], TYPES["float64"]):
        return points
    return points._replace(dtype=np.dtype(np.float32))


def _ending(path, place, column):
    """Give the end of an array's name: its width, if not 1, and type."""
    kind = "bit" if column.dtype.kind == "b" else column.dtype.name
    if kind not in TYPES:
        raise OutputFileError(
            f"Cannot write {path}: its {'/'.join(place)} are of the type "
            f"{column.dtype}, which TRX cannot hold. Convert them to numbers of 64 "
            "bits or fewer."
        )
    return f".{kind}" if column.width == 1 else f".{column.width}.{kind}"


def _add(archive, name, column):
    """Write an array into an archive, piece by piece."""
    info = zipfile.ZipInfo(name)  # Of no time: the same contents are the same bytes.
    info.external_attr = 0o644 << 16
    large = column.n_bytes is None or column.n_bytes >= LARGE
    dtype = column.dtype.newbyteorder("<")
    with archive.open(info, "w", force_zip64=large) as member:
        for piece in column.pieces:
            if piece.size:
                member.write(np.ascontiguousarray(piece, dtype))
