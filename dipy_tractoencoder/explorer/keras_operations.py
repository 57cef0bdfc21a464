"""List the layers of a folded Keras network as plain operations."""

from __future__ import annotations

import keras
from keras import layers
import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.nn.inference import Shift, UpConvolution1D
from dipy_tractoencoder.nn.keras_settings import standard_keras
from dipy_tractoencoder.nn.layers import LinearUpSampling1D, ReflectPadding1D

ACTIVATIONS = ("linear", "relu", "gelu")


@standard_keras()
def list_operations(network: keras.Model) -> list[dict]:
    """List the operations of a network.

    Parameters
    ----------
    network : keras.Model
        Network of `nn.inference`.

    Returns
    -------
    operations : list of dict
        As of `explorer.decoder_export.export_decoder`.

    Raises
    ------
    InvalidArgumentError
        If the network has a layer that none of the operations describes.
    """
    places, operations = {}, []
    for place, layer in enumerate(network.operations):
        places[id(layer.output)] = place
        if isinstance(layer, layers.InputLayer):
            continue
        given = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        inputs = [places[id(tensor)] for tensor in given]
        operations.append({**_operation(layer), "inputs": inputs})
    return operations


def _operation(layer):
    """Return kind and arrays of one layer."""
    if isinstance(layer, layers.Dense):
        return {"kind": "dense", **_weights(layer)}
    if isinstance(layer, layers.Conv1D) and layer.strides == (1,):
        return {"kind": "convolution", **_weights(layer)}
    if isinstance(layer, UpConvolution1D):
        return {"kind": "double_convolution", **_weights(layer.convolution)}
    if isinstance(layer, layers.Reshape):
        return {"kind": "reshape", "shape": list(layer.output.shape[1:])}
    if isinstance(layer, ReflectPadding1D):
        return {"kind": "reflect"}
    if isinstance(layer, LinearUpSampling1D):
        return {"kind": "double_linear"}
    if isinstance(layer, layers.ReLU):
        return {"kind": "activate", "activation": "relu"}
    if isinstance(layer, Shift):
        return {"kind": "shift", "shift": np.asarray(layer.shift, dtype=np.float32)}
    if type(layer).__name__ == "Add":  # A plus sign between tensors.
        return {"kind": "add"}
    raise InvalidArgumentError(
        f"Cannot export this decoder: layers of type {type(layer).__name__} are not "
        "supported."
    )


def _weights(layer):
    """Return kernel, bias (zeros if there is none) and activation of a linear layer."""
    activation = getattr(layer.activation, "__name__", str(layer.activation))
    if activation not in ACTIVATIONS:
        raise InvalidArgumentError(
            f"Cannot export this decoder: its activation {activation} is none of "
            f"{', '.join(ACTIVATIONS)}."
        )
    kernel, *bias = (np.asarray(w, dtype=np.float32) for w in layer.get_weights())
    bias = bias[0] if bias else np.zeros(kernel.shape[-1], dtype=np.float32)
    return {"kernel": kernel, "bias": bias, "activation": activation}
