import os
import subprocess
import sys
import time

import numpy as np
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import (
    EmptyDataError,
    FingerprintError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    TractoencoderError,
    TrainingDivergedError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.filtering import filter_file
from dipy_tractoencoder.segment.labelling import label_file
from dipy_tractoencoder.segment.plausibility_scores import fit_latent_scorer
from dipy_tractoencoder.utils.atomic_files import check_writable, whole_file


@pytest.mark.parametrize(
    "error, builtin",
    [
        (InvalidArgumentError, ValueError),
        (InputFileError, OSError),
        (OutputFileError, OSError),
        (EmptyDataError, ValueError),
        (FingerprintError, ValueError),
        (TrainingDivergedError, ArithmeticError),
    ],
)
def test_errors_are_ours_and_the_builtin_ones(error, builtin):
    assert issubclass(error, TractoencoderError)
    assert issubclass(error, builtin)


def test_check_choice():
    check_choice("loss", "mse", ("likelihood", "mse"))
    with pytest.raises(InvalidArgumentError, match="`loss`.*likelihood, mse.*'l1'"):
        check_choice("loss", "l1", ("likelihood", "mse"))


@pytest.mark.parametrize(
    "value, limits",
    [
        (0, {"low": 0}),
        (1, {"high": 1}),
        (1e-9, {"above": 0}),
        (3.0, {"integer": True}),
        (np.int64(3), {"integer": True, "low": 3, "high": 3}),
        (np.float32(0.5), {"above": 0}),
        (-1.5, {}),
    ],
)
def test_check_number_lets_through(value, limits):
    check_number("x", value, **limits)


@pytest.mark.parametrize(
    "value, limits",
    [
        (-1, {"low": 0}),
        (1.1, {"high": 1}),
        (0, {"above": 0}),
        (2.5, {"integer": True}),
        (np.nan, {}),
        (np.inf, {}),
        (-np.inf, {}),
        (np.inf, {"integer": True}),
        (True, {}),
        (None, {}),
        ("1", {}),
        ([1], {}),
    ],
)
def test_check_number_refuses(value, limits):
    with pytest.raises(InvalidArgumentError, match="`x`"):
        check_number("x", value, **limits)


def test_whole_file_appears_with_its_folder_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as partial:
        assert partial.suffix == ".txt"
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_whole_file_keeps_the_older_file_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_file_says_which_file_cannot_be_written(tmp_path):
    with pytest.raises(OutputFileError, match="a.txt.*disk is full"):
        with whole_file(tmp_path / "a.txt"):
            raise OSError("the disk is full")


def test_whole_file_in_a_file_as_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="a.txt"):
        with whole_file(tmp_path / "file" / "a.txt") as partial:
            partial.write_text("never")


@pytest.mark.parametrize("length", [240, 251, 300])
def test_names_too_long_to_be_written_are_found_before(tmp_path, length):
    path = tmp_path / f"{'n' * (length - 4)}.txt"
    with pytest.raises(OutputFileError, match="name is too long"):
        check_writable(path)
    assert list(tmp_path.iterdir()) == []
    name = "n" * 150
    check_writable(tmp_path / name)
    with whole_file(tmp_path / name) as partial:
        partial.write_text("")


def test_check_writable(tmp_path):
    check_writable(tmp_path / "new" / "a.txt")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(OutputFileError, match="folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="file"):
        check_writable(tmp_path / "file" / "a.txt")


# Kills, and two at once

WRITE = """
import os, sys, time
from dipy_tractoencoder.utils.atomic_files import whole_file
with whole_file(sys.argv[1]) as partial:
    partial.write_text(sys.argv[2] * 100)
    print("ready", flush=True)
    sys.stdin.read()
"""


def start_writing(path, text):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def make_older(folder, seconds=1000):
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_killed_process_leaves_the_older_file_and_the_next_cleans_up(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    process = start_writing(path, "x")
    process.kill()
    process.wait()
    assert path.read_text(encoding="utf-8") == "older"
    (stray,) = (found for found in tmp_path.iterdir() if found != path)
    with whole_file(path) as partial:  # It may be of a process not to be seen.
        partial.write_text("new")
    assert stray.exists()
    make_older(tmp_path)
    others = [tmp_path / name for name in (".1.partial.a.txt", "b.txt", stray.name[1:])]
    for other in others:
        other.write_text("of others")
    with whole_file(path) as partial:
        partial.write_text("newer")
    assert path.read_text(encoding="utf-8") == "newer"
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_two_processes_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    first, second = (start_writing(path, text) for text in "xy")
    make_older(tmp_path)
    with whole_file(path) as partial:  # Nor take each other's for strays.
        partial.write_text("between")
    assert path.read_text(encoding="utf-8") == "between"
    for process, text in ((second, "y"), (first, "x")):
        process.communicate()
        assert process.returncode == 0
        assert path.read_text(encoding="utf-8") == text * 100
    assert list(tmp_path.iterdir()) == [path]


def test_two_in_one_process_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as outer, whole_file(path) as inner:
        assert outer != inner
        outer.write_text("outer")
        inner.write_text("inner")
    assert path.read_text(encoding="utf-8") == "outer"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("sync"))
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda *paths: (done.append("move"), replace(*paths))
    )
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
    assert done == ["sync", "move", "sync"]


# What a user saves in Python


def save_filtered(model, tractogram, path, **options):
    scorer = fit_latent_scorer(model, encode(model, tractogram).mean)
    removed = path.with_name("removed.trk")
    filter_file(scorer, path.parent / "in.trk", 1.0, path, removed, **options)


def save_labelled(model, tractogram, path, **options):
    codes = np.arange(len(tractogram)) // 20
    names = ["AF", "CST", "UF"]
    neighbors = fit_latent_classifier(encode(model, tractogram).mean, codes, names)
    outputs = {name: path.with_name(f"{name}.trk") for name in (*names, "unassigned")}
    outputs = {**outputs, "CST": path}
    label_file(model, path.parent / "in.trk", neighbors, outputs, **options)


def save_density(model, tractogram, path, **options):
    bundle = dte.fit_bundle_density(model, tractogram, "prior", name="AF")
    dte.save_densities([bundle], path, "f" * 64, **options)


SAVERS = {
    "a.trk": lambda model, *arguments, **o: dte.save_tractogram(*arguments, **o),
    "a.h5": lambda model, tractogram, *path, **options: dte.save_latents(
        encode(model, tractogram), *path, **options
    ),
    "a.keras": lambda model, tractogram, *path, **options: dte.save_model(
        model, *path, **options
    ),
    "densities.h5": save_density,
    "kept.trk": save_filtered,
    "found.trk": save_labelled,
    "explorer.html": lambda model, tractogram, *path, **options: dte.explore(
        model, {"AF": tractogram}, *path, **options
    ),
}


@pytest.mark.parametrize("name", SAVERS)
def test_an_existing_file_is_replaced_only_if_told(
    trained_vae, tractogram, tmp_path, name
):
    if name == "explorer.html":
        pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    dte.save_tractogram(tractogram, tmp_path / "in.trk")
    path = tmp_path / name
    path.write_bytes(b"older")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputFileError, match=f"{name} exists.*overwrite=True"):
        SAVERS[name](trained_vae, tractogram, path)
    assert path.read_bytes() == b"older"
    assert sorted(tmp_path.iterdir()) == before
    SAVERS[name](trained_vae, tractogram, path, overwrite=True)
    assert path.stat().st_size > 1000
