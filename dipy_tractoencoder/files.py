"""Write files whole or not at all."""

from contextlib import contextmanager, suppress
import os
from pathlib import Path
import tempfile

from dipy_tractoencoder.errors import OutputFileError, TractoencoderError


@contextmanager
def whole_file(path):
    """Give a path to write to that becomes ``path`` only when all went well.

    The file is written beside its target under a hidden name with the same
    extension (writers choose the format by it) and moved into place at the end,
    so a failure leaves an older file at ``path`` as it was.

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
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except TractoencoderError:
        raise
    except OSError as err:
        reason = err.strerror or str(err)
        raise OutputFileError(f"Cannot write {path}: {reason}.") from err
    finally:
        with suppress(OSError):  # A parent that is a file, say.
            partial.unlink(missing_ok=True)


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
            "Choose another one with --out_dir."
        ) from err
