"""Fingerprints: computed once, and never that of weights that are no more."""

import copy
from dataclasses import replace

import keras
from keras import ops
import numpy as np
import pytest
from random_models import random_model

from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.nn import provenance
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.training.train import run_training


def anew(model):
    """Compute a fingerprint with nothing kept."""
    model.__dict__.pop("_fingerprinted", None)
    return fingerprint(model)


def points_of(model, n=8):
    shape = (n, model.preprocessing.n_points, 3)
    return np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)


def fit(model, jit_compile):
    model.compile(optimizer=keras.optimizers.Adam(0.1), jit_compile=jit_compile)
    model.fit(points_of(model), batch_size=4, epochs=1, verbose=0)


def fit_on(model):
    """Train, look at the fingerprint, and train once more by the compiled step."""
    fit(model, "auto")
    fingerprint(model)
    model.fit(points_of(model), batch_size=4, epochs=1, verbose=0)


def load(model, tmp_path):
    other = random_model(backbone=model.backbone)
    other.mean_head.bias.assign(other.mean_head.bias + 1)
    other.save_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "other.weights.h5")


def last_bit(model):
    """Change one bit of one weight, which no sum in single precision would show."""
    kernel = model.mean_head.kernel
    values = np.array(ops.convert_to_numpy(kernel))
    values.view(np.uint32)[0, 0] ^= 1
    kernel.assign(values)


def minus_zero(model):
    """Change the sign of a zero: equal as a number, not in the fingerprint."""
    bias = model.mean_head.bias
    bias.assign(np.zeros(bias.shape))
    fingerprint(model)
    bias.assign(np.full(bias.shape, -0.0))


def exchange(model):
    """Exchange two numbers of a weight: no sum would show it."""
    values = np.array(ops.convert_to_numpy(model.mean_head.kernel))
    values[[0, 1]] = values[[1, 0]]
    model.mean_head.kernel.assign(values)


def own_step(model):
    optimizer = keras.optimizers.SGD(1.0)
    bias = model.mean_head.bias
    optimizer.build([bias])
    optimizer.apply([ops.ones(bias.shape)], [bias])


def principal(model):
    n = model.principal.n_components
    model.set_principal(fit_principal(points_of(model, 100), n))


def run_in_training_mode(model):
    """Batch normalisation updates its statistics without any training step."""
    model.encode_tensors(ops.convert_to_tensor(points_of(model)), training=True)


def settle(model):
    from dipy_tractoencoder.nn.batch_norm import settle_statistics

    settle_statistics(model, points_of(model), 4)


CHANGES = {
    "assign": lambda model, _: model.mean_head.bias.assign(model.mean_head.bias + 1),
    "assign_add": lambda model, _: model.mean_head.bias.assign_add(
        ops.ones(model.mean_head.bias.shape)
    ),
    "layer.set_weights": lambda model, _: model.mean_head.set_weights(
        [w + 1 for w in model.mean_head.get_weights()]
    ),
    "set_weights": lambda model, _: model.set_weights(
        [w + 1 for w in model.get_weights()]
    ),
    "load_weights": load,
    "fit": lambda model, _: fit(model, "auto"),
    "fit, not compiled": lambda model, _: fit(model, False),
    "fit on": lambda model, _: fit_on(model),
    "train_on_batch": lambda model, _: (
        model.compile(optimizer="sgd"),
        model.train_on_batch(points_of(model)),
    ),
    "own step": lambda model, _: own_step(model),
    "set_principal": lambda model, _: principal(model),
    "batch normalisation": lambda model, _: run_in_training_mode(model),
    "settle_statistics": lambda model, _: settle(model),
    "one bit": lambda model, _: last_bit(model),
    "minus zero": lambda model, _: minus_zero(model),
    "exchange": lambda model, _: exchange(model),
    "preprocessing": lambda model, _: setattr(
        model, "preprocessing", replace(model.preprocessing, scale=7.0)
    ),
    "kl_weight": lambda model, _: setattr(model, "kl_weight", 0.5),
    "loss": lambda model, _: setattr(model, "loss_form", "mse"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_no_change_of_the_weights_goes_unseen(name, tmp_path):
    normalises = name in ("batch normalisation", "settle_statistics")
    model = random_model(backbone="compact" if normalises else "dense")
    before = fingerprint(model)
    assert fingerprint(model) == before
    CHANGES[name](model, tmp_path)
    after = fingerprint(model)
    assert after != before
    assert after == anew(model)


def test_changed_back_is_the_same_again():
    model = random_model()
    before, bias = fingerprint(model), model.mean_head.bias
    values = np.array(ops.convert_to_numpy(bias))
    bias.assign(values + 1)
    assert fingerprint(model) != before
    bias.assign(values)
    assert fingerprint(model) == before


def test_what_is_not_in_the_fingerprint_does_not_change_it(tmp_path):
    model = random_model()
    before = fingerprint(model)
    model.record = provenance.TrainingRecord(best_epoch=3)
    model.seed = 5
    assert fingerprint(model) == before == anew(model)


def test_a_copy_has_a_fingerprint_of_its_own():
    model = random_model()
    fingerprint(model)
    other = copy.copy(model)
    other.preprocessing = replace(model.preprocessing, scale=7.0)
    assert fingerprint(other) == anew(other) != fingerprint(model)


@pytest.mark.parametrize("backbone", ["dense", "finta"])
def test_it_is_computed_once(backbone, monkeypatch):
    model = random_model(backbone=backbone, linear_skip=backbone == "dense")
    array = StreamlineArray.from_points(points_of(model))
    computed = []
    compute = provenance._Fingerprinted
    monkeypatch.setattr(
        provenance, "_Fingerprinted", lambda *a: computed.append(1) or compute(*a)
    )
    latents = [encode(model, array) for _ in range(3)]
    for _ in range(3):
        decode(model, latents[-1])
    assert len(computed) == 1
    model.mean_head.bias.assign(model.mean_head.bias + 1)
    assert encode(model, array).fingerprint != latents[0].fingerprint
    assert len(computed) == 2


def test_it_is_not_saved_with_the_model(tmp_path):
    model = random_model()
    fingerprint(model)
    assert "_fingerprinted" not in str(model.get_config())
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    size = path.stat().st_size
    model.__dict__.pop("_fingerprinted")
    model.save_weights(path)
    assert path.stat().st_size == size


# What a model says of itself


def test_repr_says_kind_size_training_and_errors(bundles):
    run = run_training(bundles, n_points=32, latent_dim=2, epochs=1, seed=0)
    text = repr(run.model)
    errors = run.errors()
    for part in (
        "StreamlineVAE",
        "2 latent dimensions",
        "dense backbone with linear skip",
        "trained on 54 streamlines",
        f"held-out error {errors['error_mm']:.3g} mm",
        f"PCA {errors['pca_error_mm']:.3g} mm",
        "stores 54 of the streamlines",
    ):
        assert part in text
    assert "\n" not in text


def test_repr_of_models_without_errors_or_record(trained_vae):
    model = type(trained_vae).from_config(trained_vae.get_config())
    del model.record.data["errors"]  # As in files of older versions.
    model.sections = {}
    assert repr(model).endswith("trained on 60 streamlines>")
    model.record.data["errors"] = {"error_mm": "x"}
    assert repr(model).endswith("trained on 60 streamlines>")
    model.record = None
    assert "no record" in repr(model)
    text = repr(type(model)(model.preprocessing, latent_dim=3, linear_skip=False))
    assert "3 latent dimensions" in text and "without linear skip" in text
