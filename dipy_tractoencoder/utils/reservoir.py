"""Uniform random samples of rows, of an array or in one pass over a stream."""

from __future__ import annotations

import numpy as np

LARGEST_SAMPLE = 300  # rows, where all pairs are compared


class UniformSample:
    """Draw a uniform random sample of rows in one pass over chunks.

    Each row is given a random key; the rows with the smallest keys are kept. Memory is
    limited to twice the sample plus one chunk.

    Parameters
    ----------
    n : int or None
        Size of the sample; None keeps all rows.
    rng : int or numpy.random.Generator, optional
        Seed, or random number generator, which several samples can share.

    Attributes
    ----------
    n_seen : int
        Number of rows added so far.
    """

    def __init__(
        self, n: int | None = None, rng: int | np.random.Generator = 0
    ) -> None:
        self.n = n
        self.rng = np.random.default_rng(rng)
        self.n_seen = 0
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._keys: list[np.ndarray] = []
        self._limit = np.inf

    def __len__(self) -> int:
        kept = sum(map(len, self._keys))
        return kept if self.n is None else min(self.n, kept)

    def add(self, *columns: np.ndarray) -> None:
        """Add rows.

        Parameters
        ----------
        *columns : ndarray, shape (n_rows, ...)
            Arrays with corresponding rows, the same number of arrays in each call.
        """
        keys = self.rng.random(len(columns[0]))
        self.n_seen += len(keys)
        better = keys < self._limit
        if not better.all():
            keys, columns = keys[better], tuple(column[better] for column in columns)
        self._parts.append(columns)
        self._keys.append(keys)
        if self.n is not None and sum(map(len, self._keys)) > 2 * self.n:
            self._settle()

    def shrink(self, n: int) -> None:
        """Reduce the size of the sample, which remains uniform.

        Parameters
        ----------
        n : int
            New size, at most the previous one.
        """
        self.n = n
        self._settle()

    def columns(self) -> tuple[np.ndarray, ...]:
        """Return the sample.

        Returns
        -------
        columns : tuple of ndarray, shape (n_rows, ...)
            Copies of the sampled rows, in the order in which they were added; empty
            before the first call of `add`.
        """
        if not self._parts:
            return ()
        self._settle()
        return self._parts[0]

    def _settle(self):
        """Concatenate the chunks, and drop the rows with the largest keys."""
        if not self._parts:
            return
        keys = np.concatenate(self._keys)
        columns = tuple(np.concatenate(parts) for parts in zip(*self._parts))
        if self.n is not None and len(keys) > self.n:
            kept = np.sort(np.argsort(keys, kind="stable")[: self.n])
            keys, columns = keys[kept], tuple(column[kept] for column in columns)
        if self.n is not None and len(keys) == self.n:
            self._limit = keys.max(initial=0.0)
        self._parts, self._keys = [columns], [keys]


def sample_rows(
    n_rows: int, seed: int, size: int | None = LARGEST_SAMPLE
) -> np.ndarray:
    """Draw rows without replacement.

    Parameters
    ----------
    n_rows : int
        Number of rows to draw from.
    seed : int
        Seed of the draw.
    size : int or None, optional
        Number of rows to draw, limited to ``n_rows``; None draws all.

    Returns
    -------
    rows : ndarray of int
        Indices in random order.
    """
    return np.random.default_rng(seed).permutation(n_rows)[:size]
