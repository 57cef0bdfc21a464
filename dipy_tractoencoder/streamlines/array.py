"""Streamlines of any length to arrays of one shape: reject, orient, resample.

Coordinates are RASMM, in mm, throughout.
"""

from collections import Counter
from dataclasses import dataclass, field
from os import PathLike

from dipy.tracking.streamline import set_number_of_points
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    check_choice,
    format_received,
)
from dipy_tractoencoder.utils.short_repr import short_repr

ORIENTATIONS = ("canonical", "augment", "as_is")

# Why a streamline cannot be encoded; the position in the tuple is its code, 0 is kept.
REJECT_REASONS = ("kept", "non_finite", "too_few_points", "too_short", "too_long")

# Points closer than this (mm) count as one: a thousandth of the finest image grids.
SAME_POINT = 1e-3
# Beyond this (mm) the squares of coordinates leave the range of float32.
LARGEST_COORDINATE = 1e15

CHUNK_SIZE = 20_000


@dataclass(frozen=True)
class StreamlineArray:
    """Streamlines as one array, and where each row came from.

    Attributes
    ----------
    points : ndarray, shape (n_kept, n_points, 3), float32
        Resampled streamlines, RASMM, mm.
    index : ndarray, shape (n_kept,), int64
        Number of each row's streamline in its tractogram.
    is_reversed : ndarray, shape (n_kept,), bool
        Rows that run against their streamline in the tractogram.
    n_streamlines : int
        Streamlines read, kept or not.
    rejects : dict of str to int
        How many were left out, by reason.
    """

    points: np.ndarray
    index: np.ndarray
    is_reversed: np.ndarray
    n_streamlines: int
    rejects: dict = field(default_factory=dict)

    __repr__ = short_repr

    def __len__(self):
        return len(self.points)

    def tractogram_order(self, points=None):
        """Points with every streamline running as it does in its tractogram.

        Parameters
        ----------
        points : ndarray, shape (n_kept, n_points, 3), optional
            Rows that belong to this array's, its own by default; mm.

        Returns
        -------
        points : ndarray, shape (n_kept, n_points, 3)
            A copy, with the reversed rows turned back.
        """
        points = np.array(self.points if points is None else points)
        points[self.is_reversed] = points[self.is_reversed, ::-1]
        return points


def reject_codes(streamlines, *, min_length=0.0, max_length=None):
    """Tell which streamlines cannot be encoded, and why.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    min_length, max_length : float, optional
        Lengths in mm outside of which a streamline is left out.

    Returns
    -------
    codes : ndarray, shape (n_streamlines,), int8
        Position of the reason in ``REJECT_REASONS``; 0 for those to keep.
    """
    n_streamlines = len(streamlines)
    codes = np.zeros(n_streamlines, dtype=np.int8)
    if n_streamlines == 0:
        return codes
    points, counts = _flat(streamlines)
    owner = np.repeat(np.arange(n_streamlines), counts)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(points).max(axis=1, initial=0) <= LARGEST_COORDINATE)
    steps = np.diff(np.where(bad[:, None], 0, points).astype(np.float64), axis=0)
    inside = owner[1:] == owner[:-1]
    lengths = np.bincount(
        owner[1:][inside],
        weights=np.sqrt(np.einsum("ij,ij->i", steps, steps))[inside],
        minlength=n_streamlines,
    )
    if max_length is not None:
        codes[lengths > max_length] = REJECT_REASONS.index("too_long")
    codes[lengths < min_length] = REJECT_REASONS.index("too_short")
    codes[lengths <= SAME_POINT] = REJECT_REASONS.index("too_few_points")
    codes[np.unique(owner[bad])] = REJECT_REASONS.index("non_finite")
    return codes


def count_rejects(codes):
    """Count reject codes by reason, leaving out reasons that do not occur.

    Parameters
    ----------
    codes : ndarray of int
        Codes as from `reject_codes`.

    Returns
    -------
    rejects : dict of str to int
        Reason to number of streamlines.
    """
    counts = np.bincount(codes, minlength=len(REJECT_REASONS))
    return {
        reason: int(count)
        for reason, count in zip(REJECT_REASONS[1:], counts[1:])
        if count
    }


def runs_backwards(streamlines, axis):
    """Tell which streamlines the canonical orientation turns round.

    A streamline runs forwards when the step from its first to its last point goes
    along ``axis``; a tie (a closed streamline, say) is broken by the first
    coordinate in which the streamline and its reverse differ. So a streamline and
    its reverse always end up as the same array.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines of at least one point each, RASMM, mm.
    axis : array_like, shape (3,)
        Direction in RASMM.

    Returns
    -------
    backwards : ndarray, shape (n_streamlines,), bool
        True where the streamline is to be reversed.
    """
    points, counts = _flat(streamlines)
    ends = np.cumsum(counts)
    # Products are summed by hand: a matrix product may round two signs differently.
    steps = points[ends - 1].astype(np.float64) - points[ends - counts]
    x, y, z = (steps * np.asarray(axis, dtype=np.float64)).T
    along = x + y + z
    backwards = along < 0
    for tied in np.flatnonzero(along == 0):
        line = points[ends[tied] - counts[tied] : ends[tied]]
        step = (line - line[::-1]).ravel()
        differing = np.flatnonzero(step)
        backwards[tied] = differing.size > 0 and step[differing[0]] > 0
    return backwards


