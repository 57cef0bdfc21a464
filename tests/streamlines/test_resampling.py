from dipy.tracking.streamline import set_number_of_points
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from nibabel.streamlines import ArraySequence
import numpy as np
from odd_streamlines import axes, lines_of_points, properties
import pytest

from dipy_tractoencoder.streamlines import resampling
from dipy_tractoencoder.streamlines.array import as_sequence, to_array
from dipy_tractoencoder.streamlines.orientation import from_flat
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.streamlines.resampling import (
    BLOCK,
    SWITCH,
    Rules,
    is_compiled,
    reject_codes,
    resample_lines,
)

N_POINTS = [2, 3, 19, 256]

needs_loop = pytest.mark.skipif(
    resampling.resample_block is None, reason="needs the compiled loop"
)


@pytest.fixture(params=["compiled", "numpy"])
def way(request, monkeypatch):
    """Run a test with and without the compiled loop."""
    if request.param == "numpy":
        monkeypatch.setenv(SWITCH, "0")
        assert not is_compiled()
    elif resampling.resample_block is None:
        pytest.skip("needs the compiled loop")
    else:
        monkeypatch.delenv(SWITCH, raising=False)
        assert is_compiled()


@st.composite
def bad_lines(draw, dtype=np.float32):
    """Streamlines that cannot be encoded, of 0 to 5 points."""
    any_number = st.one_of(
        st.floats(width=np.dtype(dtype).itemsize * 8),
        st.sampled_from([np.nan, np.inf, -np.inf, 1e15, 1.1e15, 1e-4, 0.0]),
    )
    line = draw(arrays(dtype, (draw(st.integers(0, 5)), 3), elements=any_number))
    return np.repeat(line[:1], 4, axis=0) if draw(st.booleans()) else line


def sequences(dtype=np.float32):
    """Draw lists of streamlines, good and bad."""
    return st.lists(st.one_of(lines_of_points(dtype), bad_lines(dtype)), max_size=9)


def joined(lines, dtype=np.float32):
    """Build an ArraySequence of streamlines, also of empty ones."""
    counts = np.array([len(line) for line in lines], dtype=np.int64)
    return from_flat(np.concatenate([np.empty((0, 3), dtype), *lines]), counts)


def both_ways(lines, rules, n_points):
    """Return the result without and with the compiled loop."""
    results = []
    for value in ("0", "1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(SWITCH, value)
            out = np.full((len(lines), n_points, 3), np.nan, np.float32)
            codes, backwards = resample_lines(lines, rules, out)
        results.append((codes, backwards, out[: np.count_nonzero(codes == 0)]))
    return results


@needs_loop
@properties
@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: st.tuples(st.just(dtype), sequences(dtype))
    ),
    axes,
    st.sampled_from(N_POINTS),
    st.floats(0, 20),
    st.one_of(st.none(), st.floats(20, 500)),
    st.booleans(),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_both_ways_agree(typed, axis, n_points, low, high, canonical):
    dtype, lines = typed
    rules = Rules(axis if canonical else None, low, high)
    slow, quick = both_ways(joined(lines, dtype), rules, n_points)
    np.testing.assert_array_equal(quick[0], slow[0])
    np.testing.assert_array_equal(quick[1], slow[1])
    # 5e-4 mm within the head; the spacing of float32 further away.
    np.testing.assert_allclose(quick[2], slow[2], rtol=1e-6, atol=5e-4)


@needs_loop
@settings(properties, max_examples=25)
@given(st.lists(lines_of_points(), min_size=1, max_size=9), st.sampled_from(N_POINTS))
def test_compiled_loop_resamples_as_dipy_does(lines, n_points):
    array = to_array(lines, n_points, orientation="as_is")
    kept = ArraySequence([lines[n] for n in array.index])
    if len(kept):
        expected = np.array(set_number_of_points(kept, nb_points=n_points))
        np.testing.assert_allclose(array.points, expected, rtol=0, atol=5e-4)


@properties
@given(lines_of_points(), axes, st.sampled_from(N_POINTS))
@pytest.mark.usefixtures("way")
def test_reverse_gives_the_same_row(line, axis, n_points):
    there = to_array([line], n_points, axis=axis)
    back = to_array([line[::-1]], n_points, axis=axis)
    # Zero and minus zero are the same number: a palindrome of both is not turned.
    assert (there.points + 0).tobytes() == (back.points + 0).tobytes()
    if len(there) and there.is_reversed[0] == back.is_reversed[0]:
        np.testing.assert_array_equal(line, line[::-1])


