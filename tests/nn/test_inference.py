"""The folded networks give what the trained ones give."""

from keras import ops
import numpy as np
import pytest
from random_models import CENTRE, LATENT_DIM, N_POINTS, SCALE, random_model

from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.nn.applied import applied_network
from dipy_tractoencoder.nn.architecture import LOG_VAR_MAX, LOG_VAR_MIN
from dipy_tractoencoder.nn.inference import UpConvolution1D
from dipy_tractoencoder.streamlines.array import StreamlineArray


def random_points(n):
    rng = np.random.default_rng(1)
    return (rng.normal(size=(n, N_POINTS, 3)) * SCALE + CENTRE).astype(np.float32)


def assert_agree(found, wanted):
    wanted = ops.convert_to_numpy(wanted)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("model", ["vae", "ae"])
@pytest.mark.parametrize("linear_skip", [True, False])
@pytest.mark.parametrize(
    "backbone, upsampling",
    [
        ("dense", "nearest"),
        ("compact", "nearest"),
        ("compact", "linear"),
        ("finta", "nearest"),
        ("finta", "linear"),
    ],
)
def test_random_weights(model, linear_skip, backbone, upsampling):
    model = random_model(
        model=model, linear_skip=linear_skip, backbone=backbone, upsampling=upsampling
    )
    points, unit = random_points(5), model.latent_unit
    normalised = ops.convert_to_tensor(model.preprocessing.normalise(points))
    heads = model.encode_tensors(normalised)
    network = applied_network(model)
    found = network.encode(points)
    mean = ops.convert_to_numpy(heads["mean"]) * unit
    assert_agree(found[:, :LATENT_DIM], mean)
    if model.variational:
        log_var = np.clip(found[:, LATENT_DIM:], LOG_VAR_MIN, LOG_VAR_MAX)
        assert_agree(log_var, heads["log_var"])
    else:
        assert found.shape == mean.shape
    latent = np.asarray(mean, dtype=np.float32)
    decoded = model.decode_tensors(ops.convert_to_tensor(latent / unit))
    decoded = model.preprocessing.denormalise(ops.convert_to_numpy(decoded))
    assert_agree(network.decode(latent), decoded)


@pytest.mark.parametrize("name", ["trained_vae", "trained_ae"])
def test_trained_models(name, request):
    model = request.getfixturevalue(name)
    n_points = model.preprocessing.n_points
    rng = np.random.default_rng(3)
    points = rng.normal(0, 20, size=(40, n_points, 3)).astype(np.float32)
    array = StreamlineArray.from_points(points)
    latents = encode(model, array, batch_size=16)
    heads = model.encode_tensors(
        ops.convert_to_tensor(model.preprocessing.normalise(points))
    )
    wanted = ops.convert_to_numpy(heads["mean"]) * model.latent_unit
    assert_agree(latents.mean, wanted)
    decoded = ops.convert_to_numpy(
        model.decode_tensors(ops.convert_to_tensor(latents.mean / model.latent_unit))
    )
    assert_agree(decode(model, latents), model.preprocessing.denormalise(decoded))


def test_extreme_log_variances_are_clipped_as_in_training():
    model = random_model()
    model.log_var_head.bias.assign(np.array([1e6, -1e6, 0, 0, 0, 0]))
    points = random_points(4)
    array = StreamlineArray.from_points(points)
    log_var = encode(model, array).log_var - 2 * np.log(model.latent_unit)
    np.testing.assert_allclose(log_var[:, 0], LOG_VAR_MAX, rtol=1e-5)
    np.testing.assert_allclose(log_var[:, 1], LOG_VAR_MIN, rtol=1e-5)


def test_weights_changed_later_are_used():
    model = random_model(model="ae")
    array = StreamlineArray.from_points(random_points(4))
    before = encode(model, array).mean
    np.testing.assert_array_equal(encode(model, array).mean, before)
    model.mean_head.bias.assign(model.mean_head.bias + 1.0)
    after = encode(model, array).mean
    # The spread of a coefficient in mm is the latent's unit.
    np.testing.assert_allclose(after - before, [model.latent_unit] * 4, rtol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 64, 65, 100])
def test_any_number_of_streamlines(n, trained_vae):
    n_points = trained_vae.preprocessing.n_points
    rng = np.random.default_rng(0)
    points = rng.normal(0, 20, size=(100, n_points, 3)).astype(np.float32)
    array = StreamlineArray.from_points(points)
    whole = encode(trained_vae, array).mean
    some = StreamlineArray.from_points(points[:n])
    latents = encode(trained_vae, some, batch_size=64)
    assert latents.mean.shape == (n, trained_vae.latent_dim)
    np.testing.assert_allclose(latents.mean, whole[:n], atol=1e-4)


def test_upsampling_and_convolution_in_one():
    from keras import layers

    from dipy_tractoencoder.nn.layers import ReflectPadding1D

    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 7, 4)).astype(np.float32)
    convolution = layers.Conv1D(5, 3, activation="relu")
    wanted = convolution(ReflectPadding1D()(layers.UpSampling1D(2)(x)))
    layer = UpConvolution1D(rng.normal(size=(3, 4, 5)), rng.normal(size=5), "relu")
    assert layer.compute_output_shape(x.shape) == tuple(wanted.shape)
    convolution.set_weights([rng.normal(size=(3, 4, 5)), rng.normal(size=5)])
    kernel, bias = convolution.get_weights()
    layer = UpConvolution1D(kernel, bias, "relu")
    wanted = convolution(ReflectPadding1D()(layers.UpSampling1D(2)(x)))
    assert_agree(ops.convert_to_numpy(layer(x)), wanted)
