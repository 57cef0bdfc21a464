"""Summarise streamlines for alignment: a sample, centroids, and distances.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dipy_tractoencoder.align.reference import (
    LARGEST_CENTROIDS,
    LARGEST_REFERENCE_SAMPLE,
    NO_BUNDLE,
    N_POINTS,
    AlignmentReference,
)
from dipy_tractoencoder.align.registration import bundle_minimum_distance
from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.streamlines.array import as_sequence, to_array

N_SAMPLE = 5000  # streamlines of a subject
N_CENTROIDS, N_FINE_CENTROIDS = 100, 200
THRESHOLDS = (40.0, 30.0, 20.0, 15.0)  # mm, for a brain
FINE_THRESHOLDS = (20.0, 10.0, 7.0)  # mm, for a few bundles
# Streamlines shorter than this are left out if their median is below the other.
SHORT, SHORT_MEDIAN = 30.0, 20.0  # mm
N_SPARE = 4  # times as many are drawn, in case most are short
N_CHECKED_POINTS = 10
SMALLEST_DISTANCE = 0.1  # mm; a reference of copies would make any ratio infinite


@dataclass(frozen=True)
class Sampled:
    """Random streamlines of a subject, resampled.

    Attributes
    ----------
    points : ndarray, shape (n_sample, 20, 3), float32
        Streamlines, RASMM, mm.
    bundle : ndarray, shape (n_sample,), int16
        Position in ``names``, -1 if unknown.
    names : tuple of str
        Names of bundles.
    n_streamlines : int
        Number of usable streamlines that were given, at least those of the sample.
    """

    points: np.ndarray
    bundle: np.ndarray
    names: tuple
    n_streamlines: int


def sample_for_alignment(streamlines: Any, seed: int = 0, n: int = N_SAMPLE) -> Sampled:
    """Draw and resample random streamlines, without the short ones if most are short.

    Parameters
    ----------
    streamlines : StatefulTractogram, sequence of ndarray, or dict of them
        Streamlines, RASMM, mm; a dictionary has bundles by name.
    seed : int, optional
        Seed of the choice.
    n : int, optional
        Number of streamlines.

    Returns
    -------
    sampled : Sampled
        The streamlines, in their order.

    Raises
    ------
    EmptyDataError
        If there are no usable streamlines.
    """
    named = isinstance(streamlines, Mapping)
    parts = list(streamlines.values()) if named else [streamlines]
    lines = [as_sequence(part) for part in parts]
    names = tuple(map(str, streamlines)) if named else ()
    ends = np.cumsum([0, *map(len, lines)])
    rows = np.random.default_rng(seed).permutation(ends[-1])[: N_SPARE * n]
    points, bundle = _resampled(lines, ends, np.sort(rows[:n]))
    if len(points) and np.median(_lengths(points)) < SHORT_MEDIAN:
        points, bundle = _resampled(lines, ends, np.sort(rows))
        long = np.flatnonzero(_lengths(points) >= SHORT)
        if len(long) > n:
            kept = np.random.default_rng(seed).choice(len(long), n, replace=False)
            long = long[np.sort(kept)]
        # All may be short: of a mouse, or an atlas of short connections.
        if len(long) >= min(n, len(points)) / 20:
            points, bundle = points[long], bundle[long]
        else:
            points, bundle = points[:n], bundle[:n]
    if not len(points):
        raise EmptyDataError(
            "No streamlines are left to align: each needs two different points and "
            "finite coordinates."
        )
    bundle = bundle if named else np.full(len(points), NO_BUNDLE, dtype=np.int16)
    count = max(len(points), int(ends[-1] * len(points) / max(1, min(n, ends[-1]))))
    return Sampled(points, bundle, names, count)


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

    Raises
    ------
    EmptyDataError
        If there are fewer than two different usable streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(300, seed=0)
    >>> reference = dte.fit_alignment_reference(made.streamlines, keep_sample=False)
    >>> reference.holds_streamlines, reference.sample.shape
    (False, (0, 20, 3))
    """
    sampled = sample_for_alignment(streamlines, seed)
    rows = different_rows(sampled.points)
    points, bundle = sampled.points[rows], sampled.bundle[rows]
    if len(points) < 2:
        raise EmptyDataError(
            "Nothing can be aligned to these streamlines: at least two different ones "
            f"are needed. Received: {len(points)}."
        )
    order = np.random.default_rng(seed).permutation(len(points))
    halves = [points[np.sort(order[i::2])] for i in (0, 1)]
    ends = [cluster_centroids(half, seed, N_FINE_CENTROIDS) for half in halves]
    centroids = cluster_centroids(points, seed, N_FINE_CENTROIDS)
    codes = np.full(len(centroids), NO_BUNDLE, dtype=np.int16)
    if sampled.names:
        room = LARGEST_CENTROIDS - len(centroids)
        more, their = bundle_centroids(points, bundle, seed, room)
        centroids, codes = np.concatenate([centroids, more]), np.r_[codes, their]
    few = _spread(order, bundle, LARGEST_REFERENCE_SAMPLE) if keep_sample else []
    few = np.asarray(few, dtype=np.intp)
    known = halves[1] if keep_sample else ends[1]
    check = float(np.median(nearest_distances(halves[0], known)))
    return AlignmentReference(
        centroids=centroids,
        sample=points[few],
        half_distance=max(SMALLEST_DISTANCE, bundle_minimum_distance(*ends)),
        check_distance=max(SMALLEST_DISTANCE, check),
        n_streamlines=sampled.n_streamlines,
        names=sampled.names,
        centroid_bundle=codes,
        sample_bundle=bundle[few],
    )


