"""Align a subject's streamlines to a model's: measure, search, judge.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dipy_tractoencoder.align.alignment import Alignment, move_points
from dipy_tractoencoder.align.reference import (
    LARGEST_REFERENCE_SAMPLE,
    N_POINTS,
    AlignmentReference,
)
from dipy_tractoencoder.align.registration import (
    FAR,
    N_REFINED,
    N_ROTATIONS,
    bundle_minimum_distance,
    even_rotations,
    refine,
)
from dipy_tractoencoder.errors import EmptyDataError, check_choice
from dipy_tractoencoder.streamlines.array import to_array

FITTED = ("rigid", "similarity", "affine")
N_SAMPLE = 5000  # streamlines of a subject
N_CENTROIDS, N_FINE_CENTROIDS = 100, 200
THRESHOLDS = (40.0, 30.0, 20.0, 15.0)  # mm


def fit_alignment_reference(
    streamlines: Any, *, keep_sample: bool = True, seed: int = 0
) -> AlignmentReference:
    """Summarise streamlines so that subjects can be aligned to them.

    Parameters
    ----------
    streamlines : StatefulTractogram, sequence of ndarray, or dict of them
        Streamlines, RASMM, mm; a dictionary has bundles by name.
    keep_sample : bool, optional
        Store real streamlines besides centroids.
    seed : int, optional
        Seed of the sample and the clustering.

    Returns
    -------
    reference : AlignmentReference
        The reference.
    """
    points = _sampled(streamlines, seed)
    order = np.random.default_rng(seed).permutation(len(points))
    halves = [points[np.sort(order[i::2])] for i in (0, 1)]
    centroids = [_centroids(half, seed, N_FINE_CENTROIDS) for half in halves]
    sample = points[np.sort(order[:LARGEST_REFERENCE_SAMPLE])]
    return AlignmentReference(
        centroids=_centroids(points, seed, N_FINE_CENTROIDS),
        sample=sample if keep_sample else sample[:0],
        half_distance=bundle_minimum_distance(*centroids),
        check_distance=float(np.median(_nearest(halves[0], halves[1]))),
        n_streamlines=len(points),
    )


def check_alignment(reference: AlignmentReference, streamlines: Any) -> Alignment:
    """Measure how far streamlines lie from a model's space, and move nothing.

    Parameters
    ----------
    reference : AlignmentReference
        Streamlines of the model.
    streamlines : StatefulTractogram, sequence of ndarray
        Streamlines of the subject, RASMM, mm.

    Returns
    -------
    alignment : Alignment
        The identity, with its quality and verdict.
    """
    points = _sampled(streamlines, 0, 300)
    known = reference.sample if len(reference.sample) else reference.centroids
    distance = float(np.median(_nearest(points, known)))
    ratio = distance / reference.check_distance
    near = ratio <= 2.0
    reasons = (
        f"The streamlines lie {ratio:.1f} times as far from those of the model as "
        f"these from each other ({distance:.1f} mm).",
    )
    return Alignment(
        np.eye(4),
        transform="none",
        verdict="accepted" if near else "uncertain",
        reasons=() if near else reasons,
        quality={"check_distance": distance, "check_ratio": ratio},
        reference=reference.digest,
    )


def fit_alignment(
    reference: AlignmentReference,
    streamlines: Any,
    *,
    transform: str = "rigid",
    seed: int = 0,
) -> Alignment:
    """Align streamlines in any pose to a model's.

    Parameters
    ----------
    reference : AlignmentReference
        Streamlines of the model.
    streamlines : StatefulTractogram, sequence of ndarray, or dict of them
        Streamlines of the subject, RASMM, mm; a dictionary has bundles by name.
    transform : {"rigid", "similarity", "affine"}, optional
        Degrees of freedom.
    seed : int, optional
        Seed of the sample and the clustering.

    Returns
    -------
    alignment : Alignment
        Transform from the subject's space to the model's, with its quality.

    Raises
    ------
    EmptyDataError
        If there are no usable streamlines.
    """
    check_choice("transform", transform, FITTED)
    points = _sampled(streamlines, seed)
    static, moving = reference.centroids[:N_CENTROIDS], _centroids(points, seed)
    to, centre = static.reshape(-1, 3).mean(axis=0), moving.reshape(-1, 3).mean(axis=0)
    starts = [np.eye(4)]
    for rotation in even_rotations(N_ROTATIONS):
        start = np.eye(4)
        start[:3, :3], start[:3, 3] = rotation, to - rotation @ centre
        starts.append(start)
    scores = [bundle_minimum_distance(static, move_points(moving, m)) for m in starts]
    best = [0, *(i for i in np.argsort(scores) if i)][: N_REFINED + 1]
    found = [refine(static, moving, starts[i], "rigid") for i in best]
    found.sort(key=lambda solution: solution[1])
    matrix, distance = found[0]
    home = move_points(moving, matrix)
    others = [
        value
        for other, value in found[1:]
        if np.linalg.norm(move_points(moving, other) - home, axis=-1).mean() > FAR
    ]
    gap = min(others, default=np.inf) / distance
    fine = _centroids(points, seed, N_FINE_CENTROIDS)
    matrix, distance = refine(reference.centroids, fine, matrix, transform)
    good = gap >= 1.12
    return Alignment(
        matrix,
        transform=transform,
        verdict="accepted" if good else "refused",
        reasons=() if good else (f"Another pose fits nearly as well ({gap:.2f}).",),
        quality={
            "distance": distance,
            "ratio": distance / reference.half_distance,
            "gap": float(min(gap, 1e6)),
        },
        reference=reference.digest,
    )


def _sampled(streamlines, seed, n=N_SAMPLE):
    """Resample a random subset of streamlines."""
    if isinstance(streamlines, dict):
        streamlines = [line for lines in streamlines.values() for line in lines]
    points = to_array(streamlines, N_POINTS, orientation="as_is").points
    if not len(points):
        raise EmptyDataError("No streamlines are left to align.")
    if len(points) > n:
        rows = np.random.default_rng(seed).choice(len(points), n, replace=False)
        points = points[np.sort(rows)]
    return points


def _centroids(points, seed, n=N_CENTROIDS):
    """Return the centroids of the largest clusters."""
    from dipy.segment.clustering import qbx_and_merge

    found = qbx_and_merge(
        list(points), list(THRESHOLDS), rng=np.random.default_rng(seed)
    )
    order = np.argsort([-len(cluster) for cluster in found], kind="stable")[:n]
    return np.array([found[i].centroid for i in order], dtype=np.float32)


def _nearest(points, known):
    """Root-mean-square distance of each streamline to the nearest known one, mm."""
    one, other = points.reshape(len(points), -1), known.reshape(len(known), -1)
    squares = (other**2).sum(axis=1)
    best = np.full(len(one), np.inf)
    for way in (one, points[:, ::-1].reshape(len(points), -1)):
        found = (squares - 2 * way @ other.T).min(axis=1) + (way**2).sum(axis=1)
        best = np.minimum(best, found)
    return np.sqrt(np.maximum(best, 0) / points.shape[1])
