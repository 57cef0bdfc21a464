"""Arrays packed behind a header."""

import numpy as np
import pytest

from dipy_tractoencoder.utils.packed_arrays import (
    pack_arrays,
    unpack_arrays,
    unpack_header,
)

MAGIC = b"DTETEST_"
ARRAYS = [np.arange(6, dtype="<f4").reshape(2, 3), np.empty(0, "<i2")]
LAYOUT = [("<f4", (2, 3)), ("<i2", (0,))]


@pytest.fixture
def content():
    return pack_arrays(MAGIC, {"n": 2}, ARRAYS)


def test_all_comes_back(content):
    header, body = unpack_header(content, MAGIC, largest=100, what="test")
    assert header == {"n": 2}
    for found, array in zip(unpack_arrays(body, LAYOUT, what="test"), ARRAYS):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype and not found.flags.writeable


@pytest.mark.parametrize("size", [0, 7, 11, 14])
def test_a_cut_header_is_refused(content, size):
    with pytest.raises(ValueError, match="its test is damaged"):
        unpack_header(content[:size], MAGIC, largest=100, what="test")


def test_another_format_and_a_large_header_are_refused(content):
    for magic, largest in ((b"DTEOTHER", 100), (MAGIC, 3)):
        with pytest.raises(ValueError, match="damaged"):
            unpack_header(content, magic, largest=largest, what="test")


def test_other_sizes_than_promised_are_refused(content):
    _, body = unpack_header(content, MAGIC, largest=100, what="test")
    for changed, word in ((body[:-1], "incomplete"), (body + b"\0", "damaged")):
        with pytest.raises(ValueError, match=word):
            unpack_arrays(changed, LAYOUT, what="test")
    with pytest.raises(ValueError, match="incomplete"):
        unpack_arrays(body, [("<f4", (2**60, 2**60))], what="test")
