"""The door of all HDF5 files: what is not in the file is refused, before it is read."""

import sys

from flow_data import run_python
import h5py
from hostile_hdf5 import KINDS
import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.hdf5 import clear_errors, open_hdf5, stored_dataset

OF_ANOTHER_TYPE = {"references", "lists", "texts", "records"}
# Opens each file; says what it did, and how much memory grew (MiB).
OPEN = """
import resource, sys
import h5py, numpy
from dipy_tractoencoder.io.hdf5 import open_hdf5

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for path in sys.argv[1:]:
    before = peak()
    try:
        open_hdf5(path).close()
        print("opened")
    except (ValueError, OSError):
        print("refused", peak() - before)
"""


def write_good(path):
    with h5py.File(path, "w") as file:
        file["inner/x"] = np.arange(600.0).reshape(200, 3)


def write_hostile(folder, kind):
    path = folder / f"{kind}.h5"
    write_good(path)
    with h5py.File(path, "r+") as file:
        KINDS[kind](file, "inner/x", folder)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused(tmp_path, kind):
    path = write_hostile(tmp_path, kind)
    assert path.stat().st_size < 2**20
    with (
        pytest.raises(InputFileError, match=f"{kind}.h5.*damaged") as caught,
        clear_errors(path, "file of tests"),
        open_hdf5(path) as file,
    ):
        assert kind in OF_ANOTHER_TYPE
        stored_dataset(file["inner"], "x", "f")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does")
def test_refusing_takes_no_memory(tmp_path):
    paths = [
        write_hostile(tmp_path, kind) for kind in KINDS if kind not in OF_ANOTHER_TYPE
    ]
    result = run_python("-c", OPEN, *paths)
    assert result.code == 0, result.err
    said = [line.split() for line in result.out.splitlines()]
    assert [words[0] for words in said] == ["refused"] * len(paths)
    assert (
        max(float(words[1]) for words in said) < 32
    )  # MiB; some would be of 50 and more.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (7, 2)},
        {"compression": "gzip"},
        {"compression": "gzip", "compression_opts": 9, "shuffle": True},
        {"compression": "gzip", "fletcher32": True},
        {"compression": "lzf", "shuffle": True, "chunks": (7, 2)},
        {"compression": "gzip", "maxshape": (2000, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("values", ["any", "one", "random", "none"])
def test_true_files_are_read(tmp_path, rng, options, values):
    content = {
        "any": np.arange(6000.0).reshape(2000, 3),
        "one": np.full((2000, 3), 0.1),
        "random": rng.random((2000, 3)),
        "none": np.zeros((0, 3)),
    }[values]
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if options:
            options = {"chunks": (500, 3), "maxshape": (None, 3), **options}
        file.create_dataset("x", data=content, **options)
        file["number"] = 3.0
        file["compact"] = np.arange(3)
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(stored_dataset(file, "x", "f")[()], content)
        assert stored_dataset(file, "number", "f")[()] == 3


def test_highly_compressible_files_are_read(tmp_path, rng):
    """Latents of one streamline, a million times: 58 MB in 0.6 MB."""
    path = tmp_path / "a.h5"
    row = rng.normal(size=14).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "mean",
            data=np.broadcast_to(row, (10**6, 14)),
            chunks=(65536, 14),
            compression="gzip",
            shuffle=True,
        )
    assert path.stat().st_size < 56_000_000 / 100
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file["mean"][-1], row)


def test_a_file_in_memory(tmp_path):
    write_good(tmp_path / "a.h5")
    with open(tmp_path / "a.h5", "rb") as content, open_hdf5(content) as file:
        assert file["inner/x"].shape == (200, 3)


def test_the_file_is_not_changed(tmp_path):
    path = tmp_path / "a.h5"
    write_good(path)
    before = path.read_bytes()
    path.chmod(0o444)
    open_hdf5(path).close()
    assert path.read_bytes() == before
