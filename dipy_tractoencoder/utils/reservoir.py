"""A uniform random sample of rows, drawn in one pass."""

import numpy as np

LARGEST_SAMPLE = 300  # rows, where all pairs of them are compared


def smallest_keys(parts, keys, n):
    """Keep the rows of the n smallest random keys, a uniform sample in one pass.

    Parameters
    ----------
    parts : list of tuple of ndarray
        Points and source of rows gathered so far.
    keys : ndarray, shape (n_rows,)
        A random number per row.
    n : int
        Rows to keep.

    Returns
    -------
    parts : list of tuple of ndarray
        One part, in the order of the rows.
    keys : ndarray, shape (n,)
        Of the rows kept.
    """
    points, source = (np.concatenate(part) for part in zip(*parts))
    best = np.sort(np.argsort(keys, kind="stable")[:n])
    return [(points[best], source[best])], keys[best]


def sample_rows(n_rows, seed, size=LARGEST_SAMPLE):
    """Draw some rows without repetition.

    Parameters
    ----------
    n_rows : int
        Rows to choose from.
    seed : int
        Of the draw.
    size : int, optional
        Rows wanted, all if there are fewer.

    Returns
    -------
    rows : ndarray of int
        In random order.
    """
    return np.random.default_rng(seed).permutation(n_rows)[:size]
