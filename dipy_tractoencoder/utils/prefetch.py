"""Read ahead in a thread, and release memory-mapped pages."""

from contextlib import suppress
import mmap
from queue import Empty, Full, Queue
from threading import Event, Thread


def forget_pages(array):
    """Give back the memory of a mapped file's pages that have been read.

    They would count as the process's own until the system needs memory.

    Parameters
    ----------
    array : ndarray
        Mapped, or not, which does nothing.
    """
    pages = getattr(array, "_mmap", None)
    if hasattr(pages, "madvise"):  # Not on Windows.
        pages.madvise(mmap.MADV_DONTNEED)


def prefetch(items, *, depth=1):
    """Make items in a thread of their own while the last one is worked on.

    Parameters
    ----------
    items : iterable
        What to go through; its errors are raised here.
    depth : int, optional
        Items that wait at most.

    Yields
    ------
    item : object
        In order.
    """
    queue, stopped, end = Queue(depth), Event(), object()

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
