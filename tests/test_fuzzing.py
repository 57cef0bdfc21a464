"""A sample of the nightly fuzzing (benchmarks/fuzz_files.py), and made streamlines."""

from pathlib import Path
import shutil
import tempfile

from dipy.io.vtk import have_fury
from flow_data import assert_refused, call_command
from fuzz_cases import KINDS, add_checkpoint, make_case, make_files
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as some
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder import encode, load_applied_model
from dipy_tractoencoder.errors import TractoencoderError
from dipy_tractoencoder.nn import applied_file
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

N_SAMPLE = 12
# Cases that once ended in a bug, by kind.
FOUND = {
    "trk": (107,),
    "trx": (27,),
    "densities": (15, 17, 36, 39, 157, 288),
    "names": (191,),
}
QUICK = {
    "trk": range(2),
    "h5": range(3),
    "tt.gz": range(2),
    "names": range(9),
    "counts": range(5),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzing")
    return folder, make_files(folder), load_applied_model(folder / "vae.keras")


@pytest.fixture
def run_case(files, capsys, monkeypatch, tmp_path):
    """Run cases in folders of their own; give their exit codes."""
    folder, good, model = files
    load = applied_file.load_dense_model
    here = tmp_path / "1" / "2" / "3" / "4" / "5" / "here"  # Names may lead upwards.
    cwd, tmp = here / "cwd", here / "tmp"
    for path in (cwd, tmp):
        path.mkdir(parents=True)
    for name in ("vae.keras", "reference.trk"):
        (here / name).write_bytes((folder / name).read_bytes())
    known = here / "vae.keras"
    monkeypatch.setattr(
        applied_file,
        "load_dense_model",
        lambda p: model if Path(p) == known else load(p),
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    monkeypatch.chdir(cwd)

    def run(kind, number):
        name, values, inputs = make_case(kind, number, good, here)
        before = around(tmp_path, here / "out")
        result = call_command(capsys, name, *values)
        assert around(tmp_path, here / "out") == before
        assert all(str(path) in before for path in inputs)
        assert "should not happen" not in result.out + result.err
        if result.code:
            assert_refused(result, "")
        shutil.rmtree(here / "out", ignore_errors=True)
        return result.code

    return run


def around(top, out):
    """Content of all files and names of all folders, but for those of outputs."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in top.rglob("*")
        if path != out and out not in path.parents
    }


@pytest.mark.parametrize("kind", QUICK)
def test_some_mutated_and_hostile_files(kind, run_case):
    codes = {run_case(kind, number) for number in QUICK[kind]}
    assert codes <= {0, 2}


needs_vtk = pytest.mark.skipif(not have_fury, reason="VTP needs FURY")
EVERY_KIND = [pytest.param(k, marks=needs_vtk) if k == "vtp" else k for k in KINDS]


@slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_mutated_and_hostile_files(kind, files, run_case):
    add_checkpoint(files[1], files[0])
    n_sample = 3 if kind == "checkpoint" else N_SAMPLE
    numbers = (*range(n_sample), *FOUND.get(kind, ()))
    assert 2 in {run_case(kind, number) for number in numbers}


# Streamlines of all kinds

COORDINATES = st.one_of(
    st.floats(-200, 200, width=32),
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1e-30, 1e-6, 1e6, 1e30, 3e38, -3e38, np.nan, np.inf]),
)


@st.composite
def streamline(draw):
    """Draw one of up to 40 points, often with points that repeat."""
    dtype = draw(st.sampled_from(["f2", "f4", "f8", ">f4", "i2", "i4", "i8", "u1"]))
    n_points = draw(st.integers(0, 40))
    if np.dtype(dtype).kind == "f":
        points = draw(some.arrays("f8", (n_points, 3), elements=COORDINATES))
        with np.errstate(over="ignore", invalid="ignore"):
            points = points.astype(dtype)
    else:
        points = draw(some.arrays(dtype, (n_points, 3)))
    if n_points and draw(st.booleans()):
        points = np.repeat(points, draw(st.integers(1, 4)), axis=0)
    if n_points and draw(st.booleans()):
        points[draw(st.integers(0, n_points - 1)) :] = points[0]
    return points[:: draw(st.sampled_from([1, -1]))]


@st.composite
def tractogram(draw):
    """Draw streamlines, as a list or an ArraySequence."""
    lines = draw(st.lists(streamline(), max_size=8))
    same_kind = len({line.dtype for line in lines}) == 1
    return as_sequence(lines) if same_kind and draw(st.booleans()) else lines


quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@slow
@quick
@given(
    lines=tractogram(),
    n_points=st.integers(2, 40),
    orientation=st.sampled_from(["canonical", "as_is", "augment"]),
    limits=st.sampled_from([(0, None), (1e-3, 1e4), (50, 60)]),
)
def test_any_streamlines_are_kept_whole_or_rejected(
    lines, n_points, orientation, limits
):
    preprocessing = Preprocessing(
        n_points=n_points,
        orientation=orientation,
        min_length=limits[0],
        max_length=limits[1],
    )
    array = preprocessing.array(lines)
    assert array.points.shape == (len(array), n_points, 3)
    assert array.points.dtype == np.float32
    assert np.isfinite(array.points).all()
    assert array.n_streamlines == len(lines)
    assert len(array) + sum(array.rejects.values()) == len(lines)
    assert len(set(array.index)) == len(array)
    for points, number in zip(array.points, array.index):
        line = np.asarray(lines[number], dtype=np.float64)
        # Resampled points lie within the box of the streamline, to rounding.
        low, high = line.min(axis=0), line.max(axis=0)
        margin = 1e-4 * np.abs(line).max() + 1e-30
        assert (points >= low - margin).all() and (points <= high + margin).all()


@slow
@quick
@given(lines=tractogram())
def test_any_streamlines_are_encoded_or_refused(trained_vae, lines):
    try:
        latents = encode(trained_vae, lines)
    except TractoencoderError:
        return
    assert len(latents) + sum(latents.rejects.values()) == len(lines)
    plain = [
        i
        for i in latents.index
        if np.abs(np.asarray(lines[i], dtype=np.float64)).max() < 1e6
    ]
    rows = np.isin(latents.index, plain)
    assert np.isfinite(latents.mean[rows]).all()
    assert np.isfinite(latents.log_var[rows]).all()


@slow
@quick
@given(lines=st.lists(streamline(), min_size=1, max_size=5))
def test_each_streamline_is_encoded_for_itself(trained_vae, lines):
    """Neighbours, also broken ones, do not matter."""
    whole = encode(trained_vae, lines)
    rows = dict(zip(whole.index, whole.mean))
    for number, line in enumerate(lines):
        alone = encode(trained_vae, [line])
        assert len(alone) == (number in rows)
        if len(alone) and np.isfinite(rows[number]).all():
            size = 1 + np.abs(rows[number]).max()
            np.testing.assert_allclose(alone.mean[0], rows[number], atol=1e-4 * size)


def test_streamlines_from_memory_and_from_a_file(trained_vae, lines):
    first = encode(trained_vae, lines)
    second = encode(trained_vae, make_tractogram(lines))
    np.testing.assert_allclose(
        first.mean, second.mean, atol=1e-5 * np.abs(first.mean).max()
    )
