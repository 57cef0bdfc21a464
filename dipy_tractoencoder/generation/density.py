"""Densities over the latents of a bundle, to draw new ones from.

All of them are Gaussian mixtures: one with few parts, one with a part per streamline
(a kernel density), or the prior alone. So one class draws, measures and is saved.
"""

from dataclasses import dataclass
import warnings

import numpy as np
from scipy.special import logsumexp

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.utils.short_repr import short_repr

DENSITIES = ("mixture", "kernel", "prior")
DEFAULT_DENSITY = "mixture"
MOST_PARTS = 12
FEWEST_PER_PART = 8  # streamlines
MOST_FITTED = 3000  # streamlines; more add time, not shape
BANDWIDTHS = np.logspace(-1.5, 0.25, 15)  # of whitened latents
N_FOLDS = 5
# Directions in which a bundle hardly varies get this share of its largest spread.
SMALLEST_SPREAD = 1e-3
FEWEST = 5
N_STARTS = 3  # of each mixture: whitening draws parts together, and a start can fail


@dataclass(frozen=True)
class Density:
    """Gaussian mixture over latents.

    Attributes
    ----------
    kind : {"mixture", "kernel", "prior"}
        How it was found.
    weights : ndarray, shape (n_parts,), float64
        Shares of the parts, summing to 1.
    means : ndarray, shape (n_parts, latent_dim), float64
        Middles of the parts, in the latents' unit (mm with the linear skip).
    factors : ndarray, shape (n_parts or 1, latent_dim, latent_dim), float64
        Matrix F of each part, or of all, whose covariance is F F^T.
    """

    kind: str
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    __repr__ = short_repr

    @property
    def n_parts(self):
        """Number of Gaussians."""
        return len(self.means)

    @property
    def latent_dim(self):
        """Size of the latents."""
        return self.means.shape[1]

    def sample(self, n, rng):
        """Draw latents.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Where they come from.

        Returns
        -------
        latents : ndarray, shape (n, latent_dim), float32
            In the latents' unit.
        """
        part = rng.choice(self.n_parts, size=n, p=self.weights)
        drawn = rng.standard_normal((n, self.latent_dim))
        if len(self.factors) == 1:
            drawn = drawn @ self.factors[0].T
        else:
            for code in np.unique(part):
                drawn[part == code] = drawn[part == code] @ self.factors[code].T
        return (self.means[part] + drawn).astype(np.float32)

    def log_density(self, latents):
        """Logarithm of the density at some latents.

        Parameters
        ----------
        latents : ndarray, shape (n, latent_dim)
            In the latents' unit.

        Returns
        -------
        log_density : ndarray, shape (n,), float64
            Nats, per unit of the latents to the power ``latent_dim``.
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


def fit_density(latents, kind=DEFAULT_DENSITY, *, unit=None, max_parts=MOST_PARTS):
    """Find a density of latents.

    The latents are whitened along their principal axes first, so that parts and
    bandwidths fit thin directions as well as wide ones.

    - "mixture": Gaussian mixture with the number of parts, and full or axis-parallel
      covariances, that have the smallest Bayesian information criterion
      :footcite:p:`Schwarz1978`. No more parts are tried than there are eight
      streamlines for each.
    - "kernel": a Gaussian about each streamline, of the bandwidth with the largest
      cross-validated likelihood, drawn towards the mean such that the spread stays
      that of the streamlines :footcite:p:`Silverman1986`.
    - "prior": the model's N(0, diag(unit^2)), which knows nothing of bundles.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        As `encode` gives them; of more than 3000, as many evenly spaced ones are used.
    kind : {"mixture", "kernel", "prior"}, optional
        Density wanted.
    unit : ndarray, shape (latent_dim,), optional
        The model's ``latent_unit``; needed for the prior.
    max_parts : int, optional
        Most parts of a mixture.

    Returns
    -------
    density : Density
        The same for the same latents.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range, or a latent is not finite.
    """
    latents = _checked(latents, kind, unit, max_parts)
    if kind == "prior":
        return _prior(unit)
    return _build(latents, kind, _choose(latents, kind, max_parts))


def fit_with_held_out(
    latents, kind=DEFAULT_DENSITY, *, unit=None, max_parts=MOST_PARTS
):
    """Find a density of latents, and how likely it finds latents it has not seen.

    Parameters
    ----------
    latents, kind, unit, max_parts
        As for `fit_density`.

    Returns
    -------
    density : Density
        As `fit_density` gives.
    log_density : ndarray, shape (n_fitted,), float64
        Of each latent, by a density of the same number of parts or bandwidth fitted
        to four fifths of the latents, without it. In its own density a streamline is
        likelier than a new one can be.
    """
    from sklearn.model_selection import KFold

    latents = _checked(latents, kind, unit, max_parts)
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
    """Raise for what cannot be fitted; give the latents to fit to."""
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
            f"A density needs {FEWEST} streamlines or more. Received: {len(latents)}. "
            "Give more, or leave the bundle out."
        )
    if kind == "prior" and np.shape(unit) != latents.shape[1:]:
        raise InvalidArgumentError(
            "Invalid value received for `unit`. Expected the model's latent_unit, "
            f"{latents.shape[1]} numbers. Received: {unit!r}."
        )
    step = -(-len(latents) // MOST_FITTED)
    return latents[::step]


def _prior(unit):
    """N(0, diag(unit^2))."""
    unit = np.asarray(unit, dtype=np.float64)
    return Density("prior", np.ones(1), np.zeros((1, len(unit))), np.diag(unit)[None])


def _whiten(latents):
    """Mean, the matrix from whitened latents back, and the whitened latents."""
    mean = latents.mean(axis=0)
    covariance = (latents - mean).T @ (latents - mean) / len(latents)
    variances, axes = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(variances, 0))
    # Streamlines that are all alike have no spread at all.
    spread = np.maximum(spread, SMALLEST_SPREAD * spread[-1] or 1e-6)
    return mean, axes * spread, (latents - mean) @ axes / spread


def _choose(latents, kind, max_parts):
    """Choose the number of parts and their shape, or the bandwidth."""
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
                mixture = _mixture(white, n_parts, shape)
                tried[n_parts, shape] = mixture.bic(white)
    return min(tried, key=tried.get)


def _mixture(white, n_parts, shape):
    """Fit scikit-learn's mixture to whitened latents."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    mixture = GaussianMixture(
        n_parts,
        covariance_type=shape,
        reg_covar=1e-3,
        n_init=N_STARTS,
        random_state=0,
    )
    # Threads cost more than they give on matrices this small: 20 times, measured.
    with threadpool_limits(1), warnings.catch_warnings():
        # One that has not settled is as good a candidate as it is likely.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return mixture.fit(white)


def _build(latents, kind, choice):
    """Fit a density whose number of parts, or bandwidth, is chosen."""
    mean, back, white = _whiten(latents)
    if kind == "kernel":
        shrinkage = 1 / np.sqrt(1 + choice**2)
        weights = np.full(len(white), 1 / len(white))
        means, factors = white * shrinkage, choice * shrinkage * np.eye(len(back))[None]
    else:
        mixture = _mixture(white, *choice)
        weights, means = mixture.weights_, mixture.means_
        if choice[1] == "full":
            factors = np.linalg.cholesky(mixture.covariances_)
        else:
            factors = np.sqrt(mixture.covariances_)[:, None] * np.eye(len(back))
    return Density(kind, weights, mean + means @ back.T, back @ factors)
