"""Find the matrices in a file of MATLAB's version 4 format, without reading them.

Format: "Level 4 MAT-Files" in "MAT-File Format", The MathWorks. The reader of scipy
allocates as much memory as a header claims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.io.checks import broken
from dipy_tractoencoder.io.raw_file import RawFile

HEADER = 20  # bytes
LONGEST_NAME = 256
MOST_MATRICES = 10_000
KINDS = ("f8", "f4", "i4", "i2", "u2", "u1")
LARGEST_KIND = 1000 + 10 * len(KINDS)  # Numbers or text in either byte order.


@dataclass(frozen=True)
class Matrix:
    """Where the values of a matrix are.

    Attributes
    ----------
    start : int
        Position of the first value, bytes.
    count : int
        Number of values.
    dtype : numpy.dtype
        Type of the values.
    """

    start: int
    count: int
    dtype: np.dtype

    @property
    def n_bytes(self) -> int:
        """Size of all values in bytes."""
        return self.count * self.dtype.itemsize

    def read(self, raw: RawFile) -> np.ndarray:
        """Read all values.

        Parameters
        ----------
        raw : RawFile
            The file.

        Returns
        -------
        values : ndarray, shape (count,)
            Values, in the order of the file.
        """
        return raw.read(self.start, self.n_bytes).view(self.dtype)


def find_matrices(raw: RawFile) -> dict[str, Matrix]:
    """Find the matrices of a file.

    Parameters
    ----------
    raw : RawFile
        The file.

    Returns
    -------
    matrices : dict of Matrix
        Matrices by name, in the order of the file.

    Raises
    ------
    InputFileError
        If a header is wrong, or claims more than the file holds.
    """
    found: dict[str, Matrix] = {}
    at = 0
    while at < raw.size:
        if raw.size - at < HEADER or len(found) == MOST_MATRICES:
            raise broken(raw.path, f"it ends within the header of matrix {len(found)}")
        header = raw.read(at, HEADER)
        numbers = header.view("<i4")
        if not 0 <= numbers[0] < LARGEST_KIND:
            numbers = header.view(">i4")
        kind, n_rows, n_columns, imaginary, n_name = map(int, numbers)
        order, kind = ("<", kind) if kind < 1000 else (">", kind - 1000)
        left = raw.size - at - HEADER - n_name
        if (
            not 0 <= kind // 10 < len(KINDS)
            or kind % 10 > 1
            or min(n_rows, n_columns) < 0
            or imaginary != 0
            or not 1 <= n_name <= LONGEST_NAME
            or left < 0
        ):
            raise broken(raw.path, f"the header of matrix {len(found)} is wrong")
        name = raw.read(at + HEADER, n_name).tobytes().rstrip(b"\0").decode("latin-1")
        start = at + HEADER + n_name
        matrix = Matrix(start, n_rows * n_columns, np.dtype(order + KINDS[kind // 10]))
        if matrix.n_bytes > left:
            raise broken(
                raw.path,
                f"its matrix {name!r} of {n_rows} x {n_columns} values needs "
                f"{matrix.n_bytes} bytes, but {left} are left",
            )
        if name in found:
            raise broken(raw.path, f"it has two matrices called {name!r}")
        found[name] = matrix
        at = start + matrix.n_bytes
    return found
