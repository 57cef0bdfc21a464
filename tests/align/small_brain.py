"""A small synthetic brain: bundles of curved streamlines, without any symmetry."""

import numpy as np
from scipy.spatial.transform import Rotation


def make_brain(n_bundles=24, n_lines=40, *, subject=0):
    """Make bundles by name, RASMM, mm; subjects differ by their streamlines only."""
    anatomy, rng = np.random.default_rng(7), np.random.default_rng(subject + 100)
    steps = np.linspace(-1, 1, 30)[:, None]
    bundles = {}
    for number in range(n_bundles):
        centre = anatomy.normal(0, 1, 3) * (25, 35, 20) + (10, -20, 15)
        along, across = Rotation.random(random_state=number).as_matrix()[:2]
        length, bend = anatomy.uniform(20, 55), anatomy.uniform(5, 30)
        line = centre + steps * length * along + (steps**2 - 0.5) * bend * across
        offsets = rng.normal(0, 2.5, (n_lines, 1, 3))
        bundles[f"bundle_{number}"] = [
            line + offset + rng.normal(0, 0.3, line.shape) for offset in offsets
        ]
    return bundles


def all_lines(bundles):
    """Put the streamlines of all bundles into one list."""
    return [line for own in bundles.values() for line in own]


def random_pose(seed, far=80.0):
    """Make a rigid transform."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = rng.uniform(-far, far, 3)
    return pose


def moved(lines, matrix):
    """Apply a transform to streamlines, or to a dictionary of them."""
    if isinstance(lines, dict):
        return {name: moved(own, matrix) for name, own in lines.items()}
    return [line @ matrix[:3, :3].T + matrix[:3, 3] for line in lines]


def displacement(lines, matrix, truth=None):
    """Mean distance (mm) that a transform moves streamlines from their true place."""
    points = np.concatenate(lines)
    step = matrix - (np.eye(4) if truth is None else truth)
    return np.linalg.norm(points @ step[:3, :3].T + step[:3, 3], axis=1).mean()
