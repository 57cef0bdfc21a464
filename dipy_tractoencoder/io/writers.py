"""Write tractograms chunk by chunk, completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.io.formats import LAZY, file_format
from dipy_tractoencoder.io.line_file import SequenceOnDisk, n_columns
from dipy_tractoencoder.io.names import short, stored_names
from dipy_tractoencoder.io.space import tractogram_like
from dipy_tractoencoder.io.tractogram import (
    check_output_extension,
    save_tractogram,
)
from dipy_tractoencoder.io.trk_writer import write_without_points
from dipy_tractoencoder.io.trx_writer import Column, points_of, rows_of, write_trx
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns
from dipy_tractoencoder.utils.atomic_files import whole_file

if TYPE_CHECKING:
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.io.mapped import MappedTractogram

logger = logging.getLogger(__name__)


def write_chunks(
    chunks: Iterable[np.ndarray],
    path: str | Path,
    space: Mapping[str, Any],
    n_streamlines: int | None,
    n_points: int,
) -> None:
    """Write streamlines with a fixed number of points, chunk by chunk.

    TRK and TCK are written by nibabel's lazy writers, TRX by `io.trx_writer`; for
    other formats, all chunks are collected first.

    Parameters
    ----------
    chunks : iterable of ndarray, shape (n_chunk, n_points, 3), float32
        Streamlines, RASMM, mm.
    path : str or Path
        File to write; its extension determines the format.
    space : dict
        Image space returned by `io.space.tractogram_space`.
    n_streamlines : int or None
        Upper bound of the number of streamlines; None if unknown.
    n_points : int
        Number of points per streamline.

    Raises
    ------
    OutputFileError
        If the extension is unknown or the file cannot be written.
    """
    check_output_extension(path)
    suffix = file_format(path)
    if suffix in LAZY:
        with whole_file(path) as partial:
            _write_lazy(lambda: (line for c in chunks for line in c), partial, space)
    elif suffix == ".trx":
        counts: list[np.ndarray] = []

        def pieces():
            for chunk in chunks:
                counts.append(np.full(len(chunk), n_points))
                yield chunk.reshape(-1, 3)

        size = n_streamlines and n_streamlines * 12 * n_points
        column = Column(np.dtype(np.float32), 3, pieces(), size)
        write_trx(path, column, counts, space)
    else:
        empty = np.empty((0, n_points, 3), dtype=np.float32)
        points = np.concatenate([empty, *chunks])
        save_tractogram(tractogram_like(points, space), path, overwrite=True)


def save_selection(
    source: MappedTractogram,
    rows: Any,
    path: str | Path,
    *,
    data: Mapping[str, np.ndarray] | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write selected streamlines of a tractogram with all their data.

    Parameters
    ----------
    source : MappedTractogram
        Tractogram to select from.
    rows : ndarray of int
        Indices of the streamlines, in the order to write.
    path : str or Path
        File to write, completely or not at all; its extension determines the format. A
        TCK holds points only.
    data : dict of ndarray, shape (n_streamlines, n_columns), optional
        Additional ``data_per_streamline`` for all streamlines of ``source``; they
        replace data of the same name.
    groups : dict of ndarray of int, optional
        Groups of a TRX, as indices of streamlines of ``source``; its own by default.

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
    check_names(path, values, per_point)
    if file_format(path) == ".trx":
        kept = _renumbered(
            source.groups if groups is None else groups, rows, len(source)
        )
        write_trx(
            path,
            points_of(source.streamlines, rows),
            [np.asarray(source.streamlines._lengths)[rows]],
            source.space,
            per_streamline={name: rows_of(v, rows) for name, v in values.items()},
            per_point={name: points_of(v, rows) for name, v in per_point.items()},
            groups=kept,
            per_group=_per_group(source, path, groups, kept),
        )
        return
    with whole_file(path) as partial:
        if file_format(path) == ".trk" and len(rows) and not _n_points(source, rows):
            columns = {name: column[rows] for name, column in values.items()}
            write_without_points(partial, source.space, len(rows), columns)
        elif file_format(path) in LAZY:
            if file_format(path) == ".tck":
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
    """Return a function that starts an iteration over selected rows, in order."""
    if not isinstance(numbers, SequenceOnDisk):
        return lambda: (np.asarray(numbers[row]) for row in rows)

    def read():
        for start in range(0, len(rows), CHUNK_SIZE):
            yield from numbers[rows[start : start + CHUNK_SIZE]]

    return read


def _n_points(source, rows):
    """Return the number of points of selected streamlines."""
    return np.asarray(source.streamlines._lengths)[rows].sum()


def _renumbered(groups, rows, n_streamlines):
    """Return the members of groups as positions in ``rows``, without empty groups."""
    position = np.full(n_streamlines, -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    found = {name: position[members] for name, members in groups.items()}
    found = {name: kept[kept >= 0] for name, kept in found.items()}
    return {name: kept for name, kept in found.items() if len(kept)}


def _per_group(source, path, groups, kept):
    """Select the data of groups to write, without those of groups that were replaced.

    The data describe whole groups and are not changed; a log message says so.
    """
    carried = {}
    for name, data in source.per_group.items():
        before = source.groups[name]
        if groups is not None and not np.array_equal(before, groups.get(name, ())):
            logger.warning(
                "%s: data of the group %s (%s) are not written, because its "
                "streamlines have changed.",
                path,
                short(name),
                ", ".join(map(short, data)),
            )
        elif name in kept:
            carried[name] = data
    if some := [short(n) for n in carried if len(kept[n]) < len(source.groups[n])]:
        logger.info(
            "%s: data of the groups %s describe the whole groups, but only some of "
            "their streamlines are written.",
            path,
            ", ".join(some),
        )
    return carried


def check_names(
    path: str | Path,
    per_streamline: Mapping[str, np.ndarray],
    per_point: Mapping[str, ArraySequence],
) -> None:
    """Raise an error if the format of a file cannot hold data of streamlines.

    Parameters
    ----------
    path : str or Path
        File to be written; only TRK is checked, other formats hold all data, or none.
    per_streamline : dict of ndarray, shape (n_streamlines, n_columns)
        Data per streamline by name.
    per_point : dict of ArraySequence
        Data per point by name.

    Raises
    ------
    OutputFileError
        If the file is a TRK, and there are too many data, or a name is too long.
    """
    if Path(path).suffix != ".trk":
        return
    widths = {
        name: as_columns(values).shape[1] for name, values in per_streamline.items()
    }
    stored_names(widths, "trk", path, "data per streamline", widths=widths)
    widths = {name: n_columns(v) for name, v in per_point.items()}
    stored_names(widths, "trk", path, "data per point", widths=widths)


def _write_lazy(lines, path, space, per_streamline=None, per_point=None):
    """Write a file with nibabel, one streamline after the other.

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
    # Not from items, whose points nibabel writes without the affine.
    tractogram = nib.streamlines.LazyTractogram(
        lines, per_streamline, per_point, affine_to_rasmm=np.eye(4)
    )
    nib.streamlines.save(kind(tractogram, header=header), str(path))
