"""A whole tractogram at hand without its points in memory: they stay on disk.

Some of its streamlines can be written with everything they carry: their own points,
not resampled ones, and their data per streamline and per point.
"""

from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
import tempfile

from nibabel.affines import apply_affine
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io.chunks import LAZY, TractogramChunks
from dipy_tractoencoder.io.space import tractogram_like, tractogram_space
from dipy_tractoencoder.io.tractogram import (
    check_output_extension,
    load_tractogram,
    save_tractogram,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE
from dipy_tractoencoder.utils.atomic_files import whole_file


@dataclass(frozen=True)
class MappedTractogram:
    """Streamlines of a file, and what they carry.

    Attributes
    ----------
    streamlines : ArraySequence
        RASMM, mm.
    space : dict
        See `latent.tractogram_space`.
    per_streamline : dict of ndarray, shape (n_streamlines, any)
        ``data_per_streamline``.
    per_point : dict of ArraySequence
        ``data_per_point``.
    groups : dict of ndarray of int64
        Groups of a TRX: name to numbers of streamlines.
    """

    streamlines: ArraySequence
    space: dict
    per_streamline: dict = field(default_factory=dict)
    per_point: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.streamlines)


@contextmanager
def mapped_tractogram(path, reference=None, *, folder=None, progress=None):
    """Open a tractogram with its points on disk.

    TRX files are mapped as they are; TRK and TCK, which have no place for that, are
    copied to a nameless temporary file that vanishes with the process; other formats,
    which have no lazy reader, are read into memory.

    Parameters
    ----------
    path : str or Path
        The file.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    folder : str or Path, optional
        Where the temporary file goes, the system's place by default; it takes as much
        as the tractogram.
    progress : callable, optional
        Called with the number of streamlines read, as it goes.

    Yields
    ------
    tractogram : MappedTractogram
        To be used before the context ends.

    Raises
    ------
    InputFileError
        If the file is missing, broken, of another kind, or lacks its reference.
    OutputFileError
        If there is no room for the temporary file.
    """
    path = Path(path)
    progress = progress or (lambda count: None)
    reader = TractogramChunks(path, reference)  # Checks what can be checked.
    try:
        if path.suffix in LAZY:
            spools = _spool(path, reader, folder, progress)
            try:
                yield _joined(*spools, reader.space)
            finally:
                for spool in spools[0].values():
                    spool.file.close()
        elif path.suffix == ".trx":
            from trx.trx_file_memmap import load

            with closing(load(str(path))) as trx:
                progress(len(trx.streamlines))
                yield MappedTractogram(
                    trx.streamlines,
                    reader.space,
                    {name: _columns(v) for name, v in trx.data_per_streamline.items()},
                    dict(trx.data_per_vertex),
                    {n: np.asarray(v, np.int64).ravel() for n, v in trx.groups.items()},
                )
        else:
            whole = load_tractogram(path, reference)
            progress(len(whole))
            yield MappedTractogram(
                whole.streamlines,
                tractogram_space(whole),
                dict(whole.data_per_streamline),
                dict(whole.data_per_point),
            )
    finally:
        reader.close()


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
    data = {name: _columns(values) for name, values in (data or {}).items()}
    values = {**source.per_streamline, **data}
    if path.suffix == ".trk":
        _check_trk(path, values, source.per_point)
    with whole_file(path) as partial:
        if path.suffix == ".trx" and len(rows):
            _write_trx(
                source,
                rows,
                values,
                source.groups if groups is None else groups,
                partial,
            )
        elif path.suffix in LAZY:
            _write_lazy(source, rows, values, partial)
        else:
            chosen = tractogram_like(source.streamlines[rows], source.space)
            for name, column in values.items():
                chosen.data_per_streamline[name] = column[rows]
            save_tractogram(chosen, partial, overwrite=True)


