"""Outputs that find no room: one error, the older file as it was, nothing else."""

from contextlib import contextmanager
import os
import subprocess
import sys

from flow_data import COMMANDS, run_python
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow, slow_but

from dipy_tractoencoder import (
    load_tractogram,
    save_latents,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.latent.file_codec import decode_file, reconstruct_file
from dipy_tractoencoder.utils.tables import save_table

resource = pytest.importorskip("resource", reason="limits of POSIX")


@contextmanager
def largest_file(size):
    """Let this process write no file larger than so many bytes."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


@pytest.fixture
def folder(lines, trained_vae, tmp_path):
    """Write a tractogram of 600 streamlines and its latents."""
    for extension in ("trk", "trx"):
        save_tractogram(make_tractogram(lines * 10), tmp_path / f"a.{extension}")
    latents = encode(trained_vae, make_tractogram(lines * 10), tractogram="a.trk")
    save_latents(latents, tmp_path / "a.h5")
    return tmp_path


WRITERS = {
    "model.keras": lambda model, folder, path: save_model(model, path, overwrite=True),
    "decoded.trk": lambda model, folder, path: decode_file(
        model, folder / "a.h5", path, chunk_size=100
    ),
    "decoded.tck": lambda model, folder, path: decode_file(
        model, folder / "a.h5", path, chunk_size=100
    ),
    "decoded.trx": lambda model, folder, path: decode_file(
        model, folder / "a.h5", path, chunk_size=100
    ),
    "chosen.trx": lambda model, folder, path: choose(folder / "a.trx", path),
    "saved.trx": lambda model, folder, path: save_tractogram(
        load_tractogram(folder / "a.trk"), path, overwrite=True
    ),
    "reconstructed.trk": lambda model, folder, path: reconstruct_file(
        model, folder / "a.trk", path, chunk_size=100
    ),
    "table.csv": lambda model, folder, path: save_table([{"a": "x" * 30000}], path),
    "figure.png": lambda model, folder, path: write_figure(path),
}


def choose(source, path):
    with mapped_tractogram(source) as mapped:
        save_selection(mapped, np.arange(len(mapped)), path)


def write_figure(path):
    from matplotlib.figure import Figure

    from dipy_tractoencoder.viz.base import save_figure

    figure = Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((200, 200)))
    save_figure(figure, path)


ENCODE = """
import resource, sys
from pathlib import Path
from dipy_tractoencoder import load_model
from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.latent.file_codec import encode_file

model = load_model("vae.keras")
encode_file(model, "a.trk", "warm.h5")
Path("warm.h5").unlink()
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    encode_file(model, "a.trk", "latents.h5", chunk_size=100)
except OutputFileError as error:
    print(error)
"""


@pytest.mark.parametrize("size", slow_but([0, 1000, 20000], 1000))
def test_no_room_for_latents(size, folder, trained_vae):
    """HDF5 alone cannot let go of a file it could not write, and crashes later."""
    save_model(trained_vae, folder / "vae.keras")
    (folder / "latents.h5").write_text("older")
    before = sorted(folder.iterdir())
    result = run_python("-c", ENCODE, size, cwd=folder)
    assert "Cannot write latents.h5: File too large" in result.out, result.err
    assert result.code == 0
    assert "Traceback" not in result.err
    assert (folder / "latents.h5").read_text(encoding="utf-8") == "older"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("size", [0, 1000, 20000])
@pytest.mark.parametrize("name", WRITERS)
def test_no_room(name, size, folder, trained_vae):
    path = folder / name
    path.write_text("older")
    before = sorted(folder.iterdir())
    with largest_file(size), pytest.raises(OutputFileError, match=name):
        WRITERS[name](trained_vae, folder, path)
    assert path.read_text(encoding="utf-8") == "older"
    assert sorted(folder.iterdir()) == before
    WRITERS[name](trained_vae, folder, path)
    assert path.stat().st_size > 20000


@pytest.mark.parametrize("name", ["decoded.trx", "chosen.trx", "saved.trx"])
def test_no_room_is_seen_before_the_work(name, folder, trained_vae, monkeypatch):
    usage = type("Usage", (), {"free": 10**4})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputFileError, match=f"{name}.*free"):
        WRITERS[name](trained_vae, folder, folder / name)
    assert not (folder / name).exists()


@slow
def test_a_closed_pipe_does_not_stop_the_work(folder, trained_vae):
    save_model(trained_vae, folder / "vae.keras")
    module, flow = COMMANDS["dipy_encode_vae"]
    code = (
        "from dipy_tractoencoder.workflows.cli import run_command\n"
        f"from dipy_tractoencoder.workflows.{module} import {flow}\n"
        f"run_command({flow}())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "vae.keras", "a.trk", "--out_dir", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    process.stdout.close()
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    assert [path.name for path in (folder / "out").iterdir()] == ["latents.h5"]
    assert run_python("-c", "import h5py; h5py.File('out/latents.h5')", cwd=folder)
