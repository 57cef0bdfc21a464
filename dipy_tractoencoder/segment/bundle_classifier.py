"""Label streamlines by bundle: majority vote of nearest neighbours in latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, check_number
from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.segment.bundle_checks import length_quantiles, warn_of_bundles
from dipy_tractoencoder.segment.decisions import (
    ALPHA,
    Decisions,
    SubjectFactor,
    check_alpha,
)
from dipy_tractoencoder.segment.neighbors import (
    SMALLEST_DISTANCE,
    mean_distances,
)
from dipy_tractoencoder.segment.thinning import ThinnedBundles, thin_bundles
from dipy_tractoencoder.segment.votes import UNASSIGNED, Judgement, vote
from dipy_tractoencoder.utils.short_repr import short_repr

N_NEIGHBORS = 5
N_LOOKED_AT = 15  # nearest streamlines among which the second bundle is found
N_STRANGERS = 4000  # streamlines of the reference judged without their bundle


@dataclass(frozen=True)
class BundleClassifier:
    """Nearest-neighbour classifier of bundles, fitted to reference latents.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    mean : ndarray, shape (n_reference, latent_dim)
        Latents of the reference streamlines, each once, sorted.
    bundle : ndarray, shape (n_reference,), int64
        Index in ``names`` of the bundle of each reference streamline.
    n_neighbors : int
        Number of neighbours that vote.
    scale : ndarray, shape (n_bundles,)
        Median distance of the bundle's streamlines from its others (the mean of the
        ``n_neighbors`` nearest ones), in the unit of the latents.
    decisions : Decisions
        Decides which streamlines belong to their bundle.
    length : ndarray, shape (n_bundles, 3)
        Quantiles (0.05, 0.5 and 0.95) of the lengths of each bundle, mm; nan where
        they are not known.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> latents = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal(9, 1, (50, 2))])
    >>> codes = np.repeat([0, 1], 50)
    >>> classifier = dte.fit_latent_classifier(latents, codes, ["AF", "UF"])
    >>> bundle, share, distance = classifier.label(np.array([[9.0, 9.0]]))
    >>> classifier.names[bundle[0]], share.item()
    ('UF', 1.0)
    """

    names: tuple
    mean: np.ndarray
    bundle: np.ndarray
    n_neighbors: int
    scale: np.ndarray
    decisions: Decisions
    length: np.ndarray

    __repr__ = short_repr

    @cached_property
    def _search(self):
        return NeighborSearch(self.mean)

    @cached_property
    def _searches(self):
        """Neighbour search within each bundle, by its index."""
        return {
            code: NeighborSearch(self.mean[self.bundle == code])
            for code in set(self.bundle)
        }

    def judge(self, mean: np.ndarray) -> Judgement:
        """Find the bundle of streamlines by the majority vote of nearest neighbours.

        The method is that of :footcite:p:`Legarreta2022`. In a tie the bundle of the
        nearest neighbour is chosen.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents.

        Returns
        -------
        found : Judgement
            Bundle, votes and distances of each streamline, for `p_values`.
        """
        if len(mean) == 0:
            none, numbers = np.empty(0, int), np.empty(0, np.float32)
            return Judgement(none, numbers, numbers, numbers, none, numbers)
        n_near = min(max(N_LOOKED_AT, self.n_neighbors), len(self.mean))
        distances, rows = self._search.kneighbors(mean, n_neighbors=n_near)
        labels = self.bundle[rows]
        n_voting = min(self.n_neighbors, n_near)
        bundle, share, _ = vote(
            labels[:, :n_voting], distances[:, :n_voting], len(self.names)
        )
        distance, remoteness = self._remoteness(mean, bundle, distances, labels)
        other = labels != bundle[:, None]
        second = labels[np.arange(len(mean)), other.argmax(axis=1)]
        second = np.where(other.any(axis=1), second, UNASSIGNED)
        second_remoteness = np.full(len(mean), np.nan)
        there = second != UNASSIGNED
        if there.any():
            second_remoteness[there] = self._remoteness(mean[there], second[there])[1]
        return Judgement(
            bundle,
            share,
            distance.astype(np.float32),
            remoteness,
            second,
            second_remoteness,
        )

    def p_values(
        self, found: Judgement, factor: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the p-values that streamlines belong to the bundles found for them.

        Parameters
        ----------
        found : Judgement
            From `judge`.
        factor : float, optional
            Subject factor, by which distances are divided; see `subject_factor`.

        Returns
        -------
        p : ndarray, shape (n_streamlines,), float32
            p-value of belonging to the bundle with most votes; see `Decisions`.
        second_p : ndarray, shape (n_streamlines,), float32
            p-value of belonging to the second bundle; nan if there is none.
        """
        p = self.decisions.p_values(found.remoteness, found.bundle, factor)
        second_p = np.full(len(p), np.nan)
        there = found.second != UNASSIGNED
        second_p[there] = self.decisions.p_values(
            found.second_remoteness[there], found.second[there], factor
        )
        return p.astype(np.float32), second_p.astype(np.float32)

    def label(
        self, mean: np.ndarray, *, alpha: float = ALPHA, factor: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Label streamlines; those that do not belong to a bundle stay unassigned.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents.
        alpha : float, optional
            Largest p-value of streamlines that stay unassigned; 0 assigns all.
        factor : float, optional
            Subject factor; see `subject_factor`.

        Returns
        -------
        bundle : ndarray, shape (n_streamlines,), int64
            Index in ``names``; -1 is unassigned.
        share : ndarray, shape (n_streamlines,), float32
            Fraction of the neighbours that voted for the bundle; for unassigned
            streamlines, for the bundle with most votes.
        distance : ndarray, shape (n_streamlines,), float32
            Mean distance to the nearest streamlines of that bundle, in the unit of the
            latents.
        """
        check_alpha(alpha)
        found = self.judge(mean)
        p, _ = self.p_values(found, factor)
        bundle = np.where(p > alpha, found.bundle, UNASSIGNED)
        return bundle, found.vote_share, found.distance

    def subject_factor(self, mean: np.ndarray) -> SubjectFactor:
        """Estimate how much further a subject lies from the bundles than their own.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents of streamlines of the subject, from all its files, a random few
            thousand for example.

        Returns
        -------
        found : SubjectFactor
            The factor.
        """
        return self.decisions.fit_factor(self.judge(mean).remoteness)

    def calibrated(
        self, mean: np.ndarray, bundle: np.ndarray, subject: np.ndarray | None = None
    ) -> BundleClassifier:
        """Decide by streamlines of other subjects, too: see `Decisions.calibrated`."""
        known = np.isin(bundle, self.bundle)  # Without streamlines it is strange.
        code = np.where(known, bundle, self.judge(mean).bundle)
        found = self._remoteness(mean, code)[1], code, known, subject
        return replace(self, decisions=self.decisions.calibrated(*found))

    def _remoteness(self, mean, bundle, near=None, labels=None):
        """Return distances from bundles, and their logarithms relative to the scale.

        ``near`` and ``labels`` are distances and bundles of nearest streamlines of all
        bundles: those of the bundle may be among them.
        """
        distance = np.full(len(mean), np.nan)
        if labels is not None:
            own = labels == bundle[:, None]
            rank = own.cumsum(axis=1)
            own &= rank <= self.n_neighbors
            sums = np.where(own, near, 0).sum(axis=1)
            there = rank[:, -1] >= self.n_neighbors
            distance[there] = sums[there] / self.n_neighbors
        left = np.isnan(distance)
        for code in np.unique(bundle[left]):
            rows = left & (bundle == code)
            search = self._searches[code]
            distance[rows] = mean_distances(mean[rows], search, self.n_neighbors)
        relative = np.maximum(distance, SMALLEST_DISTANCE) / self.scale[bundle]
        return distance, np.log(relative)


def fit_latent_classifier(
    mean: np.ndarray,
    bundle: np.ndarray,
    names: Sequence[str],
    *,
    n_neighbors: int = N_NEIGHBORS,
    length: np.ndarray | None = None,
    seed: int = 0,
) -> BundleClassifier:
    """Fit the bundle classifier to latents of labelled streamlines.

    Each streamline of the reference is judged without itself, to know how far
    streamlines lie that belong, and without its bundle, to know how far strangers lie.
    Streamlines that are there twice in a bundle count once; neither their order nor
    the files they come from play a part. Bundles with no more streamlines than
    neighbours are judged by the distances of all bundles, with a warning.

    Parameters
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Latents of the reference streamlines.
    bundle : ndarray, shape (n_reference,), int
        Index in ``names`` of the bundle of each streamline.
    names : sequence of str
        Names of the bundles.
    n_neighbors : int, optional
        Number of neighbours that vote.
    length : ndarray, shape (n_reference,), optional
        Length of each streamline, mm.
    seed : int, optional
        Seed of the choice of streamlines that are judged as strangers.

    Returns
    -------
    classifier : BundleClassifier
        The fitted classifier; its method ``label`` labels latents.

    Raises
    ------
    InvalidArgumentError
        If a number is out of range.
    EmptyDataError
        If no bundle has two different streamlines.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> latents = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal(9, 1, (50, 2))])
    >>> classifier = dte.fit_latent_classifier(
    ...     latents, np.repeat([0, 1], 50), ["AF", "UF"]
    ... )
    >>> new = np.array([[0.0, 0.0], [9.0, 9.0], [40.0, 0.0]])
    >>> bundle, share, distance = classifier.label(new)
    >>> [classifier.names[code] if code >= 0 else "unassigned" for code in bundle]
    ['AF', 'UF', 'unassigned']
    """
    check_number("n_neighbors", n_neighbors, low=1, integer=True)
    mean, bundle = np.asarray(mean), np.asarray(bundle)
    lengths = length_quantiles(length, bundle, len(names))
    every = thin_bundles(mean, bundle, len(names), n_neighbors=n_neighbors)
    return classifier_of_thinned(
        mean, names, every, n_neighbors=n_neighbors, lengths=lengths, seed=seed
    )


def classifier_of_thinned(
    mean: np.ndarray,
    names: Sequence[str],
    thinned: ThinnedBundles,
    *,
    n_neighbors: int,
    lengths: np.ndarray,
    seed: int = 0,
) -> BundleClassifier:
    """Fit the bundle classifier to latents that cover bundles.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents of all streamlines.
    names : sequence of str
        Names of the bundles.
    thinned : ThinnedBundles
        Which latents the classifier consists of, and which streamlines it judges others
        by.
    n_neighbors : int
        Number of neighbours that vote, as for ``thinned``.
    lengths : ndarray, shape (n_bundles, 3)
        Quantiles of the lengths of each bundle, mm.
    seed : int, optional
        Seed of the choice of streamlines that are judged as strangers.

    Returns
    -------
    classifier : BundleClassifier
        The fitted classifier.

    Raises
    ------
    EmptyDataError
        If no bundle has two different streamlines.
    """
    own, judged = thinned.own, thinned.judged_bundle
    if np.isnan(own).all():
        raise EmptyDataError(
            "At least one bundle needs two different streamlines, to measure how far "
            "streamlines of a bundle lie from each other."
        )
    small = np.bincount(thinned.bundle, minlength=len(names)) <= n_neighbors
    scale = np.full(len(names), np.nan)
    for code in np.flatnonzero(~small):
        scale[code] = np.median(own[judged == code])
    pooled = np.median(own[np.isfinite(own)]) if small.all() else np.nanmedian(scale)
    scale = np.maximum(np.where(small, pooled, scale), SMALLEST_DISTANCE)
    # Small bundles say little about their own distances: they are judged by the others.
    kept = np.isfinite(own) & (~small[judged] | small.all())
    relative = np.maximum(own[kept], SMALLEST_DISTANCE) / scale[judged[kept]]
    nothing = np.empty(0)
    first = Decisions(
        np.log(relative), judged[kept], nothing, nothing.astype(int), len(names)
    )
    classifier = BundleClassifier(
        names=tuple(names),
        mean=mean[thinned.row],
        bundle=thinned.bundle,
        n_neighbors=int(n_neighbors),
        scale=scale,
        decisions=first,
        length=lengths,
    )
    classifier = with_strangers(classifier, mean[thinned.judged], judged, seed=seed)
    warn_of_bundles(
        names, classifier.mean, classifier.bundle, thinned.counts, n_neighbors
    )
    return classifier


def with_strangers(
    classifier: BundleClassifier, mean: np.ndarray, bundle: np.ndarray, *, seed: int = 0
) -> BundleClassifier:
    """Judge streamlines without their bundle, a random few thousand.

    Parameters
    ----------
    classifier : BundleClassifier
        Judges them.
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    bundle : ndarray, shape (n_streamlines,), int
        Bundle of each, which is left out.
    seed : int, optional
        Seed of the choice.

    Returns
    -------
    classifier : BundleClassifier
        The classifier, with these strangers.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(mean))[:N_STRANGERS])
    remoteness, taken_for = [np.empty(0)], [np.empty(0, int)]
    for code in np.unique(bundle[rows]):
        chosen = rows[bundle[rows] == code]
        others = np.flatnonzero(classifier.bundle != code)
        if not len(others):
            continue
        distances, found = NeighborSearch(classifier.mean[others]).kneighbors(
            mean[chosen], n_neighbors=min(classifier.n_neighbors, len(others))
        )
        labels = classifier.bundle[others][found]
        winner, _, _ = vote(labels, distances, len(classifier.names))
        remoteness.append(classifier._remoteness(mean[chosen], winner)[1])
        taken_for.append(winner)
    decisions = replace(
        classifier.decisions,
        strangers=np.concatenate(remoteness),
        strangers_bundle=np.concatenate(taken_for),
    )
    return replace(classifier, decisions=decisions)
