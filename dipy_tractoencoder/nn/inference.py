"""Build encoder and decoder of a convolutional model with linear layers folded.

At inference, batch normalisation is a fixed scale and shift; consecutive linear layers
are one layer; nearest upsampling before a convolution is two shorter convolutions. The
folded networks take and return mm, agree with the trained model up to rounding, and
need as little as a third of its multiplications. `nn.dense_network` does the same for
the dense backbone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops
import numpy as np

from dipy_tractoencoder.nn.dense_network import DenseWeights
from dipy_tractoencoder.nn.folding import split_at
from dipy_tractoencoder.nn.keras_settings import standard_keras
from dipy_tractoencoder.nn.layers import ReflectPadding1D

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

# Streamlines per batch: enough for little overhead, few enough for the caches.
BATCH_SIZE = 1024


def folded_encoder(model: StreamlineAutoencoder) -> keras.Model:
    """Build the folded encoder of a trained model with convolutions.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; later changes of its weights have no effect.

    Returns
    -------
    encoder : keras.Model
        Model from points (n_streamlines, n_points, 3), mm, to (n_streamlines, k *
        latent_dim): the means in the unit of `latent_unit`, followed for a VAE (k = 2)
        by the log-variances, not yet clipped and without that unit.
    """
    heads = [model.mean_head]
    if model.variational:
        heads.append(model.log_var_head)
    kernel, bias = (
        np.concatenate([_value(getattr(head, name)) for head in heads], axis=-1)
        for name in ("kernel", "bias")
    )
    d = model.latent_dim
    unit = model.latent_unit.astype(np.float64)
    # Log-variances are clipped before the unit is added to them, so not here.
    kernel[:, :d] *= unit
    bias[:d] *= unit
    preprocessing = model.preprocessing
    inputs = keras.Input((preprocessing.n_points, 3))
    x = Shift(-np.asarray(preprocessing.centre))(inputs)
    scale = 1.0 / preprocessing.scale
    x, kernel, bias = _convolutions(model.encoder_body, x, kernel, bias, scale)
    outputs = _dense(kernel, bias)(x)
    if model.linear_skip:
        # Coefficients have no unit, like the network's latents.
        coefficients = _coefficients(model, inputs)
        skip = np.zeros((coefficients.shape[-1], kernel.shape[1]))
        skip[np.arange(d), np.arange(d)] = unit
        outputs = outputs + _dense(skip, None)(coefficients)
    return keras.Model(inputs, outputs, name="folded_encoder")


def folded_decoder(model: StreamlineAutoencoder) -> keras.Model:
    """Build the folded decoder of a trained model with convolutions.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; later changes of its weights have no effect.

    Returns
    -------
    decoder : keras.Model
        Model from latents (n_streamlines, latent_dim), in the unit of `latent_unit`,
        to points (n_streamlines, n_points, 3), RASMM, mm.
    """
    preprocessing = model.preprocessing
    scale = preprocessing.scale
    centre = np.asarray(preprocessing.centre, dtype=np.float64)
    d = model.latent_dim
    unit = model.latent_unit.astype(np.float64)
    inputs = keras.Input((d,))
    mean, directions, spread = (_value(w) for w in model.principal.weights)
    back = (directions * spread).T * scale
    mean = (mean.reshape(-1, 3) * scale + centre).ravel()
    skip = np.zeros((d, len(spread)))
    skip[np.arange(d), np.arange(d)] = 1 / unit
    x = _decoder_chain(model.decoder_body, inputs, unit, scale)
    if model.linear_skip:
        linear = _dense(skip @ back, mean)(inputs)
        outputs = x + layers.Reshape((-1, 3))(linear)
    else:
        outputs = Shift(centre)(x)
    return keras.Model(inputs, outputs, name="folded_decoder")


def dense_weights(model: StreamlineAutoencoder) -> DenseWeights:
    """Return the weights of a model with the dense backbone.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; later changes of its weights have no effect.

    Returns
    -------
    weights : DenseWeights
        Weights for `DenseNetwork`.
    """
    heads = [model.mean_head]
    if model.variational:
        heads.append(model.log_var_head)
    mean, directions, spread = (_value(weight) for weight in model.principal.weights)
    return DenseWeights(
        mean,
        directions,
        spread,
        _layers(model.encoder_body),
        _layers(model.decoder_body),
        tuple(_layers(head)[0] for head in heads),
    )


class FoldedNetwork:
    """Folded encoder and decoder of a convolutional model, each made at first use.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; its weights must not change.
    """

    def __init__(self, model: StreamlineAutoencoder) -> None:
        self._model = model
        self._made: dict[Callable, keras.Model] = {}

    def encode(self, points: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Encode points, as `nn.applied.AppliedNetwork`."""
        return self._run(folded_encoder, points, batch_size)

    def decode(self, latents: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Decode latents, as `nn.applied.AppliedNetwork`."""
        return self._run(folded_decoder, latents, batch_size)

    @standard_keras()
    def _run(self, make, inputs, batch_size):
        """Run a network in batches with few different sizes."""
        if make not in self._made:
            self._made[make] = make(self._model)
        network, batch_size = self._made[make], batch_size or BATCH_SIZE
        outputs = np.empty((len(inputs), *network.output_shape[1:]), dtype=np.float32)
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size]
            size = len(batch)
            # Each size is compiled once: the last batch is padded to a power of two.
            full = min(batch_size, 1 << max(5, (size - 1).bit_length()))
            if size < full:
                filling = np.zeros((full - size, *batch.shape[1:]), dtype=batch.dtype)
                batch = np.concatenate([batch, filling])
            outputs[start : start + size] = network.predict_on_batch(batch)[:size]
        return outputs


class Shift(layers.Layer):
    """Add constants to the last axes.

    Parameters
    ----------
    shift : ndarray
        Constants, of the shape of the last axes.
    """

    def __init__(self, shift: np.ndarray) -> None:
        super().__init__(trainable=False)
        self.shift = np.asarray(shift, dtype=np.float32)

    def call(self, x: Any) -> Any:
        """Add the constants to x."""
        return x + self.shift


class UpConvolution1D(layers.Layer):
    """Nearest upsampling by two, reflection padding and a convolution of width 3.

    Outputs at even positions depend on x[i - 1] and x[i], those at odd positions on
    x[i] and x[i + 1]: two taps each instead of three.

    Parameters
    ----------
    kernel : ndarray, shape (3, channels, filters)
        Kernel of the convolution.
    bias : ndarray, shape (filters,)
        Bias of the convolution.
    activation : str or callable, optional
        Activation of the output.
    """

    def __init__(
        self, kernel: np.ndarray, bias: np.ndarray, activation: Any = None
    ) -> None:
        super().__init__(trainable=False)
        left, middle, right = kernel
        even = np.stack([left, middle + right])
        odd = np.stack([left + middle, right])
        self.filters = kernel.shape[-1]
        self.convolution = layers.Conv1D(2 * self.filters, 2, activation=activation)
        self.convolution.build((None, None, kernel.shape[1]))
        self.convolution.set_weights(
            [np.concatenate([even, odd], axis=-1), np.concatenate([bias, bias])]
        )
        self.built = True

    def call(self, x: Any) -> Any:
        """Map (n, steps, channels) to (n, 2 * steps, filters)."""
        # Reflecting the upsampled steps repeats their ends.
        padded = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
        both = self.convolution(padded)
        pair = [both[:, :-1, : self.filters], both[:, 1:, self.filters :]]
        return ops.reshape(ops.stack(pair, axis=2), (-1, 2 * x.shape[1], self.filters))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Return the shape of the output."""
        return (input_shape[0], 2 * input_shape[1], self.filters)


def _value(weight):
    """Return a weight as float64, the precision for products of weights."""
    return ops.convert_to_numpy(weight).astype(np.float64)


def _layers(body):
    """Return kernels and biases of dense layers, in pairs."""
    values = [_value(weight) for weight in body.weights]
    return tuple(zip(values[::2], values[1::2]))


def _dense(kernel, bias, activation=None):
    """Create a dense layer with given weights."""
    layer = layers.Dense(
        kernel.shape[1], use_bias=bias is not None, activation=activation
    )
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return layer


def _copy(layer, weights):
    """Copy a layer, with given weights."""
    config = {**layer.get_config(), "dtype": "float32"}  # Not a mixed policy.
    copy = type(layer).from_config(config)
    if weights:
        copy.build((None, *weights[0].shape[:-1]))
        copy.set_weights(weights)
    return copy


def _coefficients(model, inputs):
    """Compute whitened principal coefficients of points in mm."""
    preprocessing = model.preprocessing
    mean, directions, spread = (_value(w) for w in model.principal.weights)
    mean = mean.reshape(-1, 3) * preprocessing.scale + preprocessing.centre
    # The mean is subtracted first: coefficients are much smaller than coordinates.
    x = layers.Flatten()(Shift(-mean)(inputs))
    return _dense(directions / (spread * preprocessing.scale), None)(x)


def _folded_convolution(convolution, normalisation, scale=1.0):
    """Fold input scale and normalisation into kernel and bias of a convolution."""
    kernel, bias = _value(convolution.kernel) * scale, _value(convolution.bias)
    if normalisation is not None:
        gain = _value(normalisation.gamma) / np.sqrt(
            _value(normalisation.moving_variance) + normalisation.epsilon
        )
        kernel = kernel * gain
        bias = (bias - _value(normalisation.moving_mean)) * gain
        bias = bias + _value(normalisation.beta)
    return kernel, bias


def _convolutions(body, x, head_kernel, head_bias, scale):
    """Run the encoder's convolutions, and fold the linear last one into the heads.

    Returns the flat input of the heads, and the heads' kernel and bias.
    """
    chain = body.layers[1:]
    places = [n for n, lay in enumerate(chain) if isinstance(lay, layers.Conv1D)]
    for place in places:
        convolution, after = chain[place], chain[place + 1 : place + 3]
        normalised = after and isinstance(after[0], layers.BatchNormalization)
        normalisation = after[0] if normalised else None
        activated = any(isinstance(layer, layers.ReLU) for layer in after)
        kernel, bias = _folded_convolution(convolution, normalisation, scale)
        scale = 1.0
        x = ReflectPadding1D()(x)
        if place == places[-1] and not activated:
            kernel, bias = _fold_into_heads(kernel, bias, head_kernel, head_bias)
            return layers.Flatten()(x), kernel, bias
        layer = layers.Conv1D(
            convolution.filters,
            convolution.kernel_size,
            convolution.strides,
            activation="relu" if activated else None,
        )
        layer.build((None, *x.shape[1:]))
        layer.set_weights([kernel, bias])
        x = layer(x)
    # The heads expect features channel by channel; here they are step by step.
    weights = head_kernel.reshape(x.shape[2], x.shape[1], -1).transpose(1, 0, 2)
    return layers.Flatten()(x), weights.reshape(len(head_kernel), -1), head_bias


def _fold_into_heads(kernel, bias, head_kernel, head_bias):
    """Fold a convolution into the dense heads after it.

    The output of the convolution is flattened channel by channel, its padded input
    step by step.
    """
    width, channels, filters = kernel.shape
    weights = head_kernel.reshape(filters, -1, head_kernel.shape[1])
    steps = weights.shape[1]
    folded = np.zeros((steps + width - 1, channels, weights.shape[2]))
    for tap in range(width):
        folded[tap : tap + steps] += np.tensordot(
            kernel[tap], weights, axes=1
        ).transpose(1, 0, 2)
    shift = np.tensordot(bias, weights.sum(axis=1), axes=1)
    return folded.reshape(-1, weights.shape[2]), head_bias + shift


def _decoder_chain(body, inputs, unit, scale):
    """Run the layers of a convolutional decoder, to mm without the centre."""
    chain = body.layers[1:]
    last = [n for n, lay in enumerate(chain) if isinstance(lay, layers.Conv1D)][-1]
    (dense, *shape), convolution, after = split_at(body, layers.Conv1D)
    kernel, bias = _value(dense.kernel) / unit[:, None], _value(dense.bias)
    upsampled = any(isinstance(lay, (layers.UpSampling1D,)) for lay in shape)
    position = 0
    if dense.activation is keras.activations.linear and not upsampled:
        # FINTA: fold the first convolution into the linear layer before it.
        rows = np.concatenate([kernel, bias[None]])
        taps, shift = _value(convolution.kernel), _value(convolution.bias)
        rows = rows.reshape(len(rows), -1, taps.shape[1])
        rows = np.concatenate([rows[:, 1:2], rows, rows[:, -2:-1]], axis=1)
        steps = rows.shape[1] - len(taps) + 1
        rows = sum(rows[:, t : t + steps] @ taps[t] for t in range(len(taps)))
        kernel = rows[:-1].reshape(len(kernel), -1)
        bias = (rows[-1] + shift).ravel()
        position = chain.index(convolution) + 1
        # Apply the activation of the convolution before reshaping.
        x = _dense(kernel, bias, "relu")(inputs)
        x = layers.Reshape((steps, -1))(x)
        position += isinstance(chain[position], layers.ReLU)
    else:
        x = _dense(kernel, bias, dense.activation)(inputs)
        position = 1
    while position < len(chain):
        layer = chain[position]
        if isinstance(layer, layers.Conv1D) or (
            isinstance(layer, layers.UpSampling1D)
            and isinstance(chain[position + 2], layers.Conv1D)
        ):
            upsampled = isinstance(layer, layers.UpSampling1D)
            position += 2 * upsampled
            layer = chain[position]
            gain = scale if position == last else 1.0
            kernel, bias = _value(layer.kernel) * gain, _value(layer.bias) * gain
            activation = layer.activation
            if upsampled:
                x = UpConvolution1D(kernel, bias, activation)(x)
            else:
                copy = _copy(layer, [])
                copy.build((None, *x.shape[1:]))
                copy.set_weights([kernel, bias])
                x = copy(x)
        else:
            x = _copy(layer, [])(x)
        position += 1
    return x
