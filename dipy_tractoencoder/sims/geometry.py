"""Shape of the FiberCup phantom: image space, bundles, junctions, white matter.

The phantom :footcite:p:`Poupon2008` is a slab of three slices in which seven bundles
cross, touch and fork; it was used in the FiberCup tractography contest
:footcite:p:`Fillard2011`, and later scored with the Tractometer
:footcite:p:`Cote2013`. Its data are not included; the centre lines were read from it
with an accuracy of 0.5 voxels. Coordinates are RASMM, in mm, unless voxels are
mentioned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

DIMENSIONS = (64, 64, 3)
VOXEL_SIZE = 3.0  # mm
AFFINE = np.diag([VOXEL_SIZE, VOXEL_SIZE, VOXEL_SIZE, 1.0])
HALF_WIDTH = 6.0  # mm, of every bundle
MID_HEIGHT = VOXEL_SIZE  # z of the middle slice, mm

# Centre lines in voxels (x, y). That of A is shifted by a quarter of a voxel, so that
# its borders do not pass through voxel centres.
WAYPOINTS = {
    "A": ((12.1, 38.75), (48.5, 38.75)),
    "U": (
        (22.6, 48.9),
        (22.9, 45.5),
        (23.7, 42.5),
        (25, 40.5),
        (26.5, 39.5),
        (28.5, 38.5),
        (30.6, 38.2),
        (32.7, 38.5),
        (34.5, 39.5),
        (36.8, 41.5),
        (37.8, 43.5),
        (38.4, 48.9),
    ),
    "B": (
        (16, 44),
        (18, 38.5),
        (20.3, 32.5),
        (22.5, 26.5),
        (24.6, 22.5),
        (27.7, 19.5),
        (31.1, 16),
        (34.7, 12.5),
        (39.3, 7.7),
    ),
    "S": (
        (10, 22.9),
        (18.5, 22.5),
        (19.5, 21.5),
        (20.1, 20),
        (19.5, 18.5),
        (18.5, 17.5),
        (10.3, 17),
    ),
    "E1": (
        (22.8, 7.6),
        (31.1, 16),
        (34.7, 19.5),
        (36.6, 21.5),
        (38.5, 22.7),
        (52, 22.7),
    ),
    "E2": (
        (22.8, 7.6),
        (31.1, 16),
        (36.6, 21.5),
        (41.7, 26.5),
        (45.7, 30.5),
        (49.7, 34.6),
    ),
    "E3": (
        (22.8, 7.6),
        (31.1, 16),
        (36.6, 21.5),
        (38.4, 26.5),
        (40.5, 32.5),
        (42.6, 38.5),
        (44.8, 44.7),
    ),
}
BUNDLES = tuple(WAYPOINTS)  # the position is the bundle's code
TRUNK = ("E1", "E2", "E3")  # have their first part in common, up to (36.6, 21.5)

# Where two bundles cross, touch or separate, voxel (x, y), and the pairs of arms that
# wrong turns connect: 0 is the arm towards the first waypoint, 1 towards the last.
_ALL_ARMS = ((0, 0), (0, 1), (1, 0), (1, 1))
JUNCTIONS = (
    ("A", "B", (17.8, 39), _ALL_ARMS),
    ("A", "E3", (42.7, 39), _ALL_ARMS),
    ("B", "E1", (31.1, 16), _ALL_ARMS),
    ("B", "E2", (31.1, 16), ((0, 1), (1, 1))),
    ("B", "E3", (31.1, 16), ((0, 1), (1, 1))),
    ("A", "U", (27.5, 39), ((0, 1),)),
    ("A", "U", (33.5, 39), ((1, 0),)),
    ("E1", "E2", (37.5, 22.2), ((1, 1),)),
    ("E1", "E3", (37.5, 22.5), ((1, 1),)),
    ("E2", "E3", (37.5, 23.0), ((1, 1),)),
)

_LINE_STEP = 0.25  # mm between points of a centre line
_CORNER = 3.0  # mm, standard deviation of the Gaussian that rounds the corners


@dataclass(frozen=True)
class CentreLine:
    """Centre line of a bundle, as a curve in the plane of the slices.

    Attributes
    ----------
    along : ndarray, shape (n_points,)
        Distance from the first point along the curve, mm.
    points : ndarray, shape (n_points, 2)
        Points (x, y), mm.
    tangents, normals : ndarray, shape (n_points, 2)
        Unit vectors along the curve, and to its left.
    """

    along: np.ndarray
    points: np.ndarray
    tangents: np.ndarray
    normals: np.ndarray

    @property
    def length(self) -> float:
        """Length of the curve, mm."""
        return self.along[-1]

    def at(
        self, along: Sequence[float] | np.ndarray, offset: float | np.ndarray
    ) -> np.ndarray:
        """Return points at given distances along the curve and to its left.

        Parameters
        ----------
        along : array_like, shape (n_points,)
            Distance along the curve, mm.
        offset : array_like, shape (n_points,) or float
            Distance to the left of the curve, mm.

        Returns
        -------
        points : ndarray, shape (n_points, 2)
            Points (x, y), mm.
        """
        x, y, normal_x, normal_y = (
            np.interp(along, self.along, values)
            for values in (*self.points.T, *self.normals.T)
        )
        return np.stack([x + offset * normal_x, y + offset * normal_y], axis=1)

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest point of the curve.

        Parameters
        ----------
        points : ndarray, shape (..., 2)
            Points (x, y), mm.

        Returns
        -------
        distance : ndarray, shape (...,)
            Distance to the curve, mm.
        number : ndarray, shape (...,), int
            Index of the nearest point of the curve.
        """
        return cKDTree(self.points).query(points)


