"""Streamlines that stay on disk, and are read in chunks or by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nibabel.affines import apply_affine
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.streamlines.array import CHUNK_SIZE
from dipy_tractoencoder.streamlines.orientation import from_flat


class SequenceOnDisk(ArraySequence):
    """Streamlines, or their data per point, that are read when they are asked for.

    A slice, or an array of numbers, returns an ArraySequence in memory. It is read
    in any order, but quickest in that of the file.

    Parameters
    ----------
    read : callable
        Function that takes ascending numbers of streamlines, an ndarray of int64, and
        returns their rows, an ndarray of shape (n_rows, n_columns).
    lengths : ndarray of int64, shape (n_streamlines,)
        Number of rows of each streamline.
    n_columns : int
        Number of columns.
    dtype : numpy.dtype, optional
        Type of the rows.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        lengths: np.ndarray,
        n_columns: int,
        dtype: Any = np.float32,
    ) -> None:
        self._read, self.n_columns = read, n_columns
        self._lengths, self.dtype = lengths, np.dtype(dtype)

    @property
    def _offsets(self) -> np.ndarray:
        """First row of each streamline."""
        return np.cumsum(self._lengths) - self._lengths

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def _data(self) -> np.ndarray:
        """All rows, which are read each time."""
        return self[:]._data

    @property
    def common_shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return (self.n_columns,)

    @property
    def total_nb_rows(self) -> int:
        """Number of rows of all streamlines."""
        return int(self._lengths.sum())

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, (int, np.integer)):
            return self._read(np.array([range(len(self))[idx]]))
        if isinstance(idx, tuple):  # Streamlines, columns.
            return self[idx[0]][(slice(None), *idx[1:])]
        if isinstance(idx, slice):
            some = range(*idx.indices(len(self)))
            rows = np.arange(some.start, some.stop, some.step)
        else:
            rows = np.arange(len(self))[idx]
        lengths = self._lengths[rows]
        if (np.diff(rows) > 0).all():
            return from_flat(self._read(rows), lengths)
        ascending, place = np.unique(rows, return_inverse=True)
        found = from_flat(self._read(ascending), self._lengths[ascending])
        shift = found._offsets[place] - (np.cumsum(lengths) - lengths)
        take = np.arange(lengths.sum()) + np.repeat(shift, lengths)
        return from_flat(found._data[take], lengths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), CHUNK_SIZE):
            yield from self[start : start + CHUNK_SIZE]

    def get_data(self) -> np.ndarray:
        """Return all rows, shape (n_rows, n_columns)."""
        return self._data

    def copy(self) -> ArraySequence:
        """Return an ArraySequence in memory."""
        return self[:]


class LineFile:
    """Content of a TRK or TCK file; points and data are read when they are needed.

    Attributes
    ----------
    path : Path
        File.
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order"; empty for a TCK,
        which does not contain it.
    streamlines : SequenceOnDisk
        Streamlines, RASMM, mm, float32, as many as there are in the file: those
        without points are included.
    per_streamline : dict of ndarray, shape (n_streamlines, n_columns)
        Data per streamline; read at the first use.
    per_point : dict of SequenceOnDisk
        Data per point.
    groups, per_group : dict
        Empty; only a TRX has groups.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.space: dict[str, Any] = {}
        self.streamlines = SequenceOnDisk(_nothing, np.empty(0, np.int64), 3)
        self.per_point: dict[str, SequenceOnDisk] = {}
        self.groups: dict[str, np.ndarray] = {}
        self.per_group: dict[str, dict[str, np.ndarray]] = {}

    @property
    def per_streamline(self) -> dict[str, np.ndarray]:
        """Data per streamline, of which this format has none."""
        return {}

    def __len__(self) -> int:
        return len(self.streamlines)

    def some(self, start: int, stop: int, name: str | None = None) -> ArraySequence:
        """Read a range of streamlines, or their data per point.

        Parameters
        ----------
        start, stop : int
            First streamline, and the one after the last; the range is limited to the
            streamlines of the file.
        name : str, optional
            Key of ``per_point``, to read these data instead of the points.

        Returns
        -------
        sequence : ArraySequence
            Copy in memory, float32.

        Raises
        ------
        InputFileError
            If the file has changed since it was opened.
        """
        lines = self.streamlines if name is None else self.per_point[name]
        return lines[start:stop]

    def close(self) -> None:
        """Close the file."""


def n_columns(sequence: ArraySequence) -> int:
    """Return the number of columns of streamlines or data per point, without reading.

    Parameters
    ----------
    sequence : ArraySequence
        Streamlines, or data per point.

    Returns
    -------
    n_columns : int
        Numbers per point.
    """
    shape = sequence.common_shape
    return shape[0] if shape else 1


def number_type(sequence: ArraySequence) -> np.dtype:
    """Return the type of streamlines or data per point, without reading.

    Parameters
    ----------
    sequence : ArraySequence
        Streamlines, or data per point.

    Returns
    -------
    dtype : numpy.dtype
        Type of the numbers.
    """
    if isinstance(sequence, SequenceOnDisk):
        return sequence.dtype
    return sequence._data.dtype


def _nothing(rows):
    return np.empty((0, 3), np.float32)


def move(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply an affine to points, with the rounding of nibabel's readers.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), float32
        Affine.
    points : ndarray, shape (n_points, 3), float32
        Points; they are overwritten.

    Returns
    -------
    points : ndarray, shape (n_points, 3), float32
        Moved points.
    """
    if (affine == np.eye(4)).all():
        return points
    scale, shift = np.diag(affine)[:3], affine[:3, 3]
    if (affine[:3, :3] == np.diag(scale)).all():  # The same numbers, but quicker.
        with np.errstate(all="ignore"):
            for axis in range(3):
                points[:, axis] *= scale[axis]
                points[:, axis] += shift[axis]
        return points
    n_points = len(points)
    if n_points == 1:  # A product with one row is rounded differently.
        points = np.repeat(points, 2, axis=0)
    with np.errstate(all="ignore"):  # Points that are not finite are rejected later.
        return apply_affine(affine, points, inplace=True)[:n_points]
