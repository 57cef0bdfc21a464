"""Preprocessing of streamlines, fitted to training data and stored with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    check_choice,
    check_number,
    format_received,
)
from dipy_tractoencoder.streamlines.array import (
    ORIENTATIONS,
    Rows,
    StreamlineArray,
    map_array,
    to_array,
)
from dipy_tractoencoder.streamlines.resampling import Rules

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

# Streamlines compared with all candidates for the axis at a time.
AXIS_ROWS = 2048


@dataclass(frozen=True)
class Preprocessing:
    """Clean, orient and resample streamlines, and normalise their coordinates.

    Attributes
    ----------
    n_points : int
        Number of points per resampled streamline.
    orientation : {"canonical", "augment", "as_is"}
        "canonical": a streamline and its reverse give the same array. "augment":
        streamlines are reversed at random in training. "as_is": the direction in the
        file is kept.
    axis : tuple of float, length 3
        Direction in RASMM that "canonical" streamlines follow from end to end.
    centre : tuple of float, length 3
        Point subtracted from each point, RASMM, mm.
    scale : float
        Divisor of the coordinates after centring, mm.
    min_length : float
        Shortest streamline to keep, mm.
    max_length : float or None
        Longest streamline to keep, mm; None for no limit.

    Raises
    ------
    InvalidArgumentError
        If a value is out of range.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> preprocessing = dte.Preprocessing(n_points=32, scale=50.0, min_length=60)
    >>> array = preprocessing.array(made.streamlines)
    >>> preprocessing.normalise(array.points).shape, array.rejects
    ((36, 32, 3), {'too_short': 7})
    """

    n_points: int = 256
    orientation: str = "canonical"
    axis: tuple = (0.0, 0.0, 1.0)
    centre: tuple = (0.0, 0.0, 0.0)
    scale: float = 1.0
    min_length: float = 0.0
    max_length: float | None = None

    def __post_init__(self) -> None:
        check_number("n_points", self.n_points, low=2, integer=True)
        check_choice("orientation", self.orientation, ORIENTATIONS)
        check_number("scale", self.scale, above=0)
        for name in ("axis", "centre"):
            values = getattr(self, name)
            if len(values) != 3 or not np.isfinite(values).all():
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected three finite "
                    f"numbers. Received: {format_received(values)}."
                )
        if not np.float32(self.scale) > 0 or not np.isfinite(
            np.float32(1 / self.scale)
        ):
            raise InvalidArgumentError(
                "Invalid value received for `scale`. Expected mm, as float32 holds "
                f"them. Received: {self.scale!r}."
            )
        check_number("min_length", self.min_length, low=0)
        if self.max_length is not None:
            check_number("max_length", self.max_length, above=self.min_length)

    def array(
        self, streamlines: StatefulTractogram | ArraySequence | Iterable[np.ndarray]
    ) -> StreamlineArray:
        """Reject, orient and resample streamlines.

        Parameters
        ----------
        streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
            Streamlines, RASMM, mm.

        Returns
        -------
        array : StreamlineArray
            Resampled streamlines, mm, and their positions in ``streamlines``.

        Raises
        ------
        InvalidArgumentError
            If ``streamlines`` are not streamlines.
        """
        return to_array(
            streamlines,
            self.n_points,
            orientation=self.orientation,
            axis=self.axis,
            min_length=self.min_length,
            max_length=self.max_length,
        )

    def map_array(
        self,
        streamlines: StatefulTractogram | ArraySequence | Iterable[np.ndarray],
        work: Callable[[np.ndarray], np.ndarray],
    ) -> tuple[Rows, list[np.ndarray]]:
        """Call a function for blocks of what `array` returns, without keeping points.

        Parameters
        ----------
        streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
            Streamlines, RASMM, mm.
        work : callable
            Function of points, an ndarray of float32 of shape (any, n_points, 3), mm,
            that is overwritten afterwards. It is called in several threads.

        Returns
        -------
        rows : Rows
            Positions in ``streamlines`` of the rows of the results.
        results : list of ndarray
            What the calls returned, in the order of the streamlines.

        Raises
        ------
        InvalidArgumentError
            If ``streamlines`` are not streamlines.
        """
        axis = self.axis if self.orientation == "canonical" else None
        rules = Rules(axis, self.min_length, self.max_length)
        return map_array(streamlines, self.n_points, rules, work)

    def normalise(self, points: np.ndarray) -> np.ndarray:
        """Convert mm to the network's coordinates.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines, RASMM, mm.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Centred and scaled points, without unit.
        """
        centre = np.asarray(self.centre, dtype=np.float32)
        return (points - centre) * np.float32(1 / self.scale)

    def denormalise(self, points: np.ndarray) -> np.ndarray:
        """Convert the network's coordinates back to mm.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Centred and scaled points, without unit.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Streamlines, RASMM, mm.
        """
        centre = np.asarray(self.centre, dtype=np.float32)
        return points * np.float32(self.scale) + centre

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain numbers and lists, for storing in a file."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Create an instance from the result of `to_dict`."""
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)


def fit_axis(streamlines: np.ndarray, *, n_candidates: int = 512) -> tuple:
    """Find the axis of the "canonical" orientation for a set of streamlines.

    Similar streamlines whose end-to-end vectors are nearly perpendicular to the axis
    may get opposite directions. Of evenly distributed directions, this function selects
    the one with the largest mean logarithm of the absolute cosine of the angle to the
    end-to-end vectors, which penalises perpendicular streamlines most.

    Parameters
    ----------
    streamlines : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines in any direction, RASMM, mm.
    n_candidates : int, optional
        Number of directions tried, on a Fibonacci half sphere.

    Returns
    -------
    axis : tuple of float, length 3
        Unit vector in RASMM.
    """
    ends = (streamlines[:, -1] - streamlines[:, 0]).astype(np.float64)
    size = np.linalg.norm(ends, axis=1)
    ends = ends[size > 0] / size[size > 0, None]
    height = (np.arange(n_candidates) + 0.5) / n_candidates
    angle = np.pi * (1 + 5**0.5) * np.arange(n_candidates)
    radius = np.sqrt(1 - height**2)
    axes = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    if len(ends) == 0:
        return (0.0, 0.0, 1.0)
    clearance = np.zeros(n_candidates)
    for start in range(0, len(ends), AXIS_ROWS):
        some = ends[start : start + AXIS_ROWS]
        # The constant limits the influence of single perpendicular streamlines.
        clearance += np.log(np.abs(some @ axes.T) + 0.05).sum(axis=0)
    return tuple(float(value) for value in axes[clearance.argmax()])


def fit_normalisation(points: np.ndarray) -> tuple[tuple, float]:
    """Compute the centre and the isotropic scale of a set of streamlines.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm.

    Returns
    -------
    centre : tuple of float, length 3
        Mean of all points, RASMM, mm.
    scale : float
        Root mean square of the centred coordinates, mm; 1 if all points coincide.
    """
    centre = points.mean(axis=(0, 1), dtype=np.float64)
    second_moment = sum(
        np.square(points[:, :, k] - centre[k], dtype=np.float64).mean()
        for k in range(3)
    )
    scale = float(np.sqrt(second_moment / 3))
    return tuple(float(value) for value in centre), scale if scale > 0 else 1.0
