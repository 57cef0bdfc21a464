"""Judge whether streamlines lie where a reference has some, by its local density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.segment.decisions import Decisions
from dipy_tractoencoder.segment.neighbors import (
    SMALLEST_DISTANCE,
    different_rows,
    same_distance,
)
from dipy_tractoencoder.utils.short_repr import short_repr

N_NEAR = 5  # nearest reference streamlines that a distance is measured to
N_LOCAL = 30  # nearest reference streamlines that give the local density
N_STRANGERS = 4000  # streamlines of the reference judged without their group
N_CLUSTERED = 20_000  # streamlines that the groups are found from
GROUP_SIZE, FEWEST_GROUPS, MOST_GROUPS = 50, 3, 40


@dataclass(frozen=True)
class ReferenceDensity:
    """Latents of a reference, with their local density.

    Attributes
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Latents of the reference, each once, sorted.
    own : ndarray, shape (n_reference,)
        Mean distance of each to its five nearest others, in the unit of the latents.
    decisions : Decisions
        Decides which streamlines belong to the reference.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.segment.reference_density import fit_reference_density
    >>> latents = np.random.default_rng(0).normal(size=(200, 2))
    >>> density = fit_reference_density(latents)
    >>> nearest, remoteness = density.judge(np.array([[0.0, 0.0], [9.0, 9.0]]))
    >>> p = density.p_values(remoteness)
    >>> (p > 0.05).tolist()
    [True, False]
    """

    mean: np.ndarray
    own: np.ndarray
    decisions: Decisions

    __repr__ = short_repr

    @cached_property
    def _search(self):
        return NeighborSearch(self.mean)

    def judge(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure how far streamlines lie from the reference.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents.

        Returns
        -------
        nearest : ndarray, shape (n_streamlines,), float64
            Distance to the nearest reference streamline, in the unit of the latents.
        remoteness : ndarray, shape (n_streamlines,), float64
            Logarithm of the mean distance to the five nearest ones, over the median of
            that distance of the 30 nearest ones from each other.
        """
        if len(mean) == 0:
            return np.empty(0), np.empty(0)
        n_near = min(N_LOCAL, len(self.mean))
        distances, rows = self._search.kneighbors(mean, n_neighbors=n_near)
        return distances[:, 0].astype(np.float64), local_remoteness(
            distances, self.own[rows]
        )

    def p_values(self, remoteness: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """Compute the p-value that each streamline belongs to the reference.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            From `judge`.
        factor : float, optional
            Subject factor, by which distances are divided.

        Returns
        -------
        p : ndarray, shape (n_streamlines,), float64
            p-values, see `Decisions`.
        """
        one_bundle = np.zeros(len(remoteness), dtype=int)
        return self.decisions.p_values(remoteness, one_bundle, factor)

    def calibrated(
        self,
        remoteness: np.ndarray,
        plausible: np.ndarray,
        subject: np.ndarray | None = None,
    ) -> ReferenceDensity:
        """Return a density that decides by labelled streamlines of others, too.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            Of streamlines of other subjects, from `judge`; those that are not finite
            are left out.
        plausible : ndarray, shape (n_streamlines,), bool
            Which of them are plausible.
        subject : ndarray, shape (n_streamlines,), optional
            Subject of each; one by default.

        Returns
        -------
        density : ReferenceDensity
            The calibrated one; see `Decisions.calibrated`.
        """
        code, belongs = np.zeros(len(remoteness), dtype=int), np.asarray(plausible)
        decisions = self.decisions.calibrated(remoteness, code, belongs, subject)
        return replace(self, decisions=decisions)


def fit_reference_density(mean: np.ndarray, *, seed: int = 0) -> ReferenceDensity:
    """Measure the local density of the latents of a reference.

    Streamlines that are there twice count once; neither their order nor the files they
    come from play a part. As strangers serve streamlines of the reference judged
    without the group that they are in, groups found by k-means.

    Parameters
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Latents.
    seed : int, optional
        Seed of the groups, and of the choice of streamlines judged as strangers.

    Returns
    -------
    density : ReferenceDensity
        The density.

    Raises
    ------
    EmptyDataError
        If there are fewer than two different latents.
    """
    mean = np.asarray(mean)
    mean = mean[different_rows(mean, same_distance(mean))[0]]
    if len(mean) < 2:
        raise EmptyDataError(
            "At least two different reference streamlines are needed to measure their "
            f"distances. Received: {len(mean)}."
        )
    n_near = min(N_LOCAL, len(mean) - 1)
    # Without an argument a row is not counted as its own neighbour.
    distances, rows = NeighborSearch(mean).kneighbors(n_neighbors=n_near)
    own = np.maximum(distances[:, :N_NEAR].mean(axis=1), SMALLEST_DISTANCE)
    known = local_remoteness(distances, own[rows])
    strangers = clustered_strangers(mean, own, seed)
    decisions = Decisions(
        known, np.zeros(len(known), int), strangers, np.zeros(len(strangers), int), 1
    )
    return ReferenceDensity(mean, own, decisions)


def local_remoteness(distances: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Compute remotenesses: logarithms of distances relative to the neighbours' own.

    Parameters
    ----------
    distances : ndarray, shape (n_streamlines, n_near)
        Distances to the nearest reference latents, the nearest first.
    own : ndarray, shape (n_streamlines, n_near)
        Mean distance of each of these to its five nearest others.

    Returns
    -------
    remoteness : ndarray, shape (n_streamlines,), float64
        See `ReferenceDensity.judge`.
    """
    near = np.maximum(distances[:, :N_NEAR].mean(axis=1), SMALLEST_DISTANCE)
    return np.log(near / np.median(own, axis=1)).astype(np.float64)


def clustered_strangers(mean: np.ndarray, own: np.ndarray, seed: int) -> np.ndarray:
    """Judge streamlines of the reference without the group that they are in.

    Parameters
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Different latents, sorted.
    own : ndarray, shape (n_reference,)
        Mean distance of each to its five nearest others.
    seed : int
        Seed of the groups, and of the choice of streamlines.

    Returns
    -------
    remoteness : ndarray, shape (n_strangers,), float64
        Their remotenesses; none if there are too few streamlines.
    """
    from sklearn.cluster import KMeans

    n_groups = int(np.clip(len(mean) // GROUP_SIZE, FEWEST_GROUPS, MOST_GROUPS))
    if len(mean) < 4 * n_groups:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    some = mean[np.sort(rng.permutation(len(mean))[:N_CLUSTERED])]
    groups = KMeans(n_groups, n_init=1, random_state=seed).fit(some).predict(mean)
    rows = np.sort(rng.permutation(len(mean))[:N_STRANGERS])
    found = [np.empty(0)]
    for group in np.unique(groups[rows]):
        chosen, others = rows[groups[rows] == group], groups != group
        if others.any():
            n_near = min(N_LOCAL, int(others.sum()))
            distances, near = NeighborSearch(mean[others]).kneighbors(
                mean[chosen], n_neighbors=n_near
            )
            found.append(local_remoteness(distances, own[others][near]))
    return np.concatenate(found)
