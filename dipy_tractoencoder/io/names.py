"""How names of data, groups and bundles are written into each format.

What stands in a file came from somebody: a name may hold dots, slashes or control
characters. Here it is decided, for every format, whether it is kept, escaped so that it
can be read back, or refused.
"""

import logging
import re

from dipy_tractoencoder.errors import OutputFileError

logger = logging.getLogger(__name__)

# Of a TRK's header: bytes of a name, kinds of data per streamline and per point.
TRK_BYTES = 20
TRK_NAMES = 10
# File systems hold 255 bytes in all; a number of columns, a type or a file's own name
# come behind.
MOST_BYTES = 200
# Not in a TRX: dots separate name and type there; slashes and colons lead elsewhere
# when it is unpacked.
_IN_TRX = re.compile(r"[\x00-\x1f\x7f/\\.:\ud800-\udfff]|%(?=[0-9A-F]{2})")
# Not in a file's name, on any system; a dot in front hides it.
_IN_FILES = re.compile(r'^\.|[\x00-\x1f\x7f/\\:*?"<>|]|%(?=[0-9A-F]{2})')
_ESCAPED = re.compile(r"((?:%[0-9A-F]{2})+)")
_EMPTY = "%"


def stored_names(names, kind, path, what="data", *, widths=None):
    """Decide how names are written into a file.

    Parameters
    ----------
    names : iterable of str
        Different names.
    kind : {"trx", "file", "trk"}
        Names within a TRX, beginnings of names of files, or names in a TRK's header.
    path : str or Path
        The file, or folder, for messages.
    what : str, optional
        What is named, for messages.
    widths : dict of str to int, optional
        Numbers that go with a name; a TRK writes them behind it if there are several.

    Returns
    -------
    stored : dict of str to str
        Name to what is written. In a TRX and in names of files, characters that cannot
        be there are replaced by a percent sign and two hexadecimal digits for each of
        their bytes, which is warned of; `read_names` brings them back. No two are
        alike.

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
                f"Cannot write {path}: TRK holds {TRK_NAMES} {what}, with names of "
                f"{TRK_BYTES} Latin letters at most (18 where each has several "
                f"numbers), and there are {len(names)}: "
                f"{', '.join(map(short, wrong or names))}. Write a .trx."
            )
        return {name: name for name in names}
    pattern = _IN_TRX if kind == "trx" else _IN_FILES
    stored = {name: _escape(name, pattern) for name in names}
    changed = {name: new for name, new in stored.items() if new != name}
    for name, new in stored.items():
        if len(new.encode("utf-8", "surrogateescape")) > MOST_BYTES:
            raise OutputFileError(
                f"Cannot write {path}: the name {short(name)} of its {what} takes more "
                f"than {MOST_BYTES} bytes. Rename it."
            )
    if changed:
        logger.warning(
            "%s: some %s cannot be called as they are; written are %s.",
            path,
            what,
            ", ".join(f"{short(name)} as {new}" for name, new in changed.items()),
        )
    return stored


def read_names(stored):
    """Bring names back that `stored_names` wrote into a TRX.

    Parameters
    ----------
    stored : iterable of str
        Different names as they stand in the file.

    Returns
    -------
    names : dict of str to str
        What is written to the name; what another program called like an escaped name
        that is there too stays as it is.
    """
    meant = {written: _mean(written) for written in stored}
    # Where a name that was never escaped is what another one means, both stay; and so
    # on, as then this one is taken too.
    kept = {written for written, name in meant.items() if name == written}
    while taken := {w for w, name in meant.items() if name in kept and w not in kept}:
        kept |= taken
    return {w: w if w in kept else name for w, name in meant.items()}


def short(name):
    """Show a name in a message, on one line and not too long.

    Parameters
    ----------
    name : str
        Any.

    Returns
    -------
    text : str
        As it is where that is harmless, otherwise quoted and with escapes.
    """
    text = name if name.isprintable() and name else ascii(name)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _escape(name, pattern):
    """Replace what a pattern finds by its bytes in hexadecimal digits."""
    if not name:
        return _EMPTY
    if name == _EMPTY:
        return "%25"

    def digits(found):
        content = found[0].encode("utf-8", "surrogatepass")
        return "".join(f"%{byte:02X}" for byte in content)

    return pattern.sub(digits, name)


def _mean(written):
    """Give the name that is written so, by our rules or by none."""
    name = "" if written == _EMPTY else _ESCAPED.sub(_unescape, written)
    return name if _escape(name, _IN_TRX) == written else written


def _unescape(found):
    content = bytes.fromhex(found[0].replace("%", ""))
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return found[0]


def _fits_trk(name, width):
    """Tell whether nibabel can write a name, and reads it back."""
    room = TRK_BYTES if width <= 1 else TRK_BYTES - 1 - len(str(width))
    try:
        content = name.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return 0 < len(content) <= room and b"\0" not in content
