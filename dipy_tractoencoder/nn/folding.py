"""Fold two consecutive linear layers of the FINTA backbone into one.

The last convolution of FINTA's encoder has no activation and is followed by a dense
layer; its decoder starts with a dense layer without activation, followed by a
convolution. Each pair is one linear map. Composing the weights once per batch costs as
much as running a few dozen streamlines through the pair, so that larger batches become
faster; output and gradients are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import layers, ops


def split_at(body: keras.Model, kind: type, *, last: bool = False) -> tuple:
    """Split a chain of layers at its first, or last, layer of a class.

    Parameters
    ----------
    body : keras.Model
        Chain of layers, starting with the input.
    kind : type
        Class of the layer to find.
    last : bool, optional
        Find the last such layer.

    Returns
    -------
    before : list of keras.layers.Layer
        Layers before it, without the input.
    layer : keras.layers.Layer
        Layer of the class.
    after : list of keras.layers.Layer
        Layers after it.
    """
    chain = body.layers[1:]
    places = [n for n, layer in enumerate(chain) if isinstance(layer, kind)]
    place = places[-1 if last else 0]
    return chain[:place], chain[place], chain[place + 1 :]


def run_chain(chain: Iterable, x: Any, *, training: bool = False) -> Any:
    """Apply layers one after the other.

    Parameters
    ----------
    chain : list of keras.layers.Layer
        Layers with one input each.
    x : tensor
        Input of the first layer.
    training : bool, optional
        Training mode of batch normalisation.

    Returns
    -------
    x : tensor
        Output of the last layer.
    """
    for layer in chain:
        if isinstance(layer, layers.BatchNormalization):
            x = layer(x, training=training)
        else:
            x = layer(x)
    return x


def products(*values: Any, like: keras.layers.Layer) -> list[Any]:
    """Cast tensors to the dtype in which a layer computes.

    Parameters
    ----------
    *values : tensor
        Weights or inputs.
    like : keras.layers.Layer
        Layer that determines the dtype.

    Returns
    -------
    values : list of tensor
        Cast tensors; they change only in mixed precision.
    """
    return [ops.cast(value, like.compute_dtype) for value in values]


def decode_folded(body: keras.Model, latent: Any) -> Any:
    """Run FINTA's decoder with its first dense layer and convolution folded.

    Parameters
    ----------
    body : keras.Model
        Result of `nn.backbones.decoder_body` for "finta".
    latent : tensor, shape (n_streamlines, latent_dim)
        Latents in the network's units.

    Returns
    -------
    output : tensor, shape (n_streamlines, n_points, 3)
        Result of ``body(latent)``, up to rounding.
    """
    reshape, convolution, after = split_at(body, layers.Conv1D)
    dense, *reshape = reshape
    # Outputs of the pair for unit latents and for zero: composed kernel, and bias.
    kernel, bias, taps, shift, latent = products(
        dense.kernel,
        dense.bias,
        convolution.kernel,
        convolution.bias,
        latent,
        like=dense,
    )
    rows = ops.concatenate([kernel, bias[None]], axis=0)
    rows = ops.conv(run_chain(reshape, rows), taps, padding="valid")
    steps, channels = rows.shape[1:]
    kernel = ops.reshape(rows[:-1], (-1, steps * channels))
    bias = ops.reshape(rows[-1] + shift, (-1,))
    x = ops.reshape(ops.matmul(latent, kernel) + bias, (-1, steps, channels))
    return run_chain(after, x)


def encode_folded(body: keras.Model, head: keras.layers.Dense, points: Any) -> Any:
    """Run FINTA's encoder with its last convolution and a dense head folded.

    This is possible only without batch normalisation between the two, which needs the
    output of the convolution in training.

    Parameters
    ----------
    body : keras.Model
        Result of `nn.backbones.encoder_body` for "finta" without batch normalisation.
    head : keras.layers.Dense
        Layer after the body.
    points : tensor, shape (n_streamlines, n_points, 3)
        Normalised points.

    Returns
    -------
    output : tensor, shape (n_streamlines, units)
        Result of ``head(body(points))``, up to rounding.
    """
    before, convolution, _ = split_at(body, layers.Conv1D, last=True)
    x = run_chain(before, points)
    padded, channels = x.shape[1:]
    head_kernel, head_bias, taps, shift = products(
        head.kernel, head.bias, convolution.kernel, convolution.bias, like=head
    )
    width, _, filters = taps.shape
    steps = padded - width + 1
    # The output of the body is flattened channel by channel.
    units = head_kernel.shape[1]
    weights = ops.reshape(head_kernel, (filters, steps, units))
    taps = ops.tensordot(taps, weights, axes=1)  # (width, in, steps, out)
    kernel = sum(
        ops.pad(
            ops.transpose(taps[tap], (1, 0, 2)),
            ((tap, width - 1 - tap), (0, 0), (0, 0)),
        )
        for tap in range(width)
    )
    kernel = ops.reshape(kernel, (padded * channels, units))
    bias = head_bias + ops.sum(weights * shift[:, None, None], axis=(0, 1))
    return ops.matmul(ops.reshape(x, (-1, padded * channels)), kernel) + bias
