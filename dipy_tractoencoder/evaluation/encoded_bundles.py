"""Streamlines with their latents and reconstructions, by a model or by PCA."""

from __future__ import annotations

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
    latents = encode(model, StreamlineArray.from_points(points))
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
    baseline = model.pca_baseline()
    latent = baseline.encode(points)
    return Encoded(latent, points, baseline.decode(latent), np.asarray(labels))
