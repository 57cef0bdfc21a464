"""Streamlines to train on as principal coefficients, in 260 bytes each.

What the dense networks need of a streamline are 64 coefficients and the squared norm of
the rest. Its points are read again instead of kept. A first reading finds the axis, to
orient it, and centre and scale; a second one adds up mean and covariance; a third one
projects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.streamlines.orientation import from_flat, runs_backwards
from dipy_tractoencoder.streamlines.pca import Moments
from dipy_tractoencoder.training.coefficient_trainer import (
    ROWS_AT_A_TIME,
    Coefficients,
)
from dipy_tractoencoder.training.dataset import ReadCounts, nothing_left
from dipy_tractoencoder.utils.blocks import FixedBlocks

if TYPE_CHECKING:
    from dipy_tractoencoder.streamlines.pca import PrincipalDirections
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
    from dipy_tractoencoder.training.reader import RepeatedReader


class CoefficientData(ReadCounts):
    """Streamlines to train on that are read again when they are needed.

    Parameters
    ----------
    training : RepeatedReader
        Streamlines that axis, centre and scale are fitted to.
    preprocessing : Preprocessing
        Its ``n_points``, ``orientation`` and length limits are used.
    validation : RepeatedReader, optional
        Streamlines that are appended.
    normalise : bool, optional
        Fit centre and scale; otherwise coordinates stay in mm.

    Attributes
    ----------
    source : ndarray, shape (n_streamlines,), int32
        Index of the tractogram that each streamline comes from.
    preprocessing : Preprocessing
        Preprocessing with axis, centre and scale.
    reads : tuple of dict
        As in `TrainingData`.

    Raises
    ------
    EmptyDataError
        If there is no streamline to train on, or none to validate on.
    """

    def __init__(
        self,
        training: RepeatedReader,
        preprocessing: Preprocessing,
        *,
        validation: RepeatedReader | None = None,
        normalise: bool = True,
    ) -> None:
        if len(training) == 0:
            raise nothing_left(training.reads)
        if validation is not None and len(validation) == 0:
            raise EmptyDataError("No streamline is left to validate on.")
        self.readers = [training] if validation is None else [training, validation]
        if preprocessing.orientation == "canonical":
            preprocessing = replace(preprocessing, axis=training.axis())
        if normalise:
            centre, scale = training.normalisation()
            preprocessing = replace(preprocessing, centre=centre, scale=scale)
        self.preprocessing = preprocessing
        self.source = np.concatenate([reader.source for reader in self.readers])
        self.reads = tuple(read for reader in self.readers for read in reader.reads)
        self._moments: tuple = ()
        self._kept_rows = np.empty(0, dtype=int)
        self._kept = np.empty((0, preprocessing.n_points, 3), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def identity(self) -> np.ndarray:
        """Digest of all streamlines read, as bytes."""
        marks = b"".join(mark for reader in self.readers for mark in reader.marks)
        return np.frombuffer(hashlib.sha256(marks).digest(), dtype=np.uint8)

    def survey(self, held_out: np.ndarray, keep: np.ndarray) -> None:
        """Read the streamlines once more, and add up mean and covariance.

        Parameters
        ----------
        held_out : ndarray, shape (n_streamlines,), bool
            True for validation streamlines.
        keep : ndarray of int
            Rows of the streamlines whose points `some` will return.
        """
        self._kept_rows = np.unique(keep)
        self._kept = np.empty((len(self._kept_rows), *self._kept.shape[1:]), "f4")
        training, validation = Moments(), Moments()
        for start, points in self._oriented():
            here = held_out[start : start + len(points)]
            normalised = self.preprocessing.normalise(points)
            training.add(normalised[~here])
            validation.add(normalised[here])
            first, last = np.searchsorted(self._kept_rows, [start, start + len(points)])
            self._kept[first:last] = points[self._kept_rows[first:last] - start]
        self._moments = (training, validation)

    def some(self, rows: np.ndarray) -> np.ndarray:
        """Return streamlines in mm; only those that `survey` kept.

        Parameters
        ----------
        rows : ndarray of int
            Which streamlines.

        Returns
        -------
        points : ndarray, shape (n_rows, n_points, 3), float32
            Streamlines in the orientation of the preprocessing, RASMM, mm.
        """
        return self._kept[np.searchsorted(self._kept_rows, rows)]

    def coefficients(
        self, held_out: np.ndarray | None, n_components: int
    ) -> tuple[Coefficients, np.ndarray]:
        """Read the streamlines once more, and project them.

        Parameters
        ----------
        held_out : ndarray, shape (n_streamlines,), bool, or None
            True for validation streamlines, as for `survey`; None to train on all.
        n_components : int
            Number of principal directions.

        Returns
        -------
        training : Coefficients
            Inputs of the training streamlines, and their principal directions.
        validation : ndarray, shape (n_validation, n_components + 1), float32
            Inputs of the validation streamlines.
        """
        principal = self._principal(held_out is None, n_components)
        if held_out is None:
            held_out = np.zeros(len(self), dtype=bool)
        n_validation = int(held_out.sum())
        sides = [
            _Inputs(principal, self.preprocessing, n)
            for n in (len(self) - n_validation, n_validation)
        ]
        for start, points in self._oriented():
            here = held_out[start : start + len(points)]
            for side, rows in zip(sides, (~here, here)):
                side.blocks.add(points[rows])
        training, validation = (side.finished() for side in sides)
        return Coefficients(principal, training), validation

    def _principal(self, of_all: bool, n_components: int) -> PrincipalDirections:
        """Compute principal directions in normalised coordinates."""
        training, validation = self._moments
        moments = training + validation if of_all else training
        return moments.principal(n_components)

    def _oriented(self) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over first row and points (mm) of chunks of streamlines."""
        start = 0
        for reader in self.readers:
            for points in reader.points():
                if self.preprocessing.orientation == "canonical":
                    axis = self.preprocessing.axis
                    counts = np.full(len(points), points.shape[1])
                    lines = from_flat(points.reshape(-1, 3), counts)
                    backwards = runs_backwards(lines, axis)
                    points = points.copy()
                    points[backwards] = points[backwards, ::-1]
                yield start, points
                start += len(points)


class _Inputs:
    """Training inputs that are filled block by block."""

    def __init__(self, principal, preprocessing, n_streamlines):
        self.principal, self.preprocessing = principal, preprocessing
        shape = (n_streamlines, principal.n_components + 1)
        self.inputs = np.empty(shape, dtype=np.float32)
        self.blocks = FixedBlocks(ROWS_AT_A_TIME, self._fill)
        self._filled = 0

    def _fill(self, points):
        normalised = self.preprocessing.normalise(points)
        stop = self._filled + len(points)
        self.inputs[self._filled : stop] = self.principal.whitened(normalised)
        self._filled = stop

    def finished(self):
        """Return all inputs."""
        self.blocks.finish()
        return self.inputs
