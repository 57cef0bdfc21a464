"""Read tractograms as often as needed instead of keeping their points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InputFileError, check_number
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.streamlines.orientation import flat_points
from dipy_tractoencoder.streamlines.preprocessing import fit_axis
from dipy_tractoencoder.training.dataset import chunks_of, count_chunk
from dipy_tractoencoder.utils.reservoir import UniformSample

if TYPE_CHECKING:
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

# Resampled points that are kept in memory (bytes) instead of being read again.
MOST_KEPT = 2**26
# Resampled at a time. The arrays made of more take more memory than what is kept.
ROWS_AT_A_TIME = 4096


class RepeatedReader:
    """Tractograms to go through several times; a first reading counts streamlines.

    Few streamlines are kept in memory after the first reading. So are those that can be
    read only once, such as from a generator.

    Parameters
    ----------
    tractograms : iterable of tractograms
        StatefulTractogram, TractogramChunks or sequence of ndarray each; RASMM, mm.
    preprocessing : Preprocessing
        Its ``n_points`` and length limits are used.
    max_streamlines : int, optional
        Use a uniform random subset of this size.
    seed : int, optional
        Seed of the random subset.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space.
    first : int, optional
        Index of the first tractogram, in ``source`` and ``alignments``.

    Attributes
    ----------
    source : ndarray, shape (n_streamlines,), int32
        Index of the tractogram that each streamline comes from.
    reads : list of dict
        Per tractogram "n_read", "rejects" and "digest"; see `TrainingData`.
    marks : list of bytes
        Digest of all points of each tractogram.
    """

    def __init__(
        self,
        tractograms: Iterable,
        preprocessing: Preprocessing,
        *,
        max_streamlines: int | None = None,
        seed: int = 0,
        alignments: Sequence[Alignment | None] | None = None,
        first: int = 0,
    ) -> None:
        if max_streamlines is not None:
            check_number("max_streamlines", max_streamlines, low=1, integer=True)
        self.preprocessing = replace(preprocessing, orientation="as_is")
        self.alignments = alignments
        self.first = first
        self.reads: list[dict] = []
        self.marks: list[bytes] = []
        self._origin = np.zeros(3)
        self._tractograms = tractograms
        self._scan(max_streamlines, seed)

    def __len__(self) -> int:
        return len(self.source)

    def _scan(self, max_streamlines, seed):
        """Read everything once: count, and keep what is needed to orient."""
        once = _once(self._tractograms)
        used = UniformSample(max_streamlines, seed)
        # The same seed draws the same rows.
        kept: Any = UniformSample(max_streamlines, seed)
        n_kept = 0
        for number, tractogram in enumerate(self._tractograms, start=self.first):
            read: dict = {"n_read": 0, "rejects": {}}
            mark = _Mark()
            for lines in self._chunks(tractogram, number):
                mark.add(lines)
                array = self.preprocessing.array(lines)
                count_chunk(read, array)
                if n_kept == 0 and len(array):
                    self._origin = array.points[0, 0].astype(np.float64)
                used.add(
                    np.full(len(array), number, dtype=np.int32),
                    np.arange(n_kept, n_kept + len(array)),
                    array.points[:, -1] - array.points[:, 0],
                    *_sums(array.points, self._origin),
                )
                n_kept += len(array)
                if kept is None:
                    continue
                kept.add(array.points)
                if not once and len(kept) * array.points[:1].nbytes > MOST_KEPT:
                    kept = None
            self.reads.append(read)
            self.marks.append(mark.digest())
        self.source, self._rows, self._points = np.empty(0, np.int32), None, None
        if n_kept == 0:
            return
        self.source, rows, self._steps, totals, squares = used.columns()
        self._totals = (totals.sum(axis=0), squares.sum())
        if len(rows) < n_kept:
            self._rows = rows  # Otherwise all that are not rejected.
        if kept is not None:
            (self._points,) = kept.columns()

    def axis(self) -> tuple:
        """Find the axis of the canonical orientation, once.

        Returns
        -------
        axis : tuple of float, length 3
            See `preprocessing.fit_axis`.
        """
        ends = np.zeros((len(self), 2, 3), dtype=np.float32)
        ends[:, 1] = self._steps
        del self._steps
        return fit_axis(ends)

    def normalisation(self) -> tuple[tuple, float]:
        """Compute centre and scale as `preprocessing.fit_normalisation` does.

        Returns
        -------
        centre : tuple of float, length 3
            Mean of all points, RASMM, mm.
        scale : float
            Root mean square of the centred coordinates, mm; 1 if all points coincide.
        """
        n_all = len(self) * self.preprocessing.n_points
        total, squares = self._totals
        mean = total / n_all
        squared = max(squares / n_all - np.square(mean).sum(), 0.0) / 3
        scale = float(np.sqrt(squared))
        centre = tuple(float(value) for value in self._origin + mean)
        return centre, scale if scale > 0 else 1.0

    def points(self) -> Iterator[np.ndarray]:
        """Iterate over the streamlines that are used, in their order.

        Yields
        ------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Resampled streamlines in the direction of the tractogram, RASMM, mm; not to
            be written to.

        Raises
        ------
        InputFileError
            If a tractogram is no longer what it was at the first reading.
        """
        if self._points is not None:
            for start in range(0, len(self), ROWS_AT_A_TIME):
                yield self._points[start : start + ROWS_AT_A_TIME]
            return
        done = count = 0
        for count, tractogram in enumerate(self._tractograms, start=1):
            if count > len(self.reads):
                break
            for points in self._again(tractogram, count - 1):
                done += len(points)
                if self._rows is None:
                    yield points
                    continue
                first, last = np.searchsorted(self._rows, [done - len(points), done])
                yield points[self._rows[first:last] - (done - len(points))]
        if count != len(self.reads):
            more = "more" if count > len(self.reads) else count
            raise InputFileError(
                f"There were {len(self.reads)} tractograms at the first reading, and "
                f"{more} at a later one. Give a list of them."
            )

    def _again(self, tractogram, number):
        """Iterate over the points of a tractogram as it was at the first reading."""
        read = self.reads[number]
        n_left = read["n_read"] - sum(read["rejects"].values())
        n_read, mark = 0, _Mark()
        for lines in self._chunks(tractogram, self.first + number):
            mark.add(lines)
            array = self.preprocessing.array(lines)
            n_read += array.n_streamlines
            n_left -= len(array)
            if n_left < 0:
                break
            yield array.points
        if mark.digest() == self.marks[number]:
            return
        name = getattr(tractogram, "path", f"Tractogram {number + 1}")
        before = read["n_read"]
        what = f"{before} streamlines at the first reading, and {n_read} at a later one"
        if n_left < 0:
            what = (
                f"{before} streamlines at the first reading, and others at a later one"
            )
        elif n_read == before:
            what = f"{before} streamlines, which were others at a later reading"
        raise InputFileError(
            f"{name} has changed while the training read it: it had {what}. Train "
            "again when nothing writes to it any more."
        )

    def _chunks(self, tractogram: Any, number: int) -> Iterator[ArraySequence]:
        """Iterate over the chunks of a tractogram, moved by its transform."""
        found = None
        if self.alignments is not None and number < len(self.alignments):
            found = self.alignments[number]
        for chunk in chunks_of(tractogram):
            lines = as_sequence(aligned(chunk, found))
            for start in range(0, len(lines), ROWS_AT_A_TIME):
                yield lines[start : start + ROWS_AT_A_TIME]


def _sums(points, origin):
    """Sum coordinates and squares of the points of each streamline, from an origin."""
    off = points - origin
    return off.sum(axis=1), np.einsum("ijk,ijk->i", off, off)


class _Mark:
    """Digest of the streamlines of a tractogram, however they come in chunks."""

    def __init__(self):
        self._points, self._counts = hashlib.sha256(), hashlib.sha256()

    def add(self, lines):
        """Add a chunk."""
        points, counts = flat_points(lines)
        self._points.update(np.ascontiguousarray(points).data)
        self._counts.update(np.ascontiguousarray(counts).data)

    def digest(self):
        """Return the digest of all that was added."""
        return self._points.digest() + self._counts.digest()


def _once(tractograms):
    """Return whether tractograms, or one of a list of them, can be read only once."""
    return isinstance(tractograms, Iterator) or (
        isinstance(tractograms, (list, tuple))
        and any(isinstance(item, Iterator) for item in tractograms)
    )
