"""The space of a tractogram: plain values that come back."""

import numpy as np

from dipy_tractoencoder.io.space import tractogram_like, tractogram_space


def test_space_is_plain_and_comes_back(tractogram, lines):
    space = tractogram_space(tractogram)
    assert set(space) == {"affine", "dimensions", "voxel_sizes", "voxel_order"}
    array = np.zeros((2, 5, 3), dtype=np.float32)
    again = tractogram_space(tractogram_like(array, space))
    for name, value in space.items():
        np.testing.assert_array_equal(again[name], value)
    assert tractogram_space(lines) == {}
