"""Write TRX files array by array, in one pass, without a temporary folder.

A TRX is a zip of arrays and a header. Ordinary writes are used, so that a full disk
raises an error; with a memory-mapped file it would crash the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import json
from pathlib import Path
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple
import zipfile

import numpy as np

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.line_file import SequenceOnDisk, n_columns
from dipy_tractoencoder.io.names import short, stored_names
from dipy_tractoencoder.io.trx import TYPES
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns
from dipy_tractoencoder.utils.atomic_files import whole_file

if TYPE_CHECKING:
    from nibabel.streamlines import ArraySequence

# Larger or unknown sizes (bytes) need a larger local header.
LARGE = 2**31


class Column(NamedTuple):
    """Numbers to write, in pieces.

    Attributes
    ----------
    dtype : numpy.dtype
        Type of the numbers.
    width : int
        Numbers per streamline or point.
    pieces : iterable of ndarray, shape (n_rows, width)
        Numbers in order.
    n_bytes : int or None
        Upper bound of the total size; None if unknown.
    """

    dtype: np.dtype
    width: int
    pieces: Iterable
    n_bytes: int | None = None


def rows_of(values: Any, rows: np.ndarray) -> Column:
    """Select rows of data per streamline.

    Parameters
    ----------
    values : ndarray, shape (n_streamlines, n_columns)
        Data per streamline.
    rows : ndarray of int
        Indices of the streamlines.

    Returns
    -------
    column : Column
        Selected rows, which are copied only when they are written.
    """
    values = as_columns(values)
    pieces = (values[part] for part in _some(rows))
    size = values.dtype.itemsize * values.shape[1] * len(rows)
    return Column(values.dtype, values.shape[1], pieces, size)


def points_of(sequence: ArraySequence, rows: np.ndarray) -> Column:
    """Select streamlines, or their data per point.

    Parameters
    ----------
    sequence : ArraySequence
        Streamlines, or data per point.
    rows : ndarray of int
        Indices of the streamlines.

    Returns
    -------
    column : Column
        Selected points, which are copied only when they are written.
    """
    starts, counts = (np.asarray(n) for n in (sequence._offsets, sequence._lengths))
    width = n_columns(sequence)
    n_rows = int(counts[rows].sum(dtype=np.int64))
    if isinstance(sequence, SequenceOnDisk):
        read = (sequence[part]._data for part in _some(rows))
        kind = sequence.dtype
        return Column(kind, width, read, kind.itemsize * width * n_rows)
    data = as_columns(sequence._data)

    def pieces():
        for part in _some(rows):
            lengths = counts[part].astype(np.int64)
            ends = np.cumsum(lengths)
            shift = starts[part].astype(np.int64) - (ends - lengths)
            if (shift == shift[0]).all():  # Contiguous streamlines.
                yield data[shift[0] : shift[0] + ends[-1]]
            else:
                yield data[np.arange(ends[-1]) + np.repeat(shift, lengths)]

    return Column(data.dtype, width, pieces(), data.dtype.itemsize * width * n_rows)


def write_trx(
    path: str | Path,
    points: Column,
    counts: list[np.ndarray],
    space: Mapping[str, Any],
    *,
    per_streamline: Mapping[str, Column] | None = None,
    per_point: Mapping[str, Column] | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
    per_group: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write a TRX file, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write.
    points : Column
        Points of all streamlines, RASMM, mm.
    counts : list of ndarray of int
        Number of points per streamline; used after the points are written.
    space : dict
        Image space returned by `io.space.tractogram_space`.
    per_streamline, per_point : dict of Column, optional
        Data per streamline (``dps``) and per point (``dpv``).
    groups : dict of ndarray of int, optional
        Indices of streamlines by name of the group.
    per_group : dict of dict of ndarray, optional
        Data per group (``dpg``) by name of the group.

    Raises
    ------
    OutputFileError
        If the file cannot be written, there is not enough space, or TRX does not
        support a name or dtype.
    """
    path = Path(path)
    levels = (("dps", per_streamline or {}), ("dpv", per_point or {}))
    groups, per_group = groups or {}, per_group or {}
    members: dict[Any, tuple[Any, Column]] = {
        "positions": (("positions",), _known(points))
    }
    for folder, columns in levels:
        for name, written in stored_names(columns, "trx", path, "data").items():
            members[folder, name] = ((folder, written), columns[name])
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
        for member, column in members.values():
            _add(archive, member, column)
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


def check_room(path: Path, needed: int) -> None:
    """Raise an error unless there is enough free space for a file.

    Parameters
    ----------
    path : Path
        File to be written.
    needed : int
        Size of the file in bytes.

    Raises
    ------
    OutputFileError
        If there is less free space.
    """
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OutputFileError(
            f"Cannot write {path}: it needs {needed / 2**20:.0f} MiB, but only "
            f"{free / 2**20:.0f} MiB are free. Free some space, or choose another "
            "`path`."
        )


def _some(rows):
    """Split indices of rows into chunks."""
    for start in range(0, len(rows), CHUNK_SIZE):
        yield rows[start : start + CHUNK_SIZE]


def _whole(values, dtype=None):
    """Create a column from an array."""
    values = as_columns(np.asarray(values, dtype))
    return Column(values.dtype, values.shape[1], (values,), values.nbytes)


def _known(points):
    """Return points with a dtype that TRX supports for them."""
    if points.dtype.newbyteorder("<") in (TYPES["float16"], TYPES["float64"]):
        return points
    return points._replace(dtype=np.dtype(np.float32))


def _ending(path, place, column):
    """Return the suffix of an array's name: its width, if not 1, and its dtype."""
    kind = "bit" if column.dtype.kind == "b" else column.dtype.name
    if kind not in TYPES:
        raise OutputFileError(
            f"Cannot write {path}: its {'/'.join(place)} has the type "
            f"{column.dtype}, which TRX does not support. Convert it to numbers of at "
            "most 64 bits."
        )
    return f".{kind}" if column.width == 1 else f".{column.width}.{kind}"


def _add(archive, name, column):
    """Write an array into an archive, piece by piece."""
    info = zipfile.ZipInfo(
        name
    )  # Without a date, so that equal contents give equal bytes.
    info.external_attr = 0o644 << 16
    large = column.n_bytes is None or column.n_bytes >= LARGE
    dtype = column.dtype.newbyteorder("<")
    with archive.open(info, "w", force_zip64=large) as member:
        for piece in column.pieces:
            if piece.size:
                member.write(np.ascontiguousarray(piece, dtype))
