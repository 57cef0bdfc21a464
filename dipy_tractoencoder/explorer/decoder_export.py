"""Export a trained decoder as a list of plain operations, to run outside Python.

The explorer's page decodes in the browser: ``templates/decoder.js`` runs this list. The
operations do not need Keras, so any language can run them.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.nn.applied import applied_network
from dipy_tractoencoder.nn.dense_network import DenseNetwork

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


def export_decoder(model: StreamlineAutoencoder) -> list[dict]:
    """List the operations of a trained model's decoder, linear ones folded.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.

    Returns
    -------
    operations : list of dict
        From a latent in the unit of `latent_unit` to points in mm, RASMM, in the order
        to be run. "kind" and "inputs": positions of the operations whose results it
        takes, of which the latent itself is number 0 and the first of the list 1. The
        rest by kind, with arrays as "kernel", "bias", "shift":

        - "dense": x @ kernel + bias, then "activation";
        - "convolution": of steps, as many as the kernel (width, channels, filters)
          fits in; bias; activation;
        - "double_convolution": twice the steps. With both = convolution of the steps,
          the first and last of them repeated outwards, and its filters in two halves:
          result 2 i is the first half of both[i], 2 i + 1 the second of both[i + 1];
        - "reflect": the second step in front, the last but one behind;
        - "double_linear": twice the steps, each new one 3/4 of the nearer and 1/4 of
          the other of its neighbours, ends repeated outwards;
        - "reshape": to "shape"; "activate": "activation" alone; "shift": x + shift;
          "add": the sum of two inputs.

        Activations are "linear", "relu", and "gelu" (the exact one, with erf).

    Raises
    ------
    InvalidArgumentError
        If the decoder has a layer that is none of these.
    """
    network = applied_network(model)
    if isinstance(network, DenseNetwork):
        return network.decoder_operations()
    from dipy_tractoencoder.explorer.keras_operations import list_operations
    from dipy_tractoencoder.nn.inference import folded_decoder

    return list_operations(folded_decoder(model))


def packed_operations(operations: list[dict]) -> list[dict]:
    """Convert a list of operations for JSON.

    Parameters
    ----------
    operations : list of dict
        From `export_decoder`.

    Returns
    -------
    operations : list of dict
        The same with arrays packed by `packed`, as float32.
    """
    return [
        {
            key: packed(value, "float32") if isinstance(value, np.ndarray) else value
            for key, value in operation.items()
        }
        for operation in operations
    ]


def packed(values: ArrayLike, kind: str) -> dict:
    """Pack an array as text.

    Parameters
    ----------
    values : array_like
        Array of any shape.
    kind : {"float32", "uint16", "int32"}
        Type of the packed numbers.

    Returns
    -------
    packed : dict
        "type", "shape", and "data": the little-endian numbers in base64.
    """
    values = np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    text = base64.b64encode(values.tobytes()).decode("ascii")
    return {"type": kind, "shape": list(values.shape), "data": text}
