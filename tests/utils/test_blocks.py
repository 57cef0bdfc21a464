import numpy as np
import pytest

from dipy_tractoencoder.utils.again import Again
from dipy_tractoencoder.utils.blocks import FixedBlocks


@pytest.mark.parametrize("chunks", [[10], [1] * 10, [4, 6], [3, 0, 4, 3], [9, 1], []])
def test_blocks_do_not_depend_on_chunks(chunks):
    rows = np.arange(20).reshape(10, 2)[: sum(chunks)]
    found = []
    blocks = FixedBlocks(4, found.append)
    for stop in np.cumsum(chunks):
        taken = sum(map(len, found)) + blocks._waiting
        blocks.add(rows[taken:stop])
    blocks.finish()
    blocks.finish()
    assert [len(block) for block in found] == ([4, 4, 2] if chunks else [])
    if found:
        np.testing.assert_array_equal(np.concatenate(found), rows)


def test_rows_that_wait_can_be_written_over():
    found = []
    blocks = FixedBlocks(3, found.append)
    rows = np.arange(4)
    blocks.add(rows)
    rows[:] = -1
    blocks.finish()
    assert found[1].tolist() == [3]


def test_each_iteration_starts_anew():
    again = Again(lambda: iter([1, 2]))
    assert list(again) == list(again) == [1, 2]
