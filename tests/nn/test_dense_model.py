"""A dense model is applied by NumPy, without a backend, and gives the same numbers."""

from dataclasses import replace
import io
import json
import threading
import zipfile

from flow_data import run_python
import h5py
from hostile_hdf5 import KINDS
from keras import ops
import numpy as np
import pytest
from random_models import N_POINTS, random_model
from scipy.special import erf

from dipy_tractoencoder import (
    DenseModel,
    alignment_reference,
    decode,
    encode,
    fingerprint,
    load_applied_model,
    load_model,
    reconstruct,
    save_model,
)
from dipy_tractoencoder.errors import (
    FingerprintError,
    InputFileError,
    InvalidArgumentError,
    TractoencoderError,
)
from dipy_tractoencoder.latent.reconstruction import reconstruct_points
from dipy_tractoencoder.nn import architecture
from dipy_tractoencoder.nn.applied_file import load_dense_model
from dipy_tractoencoder.nn.architecture import LOG_VAR_MAX, LOG_VAR_MIN
from dipy_tractoencoder.nn.build import build_model
from dipy_tractoencoder.nn.dense_network import BATCH_SIZE, gelu
from dipy_tractoencoder.nn.likelihood import log_likelihood
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.utils.blas import run_in_threads, single_threaded_blas

WEIGHTS = "model.weights.h5"


def applied(model, folder):
    """Save a model and read it without a backend."""
    save_model(model, folder / "a.keras", overwrite=True)
    found = load_applied_model(folder / "a.keras")
    assert isinstance(found, DenseModel)
    return found


def points_of(model, n=40):
    preprocessing = model.preprocessing
    shape = (n, preprocessing.n_points, 3)
    rng = np.random.default_rng(1)
    points = rng.normal(size=shape) * preprocessing.scale + preprocessing.centre
    return points.astype(np.float32)


def by_keras(model, points):
    """Posterior and reconstruction by the trained model itself, not folded."""
    unit = model.latent_unit
    normalised = model.preprocessing.normalise(points)
    heads = model.encode_tensors(ops.convert_to_tensor(normalised))
    mean = ops.convert_to_numpy(heads["mean"]) * unit
    log_var = None
    if model.variational:
        log_var = ops.convert_to_numpy(heads["log_var"]) + 2 * np.log(unit)
    decoded = ops.convert_to_numpy(model.decode_tensors(heads["mean"]))
    return mean, log_var, model.preprocessing.denormalise(decoded)


# The same numbers


@pytest.mark.parametrize("kind", ["vae", "ae"])
@pytest.mark.parametrize("linear_skip", [True, False])
@pytest.mark.parametrize("latent_dim", [1, 6, 100])
def test_it_agrees_with_the_backend(kind, linear_skip, latent_dim, tmp_path):
    model = random_model(model=kind, linear_skip=linear_skip)
    if latent_dim != model.latent_dim:
        settings = TrainingSettings(
            n_points=N_POINTS,
            latent_dim=latent_dim,
            model=kind,
            linear_skip=linear_skip,
        )
        model = build_model(model.preprocessing, settings)
        model.ensure_built()
    assert_same(model, applied(model, tmp_path))


def assert_same(model, found):
    """Compare what a model and its counterpart without a backend give."""
    points = points_of(model)
    array = StreamlineArray.from_points(points)
    mean, log_var, decoded = by_keras(model, points)
    for one in (model, found):
        latents = encode(one, array)
        np.testing.assert_allclose(latents.mean, mean, atol=1e-4)  # mm
        if model.variational:
            np.testing.assert_allclose(latents.log_var, log_var, atol=1e-4)
        else:
            assert latents.log_var is None
        np.testing.assert_allclose(decode(one, latents), decoded, atol=5e-4)  # mm
    np.testing.assert_array_equal(found.latent_unit, model.latent_unit)
    assert fingerprint(found) == fingerprint(model)


@pytest.mark.parametrize("orientation", ["canonical", "augment", "as_is"])
def test_it_agrees_in_every_orientation(orientation, tmp_path, lines):
    settings = TrainingSettings(n_points=32, latent_dim=3, orientation=orientation)
    preprocessing = Preprocessing(n_points=32, orientation=orientation, scale=30.0)
    model = build_model(preprocessing, settings)
    model.ensure_built()
    found = applied(model, tmp_path)
    assert_same(model, found)
    latents, wanted = encode(found, lines), encode(model, lines)
    np.testing.assert_array_equal(latents.mean, wanted.mean)
    np.testing.assert_array_equal(latents.is_reversed, wanted.is_reversed)


