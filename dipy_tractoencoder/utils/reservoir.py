"""Uniform random samples of rows: of what is at hand, and of what passes by."""

from __future__ import annotations

import numpy as np

LARGEST_SAMPLE = 300  # rows, where all pairs of them are compared


class UniformSample:
    """A uniform random sample of rows that come some at a time, in one pass.

    Every row draws a random key, and those with the smallest keys are kept. Memory is
    that of twice the sample and of what came last.

    Parameters
    ----------
    n : int or None
        Rows to keep; None keeps all.
    rng : int or Generator, optional
        Of the keys, or its seed; a generator can serve several samples.

    Attributes
    ----------
    n_seen : int
        Rows that have come.
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
        """Take in some rows.

        Parameters
        ----------
        *columns : ndarray, shape (n_rows, ...)
            Parallel arrays, as many in each call.
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
        """Keep fewer rows from now on: still a uniform sample of all that came.

        Parameters
        ----------
        n : int
            Rows to keep, at most as many as before.
        """
        self.n = n
        self._settle()

    def columns(self) -> tuple[np.ndarray, ...]:
        """Give the sample.

        Returns
        -------
        columns : tuple of ndarray, shape (n_rows, ...)
            Copies, in the order in which the rows came; empty before the first call
            of `add`.
        """
        if not self._parts:
            return ()
        self._settle()
        return self._parts[0]

    def _settle(self):
        """Join the parts, and leave out the rows whose keys are too large."""
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


def sample_rows(n_rows, seed, size=LARGEST_SAMPLE):
    """Draw some rows without repetition.

    Parameters
    ----------
    n_rows : int
        Rows to choose from.
    seed : int
        Of the draw.
    size : int or None, optional
        Rows wanted, all if there are fewer; None is all.

    Returns
    -------
    rows : ndarray of int
        In random order.
    """
    return np.random.default_rng(seed).permutation(n_rows)[:size]
