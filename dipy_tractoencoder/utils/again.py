"""An iterable that starts anew each time it is iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Again:
    """Iterable made of a function; a generator can be iterated over only once.

    Parameters
    ----------
    start : callable
        Returns a new iterator at each call.
    """

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        """Start a new iteration."""
        return self.start()
