"""Log a message once, however often a file is opened."""

from __future__ import annotations

from collections import OrderedDict
import logging
import os
from pathlib import Path

REMEMBERED = 10_000  # messages

_logged: OrderedDict[tuple, None] = OrderedDict()


def log_once(
    logger: logging.Logger, level: int, about: str | Path, text: str, *values: object
) -> None:
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
    about : str or Path
        File or folder that the message is about.
    text : str
        Message, with placeholders as for `logging.Logger.log`.
    *values : object
        Values of the placeholders.
    """
    if not logger.isEnabledFor(level):
        return
    key = (logger.name, level, os.path.abspath(about), text, *map(str, values))
    if key in _logged:
        return
    _logged[key] = None
    if len(_logged) > REMEMBERED:
        _logged.popitem(last=False)
    logger.log(level, text, *values)