@properties
@given(lines_of_points(), st.sampled_from(N_POINTS))
@pytest.mark.usefixtures("way")
def test_ends_and_order_are_kept(line, n_points):
    array = to_array([line], n_points, orientation="as_is")
    for row in array.points:
        np.testing.assert_array_equal(row[[0, -1]], line[[0, -1]])
        low, high = line.min(axis=0) - 1e-4, line.max(axis=0) + 1e-4
        assert ((row >= low) & (row <= high)).all()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_points", [2, 19, 256])
def test_points_are_at_equal_steps_and_lengths_are_kept(n_points):
    angle = np.linspace(0, 2, 4000)
    arc = np.stack([50 * np.cos(angle), 50 * np.sin(angle), angle], axis=1)
    row = to_array([arc.astype(np.float32)], n_points).points[0].astype(np.float64)
    steps = np.linalg.norm(np.diff(row, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=2e-4)
    if n_points == 256:
        length = np.linalg.norm(np.diff(arc, axis=0), axis=1).sum()
        np.testing.assert_allclose(steps.sum(), length, rtol=1e-4)


def many_lines(n, dtype=np.float32):
    """Random walks of 2 to 40 points, and every seventh with a NaN."""
    rng = np.random.default_rng(0)
    lines = [
        rng.normal(size=(count, 3)).cumsum(axis=0).astype(dtype)
        for count in rng.integers(2, 40, n)
    ]
    for line in lines[::7]:
        line[-1, 1] = np.nan
    return lines


@needs_loop
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_many_blocks(dtype, n_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
    lines = joined(many_lines(2 * BLOCK + 100, dtype), np.dtype(dtype))
    slow, quick = both_ways(lines, Rules((0, 0, 1), 3, 60), 16)
    assert 0 < len(slow[2]) < len(lines)
    for a, b in zip(slow[:2], quick[:2]):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(quick[2], slow[2], rtol=0, atol=5e-4)


@pytest.mark.usefixtures("way")
def test_streamlines_anywhere_in_memory():
    lines = many_lines(60)
    whole = joined(lines)
    rows = np.random.default_rng(1).permutation(60)[:40]
    columns = ArraySequence()
    columns._data = np.repeat(whole._data, 2, axis=1)[:, ::2]  # Not contiguous.
    columns._offsets, columns._lengths = whole._offsets, whole._lengths
    fortran = from_flat(np.asfortranarray(whole._data), whole._lengths)
    expected = to_array([lines[n] for n in rows], 12)
    for sequence in (whole[rows], columns[rows], fortran[rows]):
        sequence._data.flags.writeable = False
        array = to_array(sequence, 12)
        np.testing.assert_array_equal(array.index, expected.index)
        np.testing.assert_array_equal(array.is_reversed, expected.is_reversed)
        np.testing.assert_array_equal(array.points, expected.points)


@pytest.mark.usefixtures("way")
def test_nothing_is_left_of_chunks_with_rejects():
    lines = many_lines(50)
    array = to_array(lines, 8, chunk_size=9)
    assert array.rejects == {"non_finite": 8} and len(array) == 42
    np.testing.assert_array_equal(array.index, np.flatnonzero(np.arange(50) % 7))
    np.testing.assert_array_equal(array.points, to_array(lines, 8).points)
    assert reject_codes(as_sequence(lines)).tolist() == [
        int(n % 7 == 0) for n in range(50)
    ]


@needs_loop
@pytest.mark.parametrize("offset, count", [(-1, 2), (3, 3), (2**62, 2), (0, -1)])
def test_streamlines_beyond_the_points_are_refused(offset, count):
    lines = from_flat(np.zeros((5, 3), np.float32), np.array([2, count]))
    lines._offsets = np.array([0, offset])
    with pytest.raises(IndexError, match="do not exist"):
        reject_codes(lines)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_lines", [0, 1, 60, 2 * BLOCK + 1])
def test_blocks_are_those_of_the_array(n_lines):
    lines = joined(many_lines(n_lines))
    preprocessing = Preprocessing(n_points=9, min_length=3)
    array = preprocessing.array(lines)
    rows, results = preprocessing.map_array(lines, np.array)
    points = np.concatenate([np.empty((0, 9, 3)), *results])
    np.testing.assert_array_equal(points, array.points)
    np.testing.assert_array_equal(rows.index, array.index)
    np.testing.assert_array_equal(rows.is_reversed, array.is_reversed)
    assert rows.n_streamlines == array.n_streamlines == n_lines
    assert rows.rejects == array.rejects