@pytest.mark.parametrize("name", ["trained_vae", "trained_ae"])
def test_trained_models_and_all_they_tell(name, request, tmp_path, lines):
    model = request.getfixturevalue(name)
    found = applied(model, tmp_path)
    assert_same(model, found)
    assert repr(found) == repr(model)
    assert found.preprocessing == model.preprocessing
    assert found.record == model.record
    assert dict(found.sections) == dict(model.sections) != {}
    assert found.architecture() == model.architecture()
    assert found.variational == model.variational
    assert (
        alignment_reference(found).to_bytes() == alignment_reference(model).to_bytes()
    )
    for first, second in zip(found.weights, model.get_weights()):
        np.testing.assert_array_equal(first.value, second)
    for value, wanted in zip(
        vars(found.principal_directions()).values(),
        vars(model.principal_directions()).values(),
    ):
        np.testing.assert_array_equal(value, wanted)
    points = points_of(model)
    np.testing.assert_array_equal(
        found.pca_baseline().reconstruct(points),
        model.pca_baseline().reconstruct(points),
    )
    np.testing.assert_array_equal(
        reconstruct_points(found, points), reconstruct_points(model, points)
    )
    errors, wanted = (
        reconstruct(found, lines).errors(),
        reconstruct(model, lines).errors(),
    )
    assert errors == wanted
    if model.variational:
        values = log_likelihood(found, points[:3], 5.0, n_samples=4)
        wanted = log_likelihood(model, points[:3], 5.0, n_samples=4)
        np.testing.assert_array_equal(values, wanted)


def test_latents_of_one_are_decoded_by_the_other(trained_vae, tmp_path, lines):
    found = applied(trained_vae, tmp_path)
    latents = encode(found, lines)
    np.testing.assert_array_equal(decode(trained_vae, latents), decode(found, latents))
    other = replace(latents, fingerprint="0" * 64)
    with pytest.raises(FingerprintError, match="another model"):
        decode(found, other)


def test_extreme_log_variances_are_clipped(tmp_path):
    model = random_model()
    model.log_var_head.bias.assign(np.array([1e6, -1e6, 0, 0, 0, 0]))
    found = applied(model, tmp_path)
    array = StreamlineArray.from_points(points_of(model))
    log_var = encode(found, array).log_var - 2 * np.log(model.latent_unit)
    np.testing.assert_allclose(log_var[:, 0], LOG_VAR_MAX, rtol=1e-5)
    np.testing.assert_allclose(log_var[:, 1], LOG_VAR_MIN, rtol=1e-5)


def test_batches_and_threads_change_nothing(trained_vae, tmp_path):
    from threadpoolctl import threadpool_limits

    found = applied(trained_vae, tmp_path)
    array = StreamlineArray.from_points(points_of(trained_vae, 2 * BATCH_SIZE + 7))
    latents = encode(found, array)
    points = decode(found, latents)
    with threadpool_limits(1):
        np.testing.assert_array_equal(encode(found, array).mean, latents.mean)
        np.testing.assert_array_equal(decode(found, latents), points)
    np.testing.assert_allclose(
        encode(found, array, batch_size=100).mean, latents.mean, atol=1e-5
    )
    nothing = StreamlineArray.from_points(array.points[:0])
    assert encode(found, nothing).mean.shape == (0, 5)


def test_sections_and_weights_of_an_applied_model(trained_vae, tmp_path):
    found = applied(trained_vae, tmp_path)
    before = fingerprint(found)
    found.sections["notes"] = b"more"
    assert fingerprint(found) != before
    del found.sections["notes"]
    assert fingerprint(found) == before
    for weight in found.weights[1:]:
        with pytest.raises(ValueError, match="read-only"):
            weight.value[...] = 0
    with pytest.raises(InvalidArgumentError, match="load_model"):
        save_model(found, tmp_path / "again.keras")


def test_other_backbones_keep_their_backend(trained_convolutional_vae, tmp_path):
    model = trained_convolutional_vae
    save_model(model, tmp_path / "a.keras")
    assert load_dense_model(tmp_path / "a.keras") is None
    found = load_applied_model(tmp_path / "a.keras")
    assert type(found) is type(model) and fingerprint(found) == fingerprint(model)


# The activation


def test_gelu():
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    found = gelu(x.copy())
    x = x.astype(np.float64)
    wanted = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=1e-6)
    extreme = np.array([0.0, -0.0, 1e12, -1e12, 1e38, -1e38], np.float32)
    with np.errstate(over="ignore"):
        gelu(extreme)
    np.testing.assert_array_equal(extreme, np.float32([0, 0, 1e12, 0, 1e38, 0]))
    assert np.isnan(gelu(np.array([np.nan], np.float32))).all()
    assert gelu(np.empty((0, 3), np.float32)).shape == (0, 3)


# Threads


def blas_threads():
    from threadpoolctl import threadpool_info

    return {
        lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"
    }


def test_the_threads_of_blas_are_as_before():
    before = blas_threads()
    with single_threaded_blas() as outer, single_threaded_blas() as inner:
        assert 1 in blas_threads()
        assert outer == inner >= 1
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        run_in_threads(lambda n: 1 / n, [1, 0])
    assert blas_threads() == before


def test_two_threads_encode_at_the_same_time(trained_vae, tmp_path):
    found = applied(trained_vae, tmp_path)
    array = StreamlineArray.from_points(points_of(trained_vae, 3 * BATCH_SIZE))
    before, wanted = blas_threads(), encode(found, array).mean
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(encode(found, array).mean))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for mean in results:
        np.testing.assert_array_equal(mean, wanted)
    assert blas_threads() == before


