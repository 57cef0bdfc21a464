"""Plausible or not, and of which bundle, by the nearest neighbours among latents."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_number,
)
from dipy_tractoencoder.short_repr import short_repr

N_NEIGHBORS = 5
MARGIN = 1.5  # on the distances within a bundle
UNASSIGNED = -1


def nearest_distances(mean, reference):
    """Distance of each latent to the nearest of some references.

    The score of FINTA's filter :footcite:p:`Legarreta2021`: small for streamlines that
    run like one of the reference.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents, mm for a model with the linear skip.
    reference : ndarray, shape (n_reference, latent_dim)
        Latents of plausible streamlines, or a `NearestNeighbors` fitted to them.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        In the latents' unit.
    """
    if len(mean) == 0:
        return np.empty(0)
    neighbors = reference if hasattr(reference, "kneighbors") else fit(reference)
    return neighbors.kneighbors(mean, n_neighbors=1)[0][:, 0].astype(np.float64)


def own_distances(reference, source=None):
    """Distance of each reference latent to the nearest of the others.

    Where they come from several subjects, of the other subjects': one's own
    streamlines lie nearer than those of a new subject will.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents.
    source : ndarray, shape (n_reference,), int, optional
        Subject, or file, of each; one by default.

    Returns
    -------
    distance : ndarray, shape (n_reference,), float64
        In the latents' unit.

    Raises
    ------
    EmptyDataError
        If there is but one.
    """
    if len(reference) < 2:
        raise EmptyDataError(
            "Two reference streamlines or more are needed to know how far apart they "
            f"lie. Received: {len(reference)}."
        )
    sources = np.unique(source) if source is not None else ()
    if len(sources) < 2:
        # Without an argument, a row is no neighbour of itself.
        found = fit(reference).kneighbors(n_neighbors=1)[0]
        return found[:, 0].astype(np.float64)
    distance = np.empty(len(reference))
    for one in sources:
        own = source == one
        distance[own] = nearest_distances(reference[own], reference[~own])
    return distance


def fit(reference):
    """Make ready for neighbour searches among latents.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents, one at least.

    Returns
    -------
    neighbors : sklearn.neighbors.NearestNeighbors
        Fitted, Euclidean.

    Raises
    ------
    EmptyDataError
        If there are none.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(reference) == 0:
        raise EmptyDataError("No reference streamline to search among.")
    return NearestNeighbors().fit(reference)


def balanced_threshold(scores, plausible):
    """Score at which as large a share of either kind is judged rightly.

    :footcite:p:`Legarreta2021`: where sensitivity equals specificity, taken half way
    to the next larger score.

    Parameters
    ----------
    scores : ndarray, shape (n_streamlines,)
        Small for plausible streamlines; those that are not finite are left out.
    plausible : ndarray, shape (n_streamlines,), bool
        What they are.

    Returns
    -------
    threshold : float
        Streamlines whose score is at most this are judged plausible.

    Raises
    ------
    InvalidArgumentError
        If streamlines of one kind are missing.
    """
    from sklearn.metrics import roc_curve

    scores, plausible = _labelled(scores, plausible)
    false_rate, true_rate, thresholds = roc_curve(
        plausible, -scores, drop_intermediate=False
    )
    best = np.abs(true_rate - (1 - false_rate)).argmin()
    threshold = -thresholds[best]
    if not np.isfinite(threshold):  # Nothing is accepted.
        threshold = scores.min()
    above = scores[scores > threshold]
    return float((threshold + above.min()) / 2 if len(above) else threshold)


def filter_figures(scores, plausible, threshold):
    """How well a threshold tells plausible streamlines from others.

    Parameters
    ----------
    scores, plausible : ndarray, shape (n_streamlines,)
        As for `balanced_threshold`.
    threshold : float
        Streamlines whose score is at most this are kept.

    Returns
    -------
    figures : dict of float
        "accuracy", "sensitivity" (share of the plausible that is kept), "specificity",
        "precision", "f1", "auc" (area under the receiver operating characteristic).

    Raises
    ------
    InvalidArgumentError
        If streamlines of one kind are missing.
    """
    from sklearn.metrics import roc_auc_score

    scores, plausible = _labelled(scores, plausible)
    kept = scores <= threshold
    right = (kept & plausible).sum()
    return {
        "accuracy": float((kept == plausible).mean()),
        "sensitivity": float(right / plausible.sum()),
        "specificity": float((~kept & ~plausible).sum() / (~plausible).sum()),
        "precision": float(right / kept.sum()) if kept.any() else 0.0,
        "f1": float(2 * right / (kept.sum() + plausible.sum())),
        "auc": float(roc_auc_score(plausible, -scores)),
    }


def _labelled(scores, plausible):
    """Scores and kinds of streamlines that have a score."""
    scores, plausible = np.asarray(scores, np.float64), np.asarray(plausible, bool)
    finite = np.isfinite(scores)
    scores, plausible = scores[finite], plausible[finite]
    if plausible.all() or not plausible.any():
        raise InvalidArgumentError(
            "Invalid value received for `plausible`. Expected streamlines of both "
            f"kinds. Received: {int(plausible.sum())} plausible, "
            f"{int((~plausible).sum())} not."
        )
    return scores, plausible


