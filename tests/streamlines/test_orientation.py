"""The direction of streamlines."""

from hypothesis import given, strategies as st
from nibabel.streamlines import ArraySequence
import numpy as np
from odd_streamlines import GOOD, axes, lines_of_points, properties
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.array import (
    as_sequence,
    to_array,
)
from dipy_tractoencoder.streamlines.orientation import (
    flat_points,
    reverse,
    runs_backwards,
)


@properties
@given(lines_of_points(), axes, st.integers(2, 40))
def test_canonical_is_the_same_for_a_streamline_and_its_reverse(line, axis, n_points):
    there = to_array([line], n_points, axis=axis)
    back = to_array([line[::-1]], n_points, axis=axis)
    np.testing.assert_array_equal(there.points, back.points)
    assert there.rejects == back.rejects
    if len(there) and not np.array_equal(line, line[::-1]):
        assert there.is_reversed[0] != back.is_reversed[0]


@properties
@given(
    st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
        lambda dtype: st.tuples(st.just(dtype), lines_of_points(dtype=np.float64))
    ),
    axes,
)
def test_canonical_reversal_holds_in_every_precision(typed_line, axis):
    dtype, line = typed_line
    # Noise below the precision of float32 must not matter.
    line = (line + 1e-9 * np.arange(line.size).reshape(line.shape)).astype(dtype)
    array = to_array(ArraySequence([line, line[::-1]]), 7, axis=axis)
    if len(array):
        np.testing.assert_array_equal(array.points[0], array.points[1])
        assert array.points.dtype == np.float32


@properties
@given(lines_of_points(), axes)
def test_canonical_follows_the_axis(line, axis):
    array = to_array([line], 6, axis=axis)
    if len(array):
        step = array.points[0, -1].astype(np.float64) - array.points[0, 0]
        assert (step * axis).sum() >= 0


@properties
@given(lines_of_points(), st.integers(2, 40))
def test_other_orientations_keep_the_direction(line, n_points):
    for orientation in ("as_is", "augment"):
        array = to_array([line], n_points, orientation=orientation)
        assert not array.is_reversed.any()
        if len(array):
            np.testing.assert_array_equal(array.points[0, 0], line[0])
            np.testing.assert_array_equal(array.points[0, -1], line[-1])


def test_unknown_orientation():
    with pytest.raises(InvalidArgumentError, match="orientation"):
        to_array([GOOD], 8, orientation="backwards")


def test_runs_backwards_and_reverse(lines):
    sequence = as_sequence(lines)
    axis = (0.0, 0.6, 0.8)
    expected = [np.dot(one[-1] - one[0], axis) < 0 for one in lines]
    backwards = runs_backwards(sequence, axis)
    assert backwards.tolist() == expected
    assert 0 < backwards.sum() < len(lines)
    turned = reverse(sequence, backwards)
    for before, after, is_turned in zip(lines, turned, backwards):
        np.testing.assert_array_equal(after, before[::-1] if is_turned else before)
    assert not runs_backwards(turned, axis).any()
    for before, kept in zip(lines, sequence):
        np.testing.assert_array_equal(before, kept)


@properties
@given(st.lists(lines_of_points(), min_size=1, max_size=4), axes, st.integers(2, 9))
def test_tractogram_order_restores_the_direction(lines, axis, n_points):
    array = to_array(lines, n_points, axis=axis)
    canonical = array.points.copy()
    restored = array.tractogram_order()
    for row, number in enumerate(array.index):
        np.testing.assert_array_equal(restored[row, 0], lines[number][0])
        np.testing.assert_array_equal(restored[row, -1], lines[number][-1])
    np.testing.assert_array_equal(array.points, canonical)
    doubled = array.tractogram_order(2 * array.points)
    np.testing.assert_array_equal(doubled, 2 * restored)


@pytest.mark.parametrize("rows", [slice(None), slice(2, 5), [4, 1], [0, 1, 3], []])
def test_points_are_in_the_order_of_the_streamlines(rows):
    lines = [np.full((k, 3), k, np.float32) for k in (3, 0, 2, 5, 1)]
    whole = ArraySequence()
    whole._data = np.concatenate([[[9, 9, 9]], *lines, [[8, 8, 8]]]).astype("f4")
    whole._lengths = np.array([3, 0, 2, 5, 1])
    whole._offsets = 1 + np.array([0, 3, 3, 5, 10])
    points, counts = flat_points(whole[rows])
    expected = np.arange(5)[rows]
    assert counts.tolist() == [len(lines[k]) for k in expected]
    np.testing.assert_array_equal(
        points, np.concatenate([np.empty((0, 3)), *(lines[k] for k in expected)])
    )