def different_rows(points: np.ndarray) -> np.ndarray:
    """Return the first row of each different streamline, to a hundredth of a mm.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    rows : ndarray of int
        Ascending positions.
    """
    flat = points.reshape(len(points), -1).round(2)
    return np.sort(np.unique(flat, axis=0, return_index=True)[1])


def cluster_centroids(
    points: np.ndarray,
    seed: int,
    n: int = N_CENTROIDS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> np.ndarray:
    """Cluster streamlines by DIPY's `qbx_and_merge`.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    seed : int
        Seed of the order in which clusters are merged.
    n : int, optional
        Number of clusters to return.
    thresholds : sequence of float, optional
        Distances of the levels, mm.

    Returns
    -------
    centroids : ndarray, shape (up to n, n_points, 3), float32
        Centroids, the largest cluster first.
    """
    from dipy.segment.clustering import qbx_and_merge

    found = qbx_and_merge(
        list(points), list(thresholds), rng=np.random.default_rng(seed)
    )
    order = np.argsort([-len(cluster) for cluster in found], kind="stable")[:n]
    return np.array([found[i].centroid for i in order], dtype=np.float32)


def bundle_centroids(
    points: np.ndarray, bundle: np.ndarray, seed: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster each bundle, and share the centroids out evenly.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    bundle : ndarray, shape (n_streamlines,), int
        Bundle of each, -1 if unknown.
    seed : int
        Seed of the clustering.
    n : int
        Number of centroids of all bundles together.

    Returns
    -------
    centroids : ndarray, shape (up to n, n_points, 3), float32
        The largest of each bundle, then the second largest of each, and so on.
    bundle : ndarray of int16
        Bundle of each.
    """
    ranked = []
    for code in np.unique(bundle[bundle >= 0]):
        own = cluster_centroids(points[bundle == code], seed, n, FINE_THRESHOLDS)
        ranked += [(rank, code, line) for rank, line in enumerate(own)]
    ranked.sort(key=lambda entry: entry[:2])
    lines = [line for _, _, line in ranked[:n]]
    codes = np.array([code for _, code, _ in ranked[:n]], dtype=np.int16)
    shape = (len(lines), *points.shape[1:])
    return np.array(lines, dtype=np.float32).reshape(shape), codes


def nearest_distances(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Measure how far streamlines lie from the nearest known one.

    Parameters
    ----------
    points, known : ndarray, shape (n_streamlines, 20, 3)
        Streamlines, mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Root mean square, over ten points, of the distance to the nearest known
        streamline in either direction, mm.
    """
    step = points.shape[1] // N_CHECKED_POINTS
    points, known = points[:, ::step], known[:, ::step]
    centre = known.mean(axis=(0, 1))
    points, known = points - centre, known - centre
    other = known.reshape(len(known), -1)
    squares = (other**2).sum(axis=1)
    best = np.full(len(points), np.inf)
    for way in (points, points[:, ::-1]):
        one = way.reshape(len(points), -1)
        found = (squares - 2 * one @ other.T).min(axis=1) + (one**2).sum(axis=1)
        best = np.minimum(best, found)
    return np.sqrt(np.maximum(best, 0) / points.shape[1])


def _resampled(lines, ends, rows):
    """Resample rows of several sequences of streamlines, and name the sequence."""
    points, bundle = [], []
    for code, sequence in enumerate(lines):
        own = rows[(rows >= ends[code]) & (rows < ends[code + 1])] - ends[code]
        if len(own):
            few = sequence if len(own) == len(sequence) else sequence[own]
            points.append(to_array(few, N_POINTS, orientation="as_is").points)
            bundle.append(np.full(len(points[-1]), code, dtype=np.int16))
    if not points:
        return np.empty((0, N_POINTS, 3), np.float32), np.empty(0, np.int16)
    return np.concatenate(points), np.concatenate(bundle)


def _lengths(points):
    return np.linalg.norm(np.diff(points, axis=1), axis=2).sum(axis=1)


def _spread(order, bundle, n):
    """Choose rows at random, some of each bundle first; ascending."""
    if len(order) > n and (bundle >= 0).any():
        least = max(1, n // (2 * (1 + int(bundle.max()))))
        rank = np.zeros(len(order), dtype=np.intp)
        for code in np.unique(bundle):
            own = np.flatnonzero(bundle[order] == code)
            rank[own] = np.arange(len(own))
        order = order[np.argsort(rank >= least, kind="stable")]
    return np.sort(order[:n])
