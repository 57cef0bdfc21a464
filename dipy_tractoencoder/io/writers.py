"""Tractograms written some streamlines at a time, whole or not at all."""

from contextlib import closing
from pathlib import Path
import shutil
import tempfile

import numpy as np

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.space import tractogram_like
from dipy_tractoencoder.io.tractogram import (
    LAZY,
    check_output_extension,
    save_tractogram,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns
from dipy_tractoencoder.utils.atomic_files import whole_file


def write_chunks(chunks, path, space, n_streamlines, n_points):
    """Write streamlines of one number of points, chunk by chunk.

    TRK and TCK go through nibabel's lazy writers, TRX through a mapped file; other
    formats are gathered first.

    Parameters
    ----------
    chunks : iterable of ndarray, shape (any, n_points, 3), float32
        Streamlines, RASMM, mm.
    path : str or Path
        File whose extension chooses the format.
    space : dict
        As `io.space.tractogram_space` gives.
    n_streamlines : int or None
        As many as all chunks together, or more; None if that is not known.
    n_points : int
        Points per streamline.

    Raises
    ------
    OutputFileError
        If the extension is unknown or the file cannot be written.
    """
    check_output_extension(path)
    suffix = Path(path).suffix
    if suffix in LAZY:
        with whole_file(path) as partial:
            _write_lazy(lambda: (line for c in chunks for line in c), partial, space)
    elif suffix == ".trx" and n_streamlines:
        parts = (
            (np.full(len(chunk), n_points), chunk.reshape(-1, 3), {}, {})
            for chunk in chunks
        )
        size = (n_streamlines, n_streamlines * n_points)
        with whole_file(path) as partial:
            _write_trx(parts, partial, space, size)
    else:
        points = [chunk for chunk in chunks if len(chunk)]
        empty = np.empty((0, n_points, 3), dtype=np.float32)
        points = np.concatenate(points) if points else empty
        save_tractogram(tractogram_like(points, space), path, overwrite=True)


def save_selection(source, rows, path, *, data=None, groups=None):
    """Write some streamlines of a tractogram with everything they carry.

    Parameters
    ----------
    source : MappedTractogram
        Where they are.
    rows : ndarray of int
        Their numbers, in the order wanted.
    path : str or Path
        File to write, whole or not at all; its extension chooses the format. A TCK
        holds points only.
    data : dict of ndarray, shape (n_streamlines, any), optional
        More ``data_per_streamline``, of all streamlines of ``source``; it replaces
        what has the same name.
    groups : dict of ndarray of int, optional
        Groups of a TRX, numbers as in ``source``; its own by default.

    Raises
    ------
    OutputFileError
        If the extension is unknown, the format cannot hold the data, or the file
        cannot be written.
    """
    check_output_extension(path)
    path, rows = Path(path), np.asarray(rows, dtype=np.int64)
    data = {name: as_columns(values) for name, values in (data or {}).items()}
    values, per_point = {**source.per_streamline, **data}, source.per_point
    if path.suffix == ".trk":
        _check_trk(path, values, per_point)
    with whole_file(path) as partial:
        if path.suffix == ".trx" and len(rows):
            counts = np.asarray(source.streamlines._lengths, dtype=np.int64)[rows]
            _write_trx(
                _selected(source, rows, values, counts),
                partial,
                source.space,
                (len(rows), int(counts.sum())),
                {name: column[:1] for name, column in values.items()},
                {name: as_columns(v._data[:1]) for name, v in per_point.items()},
                _renumbered(
                    source.groups if groups is None else groups, rows, len(source)
                ),
            )
        elif path.suffix in LAZY:
            if path.suffix == ".tck":
                values, per_point = {}, {}
            _write_lazy(
                _one_by_one(source.streamlines, rows),
                partial,
                source.space,
                {name: _one_by_one(column, rows) for name, column in values.items()},
                {name: _one_by_one(lines, rows) for name, lines in per_point.items()},
            )
        else:
            chosen = tractogram_like(source.streamlines[rows], source.space)
            for name, column in values.items():
                chosen.data_per_streamline[name] = column[rows]
            save_tractogram(chosen, partial, overwrite=True)


def _one_by_one(numbers, rows):
    """Return the function that starts an iteration over some rows, in order."""
    return lambda: (np.asarray(numbers[row]) for row in rows)


def _selected(source, rows, values, counts):
    """Give rows of a MappedTractogram as `_write_trx` takes them, part by part."""
    for start in range(0, len(rows), CHUNK_SIZE):
        part = rows[start : start + CHUNK_SIZE]
        yield (
            counts[start : start + CHUNK_SIZE],
            source.streamlines[part].get_data(),
            {name: column[part] for name, column in values.items()},
            {n: as_columns(v[part].get_data()) for n, v in source.per_point.items()},
        )


def _renumbered(groups, rows, n_streamlines):
    """Members of groups by their place in ``rows``; groups without any are left out."""
    position = np.full(n_streamlines, -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    found = {name: position[members] for name, members in groups.items()}
    found = {name: kept[kept >= 0] for name, kept in found.items()}
    return {n: kept.astype(np.uint32) for n, kept in found.items() if len(kept)}


def _check_trk(path, per_streamline, per_point):
    """Raise where nibabel would, with the way out."""
    long = [name for name in (*per_streamline, *per_point) if len(name) > 18]
    if long or max(len(per_streamline), len(per_point)) > 10:
        raise OutputFileError(
            f"Cannot write {path}: TRK holds ten kinds of data per streamline and per "
            "point, with names of 18 letters at most, and there are "
            f"{len(per_streamline)} and {len(per_point)}: "
            f"{', '.join([*per_streamline, *per_point])}. Write a .trx."
        )


def _write_lazy(lines, path, space, per_streamline=None, per_point=None):
    """Write through nibabel, one streamline after the other.

    ``lines``, and the values of both dictionaries, are functions that start an
    iteration over the streamlines.
    """
    from dipy.io.utils import create_tractogram_header
    import nibabel as nib

    kind = nib.streamlines.detect_format(str(path))
    header = create_tractogram_header(
        kind,
        space["affine"],
        space["dimensions"],
        space["voxel_sizes"],
        space["voxel_order"],
    )
    # Not from items: nibabel writes their points without the affine.
    tractogram = nib.streamlines.LazyTractogram(
        lines, per_streamline, per_point, affine_to_rasmm=np.eye(4)
    )
    nib.streamlines.save(kind(tractogram, header=header), str(path))


def _write_trx(
    parts, path, space, size, per_streamline=None, per_point=None, groups=()
):
    """Write into a mapped file of known size, part by part.

    Each part has its streamlines' numbers of points, the points, and data per
    streamline and per point. ``size`` are streamlines and points in all, or more;
    the dictionaries hold one row of each kind of data, for its type and width.
    """
    from trx.trx_file_memmap import TrxFile, save

    per_streamline, per_point = per_streamline or {}, per_point or {}
    n_streamlines, n_points = size
    _check_room(
        path,
        n_streamlines * (12 + sum(row.nbytes for row in per_streamline.values()))
        + n_points * (12 + sum(row.nbytes for row in per_point.values())),
    )
    one = tractogram_like(np.zeros((1, 1, 3), dtype=np.float32), space)
    for name, row in per_streamline.items():
        one.data_per_streamline[name] = np.asarray(row)
    for name, row in per_point.items():
        one.data_per_point[name] = [np.asarray(row)]
    kinds = {
        "positions": np.float32,
        "offsets": np.uint64 if n_points >= 2**32 else np.uint32,
        "dps": {name: row.dtype for name, row in per_streamline.items()},
        "dpv": {name: row.dtype for name, row in per_point.items()},
    }
    with (
        closing(TrxFile.from_sft(one, dtype_dict=kinds)) as like,
        closing(TrxFile(n_points, n_streamlines, init_as=like)) as trx,
    ):
        start = end = 0
        for counts, points, row_values, point_values in parts:
            rows = slice(start, start + len(counts))
            places = slice(end, end + len(points))
            trx.streamlines._offsets[rows] = end + np.cumsum(counts) - counts
            trx.streamlines._lengths[rows] = counts
            trx.streamlines._data[places] = points
            for name, values in row_values.items():
                trx.data_per_streamline[name][rows] = values
            for name, values in point_values.items():
                trx.data_per_vertex[name]._data[places] = values
            start, end = rows.stop, places.stop
        if start < n_streamlines:
            trx.resize(start, end)
        for name, members in dict(groups).items():
            trx.groups[name] = members
        save(trx, str(path))


def _check_room(path, needed):
    """Raise unless there is room for so many bytes.

    Pages of a mapped file that find no room end the process with a signal.
    """
    for folder in (tempfile.gettempdir(), Path(path).parent):
        if (free := shutil.disk_usage(folder).free) < needed:
            raise OutputFileError(
                f"Cannot write {Path(path).name.split('.partial.')[-1]}: it needs "
                f"{needed / 2**20:.0f} MiB, and there is room for {free / 2**20:.0f} "
                f"MiB in {folder}. Make room there, or set TMPDIR to another folder."
            )