# Files


@pytest.fixture
def path(trained_vae, tmp_path):
    """File of a small VAE."""
    save_model(trained_vae, tmp_path / "vae.keras")
    return tmp_path / "vae.keras"


def rewrite(path, change_weights=None, **settings):
    """Change the weights or the settings in a model file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"].update(settings)
    parts["config.json"] = json.dumps(config)
    if change_weights:
        content = io.BytesIO(parts[WEIGHTS])
        with h5py.File(content, "a") as file:
            change_weights(file)
        parts[WEIGHTS] = content.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def messages(path):
    """Messages of both readers, which refuse the file."""
    found = []
    for read in (load_model, load_applied_model):
        with pytest.raises(TractoencoderError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        found.append((type(caught.value), str(caught.value)))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"latent_dim": 6},
        {"latent_dim": 0},
        {"backbone": "huge"},
        {"upsampling": "cubic"},
        {"loss": "l1"},
        {"kl_weight": -1},
        {"kl_annealing": "never"},
        {"epsilon_std": "one"},
        {"dtype": "float16"},
        {"preprocessing": {"n_points": 32, "scale": 0.0}},
        {"linear_skip": False},
        {"kl_weight": 3.0},
    ],
    ids=str,
)
def test_settings_of_another_model_have_the_same_message(path, settings):
    rewrite(path, **settings)
    first, second = messages(path)
    assert first == second


@pytest.mark.parametrize("seed", [{"a": 1}, "x", 1.5])
def test_a_seed_that_is_none(path, seed):
    rewrite(path, seed=seed)
    assert all(kind is InputFileError for kind, _ in messages(path))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_weights_that_are_not_finite(path, value):
    def change(file):
        file["layers/dense/vars/1"][0] = value

    rewrite(path, change)
    for kind, text in messages(path):
        assert kind is InputFileError
        assert "not finite" in text or "no training" in text
        assert "mean_head/bias" in text


def test_changed_weights(path):
    def change(file):
        file["layers/dense/vars/1"][0] += 1e-3

    rewrite(path, change)
    first, second = messages(path)
    assert first == second and first[0] is FingerprintError


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_weights(path, tmp_path, kind):
    rewrite(path, lambda file: KINDS[kind](file, "layers/dense/vars/1", tmp_path))
    first, second = messages(path)
    assert first == second


def test_exchanged_weights(path):
    """Both heads have the same shapes."""

    def change(file):
        file.move("layers/dense", "layers/kept")
        file.move("layers/dense_1", "layers/dense")
        file.move("layers/kept", "layers/dense_1")

    rewrite(path, change)
    assert [kind for kind, _ in messages(path)] == [FingerprintError] * 2


def test_weights_that_lie_elsewhere_are_left_to_keras(path):
    rewrite(path, lambda file: file.move("layers/dense", "layers/other"))
    assert load_dense_model(path) is None
    first, second = messages(path)
    assert first == second


def test_truncated(path):
    path.write_bytes(path.read_bytes()[:-100])
    first, second = messages(path)
    assert first == second


def test_a_module_of_constants_knows_all_backbones():
    for backbone in architecture.BACKBONES:
        architecture.check_points(backbone, 64)


# Without a backend

APPLY = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("keras", "tensorflow", "jax", "torch"):
            raise ImportError(f"{name} is imported")


sys.meta_path.insert(0, Refuse())

import numpy as np

import dipy_tractoencoder as dte
from dipy_tractoencoder.nn.likelihood import best_noise_std, log_likelihood

model = dte.load_applied_model(sys.argv[1])
lines = list(np.load(sys.argv[2]))
latents = dte.encode(model, lines)
points = dte.decode(model, latents)
dte.reconstruct(model, lines).errors()
dte.alignment_reference(model)
array = model.preprocessing.array(lines)
noise_std = best_noise_std(model, array.points)
assert np.isfinite(log_likelihood(model, array.points, noise_std)).all()
assert dte.fingerprint(model) == latents.fingerprint
assert "StreamlineVAE" in repr(model)
np.savez(sys.argv[3], mean=latents.mean, points=points)
print(*sorted({"keras", "tensorflow", "jax", "torch"} & {*sys.modules}))
"""


def test_no_backend_is_imported(path, trained_vae, tmp_path, bundles):
    lines = np.stack([line[:15] for line in bundles[0]])
    np.save(tmp_path / "lines.npy", lines)
    arguments = path, tmp_path / "lines.npy", tmp_path / "out.npz"
    result = run_python("-c", APPLY, *arguments)
    assert result.code == 0, result.err
    assert result.out.strip() == ""
    latents = encode(trained_vae, list(lines))
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["mean"], latents.mean, atol=1e-4)
        np.testing.assert_allclose(
            found["points"], decode(trained_vae, latents), atol=5e-4
        )
