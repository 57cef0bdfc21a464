"""Find the files that paths, wildcards and folders stand for: one rule for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from glob import glob
import logging
import os
from os import PathLike
from pathlib import Path
from typing import Any

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    format_received,
)
from dipy_tractoencoder.io.formats import (
    READABLE,
    file_format,
    looks_like_tractogram,
    why_unreadable,
)
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

WILDCARDS = "*?["
SHOWN = 6  # names in a message


def tractogram_files(
    given: str | PathLike | Sequence[str | PathLike],
    *,
    extensions: Sequence[str] = READABLE,
    kind: str = "tractogram",
) -> list[Path]:
    """List the files that paths, folders and wildcards stand for.

    A path that exists is that file or folder, even if its name has the characters of
    wildcards. A file is kept, whatever its name: reading it says what is wrong. Of a
    folder, the tractograms in it are listed, sorted by name; other files, hidden ones
    and the folders in it are not. The same holds for what a wildcard finds, unless the
    wildcard ends in an extension (``*.h5``). ``**`` stands for any number of folders,
    so ``atlas/**`` lists the tractograms in all folders below. What is skipped is
    logged once for each folder: as a warning if it looks like a tractogram.

    Parameters
    ----------
    given : str or Path, or sequence of them
        Files, folders of files, and wildcards (``*``, ``?``, ``[AB]``, ``**``).
    extensions : sequence of str, optional
        Extensions of the files that are wanted; in names they can be in any case.
    kind : str, optional
        What these files are, for messages.

    Returns
    -------
    paths : list of Path
        Existing files, in the order in which they were given.

    Raises
    ------
    InvalidArgumentError
        If ``given`` are not paths.
    InputFileError
        If a path does not exist, or a folder or wildcard finds no such file.

    Examples
    --------
    >>> from pathlib import Path
    >>> import dipy_tractoencoder as dte
    >>> for name in ("AF.trk", "UF.TRX", "README.txt"):
    ...     _ = Path(name).write_bytes(b"")
    >>> [path.name for path in dte.tractogram_files(".")]
    ['AF.trk', 'UF.TRX']
    """
    several = [given] if isinstance(given, (str, PathLike)) else given
    try:
        texts = [os.fspath(path) for path in several]
    except TypeError as err:
        raise InvalidArgumentError(
            "Invalid value received for `paths`. Expected tractogram files, or folders "
            f"of them. Received: {format_received(given)}."
        ) from err
    found: list[Path] = []
    for text in texts:
        if os.path.isdir(text):
            found += _of_folder(text, extensions, kind)
        elif os.path.exists(text) or not has_wildcard(text):
            found.append(existing(text))
        else:
            found += _of_wildcard(text, extensions, kind)
    return found


def has_wildcard(path: str | Path) -> bool:
    """Return whether a path has characters of wildcards.

    Parameters
    ----------
    path : str or Path
        Any path.

    Returns
    -------
    wild : bool
        Whether it has one of the characters ``*?[``.
    """
    return any(character in str(path) for character in WILDCARDS)


def existing(path: str | Path) -> Path:
    """Return a path, or raise an error if there is no such file or folder.

    Parameters
    ----------
    path : str or Path
        File or folder, without wildcards.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    InputFileError
        If it does not exist.
    """
    if not os.path.exists(path):
        raise InputFileError(f"File not found: {path}.")
    return Path(path)


def _of_folder(folder, extensions, kind):
    """List the wanted files in a folder, and log what is skipped."""
    return _wanted(folder, _content(folder), extensions, kind)


def _content(folder):
    """List the paths in a folder, sorted."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError as err:
        raise InputFileError(f"Cannot read {folder}: {err.strerror}.") from err


def _of_wildcard(pattern, extensions, kind):
    """List the wanted files that a wildcard finds, also in the folders it finds."""
    # glob finds a file several times where several ** stand.
    matches = [Path(match) for match in sorted(set(glob(pattern, recursive=True)))]
    if not matches:
        raise InputFileError(
            f"File not found: {pattern} (* ? and [ ] are wildcards, and nothing has "
            "such a name)."
        )
    files = [path for path in matches if not path.is_dir()]
    folders = [path for path in matches if path.is_dir()]
    extension = Path(pattern).suffix
    if len(extension) > 1 and not has_wildcard(extension):
        found = files
    elif "**" in pattern:  # Most files are found by their folder, too: say it once.
        inside = {path for folder in folders for path in _content(folder)}
        return _wanted(pattern, sorted({*files, *inside}), extensions, kind, deep=True)
    else:
        found = _wanted(pattern, files, extensions, kind, needed=not folders)
    for folder in folders:
        found += _of_folder(folder, extensions, kind)
    return found


def _wanted(where, paths, extensions, kind, *, deep=False, needed=True):
    """Choose the wanted files among paths, and log which others are skipped."""
    where = Path(where)
    found, foreign, folders, unreadable = [], [], [], []
    for path in paths:
        if path.name.startswith("."):
            continue
        reason = _why_skipped(path, extensions)
        if reason is None:
            found.append(path)
        elif path.is_dir() and not looks_like_tractogram(path):
            folders.append(path)
        elif kind == "tractogram" and looks_like_tractogram(path):
            unreadable.append((path, reason))
        else:
            foreign.append(path)
    if not found and needed:
        raise _nothing_in(where, foreign, folders, unreadable, extensions, kind)
    for reason in dict.fromkeys(reason for _, reason in unreadable):
        names = _names(path for path, why in unreadable if why == reason)
        text = "%s: not read: %s. %s"
        log_once(logger, logging.WARNING, text, where, names, reason)
    if foreign:
        text = "%s: passed over, as no %s: %s."
        log_once(logger, logging.INFO, text, where, kind, _names(foreign))
    full = [] if deep else [path for path in folders if _holds(path, extensions)]
    if full:
        log_once(
            logger,
            logging.WARNING,
            "%s: its folders hold %ss, too, which are not read: %s. '%s' (in quotes) "
            "reads folders in folders.",
            where,
            kind,
            _names(full),
            Path(where, "**"),
        )
    return found


def _why_skipped(path, extensions):
    """Return why a path in a folder is not read; None if it is."""
    if path.is_dir():
        return "A folder is not a tractogram file."
    if file_format(path) not in extensions:
        return why_unreadable(path) or "It has another format."
    if not path.is_file():
        return "It is a link to nothing, or not a regular file."
    return why_unreadable(path) if extensions == READABLE else None


def _holds(folder, extensions):
    """Return whether a folder has a wanted file in it."""
    try:
        return any(_why_skipped(path, extensions) is None for path in folder.iterdir())
    except OSError:
        return False


def _nothing_in(where, foreign, folders, unreadable, extensions, kind):
    """Create the error for a folder or wildcard without a wanted file."""
    if not (foreign or folders or unreadable):
        return InputFileError(
            f"{where} holds no {kind}: it is an empty folder, or all files in it are "
            "hidden. Give files, or a folder with files."
        )
    holds = [f"{_names([path])} ({reason.rstrip('.')})" for path, reason in unreadable]
    holds = [_listed(holds)] if holds else []
    holds += [_names(foreign)] if foreign else []
    holds += [f"the folders {_names(folders)}"] if folders else []
    text = (
        f"{where} holds no {kind} that can be read ({' '.join(extensions)}), only "
        f"{'; '.join(holds)}."
    )
    if folders:
        text += f" '{Path(where, '**')}' (in quotes) reads folders in folders."
    return InputFileError(text)


def _names(paths: Iterable[Path]) -> str:
    """Write the names of some files."""
    return _listed([path.name for path in paths])


def _listed(items: list[Any]) -> str:
    """Join texts by commas; the first few of many."""
    more = f", and {len(items) - SHOWN} others" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
