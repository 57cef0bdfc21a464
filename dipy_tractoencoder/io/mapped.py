"""Access a whole tractogram with random access while its points stay on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from dipy_tractoencoder.io.formats import LAZY, file_format
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.tractogram import load_tractogram
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_columns


@dataclass(frozen=True)
class MappedTractogram:
    """Streamlines of a file, and their data.

    Attributes
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    space : dict
        Image space as returned by `io.space.tractogram_space`.
    per_streamline : dict of ndarray, shape (n_streamlines, n_columns)
        ``data_per_streamline``.
    per_point : dict of ArraySequence
        ``data_per_point``.
    groups : dict of ndarray of int64
        Groups of a TRX: indices of streamlines by name.
    per_group : dict of dict of ndarray, shape (1, n_columns)
        Data per group of a TRX, by name of the group and of the data.
    """

    streamlines: ArraySequence
    space: dict
    per_streamline: dict = field(default_factory=dict)
    per_point: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    per_group: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.streamlines)


@contextmanager
def mapped_tractogram(
    path: str | Path,
    reference: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[MappedTractogram]:
    """Open a tractogram with its points on disk.

    TRX files are memory-mapped directly. TRK and TCK files, which cannot be mapped,
    are copied to an anonymous temporary file, which is removed when the process ends.
    Other formats have no lazy reader and are read into memory.

    Parameters
    ----------
    path : str or Path
        Tractogram file.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    folder : str or Path, optional
        Folder of the temporary file, which is as large as the tractogram; by default,
        that of the system.
    progress : callable, optional
        Called with the number of streamlines read since the last call.

    Yields
    ------
    tractogram : MappedTractogram
        Tractogram, valid only inside the context.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of another format, or lacks its reference.
    OutputFileError
        If there is no space for the temporary file.
    """
    path = Path(path)
    progress = progress or (lambda count: None)
    reader = TractogramChunks(path, reference)  # It also checks the file.
    try:
        if file_format(path) in LAZY:
            spools, counts = _spool(path, folder, progress)
            try:
                yield _joined(spools, counts, reader.space)
            finally:
                for spool in spools.values():
                    spool.file.close()
        elif file_format(path) == ".trx":
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
    """Rows appended to an anonymous file, and read back through a memory map."""

    def __init__(self, folder):
        self.file = tempfile.TemporaryFile(dir=folder)
        self.shape, self.dtype = (0,), np.dtype(np.float32)

    def append(self, rows):
        """Append rows; all must have the same width and dtype."""
        self.dtype = rows.dtype
        self.shape = (self.shape[0] + len(rows), *rows.shape[1:])
        try:
            np.ascontiguousarray(rows).tofile(self.file)
        except OSError as err:
            raise OutputFileError(
                "No space for a temporary copy of the tractogram "
                f"({err.strerror or err}). Free some, set TMPDIR to a folder with more "
                "space, or convert the file to TRX, which needs no copy."
            ) from err

    def mapped(self):
        """Return all rows."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        self.file.flush()
        return np.memmap(self.file, dtype=self.dtype, mode="r", shape=self.shape)


def _spool(path, folder, progress):
    """Copy the data of a TRK or TCK to files; also return the points per streamline."""
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
        to_rasmm = np.eye(4)  # The points of a TCK are in RASMM.
        if file_format(path) == ".trk":
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
    # nibabel raises many types of errors for damaged files.
    except Exception as err:
        raise InputFileError(
            f"Cannot read {path}, after streamline {sum(map(len, counts))}: "
            f"{type(err).__name__}: {err}. The file may be damaged."
        ) from err
    counts = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
    if file_format(path) == ".trk":
        check_trk_end(path, len(counts), int(counts.sum()))
    return spools, counts


def _joined(spools, counts, space):
    """Build a tractogram from mapped data."""

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
