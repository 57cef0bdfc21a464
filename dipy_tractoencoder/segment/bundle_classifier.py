"""Label streamlines by bundle: majority vote of nearest neighbours in latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_number
from dipy_tractoencoder.segment.neighbors import fit, reference_distances
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

N_NEIGHBORS = 5
MARGIN = 1.5  # Factor on the distances within a bundle.
UNASSIGNED = -1


@dataclass(frozen=True)
class BundleClassifier:
    """Nearest-neighbour classifier of bundles, fitted to reference latents.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    bundle : ndarray, shape (n_reference,), int64
        Index in ``names`` of the bundle of each reference streamline.
    neighbors : sklearn.neighbors.NearestNeighbors
        Neighbour search fitted to the reference latents.
    n_neighbors : int
        Number of neighbours that vote.
    largest_distance : ndarray, shape (n_bundles,)
        Largest distance to the nearest neighbour of the same bundle, in the unit of
        the latents; streamlines further away stay unassigned.
    smallest_share : ndarray, shape (n_bundles,)
        Smallest fraction of the votes for the bundle; streamlines with less stay
        unassigned.

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
    bundle: np.ndarray
    neighbors: NearestNeighbors
    n_neighbors: int
    largest_distance: np.ndarray
    smallest_share: np.ndarray

    __repr__ = short_repr

    def label(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Label streamlines by the majority vote of their nearest neighbours.

        The method is that of :footcite:p:`Legarreta2022`. In a tie the bundle of the
        nearest neighbour is chosen.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim)
            Latents.

        Returns
        -------
        bundle : ndarray, shape (n_streamlines,), int64
            Index in ``names``; -1 is unassigned.
        share : ndarray, shape (n_streamlines,), float32
            Fraction of the neighbours that voted for the bundle; for unassigned
            streamlines, for the bundle with most votes.
        distance : ndarray, shape (n_streamlines,), float32
            Distance to the nearest neighbour of that bundle, in the unit of the
            latents.
        """
        if len(mean) == 0:
            return np.empty(0, int), *np.empty((2, 0), np.float32)
        distances, rows = self.neighbors.kneighbors(mean, n_neighbors=self.n_neighbors)
        bundle, share, distance = vote(self.bundle[rows], distances, len(self.names))
        far = distance > self.largest_distance[bundle]
        unsure = share < self.smallest_share[bundle]
        return np.where(far | unsure, UNASSIGNED, bundle), share, distance


def vote(
    labels: np.ndarray, distances: np.ndarray, n_bundles: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the votes of the neighbours of each streamline.

    Parameters
    ----------
    labels : ndarray, shape (n_streamlines, n_neighbors), int
        Bundle of each neighbour, the nearest neighbour first.
    distances : ndarray, shape (n_streamlines, n_neighbors)
        Distance of each neighbour, in the unit of the latents.
    n_bundles : int
        Number of bundles.

    Returns
    -------
    bundle : ndarray, shape (n_streamlines,), int64
        Bundle with most votes; in a tie that of the nearest neighbour.
    share : ndarray, shape (n_streamlines,), float32
        Fraction of the neighbours that voted for it.
    distance : ndarray, shape (n_streamlines,), float32
        Distance to the nearest neighbour of that bundle.
    """
    rows = np.arange(len(labels))
    votes = np.zeros((len(labels), n_bundles))
    for column in labels.T:
        votes[rows, column] += 1
    # Half a vote more for the nearest neighbour's bundle breaks ties.
    votes[rows, labels[:, 0]] += 0.5
    bundle = votes.argmax(axis=1)
    for_bundle = labels == bundle[:, None]
    first = for_bundle.argmax(axis=1)  # Neighbours come in the order of distance.
    share = for_bundle.mean(axis=1)
    return bundle, share.astype(np.float32), distances[rows, first].astype(np.float32)


def fit_latent_classifier(
    mean: np.ndarray,
    bundle: np.ndarray,
    names: Sequence[str],
    *,
    source: np.ndarray | None = None,
    n_neighbors: int = N_NEIGHBORS,
    margin: float = MARGIN,
) -> BundleClassifier:
    """Fit the bundle classifier to latents of labelled streamlines.

    The thresholds of a bundle come from its own reference streamlines. The largest
    distance is ``margin`` times the 99th percentile of their distances to the nearest
    other streamline of the bundle; the smallest share is the first percentile of the
    fraction of their neighbours that belong to the bundle. If a bundle comes from
    several subjects, distances are measured to the nearest streamline of another
    subject, because streamlines of one subject lie closer together than those of
    different subjects.

    Parameters
    ----------
    mean : ndarray, shape (n_reference, latent_dim)
        Latents of the reference streamlines.
    bundle : ndarray, shape (n_reference,), int
        Index in ``names`` of the bundle of each streamline.
    names : sequence of str
        Names of the bundles.
    source : ndarray, shape (n_reference,), int, optional
        Number of the subject, or file, of each streamline; one subject by default.
    n_neighbors : int, optional
        Number of neighbours that vote.
    margin : float, optional
        Factor on distances within a bundle; infinity leaves no streamline unassigned.

    Returns
    -------
    classifier : BundleClassifier
        The fitted classifier; its method ``label`` labels latents.

    Raises
    ------
    InvalidArgumentError
        If a bundle has too few streamlines for ``n_neighbors``, or a number is out of
        range.

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
    if margin != np.inf:
        check_number("margin", margin, above=0)
    bundle = np.asarray(bundle)
    counts = np.bincount(bundle, minlength=len(names))
    if counts.min() <= n_neighbors:
        few = int(counts.argmin())
        raise InvalidArgumentError(
            f"The bundle {names[few]} has {counts[few]} streamlines, and "
            f"{n_neighbors} neighbours vote. Give more streamlines, or choose fewer "
            "neighbours by `n_neighbors`, at most "
            f"{max(counts[few] - 1, 0)}."
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
