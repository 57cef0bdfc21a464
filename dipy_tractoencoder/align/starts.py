"""Poses from which the search for an alignment starts.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

import numpy as np

# For whole brains; for parts of them, also shifted to each of 27 places.
N_ROTATIONS, N_PART_ROTATIONS = 192, 120
OFFSET = 25.0  # mm
N_SPINS = 4  # turns about the axis of a streamline laid on another one
LIKE_LENGTH = 1.6  # a streamline is laid on those up to so many times as long


def even_rotations(n: int) -> np.ndarray:
    """Spread rotations evenly, by a super-Fibonacci spiral :footcite:p:`Alexa2022`.

    Parameters
    ----------
    n : int
        Number of rotations.

    Returns
    -------
    rotations : ndarray, shape (n, 3, 3)
        Rotation matrices.

    References
    ----------
    .. footbibliography::
    """
    from scipy.spatial.transform import Rotation

    psi = 1.533751168755204288118041
    steps = np.arange(n) + 0.5
    low, high = np.sqrt(steps / n), np.sqrt(1 - steps / n)
    alpha, beta = 2 * np.pi * steps / np.sqrt(2), 2 * np.pi * steps / psi
    quaternions = np.c_[
        low * np.sin(alpha),
        low * np.cos(alpha),
        high * np.sin(beta),
        high * np.cos(beta),
    ]
    return Rotation.from_quat(quaternions).as_matrix()


def poses_about(
    rotations: np.ndarray, centre: np.ndarray, to: np.ndarray
) -> np.ndarray:
    """Make transforms that rotate about a point and move it to another one.

    Parameters
    ----------
    rotations : ndarray, shape (n, 3, 3)
        Rotation matrices.
    centre, to : ndarray, shape (3,) or (n, 3)
        Point before and after, mm.

    Returns
    -------
    poses : ndarray, shape (n, 4, 4)
        Transforms.
    """
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations, to - rotations @ centre
    return poses


def brain_starts(moving: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Make starts for streamlines of a whole brain: as it is, and all rotations.

    Parameters
    ----------
    moving, static : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    starts : ndarray, shape (n, 4, 4)
        Rigid transforms from moving to static.
    """
    centre, to = (lines.mean(axis=(0, 1)) for lines in (moving, static))
    turned = poses_about(even_rotations(N_ROTATIONS), centre, to)
    return np.concatenate([np.eye(4)[None], turned])


def part_starts(moving: np.ndarray, static: np.ndarray, n_laid: int = 3) -> np.ndarray:
    """Make starts for a part of a brain, which may lie anywhere in the reference.

    Parameters
    ----------
    moving, static : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    n_laid : int, optional
        Number of moving streamlines that are laid on each static one.

    Returns
    -------
    starts : ndarray, shape (n, 4, 4)
        Rigid transforms from moving to static: as it is; all rotations at 27 places;
        and the first streamlines laid on each static one of like length.
    """
    centre, to = (lines.mean(axis=(0, 1)) for lines in (moving, static))
    rotations = even_rotations(N_PART_ROTATIONS)
    places = np.meshgrid(*[[-OFFSET, 0, OFFSET]] * 3)
    found = [np.eye(4)[None]]
    for place in np.reshape(places, (3, -1)).T:
        found.append(poses_about(rotations, centre, to + place))
    found += [_laid_on(line, static) for line in moving[:n_laid]]
    return np.concatenate(found)


def _laid_on(line, static):
    """Lay a streamline on static ones, in both directions, turned about their axis."""
    from scipy.spatial.transform import Rotation

    lengths = np.linalg.norm(np.diff(static, axis=1), axis=2).sum(axis=1)
    length = np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
    ratio = np.abs(np.log(lengths / length))
    like = np.flatnonzero(ratio <= max(np.log(LIKE_LENGTH), np.sort(ratio)[:10][-1]))
    onto = np.concatenate([static[like], static[like, ::-1]]).astype(np.float64)
    centre, to = line.mean(axis=0, dtype=np.float64), onto.mean(axis=1)
    rotations = best_rotations(
        np.einsum("pi,npj->nij", line - centre, onto - to[:, None])
    )
    axes = onto[:, -1] - onto[:, 0]
    axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-6)
    found = []
    for spin in range(N_SPINS):
        turn = Rotation.from_rotvec(2 * np.pi * spin / N_SPINS * axes).as_matrix()
        found.append(poses_about(turn @ rotations, centre, to))
    return np.concatenate(found)


def best_rotations(moments: np.ndarray) -> np.ndarray:
    """Rotate points onto others by least squares :footcite:p:`Kabsch1976`.

    Parameters
    ----------
    moments : ndarray, shape (n, 3, 3)
        Sums of products of coordinates about the centres, before and after.

    Returns
    -------
    rotations : ndarray, shape (n, 3, 3)
        Rotations, never reflections.

    References
    ----------
    .. footbibliography::
    """
    left, _, right = np.linalg.svd(moments)
    back, right = left.transpose(0, 2, 1), right.transpose(0, 2, 1)
    right[:, :, 2] *= np.sign(np.linalg.det(right @ back))[:, None]
    return right @ back
