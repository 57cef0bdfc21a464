"""Reject, orient and resample streamlines, compiled or with NumPy and DIPY.

The compiled loop (`_resample.pyx`) is optional: it is built if there is a C compiler.
All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import os
import threading
from typing import Any

from dipy.tracking.streamline import set_number_of_points
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.streamlines.orientation import (
    flat_points,
    from_flat,
    reverse,
    runs_backwards,
)
from dipy_tractoencoder.utils.cores import in_threads

try:
    from dipy_tractoencoder.streamlines._resample import (
        any_outside,
        follow_counts,
        resample_block,
    )
except ImportError:  # Installed without a C compiler.
    any_outside = follow_counts = resample_block = None

# "0" in this variable of the environment turns the compiled loop off.
SWITCH = "DIPY_TRACTOENCODER_COMPILED"

# Why a streamline cannot be encoded; the position in the tuple is the code, also in
# `_resample.pyx`.
REJECT_REASONS = ("kept", "non_finite", "too_few_points", "too_short", "too_long")

# Points closer than this (mm) count as the same: far below the size of a voxel.
SAME_POINT = 1e-3
# Squares of larger coordinates (mm) may exceed the range of float32.
LARGEST_COORDINATE = 1e15

BLOCK = 1024  # streamlines that a thread handles at a time
SMALL_BLOCK = 256  # streamlines whose points stay in the cache of a core


@dataclass(frozen=True)
class Rules:
    """What is done with each streamline.

    Attributes
    ----------
    axis : sequence of float, length 3, or None
        Direction of the canonical orientation, see `runs_backwards`; None keeps the
        orientation of the streamlines.
    min_length, max_length : float or None
        Shortest and longest streamline to keep, mm.
    """

    axis: Sequence[float] | np.ndarray | None = None
    min_length: float = 0.0
    max_length: float | None = None


def is_compiled() -> bool:
    """Return whether the compiled loop is installed, and not switched off."""
    return resample_block is not None and os.environ.get(SWITCH) != "0"


def reject_codes(
    streamlines: ArraySequence,
    *,
    min_length: float = 0.0,
    max_length: float | None = None,
) -> np.ndarray:
    """Find streamlines that cannot be encoded, and the reason of each.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    min_length, max_length : float, optional
        Shortest and longest streamline to keep, mm.

    Returns
    -------
    codes : ndarray, shape (n_streamlines,), int8
        Position of the reason in ``REJECT_REASONS``; 0 for streamlines that are kept.
    """
    rules = Rules(min_length=min_length, max_length=max_length)
    return resample_lines(streamlines, rules)[0]


def resample_lines(
    streamlines: ArraySequence, rules: Rules, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reject, orient and resample streamlines.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    rules : Rules
        Orientation and limits.
    out : ndarray, shape (n_streamlines, n_points, 3), float32, optional
        Written to: the streamlines that are kept, one after the other, resampled, mm.
        The rows after them have any content. Without it, nothing is resampled.

    Returns
    -------
    codes : ndarray, shape (n_streamlines,), int8
        Position of the reason in ``REJECT_REASONS``; 0 for streamlines that are kept.
    backwards : ndarray, shape (n_streamlines,), bool
        Streamlines that are kept, and reversed.
    """
    if not is_compiled():
        return _with_numpy(streamlines, rules, out)
    prepared = _Prepared(streamlines, rules)
    starts = range(0, len(streamlines), BLOCK)

    def block(start):
        some = slice(start, start + BLOCK)
        return prepared.resample(some, None if out is None else out[some])

    found = in_threads(block, starts)
    if out is not None:
        _close_gaps(out, starts, found)
    return prepared.codes, prepared.backwards.view(bool)


