"""Small made streamlines and tractograms for the tests."""

from dipy.io.stateful_tractogram import Space, StatefulTractogram
from dipy.io.utils import create_nifti_header
import numpy as np

# x runs against the voxels, as in many real images; the box holds +-60 mm.
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.5, 0, -110], [0, 0, 2, -72], [0, 0, 0, 1]])
DIMENSIONS = (91, 89, 91)
VOXEL_SIZES = (2.0, 2.5, 2.0)


def make_bundle(rng, n_streamlines=20):
    """Make one curved bundle of smooth streamlines.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where everything random comes from.
    n_streamlines : int, optional
        Streamlines wanted.

    Returns
    -------
    bundle : list of ndarray, shape (15 to 39, 3), float32
        RASMM, mm, within +-60 mm; in random direction, with varied numbers of points.
    """
    while True:
        control = rng.uniform(-40, 40, (3, 3))
        if np.linalg.norm(control[0] - control[2]) > 40:
            break
    bundle = []
    for _ in range(n_streamlines):
        start, bend, end = control + rng.normal(scale=2.5, size=(3, 3))
        t = np.linspace(0, 1, rng.integers(15, 40))[:, None]
        line = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        line = line + np.sin(2 * np.pi * t + rng.uniform(0, 6, 3)) * rng.normal(size=3)
        line = line[:: rng.choice([-1, 1])]
        bundle.append(line.astype(np.float32))
    return bundle


def make_bundles(rng, n_bundles=3, n_streamlines=20):
    """Make several bundles (see `make_bundle`), a list of lists of streamlines."""
    return [make_bundle(rng, n_streamlines) for _ in range(n_bundles)]


def make_tractogram(streamlines):
    """Put streamlines (RASMM, mm) into a StatefulTractogram of a made image."""
    header = create_nifti_header(AFFINE, DIMENSIONS, VOXEL_SIZES)
    return StatefulTractogram(streamlines, header, Space.RASMM)


def rms_distance(first, second):
    """Root mean squared distance of the points of two arrays (..., n_points, 3)."""
    difference = np.asarray(first, dtype=np.float64) - second
    return float(np.sqrt(np.square(difference).sum(axis=-1).mean()))
