"""Likelihood and Kullback-Leibler divergence of a VAE."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
import numpy as np
from scipy.special import logsumexp

from dipy_tractoencoder.nn.keras_settings import standard_keras


@standard_keras()
def log_likelihood(
    model: Any,
    points: np.ndarray,
    noise_std: float,
    *,
    n_samples: int = 64,
    seed: int = 0,
) -> np.ndarray:
    """Estimate the log-likelihood of streamlines by importance sampling.

    log p(x) is estimated by the logarithm of the mean of p(x | z) p(z) / q(z | x) over
    draws z of the posterior q :footcite:p:`Burda2016`, eq. 8; p(x | z) is a Gaussian
    with one standard deviation for all coordinates.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines in the model's orientation, RASMM, mm.
    noise_std : float
        Standard deviation of the observation noise, mm.
    n_samples : int, optional
        Number of draws per streamline.
    seed : int, optional
        Seed of the draws.

    Returns
    -------
    log_likelihood : ndarray, shape (n_streamlines,), float64
        Nats per streamline, for coordinates in mm.
    """
    scale = model.preprocessing.scale
    normalised = model.preprocessing.normalise(points)
    heads = model.encode_tensors(ops.convert_to_tensor(normalised))
    mean, log_var = (
        ops.convert_to_numpy(heads[name]).astype(np.float64)
        for name in ("mean", "log_var")
    )
    rng = np.random.default_rng(seed)
    log_weights = np.empty((n_samples, len(points)))
    n_coordinates = normalised[0].size
    constant = -0.5 * n_coordinates * np.log(2 * np.pi * noise_std**2)
    for row in log_weights:
        epsilon = rng.standard_normal(mean.shape)
        latent = mean + np.exp(log_var / 2) * epsilon
        decoded = model.decode_tensors(ops.convert_to_tensor(latent, dtype="float32"))
        error = (ops.convert_to_numpy(decoded) - normalised).astype(np.float64) * scale
        squared = np.einsum("ijk,ijk->i", error, error)
        # Logarithm of prior over posterior; the factors of 2 pi cancel.
        ratio = 0.5 * (log_var + epsilon**2 - latent**2).sum(axis=1)
        row[:] = constant - 0.5 * squared / noise_std**2 + ratio
    return logsumexp(log_weights, axis=0) - np.log(n_samples)


@standard_keras()
def best_noise_std(model: Any, points: np.ndarray, *, seed: int = 0) -> float:
    """Estimate the standard deviation of the observation noise.

    The maximum-likelihood estimate is the root mean squared coordinate error of
    decoded posterior draws, as in the sigma-VAE :footcite:p:`Rybkin2021`.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Training streamlines in the model's orientation, RASMM, mm; held-out
        streamlines should not be used here.
    seed : int, optional
        Seed of the draws.

    Returns
    -------
    noise_std : float
        Standard deviation, mm.
    """
    normalised = model.preprocessing.normalise(points)
    heads = model.encode_tensors(ops.convert_to_tensor(normalised))
    epsilon = keras.random.normal(ops.shape(heads["mean"]), seed=seed)
    latent = heads["mean"] + ops.exp(heads["log_var"] / 2) * epsilon
    error = ops.convert_to_numpy(model.decode_tensors(latent)) - normalised
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))) * (
        model.preprocessing.scale
    )


def kl_per_dimension(model: Any, encoded: Any) -> np.ndarray:
    """Compute the Kullback-Leibler divergence per streamline and latent dimension.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    encoded : Encoded
        Result of `encode_side`.

    Returns
    -------
    kl : ndarray, shape (n_streamlines, latent_dim)
        Divergence of the posterior from the prior N(0, 1), nats.
    """
    unit = model.latent_unit
    mean, log_var = encoded.latent / unit, encoded.log_var - 2 * np.log(unit)
    return 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)


def kl_divergence(mean: Any, log_var: Any) -> Any:
    """Compute the Kullback-Leibler divergence of the posterior from the prior N(0, 1).

    It is the sum over latent dimensions of (exp(log_var) + mean^2 - 1 - log_var) / 2
    :footcite:p:`Kingma2014`, appendix B.

    Parameters
    ----------
    mean, log_var : tensor, shape (n_streamlines, latent_dim)
        Means and log-variances of the Gaussian posterior, in the network's units.

    Returns
    -------
    kl : tensor, shape (n_streamlines,)
        Nats per streamline.
    """
    mean, log_var = ops.cast(mean, "float32"), ops.cast(log_var, "float32")
    return 0.5 * ops.sum(ops.exp(log_var) + ops.square(mean) - 1.0 - log_var, axis=-1)