def map_resampled(
    streamlines: ArraySequence,
    rules: Rules,
    n_points: int,
    work: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Resample streamlines in blocks, and call a function for each while it is cached.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    rules : Rules
        Orientation and limits.
    n_points : int
        Number of points per resampled streamline.
    work : callable
        Function of points, an ndarray of float32 of shape (any, n_points, 3), mm, that
        is overwritten afterwards. It is called in several threads.

    Returns
    -------
    codes, backwards : ndarray, shape (n_streamlines,)
        As of `resample_lines`.
    results : list of ndarray
        What the calls returned, in the order of the streamlines.
    """
    n_streamlines = len(streamlines)
    compiled = is_compiled()
    if compiled:
        prepared = _Prepared(streamlines, rules)
        codes, backwards = prepared.codes, prepared.backwards.view(bool)
    else:
        codes = np.empty(n_streamlines, dtype=np.int8)
        backwards = np.empty(n_streamlines, dtype=bool)
    own = threading.local()

    def block(start):
        some = slice(start, min(start + SMALL_BLOCK, n_streamlines))
        if not hasattr(own, "points"):
            own.points = np.empty((SMALL_BLOCK, n_points, 3), dtype=np.float32)
        points = own.points[: some.stop - start]
        if compiled:
            n_rows = prepared.resample(some, points)
        else:
            codes[some], backwards[some] = _with_numpy(streamlines[some], rules, points)
            n_rows = int(np.count_nonzero(codes[some] == 0))
        return work(points[:n_rows])

    results = in_threads(block, range(0, n_streamlines, SMALL_BLOCK))
    return codes, backwards, results


class _Prepared:
    """Streamlines for the compiled loop, and what it finds.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    rules : Rules
        Orientation and limits.
    """

    def __init__(self, streamlines: ArraySequence, rules: Rules) -> None:
        self.numbers, self.begins, self.counts = _numbers(streamlines)
        self.rules = rules
        self.codes = np.empty(len(self.counts), dtype=np.int8)
        self.backwards = np.empty(len(self.counts), dtype=np.uint8)

    def resample(self, some: slice, out: np.ndarray | None) -> int:
        """Handle some streamlines, and return the number of rows of ``out``."""
        rules = self.rules
        return resample_block(
            self.numbers,
            self.begins[some],
            self.counts[some],
            3,
            None,
            rules.axis,
            SAME_POINT,
            LARGEST_COORDINATE,
            rules.min_length,
            np.inf if rules.max_length is None else rules.max_length,
            self.codes[some],
            self.backwards[some],
            out,
        )


def _numbers(streamlines):
    """Return all coordinates, where streamlines begin in them, and their lengths."""
    data: Any = streamlines._data if type(streamlines) is ArraySequence else None
    if (
        type(data) is np.ndarray
        and data.dtype in (np.float32, np.float64)
        and data.ndim == 2
        and data.flags.c_contiguous
    ):
        counts = np.asarray(streamlines._lengths, dtype=np.int64)
        first = np.asarray(streamlines._offsets, dtype=np.int64)
    else:
        data, counts = flat_points(streamlines)
        # The compiled loop reads numbers of the machine's own byte order only.
        kind = np.float64 if data.dtype == np.float64 else np.float32
        data = np.ascontiguousarray(data, dtype=kind)
        first = np.cumsum(counts) - counts
    if len(counts) and (
        min(first.min(), counts.min()) < 0 or (first > len(data) - counts).any()
    ):
        raise IndexError("Streamlines refer to points that do not exist.")
    return data.reshape(-1), 3 * first, np.ascontiguousarray(counts)


def _close_gaps(out, starts, n_rows):
    """Move rows of blocks up to those of the block before."""
    done = 0
    for start, count in zip(starts, n_rows):
        if done < start and count:
            # NumPy copies first what would be overwritten.
            out[done : done + count] = out[start : start + count]
        done += count


def _with_numpy(streamlines, rules, out):
    """Do what the compiled loop does."""
    codes = _reject_codes(streamlines, rules)
    backwards = np.zeros(len(codes), dtype=bool)
    kept = np.flatnonzero(codes == 0)
    if not len(kept) or (out is None and rules.axis is None):
        return codes, backwards
    some = streamlines[kept] if len(kept) < len(codes) else streamlines
    if rules.axis is not None:
        # Before resampling: its rounding depends on the direction.
        turned = backwards[kept] = runs_backwards(some, rules.axis)
        some = reverse(some, turned)
    if out is not None:
        points, counts = flat_points(some)
        # DIPY's resampling supports float32 and float64 only, and contiguous rows.
        ready = from_flat(np.ascontiguousarray(points, dtype=np.float32), counts)
        made = set_number_of_points(ready, nb_points=out.shape[1])
        out[: len(kept)] = made.get_data().reshape(len(kept), *out.shape[1:])
    return codes, backwards


def _reject_codes(streamlines, rules):
    """Find why streamlines are rejected."""
    n_streamlines = len(streamlines)
    codes = np.zeros(n_streamlines, dtype=np.int8)
    if n_streamlines == 0:
        return codes
    points, counts = flat_points(streamlines)
    owner = np.repeat(np.arange(n_streamlines), counts)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(points).max(axis=1, initial=0) <= LARGEST_COORDINATE)
    steps = np.diff(np.where(bad[:, None], 0, points).astype(np.float64), axis=0)
    inside = owner[1:] == owner[:-1]
    x, y, z = steps.T
    lengths = np.bincount(
        owner[1:][inside],
        # The sum is explicit, so that its rounding is that of the compiled loop.
        weights=np.sqrt(x * x + y * y + z * z)[inside],
        minlength=n_streamlines,
    )
    if rules.max_length is not None:
        codes[lengths > rules.max_length] = REJECT_REASONS.index("too_long")
    codes[lengths < rules.min_length] = REJECT_REASONS.index("too_short")
    codes[lengths <= SAME_POINT] = REJECT_REASONS.index("too_few_points")
    codes[np.unique(owner[bad])] = REJECT_REASONS.index("non_finite")
    return codes
