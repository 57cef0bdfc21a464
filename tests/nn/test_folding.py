"""Pairs of linear layers run as one give what the pairs give."""

from dataclasses import replace

from keras import layers, ops
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder.nn.backbones import decoder_body, encoder_body
from dipy_tractoencoder.nn.folding import decode_folded, encode_folded, split_at
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.fit import fit
from dipy_tractoencoder.training.settings import TrainingSettings

N_POINTS, LATENT_DIM = 64, 5


def randomise(model, rng):
    """Give every weight, biases included, a random value."""
    for weight in model.weights:
        value = rng.normal(0, 0.1, weight.shape)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.path else value)


def assert_close(first, second):
    first, second = (ops.convert_to_numpy(value) for value in (first, second))
    assert np.abs(first).max() > 0.1
    np.testing.assert_allclose(first, second, atol=1e-4 * np.abs(first).max())


@pytest.mark.parametrize("upsampling", ["nearest", "linear"])
def test_folded_decoder(upsampling):
    rng = np.random.default_rng(0)
    body = decoder_body(
        "finta", LATENT_DIM, (N_POINTS, 3), upsampling=upsampling, zero_output=False
    )
    randomise(body, rng)
    latent = rng.normal(size=(7, LATENT_DIM)).astype(np.float32)
    assert_close(body(latent), decode_folded(body, ops.convert_to_tensor(latent)))


@pytest.mark.parametrize("n_points", [64, 128])
def test_folded_encoder(n_points):
    rng = np.random.default_rng(1)
    body = encoder_body("finta", (n_points, 3), batch_norm=False)
    randomise(body, rng)
    head = layers.Dense(LATENT_DIM)
    head.build(body.output_shape)
    randomise(head, rng)
    points = rng.normal(size=(7, n_points, 3)).astype(np.float32)
    folded = encode_folded(body, head, ops.convert_to_tensor(points))
    assert_close(head(body(points)), folded)


def test_split_at_finds_first_and_last():
    body = encoder_body("finta", (N_POINTS, 3), batch_norm=False)
    before, first, after = split_at(body, layers.Conv1D)
    assert first.filters == 32 and len(before) + len(after) == len(body.layers) - 2
    before, last, after = split_at(body, layers.Conv1D, last=True)
    assert last.filters == 1024 and len(after) == 1


@slow
@pytest.mark.parametrize("model, linear_skip", [("ae", True), ("vae", False)])
def test_training_folded_is_the_same_training(model, linear_skip, monkeypatch):
    rng = np.random.default_rng(2)
    points = rng.normal(size=(24, N_POINTS, 3)).astype(np.float32)
    preprocessing = Preprocessing(n_points=N_POINTS)
    settings = TrainingSettings(
        model=model,
        backbone="finta",
        linear_skip=linear_skip,
        n_points=N_POINTS,
        latent_dim=LATENT_DIM,
        epochs=2,
        batch_size=24,
        learning_rate=1e-4,
    )
    trained, folded, _ = fit(points, points[:8], preprocessing, settings)
    assert trained.fold is False  # Only in training.
    monkeypatch.setattr(
        "dipy_tractoencoder.training.fit.FOLD_FACTOR", 10**6, raising=True
    )
    _, plain, _ = fit(points, points[:8], preprocessing, replace(settings))
    assert folded.keys() == plain.keys()
    for name, values in folded.items():
        np.testing.assert_allclose(values, plain[name], rtol=1e-3, err_msg=name)
