"""Encode names of data, groups and bundles for each file format.

Names in a file are arbitrary: they may contain dots, slashes or control characters.
For each format, a name is kept, escaped so that it can be read back, or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import logging
import os
from pathlib import Path
import re

from dipy_tractoencoder.errors import OutputFileError

logger = logging.getLogger(__name__)

# Limits of a TRK's header: bytes per name, and names per streamline and per point.
TRK_BYTES = 20
TRK_NAMES = 10
# File systems allow 255 bytes, including a number of columns, a type or the rest of a
# file name.
MOST_BYTES = 200
# Forbidden in a TRX: dots separate name and type; slashes and colons would lead to
# another path when it is unpacked.
_IN_TRX = re.compile(r"[\x00-\x1f\x7f/\\.:\ud800-\udfff]|%(?=[0-9A-F]{2})")
# Forbidden in file names on some system; a leading dot hides a file.
_IN_FILES = re.compile(r'^\.|[\x00-\x1f\x7f/\\:*?"<>|]|%(?=[0-9A-F]{2})')
_NOT_ASCII = re.compile(r"[^\x00-\x7f\ud800-\udfff]")
_ESCAPED = re.compile(r"((?:%[0-9A-F]{2})+)")
_EMPTY = "%"


def stored_names(
    names: Iterable[str],
    kind: str,
    path: str | Path,
    what: str = "data",
    *,
    widths: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Convert names to the form in which they are written to a file.

    Parameters
    ----------
    names : iterable of str
        Unique names.
    kind : {"trx", "file", "trk"}
        Names in a TRX, beginnings of file names, or names in the header of a TRK.
    path : str or Path
        File or folder to write, for messages.
    what : str, optional
        Description of the named objects, for messages.
    widths : dict of str to int, optional
        Number of columns per name; a TRK stores it after the name if it is not 1.

    Returns
    -------
    stored : dict of str to str
        Written form of each name; the written forms are unique. In a TRX and in file
        names, each byte of a forbidden character is replaced by a percent sign and
        two hexadecimal digits, with a warning; `read_names` reverses this.

    Raises
    ------
    OutputFileError
        If a name is too long, or a TRK cannot hold it.
    """
    if kind == "trk":
        names = list(names)
        wrong = [n for n in names if not _fits_trk(n, (widths or {}).get(n, 1))]
        if wrong or len(names) > TRK_NAMES:
            raise OutputFileError(
                f"Cannot write {path}: TRK holds {TRK_NAMES} {what}, with names of at "
                f"most {TRK_BYTES} Latin letters (18 for data of several columns), but "
                f"there are {len(names)}: {', '.join(map(short, wrong or names))}. "
                "Write a .trx."
            )
        return {name: name for name in names}
    pattern = _IN_TRX if kind == "trx" else _IN_FILES
    stored = {name: _escape(name, pattern) for name in names}
    if kind == "file":
        stored = {name: _for_file_system(new) for name, new in stored.items()}
    changed = {name: new for name, new in stored.items() if new != name}
    for name, new in stored.items():
        if len(new.encode("utf-8", "surrogateescape")) > MOST_BYTES:
            raise OutputFileError(
                f"Cannot write {path}: the name {short(name)} of its {what} is longer "
                f"than {MOST_BYTES} bytes. Rename it."
            )
    if changed:
        logger.warning(
            "%s: some names of %s are not allowed and written differently: %s.",
            path,
            what,
            ", ".join(f"{short(name)} as {new}" for name, new in changed.items()),
        )
    return stored


def read_names(stored: Iterable[str]) -> dict[str, str]:
    """Decode names that `stored_names` wrote to a TRX.

    Parameters
    ----------
    stored : iterable of str
        Unique names as stored in the file.

    Returns
    -------
    names : dict of str to str
        Name by its written form. A written form stays as it is if its decoded name is
        also in the file, which another program may have written.
    """
    meant = {written: _mean(written) for written in stored}
    # If the decoded name of one is the written form of another, both stay as they are;
    # repeated, because the first one is then taken as well.
    kept = {written for written, name in meant.items() if name == written}
    while taken := {w for w, name in meant.items() if name in kept and w not in kept}:
        kept |= taken
    return {w: w if w in kept else name for w, name in meant.items()}


def short(name: str) -> str:
    """Format a name for a message, on one line of limited length.

    Parameters
    ----------
    name : str
        Any name.

    Returns
    -------
    text : str
        The name if it is printable, otherwise quoted and with escapes.
    """
    text = name if name.isprintable() and name else ascii(name)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _escape(name, pattern):
    """Replace each match of a pattern by its bytes in hexadecimal digits."""
    if not name:
        return _EMPTY
    if name == _EMPTY:
        return "%25"

    def digits(found):
        content = found[0].encode("utf-8", "surrogatepass")
        return "".join(f"%{byte:02X}" for byte in content)

    return pattern.sub(digits, name)


def _for_file_system(name):
    """Escape what paths cannot hold in this locale, such as C without UTF-8."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return _escape(name, _NOT_ASCII)
    return name


def _mean(written):
    """Return the name for a written form, which may not be escaped."""
    name = "" if written == _EMPTY else _ESCAPED.sub(_unescape, written)
    return name if _escape(name, _IN_TRX) == written else written


def _unescape(found):
    content = bytes.fromhex(found[0].replace("%", ""))
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return found[0]


def _fits_trk(name, width):
    """Return whether nibabel can write a name and read it back."""
    room = TRK_BYTES if width <= 1 else TRK_BYTES - 1 - len(str(width))
    try:
        content = name.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return 0 < len(content) <= room and b"\0" not in content
