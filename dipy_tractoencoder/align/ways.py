"""Three ways to find a pose: of a brain, of a part of one, of bundles known by name.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dipy_tractoencoder.align.alignment import move_points
from dipy_tractoencoder.align.check import brain_centroids, known_lines
from dipy_tractoencoder.align.reference import NO_BUNDLE, AlignmentReference
from dipy_tractoencoder.align.registration import bundle_minimum_distance, refine
from dipy_tractoencoder.align.search import PosePairs, search_poses
from dipy_tractoencoder.align.starts import brain_starts, part_starts, poses_about
from dipy_tractoencoder.align.summary import (
    FINE_THRESHOLDS,
    N_CENTROIDS,
    N_FINE_CENTROIDS,
    Sampled,
    bundle_centroids,
    cluster_centroids,
    nearest_distances,
)

# With fewer clusters than this fraction of the other side's, one side is only a part.
PART, SMALL_BRAIN = 0.3, 0.75
# The size is left alone if it is within these, since unequal coverage biases it.
USUAL_SIZE = (0.8, 1.25)
LARGEST_GAP = 100.0
FAR = 12.0  # mm; solutions further apart are different ones
N_PART, N_DENSE, N_NAMED = 40, 150, 100  # streamlines of a part, or of known bundles
N_SUBJECT_NAMED, N_REFERENCE_NAMED = 200, 1000
N_COARSE, N_POSES = 60, 12
# The pose as it is goes first, unless another one is closer by more than this.
AS_IS = 1.03
# Steps, and poses kept after them: of a brain; of a part with few streamlines, with
# more, and with all of the sample.
BRAIN = ((3, 48), (6, 24))
COARSE, MIDDLE, DENSE = ((1, 600),), ((2, 150), (8, 40)), ((1, 20), (5, 10), (15, 8))
LAST = ((25, 1),)
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass
class Found:
    """A pose that was found, and what speaks for and against it.

    Attributes
    ----------
    way : {"brain", "part", "whole", "bundles"}
        Whether the subject is compared as a brain, is a part of the reference, the
        reference is a part of it, or both have bundles of the same names.
    matrix : ndarray, shape (4, 4)
        Transform from the subject to the reference.
    transform : str
        Degrees of freedom that were fitted.
    quality : dict of float
        Numbers by name.
    tried : tuple of dict
        Different solutions, best first: "score" (mm) and "away" from the best (mm).
    n_bundles : int
        Number of bundles that both sides know by name.
    """

    way: str
    matrix: np.ndarray
    transform: str
    quality: dict = field(default_factory=dict)
    tried: tuple = ()
    n_bundles: int = 0


def find_brain(
    reference: AlignmentReference, subject: Sampled, transform: str, seed: int
) -> Found:
    """Find the pose of a brain, or of a part if it has far fewer clusters.

    Parameters
    ----------
    reference : AlignmentReference
        What to align to.
    subject : Sampled
        Sample of the subject.
    transform : {"rigid", "similarity", "affine"}
        Degrees of freedom.
    seed : int
        Seed of the clustering.

    Returns
    -------
    found : Found
        The pose.
    """
    static, points = brain_centroids(reference), subject.points
    size = _radius(known_lines(reference)) / _radius(points)
    usual = USUAL_SIZE[0] <= size <= USUAL_SIZE[1]
    fine = cluster_centroids(points, seed, N_FINE_CENTROIDS)
    share = len(fine) / len(static)
    scaled = fine
    if not usual and np.isfinite(size):
        scaled = cluster_centroids(size * points, seed, N_FINE_CENTROIDS)
    if share < PART and (usual or len(scaled) < SMALL_BRAIN * len(static)):
        return find_part(reference, subject, seed)
    if 1 / share < PART and (usual or len(scaled) * SMALL_BRAIN > len(static)):
        return find_part(reference, subject, seed, inside=True)
    pre = 1.0 if usual else size
    moving = scaled[:N_CENTROIDS]
    poses, scores = _brain_poses(moving, static, N_POSES)
    scale = np.diag([pre, pre, pre, 1.0])
    if transform == "rigid":
        # The search may change the size, a rigid transform may not.
        centre = fine.mean(axis=(0, 1), dtype=np.float64)
        to = move_points(centre, poses[0] @ scale)
        start = poses_about(poses[:1, :3, :3], centre, to)[0]
        matrix, distance = refine(static, fine, start, "rigid")
    else:
        few = static[:N_CENTROIDS]
        matrix = refine(few, moving, poses[0], "similarity")[0]
        if transform == "affine":
            matrix = refine(few, moving, matrix, "affine")[0]
        matrix, distance = refine(static, scaled, matrix, transform)
        matrix = matrix @ scale
    mirrored = _brain_poses(move_points(moving, MIRROR), static, 4)[1]
    gap, tried = _others(poses, scores, moving)
    quality = {
        "distance": distance,
        "ratio": distance / reference.half_distance,
        "gap": gap,
        "mirrored": float(mirrored[0] / scores[0]),
        "size": float(size),
        "distance_before": bundle_minimum_distance(static, fine),
    }
    return Found("brain", matrix, transform, quality, tried)


def find_part(
    reference: AlignmentReference,
    subject: Sampled,
    seed: int,
    *,
    inside: bool = False,
) -> Found:
    """Find the rigid pose of a part of a brain in the reference.

    Parameters
    ----------
    reference : AlignmentReference
        What to align to.
    subject : Sampled
        Sample of the subject.
    seed : int
        Seed of the clustering.
    inside : bool, optional
        The reference is the part, of the subject.

    Returns
    -------
    found : Found
        The pose.
    """
    known = known_lines(reference)
    part, dense = (known, subject.points) if inside else (subject.points, known)
    rng = np.random.default_rng(seed)
    if len(dense) > 2500:
        dense = dense[np.sort(rng.choice(len(dense), 2500, replace=False))]
    whole = cluster_centroids(dense, seed, N_FINE_CENTROIDS)
    few = cluster_centroids(part, seed, N_PART, FINE_THRESHOLDS)
    poses, scores = _part_poses(few, whole, dense, part_starts(few, whole))
    mirrored = move_points(few, MIRROR)
    starts = part_starts(mirrored, whole)[1:]
    other = _part_poses(mirrored, whole, dense, starts)[1]
    gap, tried = _others(poses, scores, few)
    many = part
    if len(part) > N_DENSE:
        many = part[np.sort(rng.choice(len(part), N_DENSE, replace=False))]
    pairs = PosePairs(many, dense, both_ways=False)
    matrix = search_poses(pairs, poses[:1], LAST)[0][0]
    distance = float(np.median(nearest_distances(move_points(many, matrix), dense)))
    before = float(np.median(nearest_distances(many, dense)))
    quality = {
        "distance": distance,
        "ratio": distance / reference.check_distance,
        "gap": gap,
        "mirrored": float(other[0] / scores[0]),
        "distance_before": before,
    }
    matrix = np.linalg.inv(matrix) if inside else matrix
    return Found("whole" if inside else "part", matrix, "rigid", quality, tried)


def find_bundles(
    reference: AlignmentReference,
    subject: Sampled,
    names: tuple,
    transform: str,
    seed: int,
) -> Found:
    """Find the pose of bundles whose names the reference knows.

    Parameters
    ----------
    reference : AlignmentReference
        What to align to.
    subject : Sampled
        Sample of the subject, with bundles.
    names : tuple of str
        Names that both know.
    transform : {"rigid", "similarity", "affine"}
        Degrees of freedom.
    seed : int
        Seed of the clustering.

    Returns
    -------
    found : Found
        The pose; streamlines were only compared with those of the same name.
    """
    lines = np.concatenate([reference.centroids, reference.sample])
    codes = np.r_[reference.centroid_bundle, reference.sample_bundle]
    known = _renumbered(codes, reference.names, names)
    own = _renumbered(subject.bundle, subject.names, names)
    lines, known = lines[known >= 0], known[known >= 0]
    points, own = subject.points[own >= 0], own[own >= 0]
    static, theirs = bundle_centroids(lines, known, seed, N_NAMED)
    moving, mine = bundle_centroids(points, own, seed, N_NAMED)
    allowed = mine[:, None] == theirs
    pairs = PosePairs(moving, static, allowed=allowed)
    poses, scores = search_poses(pairs, brain_starts(moving, static))
    mirrored = move_points(moving, MIRROR)
    pairs = PosePairs(mirrored, static, allowed=allowed)
    other = search_poses(pairs, brain_starts(mirrored, static)[1:])[1]
    gap, tried = _others(poses, scores, moving)
    few, many = _thin(own, N_SUBJECT_NAMED), _thin(known, N_REFERENCE_NAMED)
    points, own = points[few], own[few]
    some = PosePairs(points, lines[many], allowed=own[:, None] == known[many])
    matrix = search_poses(some, poses[:1], LAST)[0][0]
    if transform != "rigid":
        matrix, _ = refine(static, moving, matrix, transform)

    def measured(to):
        moved = move_points(points, to)
        found = [
            nearest_distances(moved[own == code], lines[known == code])
            for code in np.unique(own)
        ]
        return float(np.median(np.concatenate(found)))

    distance = measured(matrix)
    quality = {
        "distance": distance,
        "ratio": distance / reference.check_distance,
        "gap": gap,
        "mirrored": float(other[0] / scores[0]),
        "distance_before": measured(np.eye(4)),
    }
    return Found("bundles", matrix, transform, quality, tried, len(names))


def shared_names(reference: AlignmentReference, subject: Sampled) -> tuple:
    """Return the names by which bundles are aligned, if they are enough.

    Parameters
    ----------
    reference : AlignmentReference
        What to align to.
    subject : Sampled
        Sample of the subject.

    Returns
    -------
    names : tuple of str
        Names that both sides have streamlines of; empty if these are less than half
        of the subject's bundles, and fewer than eight.
    """
    codes = np.r_[reference.centroid_bundle, reference.sample_bundle]
    known = {reference.names[code] for code in np.unique(codes[codes >= 0])}
    present = [subject.names[c] for c in np.unique(subject.bundle) if c >= 0]
    shared = tuple(name for name in present if name in known)
    return shared if len(shared) >= min(8, len(present) / 2) else ()


def _brain_poses(moving, static, n_poses):
    """Search with few centroids, then with more."""
    few = [lines[:N_COARSE] for lines in (moving, static)]
    poses = search_poses(PosePairs(*few), brain_starts(moving, static), BRAIN)[0]
    pairs = PosePairs(moving, static[:N_CENTROIDS])
    return _prefer_as_is(pairs, *search_poses(pairs, poses, ((20, n_poses),)))


def _part_poses(few, whole, dense, starts):
    """Search with more and more streamlines."""
    coarse = PosePairs(few[:10], whole[:N_CENTROIDS], both_ways=False)
    poses = search_poses(coarse, starts, COARSE)[0]
    middle = PosePairs(few[:20], whole, both_ways=False)
    poses = search_poses(middle, poses, MIDDLE)[0]
    pairs = PosePairs(few, dense, both_ways=False)
    return _prefer_as_is(pairs, *search_poses(pairs, poses, DENSE))


def _prefer_as_is(pairs, poses, scores):
    """Put the pose near to the given one first, if none is clearly better."""
    own, score = search_poses(pairs, np.eye(4)[None], LAST)
    if score[0] > AS_IS * scores[0]:
        return poses, scores
    return np.concatenate([own, poses]), np.r_[score, scores]


def _others(poses, scores, moving):
    """Compare the best solution with others that lie elsewhere."""
    home = move_points(moving.astype(np.float64), poses[0])
    away = [
        float(np.linalg.norm(move_points(moving, pose) - home, axis=-1).mean())
        for pose in poses
    ]
    tried = tuple(
        {"score": float(score), "away": far} for score, far in zip(scores, away)
    )
    others = [entry["score"] for entry in tried if entry["away"] > FAR]
    best = max(float(scores[0]), 1e-6)
    return float(min(min(others, default=np.inf) / best, LARGEST_GAP)), tried


def _radius(points):
    """Root-mean-square distance of points from their mean, mm."""
    flat = points.reshape(-1, 3).astype(np.float64)
    return max(1e-6, float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(1).mean())))


def _renumbered(codes, names, kept):
    """Renumber bundles by their position in the names that are kept."""
    at = {name: position for position, name in enumerate(kept)}
    numbers = np.array([at.get(name, NO_BUNDLE) for name in names] + [NO_BUNDLE])
    return numbers[codes]


def _thin(codes, n):
    """Choose up to so many rows, evenly of all bundles, and the first of each."""
    rank = np.zeros(len(codes), dtype=np.intp)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        rank[own] = np.arange(len(own))
    return np.argsort(rank, kind="stable")[:n]
