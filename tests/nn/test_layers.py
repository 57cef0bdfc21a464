import keras
from keras import ops
import numpy as np
import pytest
from scipy import ndimage, stats

from dipy_tractoencoder.nn.layers import (
    LOG_VAR_MAX,
    LOG_VAR_MIN,
    LinearUpSampling1D,
    PrincipalProjection,
    RandomReverse,
    ReflectPadding1D,
    Sampling,
    bounded_log_var,
)
from dipy_tractoencoder.streamlines.pca import fit_principal

LARGEST = float(np.finfo(np.float32).max)
EXTREMES = [0.0, -0.0, 1e-45, 1.0, -1.0, LOG_VAR_MAX, LOG_VAR_MIN, 88.8, -104.0]
EXTREMES += [sign * size for sign in (1, -1) for size in (1e4, 1e30, LARGEST)]


def value_and_gradient(function, x):
    """Value and slope of the sum of a function, with the backend in use.

    Parameters
    ----------
    function : callable
        From a tensor to a tensor, through ``keras.ops``.
    x : array_like
        Where to evaluate it; taken as float32.

    Returns
    -------
    value, gradient : ndarray
        The value, and the gradient of its sum with respect to ``x``.
    """
    x = np.asarray(x, dtype=np.float32)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
            total = ops.sum(value)
        gradient = tape.gradient(total, tensor)
    elif backend == "jax":
        import jax

        value = function(x)
        gradient = jax.grad(lambda tensor: ops.sum(function(tensor)))(x)
    elif backend == "torch":
        import torch

        tensor = torch.tensor(x, requires_grad=True)
        value = function(tensor)
        (gradient,) = torch.autograd.grad(ops.sum(value), tensor)
        value = value.detach()
    else:
        pytest.skip(f"No gradients with the {backend} backend.")
    return ops.convert_to_numpy(value), ops.convert_to_numpy(gradient)


def test_gradient_helper():
    value, gradient = value_and_gradient(ops.square, [1.0, -3.0])
    np.testing.assert_allclose(value, [1, 9])
    np.testing.assert_allclose(gradient, [2, -6])


# Log-variances


@pytest.mark.parametrize("x", EXTREMES)
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_exponential_of_bounded_log_var_is_finite(x, factor):
    value, gradient = value_and_gradient(
        lambda log_var: ops.exp(factor * bounded_log_var(log_var)), [x]
    )
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    assert (value > 0).all() and (gradient > 0).all()
    assert value.max() <= 1.01e10


@pytest.mark.parametrize("x", EXTREMES)
def test_bounded_log_var(x):
    value, gradient = value_and_gradient(bounded_log_var, [x])
    # A log-variance beyond the range must feel a slope, to come back.
    np.testing.assert_array_equal(gradient, 1)
    np.testing.assert_allclose(value, np.clip(x, LOG_VAR_MIN, LOG_VAR_MAX), atol=1e-6)


def test_sampling_gradient_is_finite():
    sampling = Sampling(seed=1)
    for x in EXTREMES:
        value, gradient = value_and_gradient(
            lambda log_var: sampling(ops.zeros_like(log_var), bounded_log_var(log_var)),
            np.full((4, 3), x),
        )
        assert np.isfinite(value).all() and np.isfinite(gradient).all(), x


# Sampling


@pytest.mark.parametrize("epsilon_std", [1.0, 0.5, 2.5])
def test_sampling_statistics(epsilon_std):
    mean = np.array([3.0, -1.0, 0.0], dtype=np.float32)
    log_var = np.log(np.square([0.1, 1.0, 4.0])).astype(np.float32)
    rows = 20_000
    draws = ops.convert_to_numpy(
        Sampling(epsilon_std, seed=3)(
            np.tile(mean, (rows, 1)), np.tile(log_var, (rows, 1))
        )
    )
    standard = (draws - mean) / (np.exp(log_var / 2) * epsilon_std)
    for column in standard.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    correlation = np.corrcoef(standard.T) - np.eye(3)
    assert np.abs(correlation).max() < 0.03


def test_sampling_without_noise_is_the_mean(rng):
    mean = rng.normal(size=(6, 4)).astype(np.float32)
    draw = Sampling(epsilon_std=0.0)(mean, np.full((6, 4), 20, np.float32))
    np.testing.assert_array_equal(ops.convert_to_numpy(draw), mean)


