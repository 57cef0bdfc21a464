"""Made groups of subjects: one curved bundle each, shifted a little, some bent."""

import numpy as np


def make_course(n_points=40, bend_mm=0.0):
    """Make a quarter of a circle of radius 60 mm, bent outwards in its middle."""
    t = np.linspace(0, 1, n_points)
    radius = 60 + bend_mm * np.exp(-(((t - 0.5) / 0.08) ** 2))
    angle = t * np.pi / 2
    line = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * t], axis=1)
    return line - (30, 30, 0)


def make_subject(rng, n_streamlines=30, bend_mm=0.0, turn=False):
    """Make one subject's bundle, a list of (40, 3) float32 in mm, in any direction.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where everything random comes from.
    n_streamlines : int, optional
        Streamlines wanted.
    bend_mm : float, optional
        How far the middle fifth is displaced.
    turn : bool, optional
        Swap two axes: another bundle.
    """
    shift = rng.normal(scale=0.5, size=3)
    tilt = rng.normal(scale=0.5, size=3) * np.linspace(-1, 1, 40)[:, None]
    course = make_course(bend_mm=bend_mm) + shift + tilt
    course = course[:, [2, 0, 1]] if turn else course
    offsets = rng.normal(scale=2.0, size=(n_streamlines, 1, 3))
    return [
        line[:: rng.choice([-1, 1])].astype(np.float32) for line in course + offsets
    ]


def make_group(seed, n_subjects, *, bend_mm=0.0, name="c"):
    """Subjects with the bundles AF and CST; AF's is bent by ``bend_mm``."""
    rng = np.random.default_rng(seed)
    return {
        f"{name}{i}": {
            "AF": make_subject(rng, bend_mm=bend_mm),
            "CST": make_subject(rng, turn=True),
        }
        for i in range(n_subjects)
    }


def train_on(group):
    """Train a small model on a group."""
    from dipy_tractoencoder.training.train import train

    return train(
        [lines for given in group.values() for lines in given.values()],
        n_points=32,
        latent_dim=10,
        epochs=1,
        validation_fraction=0,
    )
