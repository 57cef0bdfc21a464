"""Spread work over the cores that the process may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
import os
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def n_cores() -> int:
    """Return the number of threads to use for computing.

    Returns
    -------
    n_cores : int
        Number of cores that the process may run on, at least 1; not more than the
        environment variable ``OMP_NUM_THREADS``, if that is a positive integer.
    """
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # Not on macOS and Windows.
        available = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        available = min(available, int(wanted))
    return max(1, available)


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], n_threads: int | None = None
) -> list[Result]:
    """Call a function for each item, in several threads.

    Parameters
    ----------
    work : callable
        Function that mostly runs without the lock of the interpreter.
    items : iterable
        Its arguments, one per call.
    n_threads : int, optional
        Number of threads; by default `n_cores`.

    Returns
    -------
    results : list
        What the calls returned, in the order of the items.

    Raises
    ------
    Exception
        The first error of a call.
    """
    items = list(items)
    n_threads = min(n_threads or n_cores(), len(items))
    if n_threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, items))
