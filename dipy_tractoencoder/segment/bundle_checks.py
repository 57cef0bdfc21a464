"""What is known of bundles beside their latents, and warnings of unusual ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
import logging

import numpy as np

from dipy_tractoencoder.segment.neighbors import different_rows, same_distance

logger = logging.getLogger(__name__)

LENGTH_QUANTILES = (0.05, 0.5, 0.95)
SHOWN = 6  # names in a warning


def length_quantiles(
    length: np.ndarray | None, bundle: np.ndarray, n_bundles: int
) -> np.ndarray:
    """Compute quantiles of the lengths of each bundle.

    Parameters
    ----------
    length : ndarray, shape (n_streamlines,), or None
        Length of each streamline, mm.
    bundle : ndarray, shape (n_streamlines,), int
        Bundle of each.
    n_bundles : int
        Number of bundles.

    Returns
    -------
    quantiles : ndarray, shape (n_bundles, 3), float64
        Quantiles 0.05, 0.5 and 0.95, mm; nan where no length is known.
    """
    found = np.full((n_bundles, len(LENGTH_QUANTILES)), np.nan)
    if length is not None:
        for code in np.unique(bundle):
            found[code] = np.quantile(
                np.asarray(length)[bundle == code], LENGTH_QUANTILES
            )
    return found


def warn_of_bundles(
    names: Sequence[str],
    mean: np.ndarray,
    bundle: np.ndarray,
    counts: np.ndarray,
    n_neighbors: int,
) -> None:
    """Warn of small and of doubled bundles, and of a single one.

    Parameters
    ----------
    names : sequence of str
        Names of the bundles.
    mean : ndarray, shape (n_reference, latent_dim)
        Latents of the reference, each once in a bundle.
    bundle : ndarray, shape (n_reference,), int
        Bundle of each.
    counts : ndarray, shape (n_bundles,), int
        Number of different streamlines of each bundle.
    n_neighbors : int
        Number of neighbours that vote.
    """
    small = np.flatnonzero(counts <= n_neighbors)
    if len(small):
        some = [f"{names[code]} ({counts[code]})" for code in small.tolist()]
        more = f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
        logger.warning(
            "%d of %d bundles have at most %d different streamlines, the number of "
            "neighbours: %s%s. They are judged by the distances of all bundles. Give "
            "more streamlines of them.",
            len(some),
            len(names),
            n_neighbors,
            ", ".join(some[:SHOWN]),
            more,
        )
    if (counts > 0).sum() == 1:
        logger.warning(
            "There is one bundle only, %s. How many streamlines of other bundles would "
            "be taken for it cannot be predicted. Give more bundles.",
            names[int(counts.argmax())],
        )
    for one, other, n_shared in _shared_streamlines(mean, bundle):
        logger.warning(
            "%s and %s have %d streamlines in common, so that one is labelled as the "
            "other. Leave one of the two out, or give them the same name.",
            names[one],
            names[other],
            n_shared,
        )


def _shared_streamlines(mean, bundle):
    """Find pairs of bundles that share at least half of the streamlines of one."""
    _, number = different_rows(mean, same_distance(mean))
    doubled = np.flatnonzero(np.bincount(number)[number] > 1)
    shared: dict[tuple[int, int], int] = {}
    doubled = doubled[np.argsort(number[doubled], kind="stable")]
    cuts = np.flatnonzero(np.diff(number[doubled])) + 1
    for rows in np.split(doubled, cuts):
        for pair in combinations(sorted(bundle[rows].tolist()), 2):
            shared[pair] = shared.get(pair, 0) + 1
    sizes = np.bincount(bundle)
    return [
        (*pair, n_shared)
        for pair, n_shared in sorted(shared.items())
        if 2 * n_shared >= min(sizes[list(pair)])
    ]
