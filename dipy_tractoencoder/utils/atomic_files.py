"""Write files atomically, and check paths before reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import io
from itertools import count
import os
from pathlib import Path
import re
import socket
import tempfile
import time
from typing import Any

from dipy_tractoencoder.errors import (
    InputFileError,
    OutputFileError,
    TractoencoderError,
)

# Age (s) from which unfinished files of processes that no longer run are removed. A
# process in another container cannot be seen, but its file was written to recently.
STRAY_AGE = 60
_numbers = count()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: completely, or not at all.

    The file is written next to its target under a hidden name with the same
    extension (writers choose the format by it), flushed to disk and moved into place
    at the end, so that after a failure an older file at ``path`` is unchanged. Hidden
    names are unique to the process: if two processes write the same file, the one that
    finishes last wins. Unfinished files of killed processes are removed by the next
    process that writes the same file.

    Parameters
    ----------
    path : str or Path
        The file to write.

    Yields
    ------
    partial : Path
        Temporary path to write to.

    Raises
    ------
    OutputFileError
        If the folder cannot be created or the file cannot be written.
    """
    path = Path(path)
    partial = _partial(path)
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
        with suppress(OSError):  # For example, a parent that is a file.
            partial.unlink(missing_ok=True)


def _partial(path):
    """Return a hidden name next to a file that no other process uses."""
    owner = f"{_host()}-{os.getpid()}-{next(_numbers)}"
    return path.with_name(f".{owner}.partial.{path.name}")


class Hdf5Target(io.RawIOBase):
    """File object for h5py that holds back write errors until `check` is called.

    HDF5 cannot close a file after a failed write, and crashes the process later.

    Parameters
    ----------
    raw : io.RawIOBase
        Unbuffered file, open for reading and writing.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the first write error, if there was one.

        Raises
        ------
        OSError
            The first error; nothing was written after it.
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

    def write(self, data: Any) -> int:
        """Write the data; after an error, discard it and report success."""
        data = memoryview(data).cast("B")
        n_bytes = len(data)
        while len(data) and self.error is None:
            data = data[self._try(self.raw.write, data) :]
        return n_bytes

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer."""
        n_read = self._try(self.raw.readinto, buffer)
        return n_read if self.error is None else len(buffer)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        self._try(self.raw.truncate, size)
        return self.tell() if size is None else size

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position in the file."""
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the file."""
        return self.raw.tell()

    def flush(self) -> None:
        """Do nothing: the file is unbuffered."""
        return None


def remove_strays(path: Path) -> None:
    """Remove unfinished copies of a file left by killed processes of this machine.

    Parameters
    ----------
    path : Path
        The file to be written.
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
        with suppress(OSError):  # Removed by another process, or not permitted.
            if time.time() - os.stat(stray).st_mtime > STRAY_AGE:
                os.unlink(stray)


def _host():
    """Return the host name, with characters that suit a file name."""
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:32]


def _runs(pid):
    """Return whether a process of this machine is running."""
    if os.name != "posix":
        return True  # On Windows, os.kill would end the process.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _to_disk(path):
    """Flush a file or folder to disk, where the system supports it."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError:
        if not folder:  # Some file systems do not support it for folders.
            raise
    finally:
        os.close(handle)


def check_readable(path: str | Path) -> None:
    """Raise an error unless a path is a readable file.

    Parameters
    ----------
    path : str or Path
        File to read.

    Raises
    ------
    InputFileError
        If the file does not exist, is a folder, or may not be read.
    """
    path = Path(path)
    if path.is_dir():
        raise InputFileError(f"{path} is a folder. Give a file instead.")
    if not path.is_file():
        raise InputFileError(f"File not found: {path}.")
    try:
        with path.open("rb"):
            pass
    except OSError as err:
        raise InputFileError(
            f"Cannot read {path}: {err.strerror}. Check its permissions."
        ) from err


def check_free(path: str | Path, overwrite: bool = False) -> None:
    """Raise an error if a file exists and may not be overwritten.

    Parameters
    ----------
    path : str or Path
        File to be written.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Raises
    ------
    OutputFileError
        If the file exists and ``overwrite`` is False.
    """
    if not overwrite and Path(path).exists():
        raise OutputFileError(
            f"{path} exists. Choose another name, or overwrite it with overwrite=True."
        )


def check_writable(path: str | Path) -> None:
    """Raise an error unless a file can be written; its folder is created.

    Parameters
    ----------
    path : str or Path
        File to be written later.

    Raises
    ------
    OutputFileError
        If the folder cannot be created or written to, or ``path`` is a folder or has
        a name that is too long.
    """
    path = Path(path)
    if os.path.isdir(path):  # False for names that are too long.
        raise OutputFileError(
            f"Cannot write {path}: it is a folder. Give a file name instead."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        with suppress(FileNotFoundError):
            _partial(path).lstat()  # The longest name it gets while it is written.
    except OSError as err:
        reason = err.strerror or str(err)
        if err.errno == errno.ENAMETOOLONG:
            raise OutputFileError(
                f"Cannot write {path}: its name is too long, with what is put in front "
                "while it is written. Choose a shorter name."
            ) from err
        raise OutputFileError(
            f"Cannot write to the folder {path.parent}: {reason}. "
            "Choose another `path`."
        ) from err