def test_sampling_is_seeded_and_draws_anew():
    zeros = np.zeros((5, 4), dtype=np.float32)
    first, again, other = (Sampling(seed=seed) for seed in (1, 1, 2))
    draws = [ops.convert_to_numpy(layer(zeros, zeros)) for layer in (first, again)]
    np.testing.assert_array_equal(*draws)
    assert not np.array_equal(draws[0], ops.convert_to_numpy(first(zeros, zeros)))
    assert not np.array_equal(draws[0], ops.convert_to_numpy(other(zeros, zeros)))


# Padding and upsampling


@pytest.mark.parametrize("steps", [2, 3, 8])
def test_reflect_padding_is_numpys(rng, steps):
    x = rng.normal(size=(4, steps, 5)).astype(np.float32)
    padded = ops.convert_to_numpy(ReflectPadding1D()(x))
    expected = np.pad(x, ((0, 0), (1, 1), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(padded, expected)
    assert ReflectPadding1D().compute_output_shape((None, steps, 5)) == (
        None,
        steps + 2,
        5,
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_linear_upsampling_at_half_pixel_centres(rng, steps):
    x = rng.normal(size=(3, steps, 4)).astype(np.float32)
    ours = ops.convert_to_numpy(LinearUpSampling1D()(x))
    assert ours.shape == (3, 2 * steps, 4)
    centres = (np.arange(2 * steps) + 0.5) / 2 - 0.5
    for row in range(3):
        for channel in range(4):
            expected = np.interp(centres, np.arange(steps), x[row, :, channel])
            np.testing.assert_allclose(ours[row, :, channel], expected, atol=1e-6)
    zoomed = ndimage.zoom(
        x, (1, 2, 1), order=1, mode="nearest", grid_mode=True, prefilter=False
    )
    np.testing.assert_allclose(ours, zoomed, atol=1e-5)
    assert LinearUpSampling1D().compute_output_shape((None, steps, 4)) == (
        None,
        2 * steps,
        4,
    )


# Principal projection


def fitted_projection(points, n_components):
    """Layer with the principal directions of points, and those directions."""
    principal = fit_principal(points, n_components)
    layer = PrincipalProjection(n_components)
    layer.build((None, *points.shape[1:]))
    layer.mean.assign(principal.mean)
    layer.directions.assign(principal.directions)
    layer.spread.assign(principal.spread)
    return layer, principal


def test_projection_whitens_the_data(data):
    layer, _ = fitted_projection(data.points, 5)
    coefficients = ops.convert_to_numpy(layer(data.points))
    assert coefficients.shape == (len(data), 5)
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, atol=1e-4)
    covariance = np.cov(coefficients.T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(5), atol=1e-3)


def test_projection_and_back(data, rng):
    layer, principal = fitted_projection(data.points, 8)
    coefficients = rng.normal(size=(6, 8)).astype(np.float32)
    points = layer.invert(coefficients)
    assert tuple(points.shape) == (6, 32, 3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(points)), coefficients, atol=1e-3
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.invert(layer(data.points))),
        principal.reconstruct(data.points, 8),
        atol=1e-4,
    )


def test_projection_is_not_trained():
    layer = PrincipalProjection(4)
    layer.build((None, 8, 3))
    assert layer.trainable_weights == []
    assert [tuple(weight.shape) for weight in layer.weights] == [(24,), (24, 4), (4,)]


# Random reverse


def test_random_reverse_only_in_training(rng):
    points = rng.normal(size=(200, 6, 3)).astype(np.float32)
    layer = RandomReverse(seed=5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(points)), points)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(points, training=False)), points
    )
    turned = ops.convert_to_numpy(layer(points, training=True))
    is_same = (turned == points).all(axis=(1, 2))
    is_reversed = (turned == points[:, ::-1]).all(axis=(1, 2))
    assert (is_same ^ is_reversed).all()
    assert stats.binomtest(int(is_reversed.sum()), 200).pvalue > 1e-3
    again = ops.convert_to_numpy(layer(points, training=True))
    assert not np.array_equal(again, turned)


@pytest.mark.parametrize(
    "layer",
    [
        Sampling(0.25, seed=4),
        RandomReverse(seed=9),
        ReflectPadding1D(),
        LinearUpSampling1D(),
        PrincipalProjection(7),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_built_again_from_their_config(layer):
    saved = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(saved, safe_mode=True)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
