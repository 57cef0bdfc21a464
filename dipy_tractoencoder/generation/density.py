"""Probability densities over the latents of a bundle, to sample new latents from.

All but the local density are Gaussian mixtures: one with few components, one with a
component per streamline (a kernel density), or the prior alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
import warnings

import numpy as np
from scipy.special import logsumexp

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.generation.local_density import KIND, LocalDensity, fit_local
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

DENSITIES = ("local", "mixture", "kernel", "prior")
DEFAULT_DENSITY = "local"
MOST_PARTS = 12
FEWEST_PER_PART = 8  # Streamlines per mixture component.
MOST_FITTED = 3000  # Streamlines; more cost time without changing the density.
BANDWIDTHS = np.logspace(-1.5, 0.25, 15)  # For whitened latents.
N_FOLDS = 5
# Smallest standard deviation along a principal axis, relative to the largest.
SMALLEST_STD = 1e-3
FEWEST = 5
N_STARTS = 3  # Initialisations of each mixture, because one of them can fail.


@dataclass(frozen=True)
class Density:
    """Gaussian mixture over latents.

    Attributes
    ----------
    kind : {"mixture", "kernel", "prior"}
        Kind of density.
    weights : ndarray, shape (n_parts,), float64
        Weights of the components, summing to 1.
    means : ndarray, shape (n_parts, latent_dim), float64
        Means of the components, in the unit of the latents (mm with the linear skip).
    factors : ndarray, shape (n_parts or 1, latent_dim, latent_dim), float64
        Matrix F of each component, or one for all; its covariance is F F^T.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> density = dte.fit_density(rng.normal(size=(40, 3)), "kernel")
    >>> density.n_parts, density.latent_dim
    (40, 3)
    """

    kind: str
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    __repr__ = short_repr

    @property
    def n_parts(self) -> int:
        """Number of Gaussian components."""
        return len(self.means)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.means.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw random latents.

        Parameters
        ----------
        n : int
            Number of latents.
        rng : numpy.random.Generator
            Random number generator.

        Returns
        -------
        latents : ndarray, shape (n, latent_dim), float32
            Latents, in their unit.
        """
        part = rng.choice(self.n_parts, size=n, p=self.weights)
        drawn = rng.standard_normal((n, self.latent_dim))
        if len(self.factors) == 1:
            drawn = drawn @ self.factors[0].T
        else:
            for code in np.unique(part):
                drawn[part == code] = drawn[part == code] @ self.factors[code].T
        return (self.means[part] + drawn).astype(np.float32)

    def log_density(self, latents: np.ndarray) -> np.ndarray:
        """Compute the logarithm of the density at given latents.

        Parameters
        ----------
        latents : ndarray, shape (n, latent_dim)
            Latents, in their unit.

        Returns
        -------
        log_density : ndarray, shape (n,), float64
            Natural logarithm of the density per unit volume of the latent space, nats.
        """
        from scipy.spatial.distance import cdist

        latents = np.asarray(latents, dtype=np.float64)
        inverses = np.linalg.inv(self.factors)
        scales = -np.linalg.slogdet(self.factors)[1]
        constant = np.log(self.weights) + scales
        constant -= self.latent_dim / 2 * np.log(2 * np.pi)
        if len(inverses) == 1:
            squared = cdist(
                latents @ inverses[0].T, self.means @ inverses[0].T, "sqeuclidean"
            )
        else:
            squared = np.stack(
                [
                    np.square((latents - mean) @ inverse.T).sum(axis=1)
                    for mean, inverse in zip(self.means, inverses)
                ],
                axis=1,
            )
        return logsumexp(constant - squared / 2, axis=1)


