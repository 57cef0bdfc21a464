"""Bundle labels by the vote of nearest neighbours in latent space."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_number
from dipy_tractoencoder.segment.neighbors import fit, reference_distances
from dipy_tractoencoder.utils.short_repr import short_repr

N_NEIGHBORS = 5
MARGIN = 1.5  # on the distances within a bundle
UNASSIGNED = -1


@dataclass(frozen=True)
class BundleClassifier:
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
        As `BundleClassifier.label` gives, all assigned.
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


def fit_latent_classifier(
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
    neighbors : BundleClassifier
        With `BundleClassifier.label`.

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
        own = reference_distances(mean[bundle == code], source[bundle == code])
        largest[code] = margin * np.quantile(own, 0.99)
        smallest[code] = np.quantile(share[bundle == code], 0.01)
    if margin == np.inf:
        largest[:], smallest[:] = np.inf, 0
    return BundleClassifier(
        tuple(names), bundle, neighbors, n_neighbors, largest, smallest
    )
