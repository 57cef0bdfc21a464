"""What happens to streamlines before the network, learned once and kept with it."""

from dataclasses import asdict, dataclass

import numpy as np

from dipy_tractoencoder.errors import check_choice, check_number
from dipy_tractoencoder.streamlines.array import ORIENTATIONS, to_array


@dataclass(frozen=True)
class Preprocessing:
    """Clean, orient and resample streamlines, and normalise their coordinates.

    Attributes
    ----------
    n_points : int
        Points per resampled streamline.
    orientation : {"canonical", "augment", "as_is"}
        "canonical" gives a streamline and its reverse the same array, "augment"
        turns streamlines at random in training, "as_is" keeps the file's order.
    axis : tuple of float, length 3
        RASMM direction that "canonical" streamlines follow from end to end.
    centre : tuple of float, length 3
        RASMM, mm; subtracted from each point.
    scale : float
        mm; coordinates are divided by it after centring.
    min_length, max_length : float or None
        Lengths in mm outside of which a streamline is left out.
    """

    n_points: int = 256
    orientation: str = "canonical"
    axis: tuple = (0.0, 0.0, 1.0)
    centre: tuple = (0.0, 0.0, 0.0)
    scale: float = 1.0
    min_length: float = 0.0
    max_length: float | None = None

    def __post_init__(self):
        check_number("n_points", self.n_points, low=2, integer=True)
        check_choice("orientation", self.orientation, ORIENTATIONS)
        check_number("scale", self.scale, above=0)
        check_number("min_length", self.min_length, low=0)
        if self.max_length is not None:
            check_number("max_length", self.max_length, above=self.min_length)

    def array(self, streamlines):
        """Streamlines as an array of oriented, resampled points.

        Parameters
        ----------
        streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
            Streamlines, RASMM, mm.

        Returns
        -------
        array : StreamlineArray
            Rows kept, mm, and their numbers in ``streamlines``.
        """
        return to_array(
            streamlines,
            self.n_points,
            orientation=self.orientation,
            axis=self.axis,
            min_length=self.min_length,
            max_length=self.max_length,
        )

    def normalise(self, points):
        """From mm to the network's coordinates.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            RASMM, mm.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Centred and scaled, without unit.
        """
        centre = np.asarray(self.centre, dtype=np.float32)
        return (points - centre) * np.float32(1 / self.scale)

    def denormalise(self, points):
        """From the network's coordinates back to mm.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Centred and scaled, without unit.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            RASMM, mm.
        """
        centre = np.asarray(self.centre, dtype=np.float32)
        return points * np.float32(self.scale) + centre

    def to_dict(self):
        """Attributes as plain numbers and lists, for a file."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values):
        """Build from what `to_dict` gave."""
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )


def fit_axis(streamlines, *, n_candidates=512):
    """Direction that few streamlines cross at a right angle from end to end.

    Near a right angle to the axis, similar streamlines may end up running against
    each other under the "canonical" orientation. Of evenly spread directions this
    takes the one with the greatest mean logarithm of the angle's cosine, which a
    few near-perpendicular streamlines lower more than many aligned ones raise.

    Parameters
    ----------
    streamlines : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm; either direction.
    n_candidates : int, optional
        Directions tried, on a Fibonacci half sphere.

    Returns
    -------
    axis : tuple of float, length 3
        Unit vector, RASMM.
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
    # The constant keeps one perpendicular streamline from deciding alone.
    clearance = np.log(np.abs(ends @ axes.T) + 0.05).mean(axis=0)
    return tuple(float(value) for value in axes[clearance.argmax()])


def fit_normalisation(points):
    """Centre and one isotropic scale of a set of streamlines.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.

    Returns
    -------
    centre : tuple of float, length 3
        Mean of all points, mm.
    scale : float
        Root mean square of the centred coordinates, mm; 1 if they are constant.
    """
    centre = points.mean(axis=(0, 1), dtype=np.float64)
    second_moment = sum(
        np.square(points[:, :, k] - centre[k], dtype=np.float64).mean()
        for k in range(3)
    )
    scale = float(np.sqrt(second_moment / 3))
    return tuple(float(value) for value in centre), scale if scale > 0 else 1.0
