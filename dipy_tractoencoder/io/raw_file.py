"""Read a binary file by position with ordinary reads, unpacked if it is gzipped.

With a memory map, a file that becomes shorter while it is read would end the process
by a signal; here it raises an error.
"""

from __future__ import annotations

from contextlib import ExitStack
import gzip
import os
from pathlib import Path
import tempfile
from typing import Any, BinaryIO
import zlib

import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io.checks import broken, changed
from dipy_tractoencoder.io.zip_arrays import ALWAYS_FINE, AT_A_TIME, LARGEST_RATIO

# Words further apart than this are not read together.
LARGEST_GAP = 2**14
# Words that are read together, except within one streamline.
AT_ONCE = 2**22


class RawFile:
    """A file opened for reading only, or the unpacked content of a gzipped one.

    Parameters
    ----------
    path : str or Path
        File; with the extension ``.gz`` its content is unpacked to an anonymous
        temporary file, which disappears with the process.

    Attributes
    ----------
    size : int
        Size of the content in bytes.

    Raises
    ------
    InputFileError
        If the file cannot be read or unpacked.
    OutputFileError
        If there is no space to unpack it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.file: Any = open(path, "rb", buffering=0)
        except OSError as err:
            raise InputFileError(f"Cannot read {path}: {err.strerror or err}.") from err
        if self.path.suffix.lower() == ".gz":
            with self.file as packed:
                self.file = _unpacked(self.path, packed)
        self._state = self._now()
        self.size = self._state[0]

    def _now(self):
        """Return what changes when somebody writes to the file."""
        state = os.fstat(self.file.fileno())
        return state.st_size, state.st_mtime_ns

    def read(self, start: int, n_bytes: int) -> np.ndarray:
        """Read bytes.

        Parameters
        ----------
        start : int
            Position of the first byte.
        n_bytes : int
            Number of bytes.

        Returns
        -------
        content : ndarray, shape (n_bytes,), uint8
            The bytes.

        Raises
        ------
        InputFileError
            If the file has changed since it was opened, or has fewer bytes.
        """
        content = np.empty(n_bytes, np.uint8)
        view: Any = memoryview(content.data)
        done = 0
        try:
            self.file.seek(start)
            while done < n_bytes and (count := self.file.readinto(view[done:])):
                done += count
            same = self._now() == self._state
        except OSError as err:
            raise InputFileError(
                f"Cannot read {self.path}: {err.strerror or err}."
            ) from err
        if not same or done < n_bytes:
            raise changed(self.path)
        return content

    def pieces(
        self,
        start: int,
        begins: np.ndarray,
        ends: np.ndarray,
        dtype: np.dtype,
        kind: Any = np.float32,
    ) -> np.ndarray:
        """Read pieces of an array of numbers, and join them.

        Parameters
        ----------
        start : int
            Position of the first number, bytes.
        begins, ends : ndarray of int64, shape (n_pieces,)
            Where pieces begin and end, counted in numbers, ascending. A piece ends
            before the next begins, but pieces may be empty.
        dtype : numpy.dtype
            Type of the numbers in the file.
        kind : numpy.dtype, optional
            Type of the result.

        Returns
        -------
        numbers : ndarray, shape (n_numbers,)
            Numbers of all pieces.
        """
        counts = np.cumsum(ends - begins)
        joined = np.empty(int(counts[-1]) if len(counts) else 0, kind)
        far = (begins[1:] - ends[:-1] > LARGEST_GAP) | (np.diff(begins // AT_ONCE) > 0)
        cuts = np.flatnonzero(far) + 1
        done = 0
        for low, high in zip([0, *cuts], [*cuts, len(begins)]):
            if low == high:  # No pieces.
                continue
            first, last = int(begins[low]), int(ends[high - 1])
            size = dtype.itemsize
            block = self.read(start + size * first, size * (last - first)).view(dtype)
            if high - low > 1:
                block = block[_wanted(begins[low:high] - first, ends[low:high] - first)]
            with np.errstate(over="ignore"):  # Doubles beyond float32 are infinite.
                joined[done : done + len(block)] = block
            done += len(block)
        return joined

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _wanted(begins, ends):
    """Mark the numbers of pieces; the first begins at 0, the last ends at the end."""
    gaps = begins[1:] - ends[:-1]
    if (gaps == gaps[0]).all():  # Streamlines that follow each other.
        wanted = np.ones(ends[-1], bool)
        wanted[np.add.outer(ends[:-1], np.arange(gaps[0]))] = False
        return wanted
    steps = np.zeros(ends[-1] + 1, np.int8)
    steps[begins] += 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).view(bool)


def _unpacked(path: Path, packed: BinaryIO) -> Any:
    """Unpack a gzipped file to an anonymous temporary file."""
    most = max(ALWAYS_FINE, LARGEST_RATIO * os.fstat(packed.fileno()).st_size)
    with ExitStack() as on_error:
        try:
            spool = on_error.enter_context(tempfile.TemporaryFile(buffering=0))
            n_bytes = 0
            with gzip.open(packed) as content:
                while piece := _next(path, content):
                    n_bytes += len(piece)
                    if n_bytes > most:
                        raise broken(path, f"it would unpack to more than {most} bytes")
                    view = memoryview(piece)
                    while view:
                        view = view[spool.write(view) :]
        except InputFileError:
            raise
        except OSError as err:
            raise OutputFileError(
                f"No space to unpack {path} ({err.strerror or err}). Free some, set "
                "TMPDIR to a folder with more space, or unpack the file with gunzip."
            ) from err
        on_error.pop_all()
    return spool


def _next(path, content):
    """Return the next bytes of a gzipped file."""
    try:
        return content.read(AT_A_TIME)
    except (EOFError, zlib.error, OSError) as err:
        raise broken(path, f"{type(err).__name__}: {err}") from err
