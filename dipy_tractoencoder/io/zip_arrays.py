"""Read arrays from a zip archive, in place if they are stored.

The directory of the archive is compared with the file first. Files are not
memory-mapped: one that becomes shorter while it is read would end the process.
"""

from __future__ import annotations

import json
from pathlib import Path
import struct
import tempfile
from typing import Any, BinaryIO
import zipfile

import numpy as np

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.checks import LARGEST_TEXT, broken
from dipy_tractoencoder.io.names import short

# Largest ratio of unpacked to compressed size: points are hardly compressible, other
# numbers are.
LARGEST_RATIO = 100
ALWAYS_FINE = 2**28  # bytes
# Largest array (bytes) unpacked to memory; larger ones go to a temporary file.
IN_MEMORY = 2**26
AT_A_TIME = 2**20
LOCAL = struct.Struct("<4s2xHH8xII2H")  # Fields used of a member's local header.


class ZipArrays:
    """Members of a zip archive, after checking their positions and sizes.

    Parameters
    ----------
    path : str or Path
        Path of the archive, for messages.
    file : file object
        Archive, open for reading.
    archive : zipfile.ZipFile
        The same archive.

    Attributes
    ----------
    members : dict of zipfile.ZipInfo
        Members by name.

    Raises
    ------
    InputFileError
        If positions or sizes of members are wrong, they would unpack to far more than
        the size of the file, or their paths lead outside of the archive.
    """

    def __init__(
        self, path: str | Path, file: BinaryIO, archive: zipfile.ZipFile
    ) -> None:
        self.path, self.archive = path, archive
        self.members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename
            if name in self.members:
                raise broken(path, f"it has two parts named {short(name)}")
            pieces = Path(name).parts
            if ".." in pieces or name.startswith("/") or "\\" in name:
                raise broken(path, f"its part {short(name)} lies outside of it")
            self.members[name] = info
        self.starts = _places(path, file, archive)
        # Small files, such as those of one number, can have a larger ratio.
        unpacked = sum(info.file_size for info in self.members.values())
        packed = sum(info.compress_size for info in self.members.values())
        if unpacked > max(ALWAYS_FINE, LARGEST_RATIO * packed):
            raise broken(path, f"its {packed} bytes would unpack to {unpacked}")

    def json(self, name: str) -> Any:
        """Read a small JSON member.

        Parameters
        ----------
        name : str
            Name of the member.

        Returns
        -------
        value : object
            Content.
        """
        if self.members[name].file_size > LARGEST_TEXT:
            raise broken(self.path, f"its {name} is too long")
        return json.loads(self.archive.read(name))

    def place(self, name: str, dtype: np.dtype) -> tuple[int | None, int]:
        """Return where the numbers of a member are.

        Parameters
        ----------
        name : str
            Name of the member.
        dtype : numpy.dtype
            Type of the numbers.

        Returns
        -------
        start : int or None
            Position of the first number in the archive, bytes; None if the member is
            compressed or empty.
        count : int
            Number of numbers.
        """
        info = self.members[name]
        count, rest = divmod(info.file_size, dtype.itemsize)
        if rest:
            raise broken(
                self.path,
                f"its part {short(name)} has {info.file_size} bytes, which is not a "
                f"multiple of {dtype.itemsize}",
            )
        stored = count and info.compress_type == zipfile.ZIP_STORED
        return self.starts[name] if stored else None, count

    def unpack(self, name: str, dtype: np.dtype) -> np.ndarray:
        """Return the numbers of a member in memory, or in a temporary file.

        Parameters
        ----------
        name : str
            Name of the member.
        dtype : numpy.dtype
            Type of the numbers.

        Returns
        -------
        values : ndarray, shape (n_values,)
            Read-only array; memory-mapped from an anonymous temporary file if it is
            large.
        """
        info = self.members[name]
        if not info.file_size:
            return np.empty(0, dtype)
        with self.archive.open(info) as member:
            if info.file_size <= IN_MEMORY:
                return np.frombuffer(member.read(), dtype)
            return _unpacked(self.path, member).view(dtype)


def _places(path, file, archive):
    """Return the position of each member, after checking that all bytes exist."""
    starts, spans = {}, []
    for info in archive.infolist():
        file.seek(info.header_offset)
        head = file.read(LOCAL.size)
        if len(head) < LOCAL.size or head[:4] != b"PK\x03\x04":
            raise broken(path, f"its part {short(info.filename)} is not at its place")
        _, flags, _, packed, unpacked, n_name, n_extra = LOCAL.unpack(head)
        name = file.read(n_name)
        if name.decode("utf-8" if flags & 0x800 else "cp437") != info.orig_filename:
            raise broken(path, f"its part {short(info.filename)} has two names")
        if flags & 1:
            raise broken(path, f"its part {short(info.filename)} is encrypted")
        starts[info.filename] = start = (
            info.header_offset + LOCAL.size + n_name + n_extra
        )
        spans.append((info.header_offset, start + info.compress_size, info.filename))
        claimed = (packed, unpacked)
        real = (info.compress_size, info.file_size)
        # The sizes may follow the data (flag 8) or be in an extra field (all ones).
        if not flags & 8 and 0xFFFFFFFF not in claimed and claimed != real:
            raise broken(
                path,
                f"its directory says {info.file_size} bytes of {short(info.filename)}, "
                f"but there are {unpacked}",
            )
        if info.compress_type == zipfile.ZIP_STORED and real[0] != real[1]:
            raise broken(path, f"its part {short(info.filename)} has two sizes")
    spans.sort()
    begins = [*(begin for begin, _, _ in spans[1:]), archive.start_dir]
    for (_, end, name), begin in zip(spans, begins):
        if end > begin:
            raise broken(
                path,
                f"its part {short(name)} would end at byte {end}, but the next begins "
                f"at {begin}",
            )
    return starts


def _unpacked(path, member):
    """Unpack a member to an anonymous temporary file, and map it."""
    with tempfile.TemporaryFile() as spool:
        try:
            while piece := member.read(AT_A_TIME):
                spool.write(piece)
            spool.flush()
        except zipfile.BadZipFile:
            raise
        except OSError as err:
            raise OutputFileError(
                f"No space to unpack {path} ({err.strerror or err}). Free some, set "
                "TMPDIR to a folder with more space, or write the file without "
                "compression."
            ) from err
        return np.memmap(spool, dtype=np.uint8, mode="r")
