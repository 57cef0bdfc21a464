"""Along-tract profiles of the displacement of a bundle.

The points of all subjects are assigned to the segments of one core, the mean course of
the bundle in the reference group, as in BUAN :footcite:p:`Chandio2020a`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.latent.reconstruction import reconstruct_points

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

# "residual" and "error" compare with a reconstruction, the others with the core.
MEASURES = ("residual", "error", "displacement", "local_displacement")
RECONSTRUCTING = ("residual", "error")

_SMOOTH_DEGREE = 2  # Of polynomials along the bundle: shift, tilt and bow.
_CORE_ROUNDS = 3  # Iterations of orienting streamlines along the core and averaging.


@dataclass(frozen=True)
class BundleCore:
    """Mean course of a bundle over a group of subjects, cut into segments.

    Attributes
    ----------
    points : ndarray, shape (n_segments, 3), float32
        Centre of each segment, equally spaced; RASMM, mm.
    normals : ndarray, shape (n_segments, 2, 3)
        Two unit vectors perpendicular to the course at each centre.
    """

    points: np.ndarray
    normals: np.ndarray

    def segments(self, points: np.ndarray) -> np.ndarray:
        """Find the nearest segment of each point, with DIPY's ``assignment_map``.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in either direction; RASMM, mm.

        Returns
        -------
        segments : ndarray, shape (n_streamlines * n_points,), int
            Index of the segment of each point, from 0.
        """
        from dipy.stats.analysis import assignment_map
        from dipy.tracking.streamline import Streamlines

        # The model is one streamline: several could give several clusters.
        core, target = Streamlines([self.points]), Streamlines(list(points))
        return assignment_map(target, core, len(self.points))[1]


def fit_core(bundles: Sequence[np.ndarray], n_segments: int = 100) -> BundleCore:
    """Average a bundle over a group of subjects to one core.

    Parameters
    ----------
    bundles : sequence of ndarray, shape (n_streamlines, n_points, 3)
        The same bundle of each subject; streamlines in either direction; RASMM, mm.
    n_segments : int, optional
        Number of segments along the core.

    Returns
    -------
    core : BundleCore
        Mean course, in which each subject has the same weight.

    Raises
    ------
    InvalidArgumentError
        If there are fewer than five segments.
    EmptyDataError
        If a bundle has no streamlines.
    """
    from dipy.tracking.streamline import set_number_of_points

    check_number("n_segments", n_segments, low=5, integer=True)
    if not len(bundles) or not all(map(len, bundles)):
        raise EmptyDataError("Cannot compute a core: a subject has no streamlines.")
    mean = np.asarray(bundles[0][0], dtype=np.float64)
    for _ in range(_CORE_ROUNDS):
        mean = np.mean([_along(points, mean).mean(axis=0) for points in bundles], 0)
    points = set_number_of_points(mean.astype(np.float32), nb_points=n_segments)
    tangents = np.gradient(points.astype(np.float64), axis=0)
    # The last two right singular vectors span the plane across the tangent.
    normals = np.linalg.svd(tangents[:, None, :])[2][:, 1:]
    return BundleCore(points, normals)


def bundle_profile(
    points: np.ndarray,
    core: BundleCore,
    measure: str = "residual",
    reconstructed: np.ndarray | None = None,
    *,
    segments: np.ndarray | None = None,
) -> np.ndarray:
    """Average a measure of displacement over the points of each segment.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        One bundle of one subject, RASMM, mm.
    core : BundleCore
        Core of the reference group.
    measure : {"residual", "error", "displacement", "local_displacement"}, optional
        "residual": signed distance of points from their reconstruction along the
        normals of the core; differences between streamlines average out. "error":
        distance from the reconstruction :footcite:p:`Feng2022`. "displacement":
        signed distance from the core along its normals. "local_displacement":
        displacement without the shift, tilt and bow of the whole bundle.
    reconstructed : ndarray, shape (n_streamlines, n_points, 3), optional
        Reconstruction with few dimensions, mm; needed for "residual" and "error".
    segments : ndarray, shape (n_streamlines * n_points,), int, optional
        Segments from ``core.segments``, if they are known already.

    Returns
    -------
    profile : ndarray, shape (n_segments, 2), or (n_segments, 1) for "error"
        Mean of the measure along each normal of the core, mm; nan for segments without
        points.

    Raises
    ------
    InvalidArgumentError
        If the measure is unknown, or its reconstruction is missing.
    """
    check_choice("measure", measure, MEASURES)
    if measure in RECONSTRUCTING and reconstructed is None:
        raise InvalidArgumentError(f"The measure {measure} needs `reconstructed`.")
    if segments is None:
        segments = core.segments(points)
    flat = points.reshape(-1, 3).astype(np.float64)
    if reconstructed is not None and measure in RECONSTRUCTING:
        steps = flat - reconstructed.reshape(-1, 3)
    else:
        steps = flat - core.points[segments]
    if measure == "error":
        values = np.linalg.norm(steps, axis=1)[:, None]
    else:
        values = np.einsum("pij,pj->pi", core.normals[segments], steps)
    profile = _segment_means(values, segments, len(core.points))
    return _without_smooth(profile) if measure == "local_displacement" else profile


def few_dimensional(
    model: StreamlineAutoencoder, points: np.ndarray, n_dims: int = 12
) -> np.ndarray:
    """Reconstruct streamlines with so few dimensions that anomalies are not reproduced.

    With many dimensions any smooth streamline is reconstructed. The first principal
    directions of the model's training streamlines gave fewer false discoveries than
    small networks, which fit their training subjects more closely than new ones.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm, in the model's orientation.
    n_dims : int, optional
        Number of principal directions; 0 uses the reconstruction of the model, which
        then needs few latent dimensions :footcite:p:`Feng2022`.

    Returns
    -------
    reconstructed : ndarray, shape (n_streamlines, n_points, 3), float32
        Reconstructed streamlines, RASMM, mm.
    """
    check_number("n_dims", n_dims, low=0, integer=True)
    if n_dims == 0:
        return reconstruct_points(model, points)
    return model.pca_baseline(n_dims).reconstruct(points)


def _along(points, course):
    """Reverse streamlines that run against a course."""
    same, flipped = (
        np.linalg.norm(way - course, axis=2).sum(axis=1)
        for way in (points, points[:, ::-1])
    )
    return np.where((flipped < same)[:, None, None], points[:, ::-1], points)


def _segment_means(values, segments, n_segments):
    """Average values (n_points, n_values) per segment; nan for empty segments."""
    counts = np.bincount(segments, minlength=n_segments).astype(np.float64)
    counts[counts == 0] = np.nan
    sums = [np.bincount(segments, weights=v, minlength=n_segments) for v in values.T]
    return np.stack(sums, axis=1) / counts[:, None]


def _without_smooth(profile):
    """Subtract the polynomial of low degree along the bundle that fits best."""
    terms = np.polynomial.legendre.legvander(
        np.linspace(-1, 1, len(profile)), _SMOOTH_DEGREE
    )
    known = np.isfinite(profile).all(axis=1)
    weights = np.linalg.lstsq(terms[known], profile[known], rcond=None)[0]
    return profile - terms @ weights
