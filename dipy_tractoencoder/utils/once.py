"""Log a message once, however often a file is opened."""

from __future__ import annotations

import logging
from pathlib import Path

REMEMBERED = 10_000  # messages

_logged: dict[tuple, None] = {}  # The oldest is first.


def log_once(logger: logging.Logger, level: int, text: str, *values: object) -> None:
    """Log a message unless the same one has been logged in this process.

    Commands open an input several times: to check it, to count its streamlines, to read
    it. What they say about it is said once.

    Parameters
    ----------
    logger : logging.Logger
        Logger of the module.
    level : int
        Such as ``logging.WARNING``. A message that the logger does not show counts as
        not logged.
    text : str
        Message, with placeholders as for `logging.Logger.log`.
    *values : object
        Values of the placeholders. A Path counts as the file that it leads to.
    """
    if not logger.isEnabledFor(level):
        return
    files = (v.absolute() if isinstance(v, Path) else v for v in values)
    key = (logger.name, level, text, *map(str, files))
    if key in _logged:
        return
    _logged[key] = None
    if len(_logged) > REMEMBERED:
        del _logged[next(iter(_logged))]
    logger.log(level, text, *values)
