"""Write files whole or not at all."""

from contextlib import contextmanager, suppress
import io
from itertools import count
import os
from pathlib import Path
import re
import socket
import tempfile
import time

from dipy_tractoencoder.errors import (
    InputFileError,
    OutputFileError,
    TractoencoderError,
)

# Unfinished files of processes that are gone are removed when this old (s): a process
# that cannot be seen from here, in a container say, has written to its own lately.
STRAY_AGE = 60
_numbers = count()


@contextmanager
def whole_file(path):
    """Give a path to write to that becomes ``path`` only when all went well.

    The file is written beside its target under a hidden name with the same
    extension (writers choose the format by it), brought to the disk and moved into
    place at the end, so a failure leaves an older file at ``path`` as it was. The name
    is this process's own: of two that write the same file, the last one's stays. What
    a killed process left unfinished is removed by the next that writes the file.

    Parameters
    ----------
    path : str or Path
        The file to write.

    Yields
    ------
    partial : Path
        Where to write.

    Raises
    ------
    OutputFileError
        If the folder cannot be made or the file cannot be written.
    """
    path = Path(path)
    owner = f"{_host()}-{os.getpid()}-{next(_numbers)}"
    partial = path.with_name(f".{owner}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_strays(path)
        yield partial
        _to_disk(partial)
        os.replace(partial, path)
        _to_disk(path.parent)
    except TractoencoderError:
        raise
    except OSError as err:
        reason = err.strerror or str(err)
        raise OutputFileError(f"Cannot write {path}: {reason}.") from err
    finally:
        with suppress(OSError):  # A parent that is a file, say.
            partial.unlink(missing_ok=True)


class Hdf5Target(io.RawIOBase):
    """A file for HDF5 that takes everything, and says at `check` what was wrong.

    HDF5 cannot let go of a file that it could not write to, and ends the process later.

    Parameters
    ----------
    raw : io.RawIOBase
        File open for reading and writing, without a buffer.
    """

    def __init__(self, raw):
        self.raw = raw
        self.error = None

    def check(self):
        """Raise what was kept back.

        Raises
        ------
        OSError
            The first error of the file; nothing was written after it.
        """
        if self.error is not None:
            raise self.error

    def _try(self, function, *arguments):
        if self.error is None:
            try:
                return function(*arguments)
            except OSError as err:
                self.error = err
        return 0

    def write(self, data):
        """Write all of the data, or act as if."""
        data = memoryview(data).cast("B")
        n_bytes = len(data)
        while len(data) and self.error is None:
            data = data[self._try(self.raw.write, data) :]
        return n_bytes

    def readinto(self, buffer):
        """Fill a buffer."""
        n_read = self._try(self.raw.readinto, buffer)
        return n_read if self.error is None else len(buffer)

    def truncate(self, size=None):
        """Set the file's size."""
        self._try(self.raw.truncate, size)
        return size

    def seek(self, offset, whence=0):
        """Go to a place in the file."""
        return self.raw.seek(offset, whence)

    def tell(self):
        """Give the place in the file."""
        return self.raw.tell()

    def flush(self):
        """Do nothing: there is no buffer."""
        return None


def remove_strays(path):
    """Remove what killed processes of this machine left of a file unfinished.

    Parameters
    ----------
    path : Path
        The file to write.
    """
    pattern = re.compile(
        rf"\.{re.escape(_host())}-(\d+)-\d+\.partial\.{re.escape(path.name)}"
    )
    with os.scandir(path.parent) as entries:
        strays = [
            entry.path
            for entry in entries
            if (found := pattern.fullmatch(entry.name)) and not _runs(int(found[1]))
        ]
    for stray in strays:
        with suppress(OSError):  # Another process was quicker, or it is not ours.
            if time.time() - os.stat(stray).st_mtime > STRAY_AGE:
                os.unlink(stray)


def _host():
    """Name this machine in a way that fits into file names."""
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:32]


def _runs(pid):
    """Tell whether a process of this machine is running."""
    if os.name != "posix":
        return True  # There the question would end it.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _to_disk(path):
    """Have the system write a file or folder to the disk, where it can."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError:
        if not folder:  # Some file systems cannot do it for folders.
            raise
    finally:
        os.close(handle)


def check_readable(path):
    """Raise unless a path is a file that may be read.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputFileError
        If there is none, it is a folder, or reading it is not allowed.
    """
    path = Path(path)
    if path.is_dir():
        raise InputFileError(f"{path} is a folder. Give the file in it.")
    if not path.is_file():
        raise InputFileError(f"File not found: {path}.")
    try:
        with path.open("rb"):
            pass
    except OSError as err:
        raise InputFileError(
            f"Cannot read {path}: {err.strerror}. Check who may read it."
        ) from err


def check_free(path, overwrite=False):
    """Raise if a file exists and is not to be replaced.

    Parameters
    ----------
    path : str or Path
        A file that will be written.
    overwrite : bool, optional
        Whether it may be replaced.

    Raises
    ------
    OutputFileError
        If it exists and may not.
    """
    if not overwrite and Path(path).exists():
        raise OutputFileError(
            f"{path} exists. Choose another name, or replace it with overwrite=True."
        )


def check_writable(path):
    """Raise unless a file can be made at ``path``; its folder is created.

    Parameters
    ----------
    path : str or Path
        A file that will be written later.

    Raises
    ------
    OutputFileError
        If the folder cannot be made or written to, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputFileError(
            f"Cannot write {path}: it is a folder. Give a file name instead."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as err:
        reason = err.strerror or str(err)
        raise OutputFileError(
            f"Cannot write into the folder {path.parent}: {reason}. "
            "Choose another one (--out_dir)."
        ) from err
