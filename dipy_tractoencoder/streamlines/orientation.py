"""Orient streamlines: find those that run backwards, and reverse them.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from collections.abc import Sequence

from nibabel.streamlines import ArraySequence
import numpy as np


def runs_backwards(
    streamlines: ArraySequence, axis: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Find streamlines that the canonical orientation reverses.

    A streamline runs forwards if the step from its first to its last point has a
    positive component along ``axis``. Ties, such as closed streamlines, are broken by
    the first coordinate in which the streamline and its reverse differ. A streamline
    and its reverse therefore always give the same array.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines of at least one point each, RASMM, mm.
    axis : array_like, shape (3,)
        Direction in RASMM.

    Returns
    -------
    backwards : ndarray, shape (n_streamlines,), bool
        Whether each streamline has to be reversed.
    """
    points, counts = flat_points(streamlines)
    ends = np.cumsum(counts)
    # The sum is explicit: rounding in a matrix product may depend on the sign.
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


def reverse(streamlines: ArraySequence, which: np.ndarray) -> ArraySequence:
    """Reverse the order of points of selected streamlines.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines.
    which : ndarray, shape (n_streamlines,), bool
        Whether each streamline is reversed.

    Returns
    -------
    streamlines : ArraySequence
        Copy, with the streamlines in the same order.
    """
    points, counts = flat_points(streamlines)
    ends = np.cumsum(counts)
    source = np.arange(len(points))
    mirrored = np.repeat(2 * ends - counts - 1, counts) - source
    source = np.where(np.repeat(which, counts), mirrored, source)
    return from_flat(points[source], counts)


def flat_points(streamlines: ArraySequence) -> tuple[np.ndarray, np.ndarray]:
    """Return all points of streamlines, and the number of points of each.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines.

    Returns
    -------
    points : ndarray, shape (n_all_points, 3), float32 or float64
        Points of all streamlines, one streamline after the other; those of
        ``streamlines`` itself, not to be written to, if they are stored like this.
    counts : ndarray, shape (n_streamlines,), int64
        Number of points of each streamline.
    """
    counts = np.asarray(streamlines._lengths, dtype=np.int64)
    points = np.asarray(_points_in_order(streamlines, counts)).reshape(-1, 3)
    if points.dtype not in (np.float32, np.float64):
        # Half precision, which TRX allows, cannot represent the bounds used here.
        points = points.astype(np.float32)
    return points, counts


def _points_in_order(streamlines, counts):
    """Return the points of streamlines, without nibabel's loop if there is no need."""
    # A subclass may read its points from a file.
    if type(streamlines) is ArraySequence and len(counts):
        starts = np.asarray(streamlines._offsets, dtype=np.int64)
        ends = starts + counts
        if np.array_equal(starts[1:], ends[:-1]):
            return streamlines._data[starts[0] : ends[-1]]
    return streamlines.get_data()


def from_flat(points: np.ndarray, counts: np.ndarray) -> ArraySequence:
    """Build an ArraySequence from the result of `flat_points`.

    Parameters
    ----------
    points : ndarray, shape (n_all_points, 3)
        Points of all streamlines, one streamline after the other.
    counts : ndarray, shape (n_streamlines,), int64
        Number of points of each streamline.

    Returns
    -------
    streamlines : ArraySequence
        Streamlines that share the memory of ``points``.
    """
    sequence = ArraySequence()
    sequence._data = points
    sequence._lengths = counts
    sequence._offsets = np.cumsum(counts) - counts
    return sequence
