"""DIPY reads .dpy files without looking at them; they are checked first."""

import sys

from dipy.io.dpy import Dpy
from flow_data import run_python
import h5py
from hostile_hdf5 import KINDS
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.dpy import check_dpy
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram

TRACKS, OFFSETS = "streamlines/tracks", "streamlines/offsets"
# Offsets of two streamlines of 3 and 4 points that were changed, and what is said.
WRONG = {
    "negative": ([0, -5, 7], "smaller"),
    "backwards": ([0, 6, 3, 7], "offset 2 is smaller"),
    "beyond": ([0, 3, 10**9], "from 0 to 1000000000"),
    "largest": ([0, 2**63 - 1, -(2**63), 7], "smaller"),
    "late start": ([3, 7], "from 3 to 7"),
    "early end": ([0, 3], "from 0 to 3"),
    "empty": (np.zeros(0, int), "offsets"),
    "table": ([[0, 7]], "offsets"),
    "floats": ([0.0, 3, 7], "type"),
}
LOAD = """
import resource, sys
import dipy_tractoencoder as dte
from dipy.io.streamline import load_tractogram  # Its own memory is not counted.

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
try:
    dte.load_tractogram(*sys.argv[1:])
except OSError as err:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)
    print(err)
"""


@pytest.fixture
def reference(tmp_path):
    """TRK with the image space."""
    save_tractogram(make_tractogram([np.ones((2, 3), "f4")]), tmp_path / "space.trk")
    return tmp_path / "space.trk"


@pytest.fixture
def path(tmp_path):
    """Two streamlines of 3 and 4 points, as DIPY writes them."""
    file = Dpy(str(tmp_path / "a.dpy"), mode="w")
    file.write_track(np.arange(9.0).reshape(3, 3))
    file.write_track(np.arange(12.0).reshape(4, 3))
    file.close()
    return tmp_path / "a.dpy"


def change(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values


def test_what_dipy_writes_is_read(path, reference, tmp_path, lines):
    before = path.read_bytes()
    path.chmod(0o444)
    assert [len(line) for line in load_tractogram(path, reference).streamlines] == [
        3,
        4,
    ]
    assert path.read_bytes() == before
    save_tractogram(make_tractogram(lines), tmp_path / "b.dpy")
    read = load_tractogram(tmp_path / "b.dpy", reference).streamlines
    for line, expected in zip(read, lines, strict=True):
        np.testing.assert_allclose(line, expected, atol=1e-4)


@pytest.mark.parametrize("n_lines", [0, 3])
def test_streamlines_without_points_are_read(tmp_path, n_lines):
    with h5py.File(tmp_path / "a.dpy", "w") as file:
        file[TRACKS] = np.zeros((0, 3), "f4")
        file[OFFSETS] = np.zeros(n_lines + 1, int)
    check_dpy(tmp_path / "a.dpy")


@pytest.mark.parametrize("name", WRONG)
def test_offsets_that_do_not_divide_the_points(path, reference, name):
    offsets, says = WRONG[name]
    change(path, OFFSETS, np.asarray(offsets))
    with pytest.raises(InputFileError, match=f"a.dpy.*{says}.*damaged"):
        load_tractogram(path, reference)
    with pytest.raises(InputFileError, match="a.dpy"):
        TractogramChunks(path, reference)


@pytest.mark.parametrize("shape", [(7,), (7, 4), (7, 3, 1), (3, 7)])
def test_points_of_another_shape(path, shape):
    change(path, TRACKS, np.zeros(shape, "f4"))
    with pytest.raises(InputFileError, match=r"a.dpy.*shape \("):
        check_dpy(path)


@pytest.mark.parametrize("missing", [TRACKS, OFFSETS, "streamlines"])
def test_missing_parts(path, missing):
    with h5py.File(path, "r+") as file:
        del file[missing]
        if missing == "streamlines":
            file[missing] = np.zeros(3)
    with pytest.raises(InputFileError, match=f"a.dpy.*{missing.rpartition('/')[2]}"):
        check_dpy(path)


@pytest.mark.parametrize(
    "content", [b"", b"buy milk", b"\x89HDF\r\n\x1a\n" + b"x" * 99]
)
def test_other_files(tmp_path, content):
    (tmp_path / "a.dpy").write_bytes(content)
    with pytest.raises(InputFileError, match="a.dpy"):
        check_dpy(tmp_path / "a.dpy")


@pytest.mark.parametrize("dataset", [TRACKS, OFFSETS])
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused(path, tmp_path, kind, dataset):
    with h5py.File(path, "r+") as file:
        KINDS[kind](file, dataset, tmp_path)
    with pytest.raises(InputFileError, match="a.dpy"):
        check_dpy(path)


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does")
def test_refusing_takes_no_memory(path, reference):
    """18 kB that would unpack to 2.3 GB."""
    n_points = 190_000_000
    with h5py.File(path, "r+") as file:
        del file[TRACKS]
        file.create_dataset(TRACKS, (n_points, 3), "f4", chunks=(1000, 3))
        file[OFFSETS][-1] = n_points
    assert path.stat().st_size < 20_000
    result = run_python("-c", LOAD, path, reference)
    assert result.code == 0, result.err
    grown, message = result.out.splitlines()
    assert "a.dpy" in message and "not stored" in message
    assert float(grown) < 64  # MiB
