"""What a model file asks for is compared with what it holds, before Keras builds it."""

from collections import Counter
import io

import h5py
from hostile_hdf5 import KINDS
import numpy as np
import pytest
from random_models import random_model

from dipy_tractoencoder.errors import TractoencoderError
from dipy_tractoencoder.nn.model_file_checks import (
    check_record,
    check_stored_weights,
    record_digest,
    weight_shapes,
)

DATASET = "layers/dense/vars/0"


@pytest.fixture(scope="module")
def model():
    """Give a model with 64 points and 6 latent dimensions."""
    return random_model()


@pytest.mark.parametrize("backbone", ["dense", "compact", "finta"])
@pytest.mark.parametrize("kind", ["vae", "ae"])
def test_shapes_are_those_that_keras_builds(backbone, kind):
    model = random_model(model=kind, backbone=backbone)
    shapes = weight_shapes(model.get_config(), variational=kind == "vae")
    built = Counter(
        tuple(weight.shape)
        for weight in model.weights
        if "seed_generator" not in weight.path and weight.path.split("/")[-1] != "seed"
    )
    assert Counter(shapes) == built


@pytest.mark.parametrize(
    "change",
    [
        {"n_points": 10**12},
        {"n_points": 64.0},
        {"n_points": -64},
        {"latent_dim": 10**12},
        {"latent_dim": 5.0},
        {"latent_dim": True},
        {"latent_dim": 0},
        {"latent_dim": None},
        {"latent_dim": "5"},
        {"latent_dim": float("inf")},
        {"backbone": ["dense"]},
        {"backbone": "huge"},
        {"preprocessing": None},
        {"preprocessing": {"n_points": 64, "other": 1}},
        {"dtype": "float16"},  # Keras would compute with it.
        {"trainable": False},
    ],
    ids=str,
)
def test_settings_that_no_model_has(model, change):
    config = model.get_config()
    if "n_points" in change:
        change = {"preprocessing": {**config["preprocessing"], **change}}
    content = as_file([tuple(weight.shape) for weight in model.weights])
    with pytest.raises((TractoencoderError, TypeError, ValueError)):
        shapes = weight_shapes({**config, **change}, variational=True)
        check_stored_weights(content, shapes)


def as_file(shapes):
    """Write zeros of these shapes to a file in memory."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for number, shape in enumerate(shapes):
            file[f"layers/{number}/vars/0"] = np.zeros(shape, np.float32)
    return content.getvalue()


def test_weights_are_stored_as_often_as_they_are_needed():
    shapes = [(3, 4), (4,), (4,), ()]
    check_stored_weights(as_file(shapes), shapes)
    check_stored_weights(as_file([*shapes, (9, 9)]), shapes)
    with pytest.raises(ValueError, match=r"shape \(3, 4\)"):
        check_stored_weights(as_file(shapes), [*shapes, (3, 4)])
    with pytest.raises(ValueError, match=r"shape \(1000000, 4\)"):
        check_stored_weights(as_file(shapes), [*shapes, (10**6, 4), (5,)])


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_weights_are_refused(tmp_path, kind):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file[DATASET] = np.zeros((30, 4), np.float32)
        KINDS[kind](file, DATASET, tmp_path)
    with pytest.raises((ValueError, OSError, TypeError)):
        check_stored_weights(content.getvalue(), [(30, 4)])


# Records


FULL = {
    "settings": {"epochs": 3, "seed": 0, "linear_skip": True, "refit": False, "x": []},
    "data": {
        "n_training": 9,
        "n_validation": 1,
        "n_read": 12,
        "rejects": {"too_short": 2},
        "files": ["a.trk"],
        "tractograms": [{"n_read": 12, "rejects": {}, "digest": "ab", "n_training": 9}],
        "errors": {"held_out": True, "error_mm": 1.0},
    },
    "history": {"loss": [3.0, 2.0], "error_mm": [2, float("nan")]},
    "best_epoch": 2,
    "versions": {"keras": "3.6"},
}


@pytest.mark.parametrize("record", [None, {}, FULL, {"settings": {}, "data": {}}])
def test_records_of_models(record):
    check_record(record)


@pytest.mark.parametrize(
    "record",
    [
        [],
        "text",
        {"other": 1},
        {"settings": []},
        {"settings": {"epochs": -1}},
        {"settings": {"epochs": "3"}},
        {"settings": {"epochs": 10**400}},
        {"settings": {"seed": None}},
        {"settings": {"refit": 1}},
        {"data": "x"},
        {"data": {"n_training": "many"}},
        {"data": {"n_read": -3}},
        {"data": {"rejects": [1]}},
        {"data": {"rejects": {"a": 0.5}}},
        {"data": {"files": "a.trk"}},
        {"data": {"files": [1]}},
        {"data": {"tractograms": {}}},
        {"data": {"tractograms": [1]}},
        {"data": {"tractograms": [{"digest": 3}]}},
        {"data": {"errors": 3}},
        {"history": []},
        {"history": {"loss": 3}},
        {"history": {"loss": ["a"]}},
        {"history": {"loss": [True]}},
        {"history": {"loss": [10**400]}},
        {"history": {"loss": [1e308]}},
        {"history": {"loss": [float("inf")]}},
        {"settings": {"epochs": 3}, "best_epoch": 4},
        {"history": {"loss": [1], "error_mm": [1, 2]}},
        {"best_epoch": 1.5},
        {"best_epoch": -1},
        {"versions": []},
        {"versions": {"keras": 3}},
    ],
    ids=lambda record: str(record)[:60],
)
def test_records_that_no_model_has(record):
    with pytest.raises(ValueError, match="training record"):
        check_record(record)


def test_digest_of_a_record():
    assert record_digest(FULL) == record_digest(dict(reversed(FULL.items())))
    other = {**FULL, "best_epoch": 1}
    assert len({record_digest(r) for r in (FULL, other, None, {})}) == 4