@dataclass(frozen=True)
class BundleNeighbors:
    """Reference latents of bundles, ready to label others.

    Attributes
    ----------
    names : tuple of str
        Bundles.
    bundle : ndarray, shape (n_reference,), int64
        Position in ``names`` of each reference streamline.
    neighbors : sklearn.neighbors.NearestNeighbors
        Fitted to their latents.
    n_neighbors : int
        Neighbours that vote.
    largest_distance : ndarray, shape (n_bundles,)
        Streamlines further than this from the nearest one of their bundle stay
        unassigned.
    smallest_share : ndarray, shape (n_bundles,)
        And those of which a smaller share of the neighbours is of their bundle.
    """

    names: tuple
    bundle: np.ndarray
    neighbors: object
    n_neighbors: int
    largest_distance: np.ndarray
    smallest_share: np.ndarray

    __repr__ = short_repr

    def label(self, mean):
        """Label streamlines by the vote of their nearest neighbours.

        :footcite:p:`Legarreta2022`. Of bundles with as many votes, the one of the
        nearest neighbour is taken.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents.

        Returns
        -------
        bundle : ndarray, shape (n_streamlines,), int64
            Position in ``names``, or -1, unassigned.
        share : ndarray, shape (n_streamlines,), float32
            Share of the neighbours that voted for the bundle (of the unassigned, for
            the one they would have got).
        distance : ndarray, shape (n_streamlines,), float32
            To the nearest neighbour of that bundle, in the latents' unit.
        """
        if len(mean) == 0:
            return np.empty(0, int), *np.empty((2, 0), np.float32)
        distances, rows = self.neighbors.kneighbors(mean, n_neighbors=self.n_neighbors)
        bundle, share, distance = vote(self.bundle[rows], distances, len(self.names))
        far = distance > self.largest_distance[bundle]
        unsure = share < self.smallest_share[bundle]
        return np.where(far | unsure, UNASSIGNED, bundle), share, distance


def vote(labels, distances, n_bundles):
    """Count the votes of neighbours.

    Parameters
    ----------
    labels : ndarray, shape (n_streamlines, n_neighbors), int
        Bundles of the neighbours, the nearest first.
    distances : ndarray, shape (n_streamlines, n_neighbors)
        Of the neighbours.
    n_bundles : int
        How many bundles there are.

    Returns
    -------
    bundle, share, distance : ndarray, shape (n_streamlines,)
        As `BundleNeighbors.label` gives, all assigned.
    """
    rows = np.arange(len(labels))
    votes = np.zeros((len(labels), n_bundles))
    for column in labels.T:
        votes[rows, column] += 1
    # Less than one vote, and most for the nearest: decides where votes are equal.
    votes[rows, labels[:, 0]] += 0.5
    bundle = votes.argmax(axis=1)
    for_bundle = labels == bundle[:, None]
    first = for_bundle.argmax(axis=1)  # Neighbours come in the order of distance.
    share = for_bundle.mean(axis=1)
    return bundle, share.astype(np.float32), distances[rows, first].astype(np.float32)


def fit_bundles(
    mean, bundle, names, *, source=None, n_neighbors=N_NEIGHBORS, margin=MARGIN
):
    """Make ready to label streamlines, with thresholds for each bundle.

    Each bundle's thresholds come from its own streamlines, judged by the others: the
    largest distance is ``margin`` times what 99 % of them have to the nearest other of
    their bundle, the smallest share is what 99 % of them reach. Where a bundle comes
    from several subjects, the nearest one of another subject counts: one's own
    streamlines lie nearer than those of a new subject will.

    Parameters
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Latents.
    bundle : ndarray, shape (n_reference,), int
        Bundle of each, as a position in ``names``.
    names : sequence of str
        Bundles.
    source : ndarray, shape (n_reference,), int, optional
        Subject, or file, of each; one by default.
    n_neighbors : int, optional
        Neighbours that vote.
    margin : float, optional
        Factor on distances within a bundle; infinity assigns everything.

    Returns
    -------
    neighbors : BundleNeighbors
        With `BundleNeighbors.label`.

    Raises
    ------
    InvalidArgumentError
        If a bundle has fewer streamlines than neighbours vote, or a number is out of
        range.
    """
    check_number("n_neighbors", n_neighbors, low=1, integer=True)
    if margin != np.inf:
        check_number("margin", margin, above=0)
    bundle = np.asarray(bundle)
    counts = np.bincount(bundle, minlength=len(names))
    if counts.min() <= n_neighbors:
        smallest = counts.argmin()
        raise InvalidArgumentError(
            f"The bundle {names[smallest]} has {counts[smallest]} streamlines, and "
            f"{n_neighbors} neighbours vote. Give more streamlines, or choose fewer "
            "neighbours by `n_neighbors` (--n_neighbors), at most "
            f"{max(counts[smallest] - 1, 0)}."
        )
    neighbors = fit(mean)
    distances, rows = neighbors.kneighbors(n_neighbors=n_neighbors)
    share = (bundle[rows] == bundle[:, None]).mean(axis=1)
    largest, smallest = np.empty((2, len(names)))
    source = np.zeros(len(bundle), dtype=int) if source is None else np.asarray(source)
    for code in range(len(names)):
        own = own_distances(mean[bundle == code], source[bundle == code])
        largest[code] = margin * np.quantile(own, 0.99)
        smallest[code] = np.quantile(share[bundle == code], 0.01)
    if margin == np.inf:
        largest[:], smallest[:] = np.inf, 0
    return BundleNeighbors(
        tuple(names), bundle, neighbors, n_neighbors, largest, smallest
    )
