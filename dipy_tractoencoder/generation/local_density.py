"""Draw latents around known ones, along the directions in which their neighbours lie.

A Gaussian mixture is too smooth for the latents of a whole brain, or of a bundle with
thin parts: its draws are further from real streamlines than other real ones are. The
smoothed bootstrap here :footcite:p:`Silverman1986` has the covariance of the nearest
neighbours at each known streamline instead, and keeps their local mean and covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_number,
)
from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.utils.short_repr import short_repr

KIND = "local"
N_NEIGHBORS = 20
FEWEST = 5  # Different streamlines.
MOST_PARENTS = 50_000  # Neighbours of more take minutes.
# Above this standard deviation of the logarithm of the lengths (those of a bundle are
# about 0.2, of a whole brain 0.9), neighbours have to be similar in length too.
VARIED_LENGTHS = 0.5
MOST_TRIED = 2000  # Draws by which the bandwidth is chosen.
N_BISECTIONS = 12
LARGEST_BANDWIDTH = {False: 1.0, True: 4.0}  # Without and with the length.
SMALLEST_DISTANCE = 1e-6
RANGE = (0.05, 0.99)  # Of the distances from each streamline to its nearest other.
# Of a wished length: parents within 10 %, and how well the latents tell the length.
LENGTH_TOLERANCE, LENGTH_NOISE = 0.1, 0.03
FEWEST_OF_LENGTH, SHARE_OF_LENGTH = 50, 0.1


@dataclass(frozen=True)
class LocalDensity:
    """Latents of known streamlines, around which new ones are drawn.

    Attributes
    ----------
    means : ndarray, shape (n_parts, latent_dim), float32
        Latents of the known streamlines, the parents, in their unit. They can be
        decoded: whoever has them has the streamlines.
    length : ndarray, shape (n_parts,), float64
        Lengths of the parents, mm.
    bandwidth : float
        Standard deviation of the draws around a parent, in that of its neighbours.
    n_neighbors : int
        Number of neighbours of each parent.
    length_scale : float
        Factor of the logarithm of the length beside the latents in the search for
        neighbours, in the unit of the latents; 0 without.
    parents : ndarray of int64, or None
        Rows around which to draw; None for all.
    wanted : tuple of float, or None
        Range of lengths to draw, mm.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> density = dte.fit_density(rng.normal(size=(40, 3)), "local")
    >>> density.n_parts, density.latent_dim, density.sample(5, rng).shape
    (40, 3, (5, 3))
    """

    means: np.ndarray
    length: np.ndarray
    bandwidth: float
    n_neighbors: int
    length_scale: float = 0.0
    parents: np.ndarray | None = field(default=None)
    wanted: tuple[float, float] | None = None

    __repr__ = short_repr
    kind = KIND

    @property
    def n_parts(self) -> int:
        """Number of known streamlines."""
        return len(self.means)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.means.shape[1]

    @cached_property
    def _search(self) -> NeighborSearch:
        return NeighborSearch(self.means)

    @cached_property
    def _neighbors(self) -> np.ndarray:
        """Rows of the neighbours of each parent, shape (n_parts, n_neighbors)."""
        if self.length_scale == 0:
            return self._search.kneighbors(None, self.n_neighbors)[1]
        beside = self.length_scale * np.log(self.length)[:, None]
        search = NeighborSearch(np.hstack([self.means, beside]))
        return search.kneighbors(None, self.n_neighbors)[1]

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw random latents.

        Each parent has one child before any has two.

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
        rows = np.arange(self.n_parts) if self.parents is None else self.parents
        passes = [rng.permutation(rows) for _ in range(-(-n // len(rows)))]
        parent = np.concatenate(passes)[:n] if n else rows[:0]
        drawn = np.empty((n, self.latent_dim), dtype=np.float32)
        for start in range(0, n, 10_000):  # Neighbours of all would fill the memory.
            part = slice(start, start + 10_000)
            drawn[part] = self._children(parent[part], rng)
        return drawn

    def _children(self, parent, rng):
        """Draw one child of each parent."""
        near = self._neighbors[parent]
        family = np.concatenate([parent[:, None], near], axis=1)
        # The length is drawn along, as one more column of the latents.
        known = np.column_stack([self.means, np.log(self.length)]).astype(np.float64)
        mean = known[family].mean(axis=1)
        around = known[near] - mean[:, None]
        shrinkage = 1 / np.sqrt(1 + self.bandwidth**2)
        noise = rng.standard_normal(near.shape) / np.sqrt(near.shape[1])
        step = self.bandwidth * np.einsum("ij,ijk->ik", noise, around)
        drawn = mean + shrinkage * (known[parent] - mean + step)
        latents, length = drawn[:, :-1], drawn[:, -1]
        if self.wanted is None:
            return latents
        low, high = np.log(self.wanted)
        # Lengths near the ends of the range would often end up outside.
        edge = min((high - low) / 2, LENGTH_TOLERANCE)
        outside = (length < low + edge) | (length > high - edge)
        aim = rng.uniform(low + edge, high - edge, len(length))
        shift = np.where(outside, aim - length, 0.0)
        covariance = np.mean(around[:, :, :-1] * around[:, :, -1:], axis=1)
        variance = np.mean(around[:, :, -1] ** 2, axis=1) + LENGTH_NOISE**2
        return latents + covariance * (shift / variance)[:, None]

    def distance(self, latents: np.ndarray | None = None) -> np.ndarray:
        """Compute the distance of latents to the nearest known streamline.

        Parameters
        ----------
        latents : ndarray, shape (n, latent_dim), optional
            Latents, in their unit; by default those of the known streamlines, each
            compared with the others.

        Returns
        -------
        distance : ndarray, shape (n,), float64
            Euclidean distance, in the unit of the latents.
        """
        if latents is not None:
            latents = np.asarray(latents, dtype=self.means.dtype)
        return self._search.kneighbors(latents, 1)[0][:, 0]

    def log_density(self, latents: np.ndarray | None = None) -> np.ndarray:
        """Estimate the logarithm of the density from the nearest known streamline.

        This is the nearest-neighbour estimate: one streamline of ``n_parts`` in the
        ball that reaches to the nearest.

        Parameters
        ----------
        latents : ndarray, shape (n, latent_dim), optional
            As for `distance`.

        Returns
        -------
        log_density : ndarray, shape (n,), float64
            Natural logarithm of the density per unit volume of the latent space, nats.
        """
        size = self.latent_dim
        ball = size / 2 * np.log(np.pi) - gammaln(size / 2 + 1)
        radius = np.maximum(self.distance(latents), SMALLEST_DISTANCE)
        return -np.log(self.n_parts) - ball - size * np.log(radius)

    def of_length(self, low: float, high: float) -> LocalDensity:
        """Return a density of streamlines whose length is in a range.

        Draws are made around parents of that length, or within 10 % of it if those are
        few, and moved along the direction in which the length of their neighbours
        changes.

        Parameters
        ----------
        low, high : float
            Range, mm.

        Returns
        -------
        density : LocalDensity
            Density to draw from.

        Raises
        ------
        InvalidArgumentError
            If the range is empty.
        EmptyDataError
            If there are too few parents.
        """
        check_number("length", low, above=0)
        check_number("length", high, above=0)
        if not low < high:
            raise InvalidArgumentError(
                "Invalid value received for `length`. Expected a smaller and a larger "
                f"number of mm. Received: {low:g} {high:g}."
            )
        rows = np.arange(self.n_parts) if self.parents is None else self.parents
        length = self.length[rows]
        near = (length >= low) & (length <= high)
        share = int(SHARE_OF_LENGTH * self.n_parts)
        needed = min(FEWEST_OF_LENGTH, max(FEWEST, share))
        if near.sum() < needed:
            near = length >= low * (1 - LENGTH_TOLERANCE)
            near &= length <= high * (1 + LENGTH_TOLERANCE)
        if near.sum() < needed:
            raise EmptyDataError(
                f"{near.sum()} streamlines have a length within 10 % of {low:g} to "
                f"{high:g} mm; at least {needed} are needed to draw new ones. The "
                f"central 90 % have {np.quantile(length, 0.05):.4g} to "
                f"{np.quantile(length, 0.95):.4g} mm."
            )
        return self._restricted(parents=rows[near], wanted=(float(low), float(high)))

    def like(self, latents: np.ndarray) -> LocalDensity:
        """Return a density of streamlines in the neighbourhood of given ones.

        Parameters
        ----------
        latents : ndarray, shape (n, latent_dim)
            Latents of the given streamlines.

        Returns
        -------
        density : LocalDensity
            Density around their nearest known streamlines.
        """
        wanted = np.asarray(latents, dtype=self.means.dtype)
        rows = np.unique(self._search.kneighbors(wanted, self.n_neighbors)[1])
        return self._restricted(parents=rows, wanted=None)

    def _restricted(self, **changes):
        """Change where to draw, and keep what was searched."""
        other = replace(self, **changes)
        for name in ("_search", "_neighbors"):
            if name in vars(self):
                vars(other)[name] = vars(self)[name]
        return other


def fit_local(latents: np.ndarray, length: np.ndarray | None = None) -> LocalDensity:
    """Choose the bandwidth of a local density.

    New streamlines are to be as far from known ones as those are from each other: the
    bandwidth is that with which the median distance of draws to the nearest known
    streamline is the median distance between known ones, or the largest allowed if all
    give a smaller distance.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        Latents; of more than 50,000, evenly spaced ones are used. Equal ones count
        once.
    length : ndarray, shape (n_streamlines,), optional
        Lengths of the streamlines, mm. If they vary as in a whole brain, neighbours
        are similar in length, too.

    Returns
    -------
    density : LocalDensity
        The density; fitting is deterministic.

    Raises
    ------
    EmptyDataError
        If fewer than five streamlines are different.
    """
    latents = np.asarray(latents, dtype=np.float32)
    if length is None:
        length = np.ones(len(latents))
    length = np.maximum(np.asarray(length, dtype=np.float64), SMALLEST_DISTANCE)
    rows = np.sort(np.unique(latents, axis=0, return_index=True)[1])
    if len(rows) < FEWEST:
        raise EmptyDataError(
            f"A density needs at least {FEWEST} different streamlines. Received: "
            f"{len(rows)} different ones of {len(latents)}. Give more, or leave the "
            "bundle out."
        )
    rows = rows[:: -(-len(rows) // MOST_PARENTS)]
    latents, length = latents[rows], length[rows]
    varied = bool(np.log(length).std() > VARIED_LENGTHS)
    density = LocalDensity(
        latents,
        length,
        LARGEST_BANDWIDTH[varied],
        min(N_NEIGHBORS, len(latents) - 1),
        float(np.median(length)) if varied else 0.0,
    )
    aim = np.median(density.distance())
    low, high = 0.0, density.bandwidth
    n = min(MOST_TRIED, max(len(latents), 200))

    def too_far(bandwidth):
        tried = density._restricted(bandwidth=bandwidth)
        drawn = tried.sample(n, np.random.default_rng(0))
        return np.median(tried.distance(drawn)) > aim

    density._neighbors  # noqa: B018  Searched once, for all bandwidths.
    if not too_far(high):
        return density
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if too_far(middle) else (middle, high)
    return density._restricted(bandwidth=(low + high) / 2)
