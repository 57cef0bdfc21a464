"""Data of the FiberCup study: the phantom, and DIPY's bundles without one subject."""

import tempfile

from dipy.data.fetcher import extract_example_tracts
import numpy as np

from dipy_tractoencoder import load_tractogram, make_fibercup
from dipy_tractoencoder.workflows.demo import BUNDLES, TEST_SUBJECT, TRAINING_SUBJECTS

SIZES = {"train": 3112, "validation": 400, "test": 1000}
QUICK_SIZES = {"train": 300, "validation": 60, "test": 120}
SUBJECTS = (*TRAINING_SUBJECTS, TEST_SUBJECT)


def phantom(*, quick=False, seed=0):
    """Plausible streamlines of a synthetic FiberCup, mm.

    Returns
    -------
    data : dict
        "train" and "test": (streamlines, bundle of each); "training": arguments of
        `run_training`.
    """
    rng = np.random.default_rng(seed)
    sizes = QUICK_SIZES if quick else SIZES
    made = {n: make_fibercup(size, 0.0, seed=rng) for n, size in sizes.items()}
    data = {name: (list(m.streamlines), m.bundle) for name, m in made.items()}
    validation = data.pop("validation")[0]
    arguments = {"tractograms": [data["train"][0]], "validation": [validation]}
    return {**data, "training": arguments}


def bundles_without(subject):
    """Take the bundles of four of DIPY's subjects; the fifth is the test.

    One of the four chooses the epoch, then all four train for so long.

    Parameters
    ----------
    subject : str
        "sub_1" to "sub_5".

    Returns
    -------
    data : dict
        As `phantom`.
    """
    tracts = {}
    with tempfile.TemporaryDirectory() as folder:
        extract_example_tracts(folder)
        for name in SUBJECTS:
            for bundle in BUNDLES:
                tractogram = load_tractogram(f"{folder}/{name}/{bundle}.trk")
                tracts[name, bundle] = list(tractogram.streamlines)
    sides = {
        "train": [key for key in tracts if key[0] != subject],
        "test": [key for key in tracts if key[0] == subject],
    }
    data = {}
    for side, keys in sides.items():
        labels = [BUNDLES.index(key[1]) for key in keys for _ in tracts[key]]
        data[side] = ([line for key in keys for line in tracts[key]], np.array(labels))
    arguments = {
        "tractograms": [tracts[key] for key in sides["train"]],
        "groups": [key[0] for key in sides["train"]],
        "validation_fraction": 0.25,
        "refit": True,
    }
    return {**data, "training": arguments}


def load(name, *, quick=False):
    """Make data by name: "phantom", or the subject left out."""
    return phantom(quick=quick) if name == "phantom" else bundles_without(name)
