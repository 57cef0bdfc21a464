"""Votes of nearest neighbours for the bundle of a streamline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.utils.short_repr import short_repr

UNASSIGNED = -1


@dataclass(frozen=True)
class Judgement:
    """What a `BundleClassifier` finds for each streamline.

    Attributes
    ----------
    bundle : ndarray, shape (n_streamlines,), int64
        Index of the bundle with most votes.
    vote_share : ndarray, shape (n_streamlines,), float32
        Fraction of the neighbours that voted for it.
    distance : ndarray, shape (n_streamlines,), float32
        Mean distance to its nearest streamlines, in the unit of the latents.
    remoteness : ndarray, shape (n_streamlines,), float64
        Logarithm of the distance over the median distance of the bundle's own.
    second : ndarray, shape (n_streamlines,), int64
        Index of the next bundle near by; -1 if there is none.
    second_remoteness : ndarray, shape (n_streamlines,), float64
        The same logarithm for that bundle; nan if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> rng = np.random.default_rng(0)
    >>> latents = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal(9, 1, (50, 2))])
    >>> classifier = dte.fit_latent_classifier(
    ...     latents, np.repeat([0, 1], 50), ["AF", "UF"]
    ... )
    >>> found = classifier.judge(np.array([[9.0, 9.0], [40.0, 0.0]]))
    >>> found.bundle.tolist(), (found.remoteness > 2).tolist()
    ([1, 1], [False, True])
    """

    bundle: np.ndarray
    vote_share: np.ndarray
    distance: np.ndarray
    remoteness: np.ndarray
    second: np.ndarray
    second_remoteness: np.ndarray

    __repr__ = short_repr


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
