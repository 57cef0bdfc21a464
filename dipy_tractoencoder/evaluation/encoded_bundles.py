"""Streamlines beside their latents and reconstructions, by a model or by PCA."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.streamlines.array import StreamlineArray


@dataclass(frozen=True)
class Encoded:
    """Streamlines, their latents, and what is made of them again.

    Attributes
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means or principal coefficients.
    points, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        mm, in the model's orientation.
    labels : ndarray, shape (n_streamlines,), int
        Bundle of each.
    log_var : ndarray, shape (n_streamlines, latent_dim), or None
        Of a VAE.
    """

    latent: np.ndarray
    points: np.ndarray
    reconstructed: np.ndarray
    labels: np.ndarray
    log_var: np.ndarray | None = None

    def __getitem__(self, rows):
        """Take some streamlines."""
        values = {k: v[rows] for k, v in vars(self).items() if v is not None}
        return Encoded(**values)


def encode_side(model, points, labels):
    """Encode and decode streamlines by a model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation.
    labels : ndarray, shape (n_streamlines,), int
        Bundle of each.

    Returns
    -------
    encoded : Encoded
        With log-variances of a VAE.
    """
    rows = np.arange(len(points))
    latents = encode(
        model, StreamlineArray(points, rows, np.zeros(len(rows), dtype=bool), len(rows))
    )
    back = decode(model, latents.mean)
    return Encoded(latents.mean, points, back, np.asarray(labels), latents.log_var)


def encode_side_by_pca(model, points, labels):
    """Encode and decode streamlines by PCA, with as many dimensions as a model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its principal directions, those of its training streamlines, are used.
    points, labels : ndarray
        As for `encode_side`.

    Returns
    -------
    encoded : Encoded
        Latents in mm, as the model's with the linear skip.
    """
    principal = model.principal_directions()
    directions = principal.directions[:, : model.latent_dim]
    flat = model.preprocessing.normalise(points).reshape(len(points), -1)
    unit = model.preprocessing.scale / np.sqrt(points.shape[1])
    latent = (flat - principal.mean) @ directions * unit
    back = pca_decoder(model)(latent)
    return Encoded(latent, points, back, np.asarray(labels))


def pca_decoder(model):
    """Make the function that takes latents of `encode_side_by_pca` to points.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        As there.

    Returns
    -------
    decoder : callable
        Latents, shape (n, latent_dim), to points in mm, shape (n, n_points, 3).
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