def fit_density(
    latents: np.ndarray,
    kind: str = DEFAULT_DENSITY,
    *,
    unit: np.ndarray | None = None,
    max_parts: int = MOST_PARTS,
    length: np.ndarray | None = None,
) -> Density | LocalDensity:
    """Fit a probability density to latents.

    For "mixture" and "kernel", the latents are first whitened along their principal
    axes, so that components and bandwidths suit narrow and wide directions alike.

    - "local": draws around known streamlines, with the local covariance of their
      nearest neighbours and a bandwidth with which draws are as far from known
      streamlines as those are from each other. It holds the latents of all
      streamlines, which can be decoded.
    - "mixture": Gaussian mixture; the number of components, and full or diagonal
      covariances, are chosen by the smallest Bayesian information criterion
      :footcite:p:`Schwarz1978`. Each component has at least eight streamlines on
      average.
    - "kernel": a Gaussian around each streamline, with the bandwidth of largest
      cross-validated likelihood, shrunk towards the mean so that the covariance is that
      of the streamlines :footcite:p:`Silverman1986`.
    - "prior": the prior N(0, diag(unit^2)) of the model, the same for all bundles.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        Latents from `encode`; of more than 3000 (50,000 for "local"), evenly spaced
        ones are used.
    kind : {"local", "mixture", "kernel", "prior"}, optional
        Kind of density.
    unit : ndarray, shape (latent_dim,), optional
        The model's ``latent_unit``, the standard deviations of the prior; needed for
        "prior".
    max_parts : int, optional
        Largest number of mixture components.
    length : ndarray, shape (n_streamlines,), optional
        Lengths of the streamlines, mm, for "local"; needed to draw streamlines of a
        wished length.

    Returns
    -------
    density : Density or LocalDensity
        The fitted density; fitting is deterministic.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range, or a latent is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> density = dte.fit_density(rng.normal(size=(40, 2)), "mixture", max_parts=2)
    >>> density.sample(3, rng).shape
    (3, 2)
    >>> density.log_density([[0, 0]]) > density.log_density([[9, 9]])
    array([ True])
    """
    latents = _checked(latents, kind, unit, max_parts)
    if kind == KIND:
        return fit_local(latents, length)
    if kind == "prior":
        return _prior(unit)
    return _build(latents, kind, _choose(latents, kind, max_parts))


