"""Encoder and decoder bodies: FINTA's convolutions, a compact and a dense variant.

Each body is a Keras model. `nn.autoencoder` adds the layers that convert its output
to latents or points.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from dipy_tractoencoder.nn import architecture
from dipy_tractoencoder.nn.architecture import (
    COEFFICIENT_BOUND,
    FILTERS,
    KERNEL,
    LAST_FILTERS,
)
from dipy_tractoencoder.nn.layers import LinearUpSampling1D, ReflectPadding1D, register


@register
class ChannelsFirstFlatten(keras.layers.Layer):
    """Flatten (n, steps, channels), all steps of channel 0 first, as FINTA does."""

    def call(self, x: Any) -> Any:
        """Flatten x to (n, channels * steps)."""
        return ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, x.shape[1] * x.shape[2]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Return the shape of the output."""
        return (input_shape[0], input_shape[1] * input_shape[2])


@register
class CoefficientBound(keras.layers.Layer):
    """Clip whitened coefficients to the range of the training data."""

    def call(self, x: Any) -> Any:
        """Clip x, any shape, without unit."""
        return ops.clip(x, -COEFFICIENT_BOUND, COEFFICIENT_BOUND)


def encoder_body(backbone: str, input_shape: tuple, *, batch_norm: bool) -> keras.Model:
    """Build the encoder without its heads.

    Parameters
    ----------
    backbone : {"dense", "compact", "finta"}
        "finta": FINTA's layers :footcite:p:`Legarreta2021`, six convolutions of
        width 3 with reflection padding. "compact": only the five convolutions with
        stride 2; the last one has no activation, so that it adds nothing to the dense
        layer after it. "dense": two hidden layers on whitened principal coefficients.
    input_shape : tuple of int
        (n_points, 3), or (n_components,) for "dense".
    batch_norm : bool
        Add batch normalisation after each convolution; "dense" has none.

    Returns
    -------
    body : keras.Model
        Model with output of shape (n_streamlines, n_features).
    """
    x = inputs = keras.Input(input_shape)
    if backbone == "dense":
        x = CoefficientBound()(x)
        for units in architecture.DENSE_UNITS:
            x = layers.Dense(units, activation="gelu")(x)
        return keras.Model(inputs, x, name="encoder_body")
    blocks = [(filters, 2, True) for filters in FILTERS]
    if backbone == "finta":
        blocks.append((LAST_FILTERS, 1, False))
    for filters, strides, activated in blocks:
        x = ReflectPadding1D()(x)
        x = layers.Conv1D(filters, KERNEL, strides=strides, padding="valid")(x)
        if batch_norm:
            # The default of 0.99 adapts too slowly for a few hundred steps.
            x = layers.BatchNormalization(momentum=0.9)(x)
        if activated:
            x = layers.ReLU()(x)
    return keras.Model(inputs, ChannelsFirstFlatten()(x), name="encoder_body")


def decoder_body(
    backbone: str,
    latent_dim: int,
    output_shape: tuple,
    *,
    upsampling: str,
    zero_output: bool,
) -> keras.Model:
    """Build the decoder, from the latent to points or principal coefficients.

    Parameters
    ----------
    backbone : {"dense", "compact", "finta"}
        As in `encoder_body`. "finta": a dense layer, then five times a convolution,
        ReLU and upsampling by two, and a last convolution to the points. "compact":
        ReLU after the dense layer, then upsampling before each convolution.
    latent_dim : int
        Number of latent dimensions.
    output_shape : tuple of int
        (n_points, 3), or (n_components,) for "dense".
    upsampling : {"nearest", "linear"}
        Upsampling of the convolutional decoders.
    zero_output : bool
        Initialise the last layer to zero, for a residual on the linear skip.

    Returns
    -------
    body : keras.Model
        Model with input of shape (n_streamlines, latent_dim) and output of shape
        ``(n_streamlines, *output_shape)``.
    """
    x = inputs = keras.Input((latent_dim,))
    last = {"kernel_initializer": "zeros"} if zero_output else {}
    if backbone == "dense":
        for units in architecture.DENSE_UNITS:
            x = layers.Dense(units, activation="gelu")(x)
        x = layers.Dense(output_shape[0], **last)(x)
        return keras.Model(inputs, x, name="decoder_body")
    upsample = {
        "nearest": lambda: layers.UpSampling1D(2),
        "linear": LinearUpSampling1D,
    }[upsampling]
    steps = output_shape[0] // 2 ** len(FILTERS)
    if backbone == "finta":
        x = layers.Dense(steps * LAST_FILTERS)(x)
        x = layers.Reshape((steps, LAST_FILTERS))(x)
        for filters in FILTERS[::-1]:
            x = layers.Conv1D(filters, KERNEL)(ReflectPadding1D()(x))
            x = upsample()(layers.ReLU()(x))
    else:
        x = layers.Dense(steps * FILTERS[-1], activation="relu")(x)
        x = layers.Reshape((steps, FILTERS[-1]))(x)
        for filters in FILTERS[-2::-1]:
            x = ReflectPadding1D()(upsample()(x))
            x = layers.Conv1D(filters, KERNEL, activation="relu")(x)
        x = upsample()(x)
    x = layers.Conv1D(3, KERNEL, **last)(ReflectPadding1D()(x))
    return keras.Model(inputs, x, name="decoder_body")
