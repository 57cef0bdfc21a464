"""Prepare items ahead of time in a thread, and release memory-mapped pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
import mmap
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")


def forget_pages(array: np.ndarray) -> None:
    """Release the pages of a memory-mapped array that have been read.

    Otherwise they count as memory of the process until the system needs it.

    Parameters
    ----------
    array : ndarray
        Memory-mapped array; other arrays are left alone.
    """
    pages: Any = getattr(array, "_mmap", None)
    if hasattr(pages, "madvise"):  # Not on Windows.
        pages.madvise(mmap.MADV_DONTNEED)


def prefetch(items: Iterable[Item], *, depth: int = 1) -> Iterator[Item]:
    """Iterate in a background thread, so that the next items are ready in time.

    Parameters
    ----------
    items : iterable
        Items to prepare; errors of its iterator are raised here.
    depth : int, optional
        Largest number of prepared items that wait to be used.

    Yields
    ------
    item : object
        The items, in order.
    """
    queue: Queue = Queue(depth)
    stopped, end = Event(), object()

    def put(item):
        while not stopped.is_set():
            with suppress(Full):
                queue.put(item, timeout=0.1)
                return

    def work():
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((end, None))
        except BaseException as err:  # Raised again below, where it can be handled.
            put((end, err))

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stopped.set()
        with suppress(Empty):
            while True:
                queue.get_nowait()
        thread.join()
