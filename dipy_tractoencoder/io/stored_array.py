"""Arrays in a file whose rows are read when they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from dipy_tractoencoder.io.raw_file import RawFile


class StoredArray:
    """Matrix in a file; an index reads rows, `numpy.asarray` reads all of them.

    Parameters
    ----------
    raw : RawFile
        File.
    start : int
        Position of the first number, bytes.
    shape : tuple of int
        Numbers of rows and columns.
    dtype : numpy.dtype
        Type of the numbers.

    Attributes
    ----------
    shape, ndim, dtype
        As of an ndarray.
    """

    ndim = 2

    def __init__(
        self, raw: RawFile, start: int, shape: tuple[int, int], dtype: np.dtype
    ) -> None:
        self.raw, self.start = raw, start
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def pieces(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Read ranges of rows, and join them.

        Parameters
        ----------
        begins, ends : ndarray of int64, shape (n_ranges,)
            First row of each range, and the row after its last, ascending.

        Returns
        -------
        rows : ndarray, shape (n_rows, n_columns)
            The rows.

        Raises
        ------
        InputFileError
            If the file has changed since it was opened.
        """
        width = self.shape[1]
        numbers = self.raw.pieces(
            self.start, width * begins, width * ends, self.dtype, self.dtype
        )
        return numbers.reshape(-1, width)

    def __getitem__(self, idx: Any) -> np.ndarray:
        rows = np.arange(len(self))[idx] if not isinstance(idx, tuple) else None
        if (
            isinstance(rows, np.ndarray)
            and rows.ndim == 1
            and (np.diff(rows) > 0).all()
        ):
            return self.pieces(rows, rows + 1)
        return np.asarray(self)[idx]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all rows."""
        count = self.shape[0] * self.shape[1]
        content = self.raw.read(self.start, count * self.dtype.itemsize)
        values = content.view(self.dtype).reshape(self.shape)
        return values if dtype is None else values.astype(dtype, copy=False)
