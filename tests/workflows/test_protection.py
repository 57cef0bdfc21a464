"""The user's files stay as they are, and odd surroundings are named."""

from importlib.util import find_spec
from pathlib import Path
import subprocess
import sys

from flow_data import assert_refused, call_command, files_below, run_command
import h5py
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder import (
    decode,
    encode,
    load_latents,
    load_tractogram,
    save_latents,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.tractogram import points_outside

QUICK = ("--n_points", 16, "--latent_dim", 3, "--epochs", 1)


@pytest.fixture
def here(bundles, trained_vae, tmp_path, monkeypatch):
    """Folder with three bundles and a model, to work in."""
    monkeypatch.chdir(tmp_path)
    for name, bundle in zip("abc", bundles):
        save_tractogram(make_tractogram(bundle), f"{name}.trk")
        save_tractogram(make_tractogram(bundle), f"{name}.tck")
    save_model(trained_vae, "vae.keras")
    return tmp_path


def test_log_file_never_goes_into_data_behind_a_link(here, capsys):
    before = files_below(here)
    (here / "notes.log").symlink_to(here / "b.trk")
    (here / "binary").write_bytes(b"text\0more")
    for log in ("notes.log", "binary"):
        result = call_command(
            capsys, "dipy_train_vae", "a.trk", *QUICK, "--log_file", log
        )
        assert_refused(result, log, "data")
    (here / "notes.log").unlink()
    (here / "binary").unlink()
    assert files_below(here) == before


def test_a_model_name_that_cannot_be_written_is_found_before_training(here, capsys):
    before = files_below(here)
    name = f"{'m' * 232}.keras"
    result = call_command(
        capsys, "dipy_train_vae", "a.trk", *QUICK, "--out_model", name
    )
    assert_refused(result, name[:50], "too long")
    assert files_below(here) == before


def test_log_file_never_goes_into_data(here, capsys):
    before = files_below(here)
    result = call_command(
        capsys, "dipy_train_vae", "a.trk", *QUICK, "--log_file", "b.trk"
    )
    assert_refused(result, "b.trk", "Give another name")
    assert files_below(here) == before


@pytest.mark.parametrize("option", ["--reference", "--validation_files"])
def test_files_read_by_options_are_not_replaced(here, capsys, option):
    # Whatever their extension: the model's file is checked for that first.
    save_tractogram(load_tractogram("b.trk"), "b.trx")
    (here / "b.trx").rename(here / "b.png")
    before = files_below(here)
    result = call_command(
        capsys, "dipy_train_vae", "a.trk", *QUICK, option, "b.png", "--out_figure",
        "b.png", "--force",
    )  # fmt: skip
    assert_refused(result, "b.png", "is an input")
    assert files_below(here) == before


def test_validation_files_are_held_out(here, capsys):
    result = call_command(
        capsys, "dipy_train_vae", "a.trk", "b.trk", *QUICK, "--validation_files",
        "c.t?k", "--reference", "a.trk", "--out_dir", "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    # c.trk and c.tck, 20 streamlines each.
    assert "Training on 40 streamlines, 40 held out" in result.out
    both = call_command(
        capsys, "dipy_train_vae", "a.trk", "b.trk", *QUICK, "--validation_files",
        "./b.trk", "--out_dir", "out2",
    )  # fmt: skip
    assert_refused(both, "b.trk", "validation")


def test_unknown_backend_is_named(here):
    result = run_command(
        "dipy_train_vae", "a.trk", "--out_dir", "m", cwd=here, KERAS_BACKEND="theano"
    )
    assert result.code == 2
    assert "theano" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_missing_tensorboard_is_said_before_the_work(here, capsys, monkeypatch):
    import dipy_tractoencoder.training.fit

    monkeypatch.setattr(dipy_tractoencoder.training.fit, "find_spec", lambda name: None)
    result = call_command(
        capsys,
        "dipy_train_vae",
        "a.trk",
        *QUICK,
        "--tensorboard",
        "logs",
        "--out_dir",
        "out",
    )
    assert_refused(result, "TensorBoard is not installed", "pip install")


@slow
def test_tensorboard_logs(here, capsys):
    if find_spec("tensorboard") is None:
        pytest.skip("TensorBoard is not installed")
    result = call_command(
        capsys,
        "dipy_train_vae",
        "a.trk",
        *QUICK,
        "--tensorboard",
        "logs",
        "--out_dir",
        "out",
    )
    assert result.code == 0, result.err
    assert list((here / "logs").rglob("events.out.*"))


@slow
def test_closed_pipe_ends_only_the_messages(here):
    script = Path(sys.executable).parent / "dipy_train_vae"
    process = subprocess.Popen(
        [
            sys.executable,
            script,
            "a.trk",
            "b.trk",
            *map(str, QUICK),
            "--out_dir",
            "out",
        ],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == 0, errors
    assert "Traceback" not in errors
    assert (here / "out" / "vae.keras").is_file()


def test_latents_that_are_not_finite_are_not_decoded(trained_vae, lines):
    mean = encode(trained_vae, lines).mean.copy()
    mean[3, 1] = np.nan
    with pytest.raises(InvalidArgumentError, match="row 3"):
        decode(trained_vae, mean)


def test_latents_with_part_of_a_space(trained_vae, tractogram, tmp_path):
    path = tmp_path / "latents.h5"
    save_latents(encode(trained_vae, tractogram), path)
    assert load_latents(path).space
    with h5py.File(path, "a") as file:
        del file.attrs["space_dimensions"]
    with pytest.raises(InputFileError, match="Its image space has only"):
        load_latents(path)


def test_points_outside_of_the_image_are_mentioned(tractogram, lines, tmp_path, caplog):
    space = tractogram_space(tractogram)
    assert not points_outside(tractogram.streamlines, space)
    outside = make_tractogram([lines[0], lines[1] + np.float32(1000)])
    assert points_outside(outside.streamlines, space)
    save_tractogram(outside, tmp_path / "outside.trk")
    with caplog.at_level("INFO", logger="dipy_tractoencoder"):
        kept = load_tractogram(tmp_path / "outside.trk")
    assert "outside.trk: some points lie outside" in caplog.text
    assert len(kept) == 2