def fit_mixture(
    latents: np.ndarray,
    n_parts: int,
    *,
    shape: str = "full",
    smallest_variance: float = 1e-3,
    n_starts: int = N_STARTS,
    seed: int = 0,
) -> GaussianMixture:
    """Fit a Gaussian mixture with a given number of components.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        Latents, as they are or whitened.
    n_parts : int
        Number of components.
    shape : {"full", "diag"}, optional
        Kind of their covariances.
    smallest_variance : float, optional
        Added to all variances, in the squared unit of ``latents``.
    n_starts : int, optional
        Number of initialisations, of which the likeliest fit is kept.
    seed : int, optional
        Seed of the initialisations, and of what is sampled from the mixture.

    Returns
    -------
    mixture : sklearn.mixture.GaussianMixture
        The fitted mixture.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    mixture = GaussianMixture(
        n_parts,
        covariance_type=shape,
        reg_covar=smallest_variance,
        n_init=n_starts,
        random_state=seed,
    )
    # On matrices this small, threads made the fit 20 times slower (measured).
    with threadpool_limits(1), warnings.catch_warnings():
        # A fit that has not converged is judged by its likelihood like the others.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return mixture.fit(latents)


def fit_with_held_out(
    latents: np.ndarray,
    kind: str = DEFAULT_DENSITY,
    *,
    unit: np.ndarray | None = None,
    max_parts: int = MOST_PARTS,
    length: np.ndarray | None = None,
) -> tuple[Density | LocalDensity, np.ndarray]:
    """Fit a density, and compute the held-out log density of its latents.

    Parameters
    ----------
    latents, kind, unit, max_parts, length
        As for `fit_density`.

    Returns
    -------
    density : Density or LocalDensity
        Density fitted to all latents, as from `fit_density`.
    log_density : ndarray, shape (n_fitted,), float64
        Log density of each latent, nats, in five-fold cross-validation: under a density
        with the same number of components or bandwidth, fitted to the other folds.
        Under the density fitted to all latents they would be higher than those of new
        streamlines. For "local", each latent is compared with all others.
    """
    from sklearn.model_selection import KFold

    latents = _checked(latents, kind, unit, max_parts)
    if kind == KIND:
        local = fit_local(latents, length)
        return local, local.log_density()
    if kind == "prior":
        density = _prior(unit)
        return density, density.log_density(latents)
    choice = _choose(latents, kind, max_parts)
    log_density = np.empty(len(latents))
    for known, others in KFold(N_FOLDS, shuffle=True, random_state=0).split(latents):
        density = _build(latents[known], kind, choice)
        log_density[others] = density.log_density(latents[others])
    return _build(latents, kind, choice), log_density


def _checked(latents, kind, unit, max_parts):
    """Check the arguments of a fit; return the latents to fit to."""
    check_choice("density", kind, DENSITIES)
    check_number("max_parts", max_parts, low=1, integer=True)
    latents = np.asarray(latents, dtype=np.float64)
    if latents.ndim != 2 or not np.isfinite(latents).all():
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected finite numbers, of shape "
            f"(n_streamlines, latent_dim). Received: shape={latents.shape}."
        )
    if len(latents) < FEWEST:
        raise EmptyDataError(
            f"A density needs at least {FEWEST} streamlines. Received: {len(latents)}. "
            "Give more, or leave the bundle out."
        )
    if kind == "prior" and np.shape(unit) != latents.shape[1:]:
        raise InvalidArgumentError(
            "Invalid value received for `unit`. Expected the model's latent_unit, "
            f"{latents.shape[1]} numbers. Received: {unit!r}."
        )
    if kind == KIND:
        return latents
    step = -(-len(latents) // MOST_FITTED)
    return latents[::step]


def _prior(unit):
    """Return N(0, diag(unit^2))."""
    unit = np.asarray(unit, dtype=np.float64)
    return Density("prior", np.ones(1), np.zeros((1, len(unit))), np.diag(unit)[None])


def _whiten(latents):
    """Return the mean, the matrix that undoes whitening, and the whitened latents."""
    mean = latents.mean(axis=0)
    covariance = (latents - mean).T @ (latents - mean) / len(latents)
    variances, axes = np.linalg.eigh(covariance)
    std = np.sqrt(np.maximum(variances, 0))
    # Identical streamlines have a standard deviation of zero.
    std = np.maximum(std, SMALLEST_STD * std[-1] or 1e-6)
    return mean, axes * std, (latents - mean) @ axes / std


def _choose(latents, kind, max_parts):
    """Choose number and covariance type of mixture components, or the bandwidth."""
    _, _, white = _whiten(latents)
    if kind == "kernel":
        from sklearn.model_selection import GridSearchCV, KFold
        from sklearn.neighbors import KernelDensity

        search = GridSearchCV(
            KernelDensity(),
            {"bandwidth": BANDWIDTHS},
            cv=KFold(N_FOLDS, shuffle=True, random_state=0),
        )
        return search.fit(white).best_params_["bandwidth"]
    tried = {}
    for n_parts in range(1, min(max_parts, max(len(white) // FEWEST_PER_PART, 1)) + 1):
        for shape in ("diag", "full"):
            # A full covariance of few streamlines is singular.
            if shape == "diag" or len(white) >= 3 * n_parts * white.shape[1]:
                mixture = fit_mixture(white, n_parts, shape=shape)
                tried[n_parts, shape] = mixture.bic(white)
    return min(tried, key=tried.get)


def _build(latents, kind, choice):
    """Fit a density with a given number of components or bandwidth."""
    mean, back, white = _whiten(latents)
    if kind == "kernel":
        shrinkage = 1 / np.sqrt(1 + choice**2)
        weights = np.full(len(white), 1 / len(white))
        means, factors = white * shrinkage, choice * shrinkage * np.eye(len(back))[None]
    else:
        n_parts, shape = choice
        mixture = fit_mixture(white, n_parts, shape=shape)
        weights, means = mixture.weights_, mixture.means_
        if shape == "full":
            factors = np.linalg.cholesky(mixture.covariances_)
        else:
            factors = np.sqrt(mixture.covariances_)[:, None] * np.eye(len(back))
    return Density(kind, weights, mean + means @ back.T, back @ factors)
