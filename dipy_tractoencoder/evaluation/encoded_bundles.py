"""Streamlines with their latents and reconstructions, by a model or by PCA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.streamlines.array import StreamlineArray

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class Encoded:
    """Streamlines with their latents and reconstructions.

    Attributes
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means, or principal coefficients.
    points, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines and their reconstructions, mm, in the model's orientation.
    labels : ndarray, shape (n_streamlines,), int
        Index of the bundle of each streamline.
    log_var : ndarray, shape (n_streamlines, latent_dim), or None
        Log-variances of the posterior of a VAE; None for an autoencoder or PCA.
    """

    latent: np.ndarray
    points: np.ndarray
    reconstructed: np.ndarray
    labels: np.ndarray
    log_var: np.ndarray | None = None

    def __getitem__(self, rows):
        """Return a subset of the streamlines."""
        values = {k: v[rows] for k, v in vars(self).items() if v is not None}
        return Encoded(**values)


def encode_side(
    model: StreamlineAutoencoder, points: np.ndarray, labels: np.ndarray
) -> Encoded:
    """Encode and decode streamlines with a model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm, in the model's orientation.
    labels : ndarray, shape (n_streamlines,), int
        Index of the bundle of each streamline.

    Returns
    -------
    encoded : Encoded
        Streamlines, latents and reconstructions; with log-variances for a VAE.
    """
    rows = np.arange(len(points))
    latents = encode(
        model, StreamlineArray(points, rows, np.zeros(len(rows), dtype=bool), len(rows))
    )
    back = decode(model, latents.mean)
    return Encoded(latents.mean, points, back, np.asarray(labels), latents.log_var)


def encode_side_by_pca(
    model: StreamlineAutoencoder, points: np.ndarray, labels: np.ndarray
) -> Encoded:
    """Encode and decode streamlines with PCA of the same dimension as a model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose principal directions, fitted to its training streamlines, are used.
    points, labels : ndarray
        As for `encode_side`.

    Returns
    -------
    encoded : Encoded
        Streamlines, principal coefficients and reconstructions, mm.
    """
    principal = model.principal_directions()
    directions = principal.directions[:, : model.latent_dim]
    flat = model.preprocessing.normalise(points).reshape(len(points), -1)
    unit = model.preprocessing.scale / np.sqrt(points.shape[1])
    latent = (flat - principal.mean) @ directions * unit
    back = pca_decoder(model)(latent)
    return Encoded(latent, points, back, np.asarray(labels))


def pca_decoder(model: StreamlineAutoencoder) -> Callable:
    """Return the function that decodes latents of `encode_side_by_pca`.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose principal directions are used.

    Returns
    -------
    decoder : callable
        Function of latents, shape (n, latent_dim), that returns points in mm, shape
        (n, n_points, 3).
    """
    principal = model.principal_directions()
    directions = principal.directions[:, : model.latent_dim]
    n_points = model.preprocessing.n_points
    unit = model.preprocessing.scale / np.sqrt(n_points)

    def decoder(latent):
        flat = latent / unit @ directions.T + principal.mean
        points = flat.reshape(-1, n_points, 3).astype(np.float32)
        return model.preprocessing.denormalise(points)

    return decoder