@cache
def centre_line(bundle: str) -> CentreLine:
    """Return the smoothed centre line of a bundle.

    Parameters
    ----------
    bundle : str
        One of ``BUNDLES``.

    Returns
    -------
    line : CentreLine
        Centre line, mm; shared, so do not modify it.
    """
    corners = np.array(WAYPOINTS[bundle]) * VOXEL_SIZE
    points = evenly(corners, _LINE_STEP)
    # Point reflection at the ends keeps them in place during smoothing.
    margin = int(4 * _CORNER / _LINE_STEP)
    before = 2 * points[0] - points[margin:0:-1]
    after = 2 * points[-1] - points[-2 : -margin - 2 : -1]
    mirrored = np.concatenate([before, points, after])
    rounded = gaussian_filter1d(mirrored, _CORNER / _LINE_STEP, axis=0)
    points = evenly(rounded[margin:-margin], _LINE_STEP)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1)
    return CentreLine(lengths_along(points), points, tangents, normals)


@cache
def fibercup_mask() -> np.ndarray:
    """Return the white-matter mask: voxels whose centre lies in a bundle.

    Returns
    -------
    mask : ndarray, shape (64, 64, 3), bool
        Mask with three equal slices; shared, so it cannot be modified.

    Examples
    --------
    >>> from dipy_tractoencoder.sims.geometry import fibercup_mask
    >>> mask = fibercup_mask()
    >>> mask.shape, int(mask.sum())
    ((64, 64, 3), 2106)
    """
    x, y = np.indices(DIMENSIONS[:2]) * VOXEL_SIZE
    inside = np.any(bundles_at(np.stack([x, y], axis=-1)), axis=-1)
    mask = np.repeat(inside[..., None], DIMENSIONS[2], axis=2)
    mask.flags.writeable = False
    return mask


def bundles_at(points: np.ndarray) -> np.ndarray:
    """Find the bundles that contain each point.

    Parameters
    ----------
    points : ndarray, shape (..., 2)
        Points (x, y), mm.

    Returns
    -------
    covered : ndarray, shape (..., 7), bool
        Whether the point is within 6 mm of the bundle's centre line, and not beyond
        its ends.
    """
    covered = []
    for line in map(centre_line, BUNDLES):
        distance, number = line.nearest(points)
        step = points - line.points[number]
        ahead = np.einsum("...i,...i->...", step, line.tangents[number])
        last = len(line.points) - 1
        beyond = ((number == 0) & (ahead < 0)) | ((number == last) & (ahead > 0))
        covered.append((distance <= HALF_WIDTH) & ~beyond)
    return np.stack(covered, axis=-1)


def in_white_matter(points: np.ndarray) -> np.ndarray:
    """Find the points that lie in voxels of the white-matter mask.

    Parameters
    ----------
    points : ndarray, shape (n_points, 3)
        Points, RASMM, mm.

    Returns
    -------
    inside : ndarray, shape (n_points,), bool
        Whether each point lies in the mask; False outside the image.
    """
    voxels = np.floor(np.asarray(points) / VOXEL_SIZE + 0.5).astype(int)
    fits = np.all((voxels >= 0) & (voxels < DIMENSIONS), axis=1)
    voxels[~fits] = 0
    return fits & fibercup_mask()[tuple(voxels.T)]


def lengths_along(points: np.ndarray) -> np.ndarray:
    """Compute the distance along a curve for each of its points.

    Parameters
    ----------
    points : ndarray, shape (n_points, n_axes)
        Points of the curve.

    Returns
    -------
    along : ndarray, shape (n_points,)
        Distance from the first point along the curve, in the same unit.
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def evenly(points: np.ndarray, step: float) -> np.ndarray:
    """Resample a curve to equally spaced points.

    Parameters
    ----------
    points : ndarray, shape (n_points, n_axes)
        Points of the curve.
    step : float
        Approximate distance between the new points, in the same unit.

    Returns
    -------
    points : ndarray, shape (n_new_points, n_axes)
        Resampled curve with the same ends.
    """
    along = lengths_along(points)
    wanted = np.linspace(0, along[-1], max(2, round(along[-1] / step) + 1))
    return np.stack([np.interp(wanted, along, values) for values in points.T], axis=1)