class _Spool:
    """Rows of numbers, appended to a nameless file and read back through a map."""

    def __init__(self, folder):
        self.file = tempfile.TemporaryFile(dir=folder)
        self.shape, self.dtype = (0,), np.dtype(np.float32)

    def append(self, rows):
        """Add rows, all of one width and dtype."""
        self.dtype = rows.dtype
        self.shape = (self.shape[0] + len(rows), *rows.shape[1:])
        try:
            np.ascontiguousarray(rows).tofile(self.file)
        except OSError as err:
            raise OutputFileError(
                "No room for a temporary copy of the tractogram "
                f"({err.strerror or err}). Free some, set TMPDIR to a folder that has "
                "it, or convert the file to TRX, which needs no copy."
            ) from err

    def mapped(self):
        """All rows."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        self.file.flush()
        return np.memmap(self.file, dtype=self.dtype, mode="r", shape=self.shape)


def _spool(path, reader, folder, progress):
    """Copy a TRK's or TCK's numbers to files; give them and the points of each."""
    from nibabel.streamlines import load
    from nibabel.streamlines.trk import get_affine_trackvis_to_rasmm

    spools, counts = {}, []

    def append(kind, name, rows):
        if (kind, name) not in spools:
            spools[kind, name] = _Spool(folder)
        spools[kind, name].append(rows)

    append("points", "", np.empty((0, 3), dtype=np.float32))
    try:
        file = load(str(path), lazy_load=True)
        to_rasmm = np.eye(4)  # TCK's points are in RASMM.
        if path.suffix == ".trk":
            to_rasmm = get_affine_trackvis_to_rasmm(file.header)
        items = file.tractogram.data
        while chunk := list(islice(items, CHUNK_SIZE)):
            counts.append([len(item.streamline) for item in chunk])
            points = np.concatenate([item.streamline for item in chunk])
            append("points", "", apply_affine(to_rasmm, points).astype(np.float32))
            for name in chunk[0].data_for_streamline:
                rows = [item.data_for_streamline[name] for item in chunk]
                append("streamline", name, np.array(rows))
            for name in chunk[0].data_for_points:
                rows = [item.data_for_points[name] for item in chunk]
                append("point", name, np.concatenate(rows))
            progress(len(chunk))
    except OutputFileError:
        raise
    # nibabel raises whatever a broken file leads it to.
    except Exception as err:
        raise InputFileError(
            f"Cannot read {path}, after streamline {sum(map(len, counts))}: "
            f"{type(err).__name__}: {err}. The file may be damaged."
        ) from err
    counts = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
    promised = reader.n_streamlines
    if path.suffix == ".trk" and promised not in (None, len(counts)):
        raise InputFileError(
            f"Cannot read {path}: its header promises {promised} streamlines, and it "
            f"ends after {len(counts)}. Copy or make the file again."
        )
    return spools, counts


def _joined(spools, counts, space):
    """Put mapped numbers together to a tractogram."""

    def sequence(data):
        joined = ArraySequence()
        joined._data = data
        joined._lengths = counts
        joined._offsets = np.cumsum(counts) - counts
        return joined

    per_streamline, per_point = {}, {}
    for (kind, name), spool in spools.items():
        if kind == "streamline":
            per_streamline[name] = _columns(spool.mapped())
        elif kind == "point":
            per_point[name] = sequence(_columns(spool.mapped()))
    points = sequence(spools["points", ""].mapped())
    return MappedTractogram(points, space, per_streamline, per_point)


def _columns(values):
    """Numbers per row as (n_rows, any)."""
    values = np.asanyarray(values)
    return values[:, None] if values.ndim == 1 else values


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


def _write_lazy(source, rows, values, path):
    """Through nibabel, one streamline after the other."""
    from dipy.io.utils import create_tractogram_header
    import nibabel as nib

    kind = nib.streamlines.detect_format(str(path))
    space = source.space
    header = create_tractogram_header(
        kind,
        space["affine"],
        space["dimensions"],
        space["voxel_sizes"],
        space["voxel_order"],
    )
    per_point = source.per_point
    if kind is nib.streamlines.TckFile:
        values, per_point = {}, {}

    def of_rows(numbers):
        return lambda: (np.asarray(numbers[row]) for row in rows)

    # Not from items: nibabel writes their points without the affine.
    tractogram = nib.streamlines.LazyTractogram(
        of_rows(source.streamlines),
        {name: of_rows(column) for name, column in values.items()},
        {name: of_rows(lines) for name, lines in per_point.items()},
        affine_to_rasmm=np.eye(4),
    )
    nib.streamlines.save(kind(tractogram, header=header), str(path))


def _write_trx(source, rows, values, groups, path):
    """Into a mapped file of known size, some streamlines at a time."""
    from trx.trx_file_memmap import TrxFile, save

    counts = np.asarray(source.streamlines._lengths, dtype=np.int64)[rows]
    one = tractogram_like(np.zeros((1, 1, 3), dtype=np.float32), source.space)
    for name, column in values.items():
        one.data_per_streamline[name] = np.asarray(column[:1])
    for name, lines in source.per_point.items():
        one.data_per_point[name] = [_columns(np.asarray(lines._data[:1]))]
    kinds = {
        "positions": np.float32,
        "offsets": np.uint64 if counts.sum() >= 2**32 else np.uint32,
        "dps": {name: column.dtype for name, column in values.items()},
        "dpv": {name: lines._data.dtype for name, lines in source.per_point.items()},
    }
    with (
        closing(TrxFile.from_sft(one, dtype_dict=kinds)) as like,
        closing(TrxFile(int(counts.sum()), len(rows), init_as=like)) as trx,
    ):
        trx.streamlines._offsets[:] = np.cumsum(counts) - counts
        trx.streamlines._lengths[:] = counts
        end = 0
        for start in range(0, len(rows), CHUNK_SIZE):
            chunk = rows[start : start + CHUNK_SIZE]
            points = source.streamlines[chunk].get_data()
            trx.streamlines._data[end : end + len(points)] = points
            for name, lines in source.per_point.items():
                trx.data_per_vertex[name]._data[end : end + len(points)] = _columns(
                    lines[chunk].get_data()
                )
            end += len(points)
            for name, column in values.items():
                trx.data_per_streamline[name][start : start + len(chunk)] = column[
                    chunk
                ]
        position = np.full(len(source), -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        for name, members in groups.items():
            kept = position[members]
            if (kept >= 0).any():
                trx.groups[name] = kept[kept >= 0].astype(np.uint32)
        save(trx, str(path))
