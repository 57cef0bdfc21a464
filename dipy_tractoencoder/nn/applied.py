"""The network that applies a trained model: NumPy if it is dense, otherwise Keras."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from dipy_tractoencoder.nn.architecture import LOG_VAR_MAX, LOG_VAR_MIN
from dipy_tractoencoder.nn.dense_model import DenseModel
from dipy_tractoencoder.nn.dense_network import DenseNetwork
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.array import Rows, StreamlineArray
from dipy_tractoencoder.utils.blas import single_threaded_blas


class AppliedNetwork(Protocol):
    """Folded encoder and decoder of a trained model."""

    def encode(self, points: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Encode points (n, n_points, 3), mm, to heads (n, k * latent_dim).

        The means are in the unit of `latent_unit`; those of a variational autoencoder
        (k = 2) are followed by the log-variances, not yet clipped and without unit.
        """

    def decode(self, latents: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Decode latents (n, latent_dim) in that unit to points (n, n_points, 3)."""


def applied_network(model: Any, made_by: str | None = None) -> AppliedNetwork:
    """Return the network that applies a model, made again only for other weights.

    Parameters
    ----------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Trained model.
    made_by : str, optional
        Fingerprint of the model, if it is known already.

    Returns
    -------
    network : AppliedNetwork
        Network with the present weights.
    """
    made_by = made_by or fingerprint(model)
    # Not through Keras' attribute tracking, which would save it with the model.
    networks = model.__dict__.setdefault("_inference_networks", {})
    if made_by not in networks:
        networks.clear()
        networks[made_by] = _network(model)
    return networks[made_by]


def encode_points(
    model: Any,
    points: np.ndarray,
    *,
    made_by: str | None = None,
    batch_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute the posterior of points.

    Parameters
    ----------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines in the model's orientation, RASMM, mm.
    made_by : str, optional
        Fingerprint of the model, if it is known already.
    batch_size : int, optional
        Streamlines per batch; by default, a fast value for the backbone.

    Returns
    -------
    mean : ndarray, shape (n_streamlines, latent_dim), float32
        Posterior means in the unit of `latent_unit`.
    log_var : ndarray, shape (n_streamlines, latent_dim), float32, or None
        Logarithms of the posterior variances, without unit; None for an autoencoder.
    """
    return _posterior(model, applied_network(model, made_by).encode(points, batch_size))


def encode_streamlines(
    model: Any,
    streamlines: Any,
    *,
    made_by: str | None = None,
    batch_size: int | None = None,
) -> tuple[StreamlineArray | Rows, np.ndarray, np.ndarray | None]:
    """Reject, orient and resample streamlines, and compute their posterior.

    With a dense model, points go through the network while they are in the cache of a
    core, and are not kept.

    Parameters
    ----------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Trained model.
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        Streamlines in the space of the model, RASMM, mm.
    made_by : str, optional
        Fingerprint of the model, if it is known already.
    batch_size : int, optional
        Streamlines per batch, if the model is not dense.

    Returns
    -------
    rows : Rows or StreamlineArray
        Which streamlines were encoded.
    mean, log_var : ndarray, shape (n_kept, latent_dim), float32
        As of `encode_points`.
    """
    network = applied_network(model, made_by)
    if not isinstance(network, DenseNetwork):
        array = model.preprocessing.array(streamlines)
        return array, *_posterior(model, network.encode(array.points, batch_size))
    with single_threaded_blas():
        rows, found = model.preprocessing.map_array(streamlines, network.encode_block)
    n_heads = model.latent_dim * (2 if model.variational else 1)
    nothing = np.empty((0, n_heads), dtype=np.float32)
    return rows, *_posterior(model, np.concatenate([nothing, *found]))


def _posterior(model, heads):
    """Split the outputs of the heads."""
    d = model.latent_dim
    mean, log_var = np.ascontiguousarray(heads[:, :d]), None
    if model.variational:
        log_var = np.clip(heads[:, d:], LOG_VAR_MIN, LOG_VAR_MAX)
    return mean, log_var


def _network(model):
    """Make the network of a model."""
    if isinstance(model, DenseModel):
        weights = model.dense_weights
    elif model.backbone == "dense":
        from dipy_tractoencoder.nn.inference import dense_weights

        weights = dense_weights(model)
    else:
        from dipy_tractoencoder.nn.inference import FoldedNetwork

        return FoldedNetwork(model)
    return DenseNetwork(
        weights,
        model.preprocessing,
        linear_skip=model.linear_skip,
        latent_unit=model.latent_unit,
    )
