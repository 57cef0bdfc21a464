"""Arrays in a zip archive: mapped where they are stored, unpacked where they are not.

What the archive's directory says is compared with the file first: a map of bytes that
are not there ends the process, or makes the file longer.
"""

import json
from pathlib import Path
import struct
import tempfile
import zipfile

import numpy as np

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.checks import LARGEST_TEXT, broken
from dipy_tractoencoder.io.names import short

# Of what has to be unpacked: points hardly shrink, other numbers do.
LARGEST_RATIO = 100
ALWAYS_FINE = 2**28  # bytes
# What is unpacked goes into memory up to here, into a nameless file above.
IN_MEMORY = 2**26
AT_A_TIME = 2**20
LOCAL = struct.Struct("<4s2xHH8xII2H")  # Head of a member: what is used of it.


class ZipArrays:
    """The members of an archive, after their places were checked.

    Parameters
    ----------
    path : str or Path
        The file, for messages.
    file : file object
        It, open for reading.
    archive : zipfile.ZipFile
        It again.

    Attributes
    ----------
    members : dict of zipfile.ZipInfo
        By name.

    Raises
    ------
    InputFileError
        If members are not where and as large as the archive says, would unpack to far
        more than it has, or lie outside of it.
    """

    def __init__(self, path, file, archive):
        self.path, self.archive = path, archive
        self.members = {}
        for info in archive.infolist():
            name = info.filename
            if name in self.members:
                raise broken(path, f"it has two parts of the name {short(name)}")
            pieces = Path(name).parts
            if ".." in pieces or name.startswith("/") or "\\" in name:
                raise broken(path, f"its part {short(name)} lies outside of it")
            self.members[name] = info
        self.starts = _places(path, file, archive)
        # Small files have more of a ratio, as those of one number do.
        unpacked = sum(info.file_size for info in self.members.values())
        packed = sum(info.compress_size for info in self.members.values())
        if unpacked > max(ALWAYS_FINE, LARGEST_RATIO * packed):
            raise broken(path, f"its {packed} bytes would unpack to {unpacked}")
        self.bytes = np.memmap(file, dtype=np.uint8, mode="r")

    def json(self, name):
        """Read a small text.

        Parameters
        ----------
        name : str
            Of the member.

        Returns
        -------
        value : object
            What it says.
        """
        if self.members[name].file_size > LARGEST_TEXT:
            raise broken(self.path, f"its {name} is too long")
        return json.loads(self.archive.read(name))

    def array(self, name, dtype):
        """Give a member's numbers.

        Parameters
        ----------
        name : str
            Of the member.
        dtype : numpy.dtype
            Of its numbers.

        Returns
        -------
        values : ndarray, shape (any,)
            Mapped if they are stored, otherwise unpacked; they can only be read.
        """
        info = self.members[name]
        count, rest = divmod(info.file_size, dtype.itemsize)
        if rest:
            raise broken(
                self.path,
                f"its part {short(name)} has {info.file_size} bytes, which are no "
                f"whole numbers of {dtype.itemsize}",
            )
        if not count:
            return np.empty(0, dtype)
        if info.compress_type == zipfile.ZIP_STORED:
            start = self.starts[name]
            return self.bytes[start : start + info.file_size].view(dtype)
        with self.archive.open(info) as member:
            if info.file_size <= IN_MEMORY:
                return np.frombuffer(member.read(), dtype)
            return _unpacked(self.path, member).view(dtype)


def _places(path, file, archive):
    """Find where each member's bytes begin; raise unless all of them are there."""
    starts, spans = {}, []
    for info in archive.infolist():
        file.seek(info.header_offset)
        head = file.read(LOCAL.size)
        if len(head) < LOCAL.size or head[:4] != b"PK\x03\x04":
            raise broken(path, f"its part {short(info.filename)} is not where it says")
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
        # Behind the bytes (flag 8) or in an extra field (all ones) if it is not here.
        if not flags & 8 and 0xFFFFFFFF not in claimed and claimed != real:
            raise broken(
                path,
                f"its directory says {info.file_size} bytes of {short(info.filename)}, "
                f"and there are {unpacked}",
            )
        if info.compress_type == zipfile.ZIP_STORED and real[0] != real[1]:
            raise broken(path, f"its part {short(info.filename)} has two sizes")
    spans.sort()
    begins = [*(begin for begin, _, _ in spans[1:]), archive.start_dir]
    for (_, end, name), begin in zip(spans, begins):
        if end > begin:
            raise broken(
                path,
                f"its part {short(name)} would end at byte {end}, and the next begins "
                f"at {begin}",
            )
    return starts


def _unpacked(path, member):
    """Unpack into a nameless file, and map it."""
    with tempfile.TemporaryFile() as spool:
        try:
            while piece := member.read(AT_A_TIME):
                spool.write(piece)
            spool.flush()
        except zipfile.BadZipFile:
            raise
        except OSError as err:
            raise OutputFileError(
                f"No room to unpack {path} ({err.strerror or err}). Free some, set "
                "TMPDIR to a folder that has it, or write the file without compression."
            ) from err
        return np.memmap(spool, dtype=np.uint8, mode="r")