def reverse(streamlines, which):
    """Reverse the order of the points of some streamlines.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines.
    which : ndarray, shape (n_streamlines,), bool
        Those to reverse.

    Returns
    -------
    streamlines : ArraySequence
        A copy, in the same order of streamlines.
    """
    points, counts = _flat(streamlines)
    ends = np.cumsum(counts)
    source = np.arange(len(points))
    mirrored = np.repeat(2 * ends - counts - 1, counts) - source
    source = np.where(np.repeat(which, counts), mirrored, source)
    return _sequence(points[source], counts)


def to_array(
    streamlines,
    n_points,
    *,
    orientation="canonical",
    axis=(0.0, 0.0, 1.0),
    min_length=0.0,
    max_length=None,
    chunk_size=CHUNK_SIZE,
):
    """Turn streamlines into one array of equally spaced points.

    Parameters
    ----------
    streamlines : ArraySequence, sequence of ndarray, or StatefulTractogram
        Streamlines, RASMM, mm, each of shape (any, 3).
    n_points : int
        Points per resampled streamline, equally spaced along it.
    orientation : {"canonical", "augment", "as_is"}
        With "canonical", a streamline and its reverse give the same row.
    axis : array_like, shape (3,)
        Direction used by "canonical" (see `runs_backwards`).
    min_length, max_length : float, optional
        Lengths in mm outside of which a streamline is left out.
    chunk_size : int, optional
        Streamlines worked on at a time.

    Returns
    -------
    array : StreamlineArray
        The rows kept, float32, and their numbers in ``streamlines``.

    Raises
    ------
    InvalidArgumentError
        If ``orientation`` is not a known policy.
    """
    check_choice("orientation", orientation, ORIENTATIONS)
    streamlines = as_sequence(streamlines)
    n_streamlines = len(streamlines)
    codes = np.zeros(n_streamlines, dtype=np.int8)
    chunks = range(0, n_streamlines, chunk_size)
    for start in chunks:
        codes[start : start + chunk_size] = reject_codes(
            streamlines[start : start + chunk_size],
            min_length=min_length,
            max_length=max_length,
        )
    index = np.flatnonzero(codes == 0)
    points = np.empty((len(index), n_points, 3), dtype=np.float32)
    is_reversed = np.zeros(len(index), dtype=bool)
    for start in range(0, len(index), chunk_size):
        rows = slice(start, start + chunk_size)
        chunk = streamlines[index[rows]]
        if orientation == "canonical":
            # Before resampling, whose rounding depends on the direction.
            is_reversed[rows] = runs_backwards(chunk, axis)
            chunk = reverse(chunk, is_reversed[rows])
        points[rows] = _resample(chunk, n_points)
    return StreamlineArray(
        points, index, is_reversed, n_streamlines, count_rejects(codes)
    )


def as_sequence(streamlines):
    """Streamlines of a tractogram, or of a plain list, as an ArraySequence.

    Parameters
    ----------
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        Streamlines; a StatefulTractogram may be in any space.

    Returns
    -------
    streamlines : ArraySequence
        For a StatefulTractogram in RASMM, mm; nothing is copied if it is already.

    Raises
    ------
    InvalidArgumentError
        If it is neither, or a streamline is not (n_points, 3).
    """
    if hasattr(streamlines, "space_attributes"):
        from dipy.io.stateful_tractogram import Origin, Space

        if (streamlines.space, streamlines.origin) != (Space.RASMM, Origin.NIFTI):
            streamlines = streamlines[:]  # A copy: the caller's keeps its space.
            streamlines.to_rasmm()
            streamlines.to_center()
        return streamlines.streamlines
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
    return _sequence(points.astype(np.float32, copy=False), counts)


def as_columns(values):
    """Give numbers per row as a matrix.

    Parameters
    ----------
    values : array_like, shape (n_rows,) or (n_rows, any)
        One number per row, or several.

    Returns
    -------
    values : ndarray, shape (n_rows, any)
        The same memory, where that is possible.
    """
    values = np.asanyarray(values)
    return values[:, None] if values.ndim == 1 else values


def _streamline(line):
    """Give one streamline as an array, or raise unless it is one."""
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
    """Make the error for what is given instead of streamlines."""
    what = " ".join(what.split())
    return InvalidArgumentError(
        "Invalid value received for streamlines. Expected a tractogram, or a list of "
        f"arrays of numbers of shape (n_points, 3), in mm. Received: {what}. A file "
        "is read with `load_tractogram`."
    )


def merge_rejects(counts):
    """Add up reject counts of several tractograms.

    Parameters
    ----------
    counts : iterable of dict
        Reason to number of streamlines.

    Returns
    -------
    rejects : dict of str to int
        The sums.
    """
    total = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def _flat(streamlines):
    """All points (n, 3) one after the other, and the number of points of each."""
    counts = np.asarray(streamlines._lengths, dtype=np.int64)
    points = np.asarray(streamlines.get_data()).reshape(-1, 3)
    if points.dtype not in (np.float32, np.float64):
        # Half precision, which TRX allows, could not hold the bounds used here.
        points = points.astype(np.float32)
    return points, counts


def _sequence(points, counts):
    """Build an ArraySequence from its flat points and the number of each."""
    sequence = ArraySequence()
    sequence._data = points
    sequence._lengths = counts
    sequence._offsets = np.cumsum(counts) - counts
    return sequence


def _resample(streamlines, n_points):
    """Equally spaced points, (n_streamlines, n_points, 3) float32, mm."""
    if len(streamlines) == 0:
        return np.empty((0, n_points, 3), dtype=np.float32)
    points, counts = _flat(streamlines)
    # DIPY's own resampling reads float32 and float64 only, and needs rows in order.
    ready = _sequence(np.ascontiguousarray(points, dtype=np.float32), counts)
    resampled = set_number_of_points(ready, nb_points=n_points)
    return resampled.get_data().reshape(-1, n_points, 3)
