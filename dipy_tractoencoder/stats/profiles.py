"""Along-tract profiles: how far a bundle is from where it should be, per segment.

All subjects' points are assigned to the segments of one core, the mean course of the
reference group's bundles, as in BUAN :footcite:p:`Chandio2020a`.
"""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.latent.reconstruction import reconstruct_points

# "residual" and "error" compare with a reconstruction, the others with the core.
MEASURES = ("residual", "error", "displacement", "local_displacement")
RECONSTRUCTING = ("residual", "error")

_SMOOTH_DEGREE = 2  # of polynomials along the bundle: shift, tilt and bow
_CORE_ROUNDS = 3  # turning streamlines along the core, and averaging


@dataclass(frozen=True)
class BundleCore:
    """Mean course of a bundle over a group of subjects, cut into segments.

    Attributes
    ----------
    points : ndarray, shape (n_segments, 3), float32
        Middle of each segment, equally spaced; RASMM, mm.
    normals : ndarray, shape (n_segments, 2, 3)
        Two unit vectors across the course at each of them.
    """

    points: np.ndarray
    normals: np.ndarray

    def segments(self, points):
        """Nearest segment of each point, by DIPY's ``assignment_map``.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            RASMM, mm; either direction.

        Returns
        -------
        segments : ndarray, shape (n_streamlines * n_points,), int
            From 0.
        """
        from dipy.stats.analysis import assignment_map
        from dipy.tracking.streamline import Streamlines

        # One streamline as the model: several could make several clusters.
        core, target = Streamlines([self.points]), Streamlines(list(points))
        return assignment_map(target, core, len(self.points))[1]


def fit_core(bundles, n_segments=100):
    """Average the bundles of a group of subjects to one core.

    Parameters
    ----------
    bundles : sequence of ndarray, shape (n_streamlines, n_points, 3)
        The same bundle of each subject, RASMM, mm; streamlines in either direction.
    n_segments : int, optional
        Segments along the core.

    Returns
    -------
    core : BundleCore
        Each subject counts the same.

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
        raise EmptyDataError("A core needs streamlines of every subject.")
    mean = np.asarray(bundles[0][0], dtype=np.float64)
    for _ in range(_CORE_ROUNDS):
        mean = np.mean([_along(points, mean).mean(axis=0) for points in bundles], 0)
    points = set_number_of_points(mean.astype(np.float32), nb_points=n_segments)
    tangents = np.gradient(points.astype(np.float64), axis=0)
    # The last two right singular vectors span the plane across the tangent.
    normals = np.linalg.svd(tangents[:, None, :])[2][:, 1:]
    return BundleCore(points, normals)


def bundle_profile(
    points, core, measure="residual", reconstructed=None, *, segments=None
):
    """Mean of a measure of displacement over the points of each segment.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        One bundle of one subject, RASMM, mm.
    core : BundleCore
        Of the reference group.
    measure : {"residual", "error", "displacement", "local_displacement"}, optional
        "residual": how far points lie from their reconstruction, across the bundle and
        with direction, so that what differs from streamline to streamline cancels.
        "error": their distance from it :footcite:p:`Feng2022`. "displacement": how far
        they lie from the core, across it and with direction. "local_displacement":
        that without its shift, tilt and bow over the whole bundle.
    reconstructed : ndarray, shape (n_streamlines, n_points, 3), optional
        Reconstruction with few dimensions, for the first two measures.
    segments : ndarray, shape (n_streamlines * n_points,), int, optional
        What ``core.segments`` gave, if it is known already.

    Returns
    -------
    profile : ndarray, shape (n_segments, 2), or (n_segments, 1) for "error"
        mm, along the core's normals; nan for segments without points.

    Raises
    ------
    InvalidArgumentError
        If the measure is unknown, or lacks its reconstruction.
    """
    check_choice("measure", measure, MEASURES)
    if measure in RECONSTRUCTING and reconstructed is None:
        raise InvalidArgumentError(f"The measure {measure} needs `reconstructed`.")
    if segments is None:
        segments = core.segments(points)
    flat = points.reshape(-1, 3).astype(np.float64)
    if measure in RECONSTRUCTING:
        steps = flat - reconstructed.reshape(-1, 3)
    else:
        steps = flat - core.points[segments]
    if measure == "error":
        values = np.linalg.norm(steps, axis=1)[:, None]
    else:
        values = np.einsum("pij,pj->pi", core.normals[segments], steps)
    profile = _segment_means(values, segments, len(core.points))
    return _without_smooth(profile) if measure == "local_displacement" else profile


def few_dimensional(model, points, n_dims=12):
    """Reconstruct streamlines with so few dimensions that anomalies are left out.

    Many dimensions reconstruct anything smooth. The first principal directions of the
    model's training streamlines left fewer false discoveries than small networks, which
    fit the subjects they were trained on more closely than others.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation.
    n_dims : int, optional
        Principal directions used; 0 for the model's own reconstruction, which has to be
        one of few latent dimensions :footcite:p:`Feng2022`.

    Returns
    -------
    reconstructed : ndarray, shape (n_streamlines, n_points, 3), float32
        RASMM, mm.
    """
    check_number("n_dims", n_dims, low=0, integer=True)
    if n_dims == 0:
        return reconstruct_points(model, points)
    preprocessing = model.preprocessing
    normalised = preprocessing.normalise(points)
    principal = model.principal_directions()
    return preprocessing.denormalise(principal.reconstruct(normalised, n_dims))


def _along(points, course):
    """Turn streamlines round that run against a course."""
    same, turned = (
        np.linalg.norm(way - course, axis=2).sum(axis=1)
        for way in (points, points[:, ::-1])
    )
    return np.where((turned < same)[:, None, None], points[:, ::-1], points)


def _segment_means(values, segments, n_segments):
    """Means (n_segments, n_values) of values (n_points, n_values); nan if empty."""
    counts = np.bincount(segments, minlength=n_segments).astype(np.float64)
    counts[counts == 0] = np.nan
    sums = [np.bincount(segments, weights=v, minlength=n_segments) for v in values.T]
    return np.stack(sums, axis=1) / counts[:, None]


def _without_smooth(profile):
    """Take away what polynomials of low degree along the bundle explain."""
    terms = np.polynomial.legendre.legvander(
        np.linspace(-1, 1, len(profile)), _SMOOTH_DEGREE
    )
    known = np.isfinite(profile).all(axis=1)
    weights = np.linalg.lstsq(terms[known], profile[known], rcond=None)[0]
    return profile - terms @ weights
