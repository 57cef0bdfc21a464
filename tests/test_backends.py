"""Train, encode and decode on each Keras backend, in a process of its own."""

from importlib.util import find_spec
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest
from slow import slow

SCRIPT = """
import json
import sys

import keras
import numpy as np

import dipy_tractoencoder as dte
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance

rng = np.random.default_rng(0)
angle = np.linspace(0, np.pi, 40)
lines = [
    np.stack([r * np.cos(angle), r * np.sin(angle), h * angle], axis=1)
    for r, h in rng.uniform((20, 0), (40, 10), (60, 2))
]
errors = {}
for backbone, model in (("dense", "ae"), ("compact", "vae")):
    trained = dte.train(
        [lines], model=model, backbone=backbone, n_points=32, latent_dim=4, epochs=2
    )
    latents = dte.encode(trained, lines)
    points = dte.decode(trained, latents)
    array = trained.preprocessing.array(lines)
    error = pooled_distance(point_distance(array.tractogram_order(), points))
    errors[backbone] = error
    assert latents.mean.shape == (60, 4)
    assert np.isfinite(points).all()
    path = f"{sys.argv[1]}/{backbone}.keras"
    dte.save_model(trained, path)
    again = dte.encode(dte.load_model(path), lines)
    assert np.array_equal(again.mean, latents.mean)
print(json.dumps({"backend": keras.backend.backend(), **errors}))
"""


@slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_train_encode_decode(backend, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    errors = json.loads(result.stdout.splitlines()[-1])
    assert errors["backend"] == backend
    # With the skip, two parameters per streamline leave little for four dimensions.
    assert errors["dense"] < 0.5
    assert errors["compact"] < 0.5


@slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_folded_networks(backend):
    """Folding, and training on coefficients, on the backends not in use here."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if os.environ.get("KERAS_BACKEND", "tensorflow") == backend:
        pytest.skip(f"{backend} is the backend in use, tested in this process")
    here = Path(__file__).parent
    files = (
        "nn/test_inference.py",
        "nn/test_folding.py",
        "nn/test_provenance.py",
        "training/test_coefficient_trainer.py",
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "weights or random or folded or loss",
            "-m",
            "",
            *(str(here / name) for name in files),
        ],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
