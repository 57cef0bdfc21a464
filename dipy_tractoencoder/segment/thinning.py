"""Choose latents that cover bundles, and measure how far all streamlines lie from them.

A bundle that is thinned lies further from itself: the distances of the streamlines that
are kept would be too large to judge others by. So streamlines that are not kept are
measured too, as new ones are. For one that is kept, the nearest that is not takes its
place, as it would have if the first had not been there when the choice was made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.segment.neighbors import (
    different_rows,
    own_mean_distances,
    same_distance,
)
from dipy_tractoencoder.utils.short_repr import short_repr

MOST_CANDIDATES = 20_000  # streamlines of a bundle that latents are chosen from
FEWEST_JUDGED = 1000  # streamlines of a thinned bundle that are measured


@dataclass(frozen=True)
class ThinnedBundles:
    """Latents that cover bundles, and the streamlines that they are judged by.

    Attributes
    ----------
    row : ndarray, shape (n_kept,), int64
        Row of each latent that is kept among those given, sorted by bundle and latent.
    bundle : ndarray, shape (n_kept,), int64
        Bundle of each.
    counts : ndarray, shape (n_bundles,), int64
        Different streamlines of each bundle.
    judged : ndarray, shape (n_judged,), int64
        Rows of the streamlines that are measured, sorted in the same way.
    judged_bundle : ndarray, shape (n_judged,), int64
        Bundle of each.
    own : ndarray, shape (n_judged,)
        Mean distance to the nearest latents that are kept of the same bundle, without
        the streamline itself; nan if there are no others.
    place : ndarray, shape (n_judged,), int64
        Position among the latents that are kept, -1 if it is not.
    substitute : ndarray, shape (n_judged,)
        Distance of a latent that is kept to that which would take its place; infinite
        where there is none.
    """

    row: np.ndarray
    bundle: np.ndarray
    counts: np.ndarray
    judged: np.ndarray
    judged_bundle: np.ndarray
    own: np.ndarray
    place: np.ndarray
    substitute: np.ndarray

    __repr__ = short_repr


def thin_bundles(
    mean: np.ndarray,
    bundle: np.ndarray,
    n_bundles: int,
    *,
    per_bundle: int | None = None,
    n_neighbors: int = 5,
    seed: int = 0,
) -> ThinnedBundles:
    """Choose latents that cover each bundle, and measure its streamlines by them.

    Streamlines that are there twice in a bundle count once. The order of the rows plays
    no part.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    bundle : ndarray, shape (n_streamlines,), int
        Bundle of each.
    n_bundles : int
        Number of bundles.
    per_bundle : int, optional
        Largest number of latents of a bundle; by default all are kept.
    n_neighbors : int, optional
        Number of nearest latents that distances are measured to.
    seed : int, optional
        Seed of the choices.

    Returns
    -------
    thinned : ThinnedBundles
        The latents, and the distances.
    """
    counts = np.zeros(n_bundles, dtype=np.int64)
    parts, start, same = [], 0, same_distance(mean)
    for code in np.unique(bundle):
        rows = np.flatnonzero(bundle == code)
        rows = rows[different_rows(mean[rows], same)[0]]
        different = mean[rows]
        counts[code] = len(rows)
        rng = np.random.default_rng([seed, len(rows)])
        most = len(rows) if per_bundle is None else per_bundle
        kept = np.sort(covering_rows(different, most, rng))
        judged = np.arange(len(rows))
        if len(kept) < len(rows):
            judged = rng.permutation(len(rows))[: max(most, FEWEST_JUDGED)]
            judged = np.sort(judged)
        own, substitute = _own_distances(different, kept, judged, n_neighbors)
        place = np.full(len(rows), -1)
        place[kept] = start + np.arange(len(kept))
        parts.append(
            (
                rows[kept],
                np.full(len(kept), code),
                rows[judged],
                np.full(len(judged), code),
                own,
                place[judged],
                substitute,
            )
        )
        start += len(kept)
    row, codes, judged_rows, judged_codes, *measured = map(np.concatenate, zip(*parts))
    return ThinnedBundles(row, codes, counts, judged_rows, judged_codes, *measured)


def covering_rows(
    mean: np.ndarray, n_rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose rows that cover the others.

    One after the other is drawn, with a chance proportional to its squared distance to
    the nearest one drawn so far: the initialisation of k-means++
    :footcite:p:`Arthur2007`.

    Parameters
    ----------
    mean : ndarray, shape (n, latent_dim)
        Different latents; at most 20,000 random ones are candidates.
    n_rows : int
        Number to choose.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    rows : ndarray, shape (min(n, n_rows),), int64
        Rows, in the order of their choice.
    """
    if len(mean) <= n_rows:
        return np.arange(len(mean))
    most = max(MOST_CANDIDATES, n_rows)
    candidates = np.arange(len(mean))
    if len(mean) > most:
        candidates = np.sort(rng.permutation(len(mean))[:most])
    points = mean[candidates].astype(np.float64)
    points -= points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    chosen = [int(rng.integers(len(points)))]
    left = np.full(len(points), np.inf)
    for _ in range(n_rows - 1):
        last = chosen[-1]
        far = squares - 2 * points @ points[last] + squares[last]
        left = np.minimum(left, np.maximum(far, 0))
        left[last] = 0
        total = np.cumsum(left)
        if total[-1] <= 0:  # Equal up to rounding: any of the others.
            unused = np.setdiff1d(np.arange(len(points)), chosen)
            chosen.append(int(rng.choice(unused)))
            continue
        at = np.searchsorted(total, rng.random() * total[-1], side="right")
        chosen.append(int(min(at, len(points) - 1)))
    return candidates[np.unique(chosen)]


def _own_distances(mean, kept, judged, n_neighbors):
    """Measure rows by those that are kept, without themselves."""
    own, substitute = np.full((2, len(judged)), np.nan)
    substitute[:] = np.inf
    if len(kept) < 2:
        return own, substitute
    if len(kept) == len(mean):
        return own_mean_distances(mean, n_neighbors), substitute
    n_near = min(n_neighbors, len(kept) - 1)
    search = NeighborSearch(mean[kept])
    left_out = np.ones(len(mean), dtype=bool)
    left_out[kept] = False
    outside = left_out[judged]
    own[outside] = search.kneighbors(mean[judged[outside]], n_near)[0].mean(axis=1)
    # Without an argument a row is not counted as its own neighbour.
    among = np.searchsorted(kept, judged[~outside])
    distances = search.kneighbors(n_neighbors=n_near)[0][among]
    # What would take the place of a row that is kept is the nearest of its own cell.
    others = np.flatnonzero(left_out)
    to_kept, cell = search.kneighbors(mean[others], 1)
    nearest = np.full(len(kept), np.inf)
    np.minimum.at(nearest, cell[:, 0], to_kept[:, 0])
    substitute[~outside] = nearest[among]
    both = np.sort(np.column_stack([distances, nearest[among]]), axis=1)
    own[~outside] = both[:, :n_near].mean(axis=1)
    return own, substitute
