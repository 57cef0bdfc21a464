"""Tractograms written some streamlines at a time, whole or not at all."""

import logging
from pathlib import Path

import numpy as np

from dipy_tractoencoder.io.names import short, stored_names
from dipy_tractoencoder.io.space import tractogram_like
from dipy_tractoencoder.io.tractogram import (
    LAZY,
    check_output_extension,
    save_tractogram,
)
from dipy_tractoencoder.io.trx_writer import Column, points_of, rows_of, write_trx
from dipy_tractoencoder.streamlines.array import as_columns
from dipy_tractoencoder.utils.atomic_files import whole_file

logger = logging.getLogger(__name__)


def write_chunks(chunks, path, space, n_streamlines, n_points):
    """Write streamlines of one number of points, chunk by chunk.

    TRK and TCK go through nibabel's lazy writers, TRX through ours; other formats are
    gathered first.

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
    elif suffix == ".trx":
        counts: list[np.ndarray] = []

        def pieces():
            for chunk in chunks:
                counts.append(np.full(len(chunk), n_points))
                yield chunk.reshape(-1, 3)

        size = n_streamlines and n_streamlines * 12 * n_points
        points = Column(np.dtype(np.float32), 3, pieces(), size)
        write_trx(path, points, counts, space)
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
    check_names(path, values, per_point)
    if path.suffix == ".trx":
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
        if path.suffix in LAZY:
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


def _renumbered(groups, rows, n_streamlines):
    """Members of groups by their place in ``rows``; groups without any are left out."""
    position = np.full(n_streamlines, -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    found = {name: position[members] for name, members in groups.items()}
    found = {name: kept[kept >= 0] for name, kept in found.items()}
    return {name: kept for name, kept in found.items() if len(kept)}


def _per_group(source, path, groups, kept):
    """Choose the data of groups to write, not those of a group that is another one now.

    They are carried as they are, of whole groups, which is said.
    """
    carried = {}
    for name, data in source.per_group.items():
        before = source.groups[name]
        if groups is not None and not np.array_equal(before, groups.get(name, ())):
            logger.warning(
                "%s: data of the group %s (%s) are left out, as its streamlines are "
                "others now.",
                path,
                short(name),
                ", ".join(map(short, data)),
            )
        elif name in kept:
            carried[name] = data
    if some := [short(n) for n in carried if len(kept[n]) < len(source.groups[n])]:
        logger.info(
            "%s: data of the groups %s are those of the whole groups, of which some "
            "streamlines are here.",
            path,
            ", ".join(some),
        )
    return carried


def check_names(path, per_streamline, per_point):
    """Raise if a file's format cannot hold the data that are to go with streamlines.

    Parameters
    ----------
    path : str or Path
        File to be written; formats other than TRK hold all, or none.
    per_streamline : dict of ndarray, shape (n_streamlines, any)
        By name.
    per_point : dict of ArraySequence
        By name.

    Raises
    ------
    OutputFileError
        If it is a TRK, and there are too many, or one has a name that is too long.
    """
    if Path(path).suffix != ".trk":
        return
    widths = {
        name: as_columns(values).shape[1] for name, values in per_streamline.items()
    }
    stored_names(widths, "trk", path, "data per streamline", widths=widths)
    widths = {name: as_columns(v._data).shape[1] for name, v in per_point.items()}
    stored_names(widths, "trk", path, "data per point", widths=widths)


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
