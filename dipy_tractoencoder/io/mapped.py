"""A whole tractogram at hand without its points in memory: they stay on disk."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
import tempfile

from nibabel.affines import apply_affine
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io.checks import check_trk_end
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.tractogram import LAZY, load_tractogram
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns


@dataclass(frozen=True)
class MappedTractogram:
    """Streamlines of a file, and what they carry.

    Attributes
    ----------
    streamlines : ArraySequence
        RASMM, mm.
    space : dict
        See `io.space.tractogram_space`.
    per_streamline : dict of ndarray, shape (n_streamlines, any)
        ``data_per_streamline``.
    per_point : dict of ArraySequence
        ``data_per_point``.
    groups : dict of ndarray of int64
        Groups of a TRX: name to numbers of streamlines.
    per_group : dict of dict of ndarray, shape (1, any)
        Data per group of a TRX: name of the group, then of the data.
    """

    streamlines: ArraySequence
    space: dict
    per_streamline: dict = field(default_factory=dict)
    per_point: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    per_group: dict = field(default_factory=dict)

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
            spools = _spool(path, folder, progress)
            try:
                yield _joined(*spools, reader.space)
            finally:
                for spool in spools[0].values():
                    spool.file.close()
        elif path.suffix == ".trx":
            trx = reader.trx
            progress(len(trx))
            yield MappedTractogram(
                trx.streamlines,
                trx.space,
                trx.per_streamline,
                trx.per_point,
                {n: members.astype(np.int64) for n, members in trx.groups.items()},
                trx.per_group,
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


def _spool(path, folder, progress):
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
    if path.suffix == ".trk":
        check_trk_end(path, len(counts), int(counts.sum()))
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
            per_streamline[name] = as_columns(spool.mapped())
        elif kind == "point":
            per_point[name] = sequence(as_columns(spool.mapped()))
    points = sequence(spools["points", ""].mapped())
    return MappedTractogram(points, space, per_streamline, per_point)
