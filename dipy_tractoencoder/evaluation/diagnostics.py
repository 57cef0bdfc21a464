"""Measurements for reports: latent use, batch statistics, errors per group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.evaluation.encoded_bundles import encode_side
from dipy_tractoencoder.nn.likelihood import kl_per_dimension
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.utils.reservoir import sample_rows

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

MOST_MEASURED = 2000  # Streamlines that KL and batch statistics are measured on.


def grouped_errors(
    distance: np.ndarray, pca_distance: np.ndarray, groups: Sequence[str]
) -> dict:
    """Pool the reconstruction errors of a model and of PCA in each group.

    Parameters
    ----------
    distance, pca_distance : ndarray, shape (n,)
        Root mean squared point distance of each streamline from its reconstruction by
        the model and by PCA, mm.
    groups : sequence of str, length n
        Name of the file or bundle of each streamline.

    Returns
    -------
    errors : dict of str to (int, float, float)
        Per group: number of streamlines, error of the model and error of PCA (root
        mean square point distance, mm).
    """
    names = np.asarray(groups)
    sides = (distance, pca_distance)
    return {
        str(name): (
            int((names == name).sum()),
            *(pooled_distance(side[names == name]) for side in sides),
        )
        for name in dict.fromkeys(names.tolist())
    }


def latent_use(
    model: StreamlineAutoencoder, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Measure how much each latent dimension is used.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm, in the model's orientation; at most 2000 are used.

    Returns
    -------
    variance : ndarray, shape (latent_dim,)
        Variance of the posterior means, divided by the variance of the prior.
    kl : ndarray, shape (latent_dim,), or None
        Mean KL divergence from the prior, nats; None for an autoencoder.
    """
    points = points[np.sort(sample_rows(len(points), 0, MOST_MEASURED))]
    encoded = encode_side(model, points, np.zeros(len(points), dtype=int))
    variance = np.var(encoded.latent / model.latent_unit, axis=0)
    if not model.variational:
        return variance, None
    return variance, kl_per_dimension(model, encoded).mean(axis=0)


def batch_statistics_error(
    model: StreamlineAutoencoder, points: np.ndarray
) -> tuple[float, ...] | None:
    """Compare the error with stored and with batch statistics of batch normalisation.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; it is not changed.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm, in the model's orientation; at most 2000 are used.

    Returns
    -------
    errors : tuple of float, or None
        Error (mm) with the stored statistics, as in inference, and with those of the
        batch, as in training; None for a model without batch normalisation.
    """
    if model.backbone == "dense":
        return None
    from dipy_tractoencoder.nn.batch_norm import reconstruct_by_statistics

    points = points[np.sort(sample_rows(len(points), 0, MOST_MEASURED))]
    sides = reconstruct_by_statistics(model, points)
    return (
        tuple(pooled_distance(point_distance(points, side)) for side in sides) or None
    )
