"""Uniform samples in one pass."""

import numpy as np
import pytest

from dipy_tractoencoder.utils.reservoir import UniformSample, sample_rows


def fed(sample, sizes):
    """Give a sample the rows 0, 1, ... in chunks, twice over as parallel arrays."""
    start = 0
    for size in sizes:
        rows = np.arange(start, start + size)
        sample.add(rows, np.stack([rows, -rows], axis=1))
        start += size
    return sample


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [3, 0, 17, 20], [39, 1]])
@pytest.mark.parametrize("n", [1, 7, 39, 40, 1000, None])
def test_chunks_do_not_matter(n, sizes):
    sample = fed(UniformSample(n, 5), sizes)
    rows, both = sample.columns()
    # What the smallest of 40 random keys choose.
    keys = np.random.default_rng(5).random(40)
    np.testing.assert_array_equal(rows, np.sort(np.argsort(keys)[:n]))
    np.testing.assert_array_equal(both, np.stack([rows, -rows], axis=1))
    assert len(sample) == len(rows) == min(n or 40, 40)
    assert sample.n_seen == 40


def test_every_row_is_as_likely():
    counts = np.zeros(40)
    for seed in range(300):
        counts[fed(UniformSample(10, seed), [10] * 4).columns()[0]] += 1
    # 75 expected each; five standard deviations are 37.
    assert np.abs(counts - 75).max() < 37


def test_a_sample_that_shrinks_is_that_of_the_smaller_size():
    shrunk = fed(UniformSample(30, 2), [25, 25])
    shrunk.shrink(8)
    for sample in (shrunk, fed(UniformSample(8, 2), [50])):
        sample.add(np.arange(50, 90), np.zeros((40, 2)))
    first, second = shrunk.columns()[0], sample.columns()[0]
    np.testing.assert_array_equal(first, second)
    assert len(first) == 8


def test_memory_is_that_of_the_sample():
    sample = fed(UniformSample(10, 0), [1] * 500)
    assert sum(map(len, sample._keys)) <= 20
    assert len(sample) == 10


def test_one_generator_for_several_samples():
    rng = np.random.default_rng(1)
    first, second = UniformSample(5, rng), UniformSample(5, rng)
    for sample in (first, second):
        sample.add(np.arange(100))
    assert set(first.columns()[0]) != set(second.columns()[0])


def test_the_sample_is_a_copy():
    given = np.zeros(3)
    sample = UniformSample()
    assert sample.columns() == () and len(sample) == 0
    sample.add(given)
    sample.columns()[0][:] = 1
    assert (given == 0).all()


@pytest.mark.parametrize("size", [0, 4, 9, 20, None])
def test_sample_rows(size):
    rows = sample_rows(9, 3, size)
    assert len(rows) == len(set(rows.tolist())) == min(9, 9 if size is None else size)
    np.testing.assert_array_equal(rows, sample_rows(9, 3, size))
