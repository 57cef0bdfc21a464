"""Collect rows that come in chunks of any size into blocks of one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class FixedBlocks:
    """Pass rows on in blocks of one size.

    Rounding in sums and matrix products depends on the number of rows. In blocks it
    does not depend on how the rows were read.

    Parameters
    ----------
    size : int
        Rows per block; the last block may have fewer.
    use : callable
        Called with each block.
    """

    def __init__(self, size: int, use: Callable[[np.ndarray], object]) -> None:
        self.size = size
        self.use = use
        self._parts: list[np.ndarray] = []
        self._waiting = 0

    def add(self, rows: np.ndarray) -> None:
        """Add rows, and pass on the blocks that are full.

        Parameters
        ----------
        rows : ndarray, shape (n_rows, ...)
            Rows; they are copied only if they wait for more.
        """
        start = 0
        while len(rows) - start >= self.size - self._waiting:
            stop = start + self.size - self._waiting
            self._parts.append(rows[start:stop])
            start = stop
            self.finish()
        if start < len(rows):
            self._parts.append(rows[start:].copy())
            self._waiting += len(rows) - start

    def finish(self) -> None:
        """Pass on the rows that wait."""
        if self._parts:
            parts, self._parts, self._waiting = self._parts, [], 0
            self.use(parts[0] if len(parts) == 1 else np.concatenate(parts))
