"""Likelihood and Kullback-Leibler divergence of a VAE."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from dipy_tractoencoder.nn.applied import applied_network, encode_points


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
    network, unit = applied_network(model), model.latent_unit.astype(np.float64)
    mean, log_var = _posterior(model, points)
    rng = np.random.default_rng(seed)
    log_weights = np.empty((n_samples, len(points)))
    n_coordinates = points[0].size
    constant = -0.5 * n_coordinates * np.log(2 * np.pi * noise_std**2)
    for row in log_weights:
        epsilon = rng.standard_normal(mean.shape)
        latent = mean + np.exp(log_var / 2) * epsilon
        decoded = network.decode((latent * unit).astype(np.float32))
        error = (decoded - points).astype(np.float64)
        squared = np.einsum("ijk,ijk->i", error, error)
        # Logarithm of prior over posterior; the factors of 2 pi cancel.
        ratio = 0.5 * (log_var + epsilon**2 - latent**2).sum(axis=1)
        row[:] = constant - 0.5 * squared / noise_std**2 + ratio
    return logsumexp(log_weights, axis=0) - np.log(n_samples)


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
    mean, log_var = _posterior(model, points)
    epsilon = np.random.default_rng(seed).standard_normal(mean.shape)
    latent = (mean + np.exp(log_var / 2) * epsilon) * model.latent_unit
    decoded = applied_network(model).decode(latent.astype(np.float32))
    return float(np.sqrt(np.mean(np.square(decoded - points, dtype=np.float64))))


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


def _posterior(model, points):
    """Compute mean and log-variance in the network's units, float64."""
    mean, log_var = encode_points(model, points)
    return mean / model.latent_unit.astype(np.float64), log_var.astype(np.float64)
