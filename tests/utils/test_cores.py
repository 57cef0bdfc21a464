import os
import threading

import pytest

from dipy_tractoencoder.utils.cores import in_threads, n_cores


@pytest.mark.parametrize("wanted", ["1", "1,2", " 1 "])
def test_number_of_threads_can_be_limited(monkeypatch, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert n_cores() == 1


@pytest.mark.parametrize("wanted", ["", "0", "-1", "all", "1000000"])
def test_number_of_threads_is_that_of_the_cores(monkeypatch, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert 1 <= n_cores() <= (os.cpu_count() or 1)


def test_affinity_counts(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 4}, raising=False)
    assert n_cores() == 3


@pytest.mark.parametrize("n_threads", [None, 1, 3])
def test_results_are_in_order(n_threads):
    assert in_threads(lambda n: n * n, range(20), n_threads) == [
        n * n for n in range(20)
    ]
    assert in_threads(lambda n: n, [], n_threads) == []


def test_work_is_spread_over_threads():
    both = threading.Barrier(2, timeout=60)
    in_threads(lambda n: both.wait(), range(2), 2)


def test_errors_are_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 / n, [2, 1, 0], 2)
