"""Read points and lines of VTK and FIB files (VTK's legacy format), without VTK.

VTK's own reader believes what a header says, and can end the process if it is wrong.
Format: https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.checks import DAMAGE, broken

BEGINNING = b"# vtk DataFile Version"
LONGEST_LINE = 4096  # bytes
CELLS = ("VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS")
# In binary files numbers are big-endian.
TYPES = {
    "unsigned_char": ">u1",
    "char": ">i1",
    "unsigned_short": ">u2",
    "short": ">i2",
    "unsigned_int": ">u4",
    "int": ">i4",
    "unsigned_long": ">u8",
    "long": ">i8",
    "vtkidtype": ">i4",
    "vtktypeint64": ">i8",
    "vtktypeuint64": ">u8",
    "float": ">f4",
    "double": ">f8",
}


@dataclass
class PolyData:
    """Points and lines of a file.

    Attributes
    ----------
    points : ndarray, shape (n_points, 3)
        Points, in the space of the file.
    offsets : ndarray of int64, shape (n_lines + 1,)
        Where lines begin in ``ids``, and where the last one ends.
    ids : ndarray of int64
        Numbers of the points of all lines.
    space : str or None
        Value of ``SPACE`` in the field data, if there is one.
    title : str
        Second line of the file.
    """

    points: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    space: str | None = None
    title: str = ""


def read_legacy(path: str | Path) -> PolyData:
    """Read points and lines of a VTK or FIB file.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    polydata : PolyData
        Content of the file, not checked further. Data of points and lines are not
        read.

    Raises
    ------
    InputFileError
        If the file is damaged, or holds something else than PolyData.
    """
    try:
        return _Reader(Path(path)).read()
    except DAMAGE as err:
        if isinstance(err, InputFileError):
            raise
        raise broken(path, f"{type(err).__name__}: {err}") from err


class _Reader:
    """Position in the content of a file."""

    def __init__(self, path):
        self.path, self.at = path, 0
        self.content = path.read_bytes()
        self.binary = False

    def line(self):
        """Return the words of the next line; none at the end.

        Empty lines are passed over, and metadata, which end with an empty line.
        """
        while True:
            while self.content[self.at : self.at + 1].isspace():
                self.at += 1
            words = self.rest_of_line().decode("latin-1").split()
            if words[:1] != ["METADATA"]:
                return words
            while self.rest_of_line():
                pass

    def rest_of_line(self):
        """Return what is left of a line."""
        end = self.content.find(b"\n", self.at, self.at + LONGEST_LINE)
        if end < 0:
            end = min(len(self.content), self.at + LONGEST_LINE)
        line, self.at = self.content[self.at : end], end + 1
        return line.strip()

    def read(self):
        if not self.content.startswith(BEGINNING):
            raise broken(self.path, f"it does not begin with `{BEGINNING.decode()}`")
        self.rest_of_line()
        title = self.rest_of_line().decode("latin-1")
        kind = self.line()
        if kind not in (["ASCII"], ["BINARY"]):
            raise broken(self.path, "it is neither ASCII nor BINARY")
        self.binary = kind == ["BINARY"]
        if [word.upper() for word in self.line()] != ["DATASET", "POLYDATA"]:
            raise InputFileError(
                f"Cannot read {self.path}: it is a VTK file, but holds no PolyData, in "
                "which tractograms are stored."
            )
        found = PolyData(np.empty((0, 3)), np.zeros(0, int), np.zeros(0, int))
        found.title = title
        seen = set()
        while words := self.line():
            key = words[0].upper()
            if key in ("POINT_DATA", "CELL_DATA"):
                break
            if key in seen:
                raise broken(self.path, f"it has {key} twice")
            seen.add(key)
            if key == "POINTS":
                count = 3 * self.number(words[1])
                found.points = self.array(count, words[2]).reshape(-1, 3)
            elif key in CELLS:
                cells = self.cells(self.number(words[1]), self.number(words[2]))
                if key == "LINES":
                    found.offsets, found.ids = cells
            elif key == "FIELD":
                found.space = self.field(self.number(words[2]))
            else:
                raise broken(self.path, f"it has an unknown part {key[:40]!r}")
        if "POINTS" not in seen:
            raise broken(self.path, "it ends before its points")
        return found

    def number(self, word):
        """Convert a number of the header."""
        number = int(word)
        if number < 0:
            raise broken(self.path, f"it promises {number} values")
        return number

    def array(self, count, name):
        """Read an array of numbers."""
        dtype = np.dtype(TYPES[name.lower()])
        left = len(self.content) - self.at
        if count * (dtype.itemsize if self.binary else 2) > left + 1:
            raise broken(
                self.path, f"it promises {count} numbers, but {left} bytes are left"
            )
        if self.binary:
            values = np.frombuffer(self.content, dtype, count, self.at)
            self.at += count * dtype.itemsize
        else:
            words = self.content[self.at :].split(None, count)
            if len(words) < count:
                raise broken(self.path, f"{count} numbers are promised")
            self.at = len(self.content) - sum(map(len, words[count:]))
            values = np.array(words[:count], dtype=bytes).astype(dtype)
        return values.astype(dtype.newbyteorder("="))

    def cells(self, count, size):
        """Read cells, in the form of version 5 or in the older one."""
        before = self.at
        words = self.line()
        if words[:1] == ["OFFSETS"]:
            offsets = self.array(count, words[1]).astype(np.int64)
            words = self.line()
            if words[:1] != ["CONNECTIVITY"]:
                raise broken(self.path, "it has cells without CONNECTIVITY")
            return offsets, self.array(size, words[1]).astype(np.int64)
        self.at = before
        values = self.array(size, "int").astype(np.int64)
        starts, at = [], 0
        for _ in range(count):
            starts.append(at)
            if at >= size or values[at] < 0:
                raise broken(self.path, "its cells are longer than they say")
            at += 1 + int(values[at])
        if at != size:
            raise broken(self.path, f"its cells have {at} values instead of {size}")
        is_id = np.ones(size, bool)
        is_id[starts] = False
        lengths = values[starts] if starts else np.zeros(0, np.int64)
        return np.concatenate([[0], np.cumsum(lengths)]), values[is_id]

    def field(self, count):
        """Pass over field data, and return the value of SPACE."""
        space = None
        for _ in range(count):
            name, n_columns, n_rows, dtype = self.line()[:4]
            size = self.number(n_columns) * self.number(n_rows)
            if dtype.lower() != "string":
                self.array(size, dtype)
                continue
            if size > len(self.content) - self.at:
                raise broken(self.path, f"it promises {size} texts")
            for number in range(size):
                text = self.text()
                if name.upper() == "SPACE" and number == 0:
                    space = text
        return space

    def text(self):
        """Read a text of field data."""
        if not self.binary:
            return self.rest_of_line().decode("latin-1")
        # The first two bits tell how many bytes have the length.
        first = self.content[self.at]
        n_bytes = (8, 4, 2, 1)[first >> 6]
        length = int.from_bytes(self.content[self.at : self.at + n_bytes], "big")
        start = self.at + n_bytes
        self.at = start + (length & (1 << (8 * n_bytes - 2)) - 1)
        return self.content[start : self.at].decode("latin-1")
