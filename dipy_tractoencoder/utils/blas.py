"""Share matrix products among threads: one batch each, instead of one product.

BLAS would cut each product for all cores, and wait for the slowest: on a machine that
does something else, too, reading files for example, that takes many times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
import threading
from typing import Any, TypeVar

from dipy_tractoencoder.utils.cores import in_threads

MOST_THREADS = 16  # More have to wait for memory.

Task = TypeVar("Task")

_lock = threading.Lock()
_users: list[int] = []  # Number of threads that BLAS had, per user in this process.
_limits: list[Any] = []


@cache
def _controller():
    """Find the BLAS that NumPy has loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextmanager
def single_threaded_blas() -> Iterator[int]:
    """Let BLAS compute in the thread that calls it.

    The number of threads is a setting of the process: the first to enter sets it, and
    the last to leave restores it.

    Yields
    ------
    n_threads : int
        Number of threads that BLAS would use otherwise, at most 16.

    Examples
    --------
    >>> from dipy_tractoencoder.utils.blas import single_threaded_blas
    >>> with single_threaded_blas() as n_threads:
    ...     n_threads >= 1
    True
    """
    with _lock:
        if not _users:
            found = _controller()
            used = [entry["num_threads"] for entry in found.info()] or [1]
            _limits.append(found.limit(limits=1))
            _users.append(min(max(used), MOST_THREADS))
        else:
            _users.append(_users[0])
        n_threads = _users[0]
    try:
        yield n_threads
    finally:
        with _lock:
            _users.pop()
            if not _users:
                _limits.pop().restore_original_limits()


def run_in_threads(function: Callable[[Task], object], tasks: Iterable[Task]) -> None:
    """Call a function for each task, on as many cores as BLAS would use.

    Parameters
    ----------
    function : callable
        Function of one task that multiplies matrices, and may run in another thread.
    tasks : iterable
        Arguments of the calls.
    """
    with single_threaded_blas() as n_threads:
        in_threads(function, tasks, n_threads)
