"""The reference for alignment that a training stores in its model."""

import numpy as np
import pytest

from dipy_tractoencoder.align.reference import LARGEST_REFERENCE_SAMPLE
from dipy_tractoencoder.nn.alignment import alignment_reference
from dipy_tractoencoder.streamlines.array import to_array
from dipy_tractoencoder.training import reference as module
from dipy_tractoencoder.training.reference import FEWEST, training_reference
from dipy_tractoencoder.training.train import run_training, train

SMALL = {"n_points": 32, "latent_dim": 2, "epochs": 0}


def distances_to(points, lines):
    """Largest distance (mm) of each streamline to the nearest of some, either way."""
    known = to_array(lines, SMALL["n_points"], orientation="as_is").points
    known = to_array(known, points.shape[1], orientation="as_is").points
    both = np.concatenate([known, known[:, ::-1]])
    apart = np.linalg.norm(points[:, None] - both[None], axis=-1).max(axis=-1)
    return apart.min(axis=1)


def test_the_sample_is_of_training_streamlines_only(bundles, lines):
    run = run_training(bundles, seed=1, **SMALL)
    reference = alignment_reference(run.model)
    assert run.held_out and len(reference.sample) == 54
    assert distances_to(reference.sample, lines).max() < 0.01
    assert distances_to(reference.sample, list(run.points)).min() > 0.1


@pytest.mark.parametrize("options", [{}, {"orientation": "as_is", "normalise": False}])
def test_it_is_the_same_for_the_same_seed(bundles, options):
    made = [
        alignment_reference(train(bundles, seed=seed, **SMALL, **options))
        for seed in (3, 3, 4)
    ]
    assert made[0].digest == made[1].digest != made[2].digest


def test_without_a_sample(bundles):
    model = train(bundles, alignment_sample=False, **SMALL)
    reference = alignment_reference(model)
    assert len(reference.centroids) and not reference.holds_streamlines
    assert "stores" not in repr(model)
    assert model.record.settings["alignment_sample"] is False


def test_few_streamlines(lines, caplog):
    caplog.set_level("INFO")
    model = train(lines[: FEWEST - 1], validation_fraction=0, **SMALL)
    assert alignment_reference(model) is None and not model.sections
    assert "No reference for alignment" in caplog.text
    model = train(lines[:FEWEST], validation_fraction=0, **SMALL)
    assert len(alignment_reference(model).sample) == FEWEST


def test_streamlines_that_are_all_alike(lines, caplog):
    caplog.set_level("INFO")
    model = train([lines[0]] * 40, validation_fraction=0, **SMALL)
    assert alignment_reference(model) is None
    assert "No reference for alignment" in caplog.text


def test_streamlines_too_far_away(lines, caplog):
    caplog.set_level("INFO")
    model = train([line + 1e6 for line in lines], **SMALL)
    assert alignment_reference(model) is None
    assert "No reference for alignment" in caplog.text


def test_many_streamlines_are_sampled(data, monkeypatch):
    monkeypatch.setattr(module, "N_SAMPLE", 40)
    found = training_reference(data, np.arange(len(data)) >= 50)
    assert len(found.sample) == 40 <= LARGEST_REFERENCE_SAMPLE
    assert (found.n_streamlines, found.names) == (40, ())
