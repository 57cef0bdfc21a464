"""Convert streamlines to arrays of one shape: reject, orient, resample.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    check_choice,
    format_received,
)
from dipy_tractoencoder.streamlines.orientation import from_flat
from dipy_tractoencoder.streamlines.resampling import (
    REJECT_REASONS,
    Rules,
    map_resampled,
    reject_codes as reject_codes,
    resample_lines,
)
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

ORIENTATIONS = ("canonical", "augment", "as_is")

CHUNK_SIZE = 20_000


@dataclass(frozen=True)
class StreamlineArray:
    """Streamlines as one array, with their positions in the tractogram.

    Attributes
    ----------
    points : ndarray, shape (n_kept, n_points, 3), float32
        Resampled streamlines, RASMM, mm.
    index : ndarray, shape (n_kept,), int64
        Position of each row's streamline in the tractogram.
    is_reversed : ndarray, shape (n_kept,), bool
        Whether each row runs opposite to its streamline in the tractogram.
    n_streamlines : int
        Number of streamlines read, kept or rejected.
    rejects : dict of str to int
        Number of rejected streamlines by reason.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> array = dte.Preprocessing(n_points=32).array(made.streamlines)
    >>> array.points.shape, array.n_streamlines, array.rejects
    ((43, 32, 3), 43, {})
    """

    points: np.ndarray
    index: np.ndarray
    is_reversed: np.ndarray
    n_streamlines: int
    rejects: dict[str, int] = field(default_factory=dict)

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def from_points(cls, points: np.ndarray) -> StreamlineArray:
        """Create an array from points that are already resampled and oriented.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the model's orientation, RASMM, mm.

        Returns
        -------
        array : StreamlineArray
            All streamlines, none rejected or reversed.
        """
        n = len(points)
        return cls(points, np.arange(n), np.zeros(n, dtype=bool), n)

    def tractogram_order(self, points: np.ndarray | None = None) -> np.ndarray:
        """Return points in the direction of the tractogram's streamlines.

        Parameters
        ----------
        points : ndarray, shape (n_kept, n_points, 3), optional
            Points that correspond to the rows of this array, mm; by default its own.

        Returns
        -------
        points : ndarray, shape (n_kept, n_points, 3)
            Copy in which the rows of ``is_reversed`` are reversed back, mm.
        """
        points = np.array(self.points if points is None else points)
        points[self.is_reversed] = points[self.is_reversed, ::-1]
        return points


def count_rejects(codes: np.ndarray) -> dict[str, int]:
    """Count rejected streamlines by reason.

    Parameters
    ----------
    codes : ndarray of int
        Codes returned by `reject_codes`.

    Returns
    -------
    rejects : dict of str to int
        Number of streamlines by reason, without reasons that do not occur.
    """
    counts = np.bincount(codes, minlength=len(REJECT_REASONS))
    return {
        reason: int(count)
        for reason, count in zip(REJECT_REASONS[1:], counts[1:])
        if count
    }


@dataclass(frozen=True)
class Rows:
    """Where rows of an array come from, as of `StreamlineArray`.

    Attributes
    ----------
    index : ndarray, shape (n_kept,), int64
        Position of each row's streamline in the tractogram.
    is_reversed : ndarray, shape (n_kept,), bool
        Whether each row runs opposite to its streamline in the tractogram.
    n_streamlines : int
        Number of streamlines read, kept or rejected.
    rejects : dict of str to int
        Number of rejected streamlines by reason.
    """

    index: np.ndarray
    is_reversed: np.ndarray
    n_streamlines: int
    rejects: dict[str, int]


def to_array(
    streamlines: StatefulTractogram | ArraySequence | Iterable[np.ndarray],
    n_points: int,
    *,
    orientation: str = "canonical",
    axis: Sequence[float] | np.ndarray = (0.0, 0.0, 1.0),
    min_length: float = 0.0,
    max_length: float | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> StreamlineArray:
    """Convert streamlines to one array of equally spaced points.

    Parameters
    ----------
    streamlines : ArraySequence, sequence of ndarray, or StatefulTractogram
        Streamlines, RASMM, mm, each of shape (any, 3).
    n_points : int
        Number of points per resampled streamline.
    orientation : {"canonical", "augment", "as_is"}
        With "canonical", a streamline and its reverse give the same row.
    axis : array_like, shape (3,)
        Direction in RASMM used by "canonical"; see `runs_backwards`.
    min_length, max_length : float, optional
        Shortest and longest streamline to keep, mm.
    chunk_size : int, optional
        Number of streamlines processed at a time.

    Returns
    -------
    array : StreamlineArray
        Resampled streamlines that were kept, and their positions in ``streamlines``.

    Raises
    ------
    InvalidArgumentError
        If ``orientation`` is unknown, or ``streamlines`` are not streamlines.
    """
    check_choice("orientation", orientation, ORIENTATIONS)
    streamlines = as_sequence(streamlines)
    rules = Rules(axis if orientation == "canonical" else None, min_length, max_length)
    # Rows that are not written to take no memory.
    points = np.empty((len(streamlines), n_points, 3), dtype=np.float32)
    n_kept = 0

    def resample(chunk):
        nonlocal n_kept
        found = resample_lines(chunk, rules, points[n_kept : n_kept + len(chunk)])
        n_kept += int(np.count_nonzero(found[0] == 0))
        return found

    rows = _in_chunks(streamlines, chunk_size, resample)
    return StreamlineArray(
        points[:n_kept], rows.index, rows.is_reversed, rows.n_streamlines, rows.rejects
    )


def map_array(
    streamlines: StatefulTractogram | ArraySequence | Iterable[np.ndarray],
    n_points: int,
    rules: Rules,
    work: Callable[[np.ndarray], np.ndarray],
    *,
    chunk_size: int = CHUNK_SIZE,
) -> tuple[Rows, list[np.ndarray]]:
    """Call a function for blocks of resampled streamlines, without keeping these.

    Parameters
    ----------
    streamlines : ArraySequence, sequence of ndarray, or StatefulTractogram
        Streamlines, RASMM, mm, each of shape (any, 3).
    n_points : int
        Number of points per resampled streamline.
    rules : Rules
        Orientation and limits.
    work : callable
        As for `map_resampled`.
    chunk_size : int, optional
        Number of streamlines processed at a time.

    Returns
    -------
    rows : Rows
        Where the rows of the results come from.
    results : list of ndarray
        What the calls returned, in the order of the streamlines.
    """
    results: list[np.ndarray] = []

    def resample(chunk):
        *found, some = map_resampled(chunk, rules, n_points, work)
        results.extend(some)
        return found

    return _in_chunks(as_sequence(streamlines), chunk_size, resample), results


def _in_chunks(streamlines, chunk_size, resample):
    """Resample chunk by chunk, and return where the rows come from."""
    n_streamlines = len(streamlines)
    codes = np.zeros(n_streamlines, dtype=np.int8)
    backwards = np.zeros(n_streamlines, dtype=bool)
    for start in range(0, n_streamlines, chunk_size):
        some = slice(start, start + chunk_size)
        codes[some], backwards[some] = resample(streamlines[some])
    index = np.flatnonzero(codes == 0)
    return Rows(index, backwards[index], n_streamlines, count_rejects(codes))


def as_sequence(
    streamlines: StatefulTractogram | ArraySequence | Iterable[np.ndarray],
) -> ArraySequence:
    """Convert a tractogram or a list of streamlines to an ArraySequence.

    Parameters
    ----------
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        Streamlines; a StatefulTractogram may be in any space.

    Returns
    -------
    streamlines : ArraySequence
        Streamlines; those of a StatefulTractogram in RASMM, mm, with the origin at the
        voxel centre, and copied only if they were in another space.

    Raises
    ------
    InvalidArgumentError
        If ``streamlines`` has another type, or a streamline another shape than
        (n_points, 3).
    """
    if hasattr(streamlines, "space_attributes"):
        from dipy.io.stateful_tractogram import Origin, Space

        tractogram: Any = streamlines
        if (tractogram.space, tractogram.origin) != (Space.RASMM, Origin.NIFTI):
            tractogram = tractogram[:]  # A copy: the input keeps its space.
            tractogram.to_rasmm()
            tractogram.to_center()
        return tractogram.streamlines
    if isinstance(streamlines, ArraySequence):
        if len(streamlines) and streamlines.common_shape != (3,):
            raise _no_streamline(f"points of shape {streamlines.common_shape}")
        return streamlines
    if isinstance(streamlines, (str, bytes, dict)) or not hasattr(
        streamlines, "__iter__"
    ):
        raise _no_streamline(format_received(streamlines))
    if isinstance(streamlines, np.ndarray) and streamlines.dtype != object:
        shape = streamlines.shape
        if streamlines.size and (len(shape) != 3 or shape[2] != 3):
            raise _no_streamline(f"one array of shape {shape}, {streamlines.dtype}")
    lines = [_streamline(line) for line in streamlines]
    counts = np.array([len(line) for line in lines], dtype=np.int64)
    points = np.concatenate(lines) if lines else np.empty((0, 3))
    return from_flat(points.astype(np.float32, copy=False), counts)


def as_columns(values: Any) -> np.ndarray:
    """Reshape one value per row to a matrix of one column.

    Parameters
    ----------
    values : array_like, shape (n_rows,) or (n_rows, any)
        One or several values per row.

    Returns
    -------
    values : ndarray, shape (n_rows, any)
        View of ``values`` where possible; a matrix as it is.
    """
    if getattr(values, "ndim", 0) == 2:
        return values
    values = np.asanyarray(values)
    return values[:, None] if values.ndim == 1 else values


def _streamline(line):
    """Convert one streamline to an array, or raise an error."""
    if isinstance(line, (str, bytes, PathLike)):
        raise _no_streamline(f"a list with {format_received(line)}")
    try:
        points = np.asarray(line)
    except (TypeError, ValueError) as err:
        raise _no_streamline(str(err)) from err
    if points.size == 0:
        return np.empty((0, 3), dtype=np.float32)
    if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[1] != 3:
        raise _no_streamline(f"a list with shape {points.shape}, {points.dtype}")
    return points


def _no_streamline(what):
    """Create the error for input that is not streamlines."""
    what = " ".join(what.split())
    return InvalidArgumentError(
        "Invalid value received for streamlines. Expected a tractogram, or a list of "
        f"arrays of shape (n_points, 3), in mm. Received: {what}. Read a file with "
        "`load_tractogram`."
    )


def merge_rejects(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up reject counts of several tractograms.

    Parameters
    ----------
    counts : iterable of dict
        Number of rejected streamlines by reason, for each tractogram.

    Returns
    -------
    rejects : dict of str to int
        Sum by reason.
    """
    total: Counter = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
