"""Judge whether the pose that was found can be believed, and say why."""

from __future__ import annotations

import numpy as np

from dipy_tractoencoder.align.ways import Found

FEW = 1000  # streamlines; with fewer, wrong alignments occur
# The next best pose is at least so many times as far away; below the other, the choice
# between them is a matter of chance.
CLEAR_GAP, LEAST_GAP = 1.12, 1.03
# Distance over that of the reference's halves: of the same size, and of another one.
USUAL_RATIO, LARGEST_RATIO, HOPELESS_RATIO = 2.0, 1.5, 3.0
# Of bundles known by name, whose own names speak for the pose.
USUAL_NAMED_RATIO, HOPELESS_NAMED_RATIO = 2.5, 4.0
CLOSE_SIZE, USUAL_SCALE, POSSIBLE_SCALE = (0.8, 1.25), (0.6, 1.7), (0.4, 2.5)
# Mirrored at least so many times as far: left and right are told apart.
CONFIRMED, MIRRORED_BETTER = 1.1, 0.97
ENOUGH_BUNDLES = 3  # known by name
MORE = "Give more streamlines of the subject, or a known transform as `transform`."
KNOWN = "Give a known transform as `transform`, or align to another atlas."


def judge(found: Found, n_streamlines: int) -> tuple[str, tuple, str]:
    """Decide whether an alignment can be relied on.

    Parameters
    ----------
    found : Found
        Pose with its numbers.
    n_streamlines : int
        Number of usable streamlines of the subject.

    Returns
    -------
    verdict : {"accepted", "uncertain", "refused"}
        The decision.
    reasons : tuple of str
        Sentences with numbers, and what to do; empty if it is accepted.
    left_right : {"confirmed", "cannot be told"}
        Whether the mirrored subject fits clearly worse.
    """
    numbers = found.quality
    refused: list[str] = []
    doubts: list[str] = []
    _judge_distance(found, refused, doubts)
    _judge_size(found, refused, doubts)
    if numbers["gap"] < CLEAR_GAP:
        text = (
            f"Another pose fits nearly as well ({numbers['gap']:.2f} times as far; "
            f"{CLEAR_GAP} or more is clear). {MORE}"
        )
        # A small part such as the callosum fits in several poses, but fits.
        chance = numbers["gap"] < LEAST_GAP and numbers["ratio"] > LARGEST_RATIO
        (refused if chance and found.way == "brain" else doubts).append(text)
    if found.way in ("part", "whole"):
        side = "subject" if found.way == "part" else "reference"
        doubts.append(
            f"The {side} is only a part of a brain, for which nothing certifies an "
            "alignment. Give all bundles of the subject together, bundles by the names "
            "that the reference has, or a known transform as `transform`."
        )
    elif found.way == "bundles" and found.n_bundles < ENOUGH_BUNDLES:
        doubts.append(
            f"Only {found.n_bundles} bundle(s) known by name to align by; with fewer "
            f"than {ENOUGH_BUNDLES}, wrong alignments occur. Give more bundles."
        )
    if found.way == "brain" and n_streamlines < FEW:
        doubts.append(
            f"Only {n_streamlines} streamlines to align by; with fewer than {FEW:,}, "
            f"wrong alignments occur. {MORE}"
        )
    if numbers["mirrored"] < MIRRORED_BETTER:
        doubts.append(
            f"Mirrored, the streamlines would fit better ({numbers['mirrored']:.2f} "
            "times as far): the file may exchange left and right. Check its header; "
            "nothing is mirrored here."
        )
    sure = numbers["mirrored"] >= CONFIRMED
    verdict = "refused" if refused else "uncertain" if doubts else "accepted"
    left_right = "confirmed" if sure and verdict != "refused" else "cannot be told"
    return verdict, (*refused, *doubts), left_right


def scale_of(matrix: np.ndarray) -> float:
    """Return by how much a transform enlarges, as the cube root of its determinant.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Affine transform.

    Returns
    -------
    scale : float
        1 for a rigid transform.
    """
    return float(np.cbrt(abs(np.linalg.det(matrix[:3, :3]))))


def rotation_angle(matrix: np.ndarray) -> float:
    """Return the angle of the rotation nearest to a transform.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Affine transform.

    Returns
    -------
    angle : float
        Angle, degrees, 0 to 180.
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    cosine = (np.trace(left @ right) * np.sign(np.linalg.det(left @ right)) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _judge_distance(found, refused, doubts):
    """Compare the distance that is left with that of the reference's halves."""
    numbers = found.quality
    ratio, scale = numbers["ratio"], numbers.get("scale", 1.0)
    usual, hopeless = USUAL_RATIO, HOPELESS_RATIO
    if found.way == "bundles":
        usual, hopeless = USUAL_NAMED_RATIO, HOPELESS_NAMED_RATIO
    elif not CLOSE_SIZE[0] <= scale <= CLOSE_SIZE[1]:
        usual = LARGEST_RATIO
    if ratio > usual:
        text = (
            f"After alignment the streamlines lie {ratio:.1f} times as far from the "
            f"reference as its halves from each other ({numbers['distance']:.1f} mm; "
            f"up to {usual:g} times is usual). {KNOWN}"
        )
        (refused if ratio > hopeless else doubts).append(text)


def _judge_size(found, refused, doubts):
    """Tell brains of another size from those that cannot be one."""
    numbers = found.quality
    size = numbers.get("size", 1.0) if found.way == "brain" else 1.0
    if not POSSIBLE_SCALE[0] <= size <= POSSIBLE_SCALE[1]:
        refused.append(
            f"The reference is {size:.2f} times as large as the subject, more than "
            "brains differ. Check the units (mm) and the space of the file, or align "
            "to an atlas of this species and age."
        )
    elif found.transform == "rigid" and not CLOSE_SIZE[0] <= size <= CLOSE_SIZE[1]:
        doubts.append(
            f"The reference is {size:.2f} times as large as the subject, and a rigid "
            'transform keeps the size. Use "similarity" for a small or large brain.'
        )
    elif not USUAL_SCALE[0] <= numbers.get("scale", 1.0) <= USUAL_SCALE[1]:
        doubts.append(
            f"The subject is scaled by {numbers['scale']:.2f}: this fits an infant or "
            "another species, but not another adult. Check the space of the file."
        )
