import warnings

from dipy.io.stateful_tractogram import Origin, Space
from hypothesis import given, strategies as st
from made_data import make_tractogram
from nibabel.streamlines import ArraySequence
import numpy as np
from odd_streamlines import GOOD, axes, lines_of_points, properties
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.array import (
    REJECT_REASONS,
    StreamlineArray,
    as_sequence,
    count_rejects,
    merge_rejects,
    reject_codes,
    to_array,
)


def resample_reference(line, n_points):
    """Points at equal steps of arc length, in float64, by ``numpy.interp``."""
    line = np.asarray(line, dtype=np.float64)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], n_points)
    return np.stack([np.interp(wanted, along, line[:, k]) for k in range(3)], axis=1)


# Rejects


def line(*points, dtype=np.float32):
    return np.array(points, dtype=dtype).reshape(-1, 3)


REJECTED = {
    "nan": (line((0, 0, 0), (np.nan, 0, 0), (9, 9, 9)), "non_finite"),
    "inf": (line((0, 0, 0), (np.inf, 0, 0)), "non_finite"),
    "-inf": (line((0, 0, 0), (9, 9, 9), (0, -np.inf, 0)), "non_finite"),
    "one nan point": (line((np.nan, 0, 0)), "non_finite"),
    "1e20": (line((0, 0, 0), (0, 1e20, 0)), "non_finite"),
    "1e300": (line((0, 0, 0), (0, 0, 1e300), dtype=np.float64), "non_finite"),
    "all 1e38": (line((1e38,) * 3, (-1e38,) * 3), "non_finite"),
    "empty": (line(), "too_few_points"),
    "one point": (line((1, 2, 3)), "too_few_points"),
    "zero length": (line((1, 2, 3), (1, 2, 3)), "too_few_points"),
    "repeated point": (line(*[(50, -3, 7)] * 9), "too_few_points"),
    "under a micrometre": (line((0, 0, 0), (1e-4, 0, 0)), "too_few_points"),
    "short": (line((0, 0, 0), (4.9, 0, 0)), "too_short"),
    "long": (line((0, 0, 0), (50.5, 0, 0), (0, 0, 0)), "too_long"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("as_arraysequence", [False, True])
@pytest.mark.parametrize("name", REJECTED)
def test_reject_reason(name, as_arraysequence):
    bad, reason = REJECTED[name]
    streamlines = [GOOD, bad, GOOD[::-1]]
    if as_arraysequence:
        dtype = bad.dtype
        streamlines = ArraySequence([one.astype(dtype) for one in streamlines])
        if name == "empty":  # ArraySequence drops empty streamlines by itself.
            assert len(streamlines) == 2
            return
    array = to_array(streamlines, 8, min_length=5, max_length=100)
    assert array.rejects == {reason: 1}
    assert array.index.tolist() == [0, 2]
    assert array.n_streamlines == 3
    assert np.isfinite(array.points).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_reject_non_finite_half_precision(bad):
    lines = [GOOD.astype(np.float16), line((0, 0, 0), (bad, 0, 0), dtype=np.float16)]
    array = to_array(ArraySequence(lines), 8)
    assert array.rejects == {"non_finite": 1}
    assert array.index.tolist() == [0]
    assert np.isfinite(array.points).all()


def test_half_precision_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(to_array(ArraySequence([GOOD.astype(np.float16)]), 8)) == 1


def test_length_limits_are_inclusive():
    five, six = line((0, 0, 0), (5, 0, 0)), line((0, 0, 0), (0, 6, 0))
    array = to_array([five, six], 4, min_length=5, max_length=6)
    assert array.index.tolist() == [0, 1]
    array = to_array([five, six], 4, min_length=5.5)
    assert array.index.tolist() == [1] and array.rejects == {"too_short": 1}
    array = to_array([five, six], 4, max_length=5.5)
    assert array.index.tolist() == [0] and array.rejects == {"too_long": 1}


def test_repeated_points_within_a_streamline_change_nothing():
    repeated = np.repeat(GOOD, [3, 1, 4], axis=0)
    np.testing.assert_allclose(
        to_array([repeated], 9).points, to_array([GOOD], 9).points, atol=1e-6
    )


def test_large_finite_coordinates_are_kept_finite():
    array = to_array([line((0, 0, 0), (1e14, -1e14, 1e14))], 5)
    assert array.rejects == {}
    np.testing.assert_allclose(array.points[0, 2], [5e13, -5e13, 5e13], rtol=1e-5)


@pytest.mark.parametrize(
    "nothing", [[], ArraySequence(), make_tractogram([])], ids=["list", "seq", "sft"]
)
def test_empty_tractogram(nothing):
    array = to_array(nothing, 16)
    assert array.points.shape == (0, 16, 3) and array.points.dtype == np.float32
    assert array.index.shape == array.is_reversed.shape == (0,)
    assert array.n_streamlines == 0 and array.rejects == {}
    assert array.tractogram_order().shape == (0, 16, 3)
    assert reject_codes(as_sequence(nothing)).shape == (0,)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_everything_rejected():
    streamlines = [bad for bad, _ in REJECTED.values()]
    array = to_array(streamlines, 8, min_length=5, max_length=100)
    assert array.n_streamlines == len(REJECTED)
    assert sum(array.rejects.values()) == len(REJECTED)
    assert array.points.shape == (0, 8, 3) and array.index.shape == (0,)


@properties
@given(
    st.lists(st.sampled_from(["good", *sorted(REJECTED)]), max_size=12),
    st.integers(1, 5),
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_index_never_shifts(names, chunk_size):
    streamlines, expected = [], {}
    for number, name in enumerate(names):
        # The height tells one good streamline from another.
        good = GOOD + np.float32([0, 0, number])
        streamlines.append(good if name == "good" else REJECTED[name][0])
        if name != "good":
            reason = REJECTED[name][1]
            expected[reason] = expected.get(reason, 0) + 1
    array = to_array(
        streamlines, 5, min_length=5, max_length=100, chunk_size=chunk_size
    )
    kept = [number for number, name in enumerate(names) if name == "good"]
    assert array.index.tolist() == kept
    assert array.points[:, 0, 2].tolist() == kept
    assert array.rejects == expected
    assert array.n_streamlines == len(names)
    assert len(array) == len(array.is_reversed) == len(kept)


def test_count_and_merge_rejects():
    codes = np.array([0, 1, 1, 4, 0], dtype=np.int8)
    assert count_rejects(codes) == {REJECT_REASONS[1]: 2, REJECT_REASONS[4]: 1}
    assert count_rejects(codes[:1]) == {}
    assert merge_rejects([{"a": 1, "b": 2}, {}, {"b": 3}]) == {"a": 1, "b": 5}
    assert merge_rejects([]) == {}


# Resampling


@properties
@given(st.lists(lines_of_points(), max_size=7), axes, st.integers(1, 8))
def test_chunk_size_does_not_matter(lines, axis, chunk_size):
    whole = to_array(lines, 6, axis=axis)
    chunked = to_array(lines, 6, axis=axis, chunk_size=chunk_size)
    for name in ("points", "index", "is_reversed"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(chunked, name))
    assert whole.rejects == chunked.rejects


@properties
@given(lines_of_points(), st.integers(2, 300))
def test_points_are_equally_spaced_along_the_streamline(line, n_points):
    array = to_array([line], n_points)
    if len(array):
        points = array.tractogram_order()[0]
        np.testing.assert_array_equal(points[[0, -1]], line[[0, -1]])
        np.testing.assert_allclose(
            points, resample_reference(line, n_points), atol=1e-3
        )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("container", [list, ArraySequence])
def test_precision_of_the_input(lines, dtype, container):
    typed = [one.astype(dtype) for one in lines]
    array = to_array(container(typed), 20, orientation="as_is")
    assert array.points.dtype == np.float32
    same = to_array([one.astype(np.float32) for one in typed], 20, orientation="as_is")
    np.testing.assert_array_equal(array.points, same.points)
    expected = np.stack([resample_reference(one, 20) for one in typed])
    np.testing.assert_allclose(array.points, expected, atol=1e-3)


def test_input_stays_as_it_was(lines):
    sequence = ArraySequence(lines)
    to_array(sequence, 20)
    for before, after in zip(lines, sequence):
        np.testing.assert_array_equal(before, after)


def test_slices_of_a_sequence_are_read_in_order(lines):
    sequence = ArraySequence(lines)
    order = [5, 3, 3, 40, 0]
    np.testing.assert_array_equal(
        to_array(sequence[order], 12).points,
        to_array([lines[number] for number in order], 12).points,
    )


# Tractograms


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("space", Space)
def test_space_and_origin_of_a_tractogram(tractogram, lines, space, origin):
    expected = to_array(lines, 24, min_length=5)
    tractogram.to_space(space)
    tractogram.to_origin(origin)
    before = tractogram.streamlines.get_data().copy()
    array = to_array(tractogram, 24, min_length=5)
    np.testing.assert_allclose(array.points, expected.points, atol=1e-4)
    np.testing.assert_array_equal(array.index, expected.index)
    np.testing.assert_array_equal(array.is_reversed, expected.is_reversed)
    assert tractogram.space == space and tractogram.origin == origin
    np.testing.assert_array_equal(tractogram.streamlines.get_data(), before)
    if (space, origin) != (Space.RASMM, Origin.NIFTI):
        # The test would say nothing if the coordinates were the same anyway.
        assert np.abs(before - np.concatenate(lines)).max() > 0.5


@pytest.mark.parametrize(
    "nothing",
    [
        "bundle.trk",
        ["one.trk", "two.trk"],
        {"AF": [GOOD]},
        7,
        None,
        GOOD,  # One streamline, which is no list of them.
        [GOOD[:, :2]],
        [np.stack([GOOD, GOOD])],
        [GOOD + 1j],
        [[[0, 0, 0], [1, 1]]],
        ArraySequence([np.zeros((4, 2), np.float32)]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_streamlines(nothing):
    with pytest.raises(InvalidArgumentError, match=r"\(n_points, 3\).*load_tractogram"):
        as_sequence(nothing)


def test_lists_of_points_and_nothing_are_streamlines():
    found = as_sequence([[[0, 0, 0], [1, 2, 3]], [], np.empty((0, 3)), GOOD])
    assert [len(line) for line in found] == [2, 0, 0, 3]
    np.testing.assert_array_equal(found[0], [[0, 0, 0], [1, 2, 3]])


def test_points_that_are_ready_are_an_array_as_they_are():
    points = np.zeros((3, 8, 3), dtype=np.float32)
    array = StreamlineArray.from_points(points)
    assert array.points is points and array.n_streamlines == len(array) == 3
    assert array.index.tolist() == [0, 1, 2] and array.rejects == {}
    assert array.is_reversed.dtype == bool and not array.is_reversed.any()
