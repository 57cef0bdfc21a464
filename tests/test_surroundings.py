"""The user's machine: locale, names that are not UTF-8, optimised Python, forks."""

import os
import shutil
import sys

from flow_data import COMMANDS, ROOT, call_command, flow_class, run_command, run_python
from made_data import make_tractogram
import pytest

from dipy_tractoencoder import (
    encode,
    fit_bundle_density,
    load_densities,
    load_latents,
    save_densities,
    save_latents,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.latent.codec import decode
from dipy_tractoencoder.workflows.base import docstring_in_source

MODEL = ROOT / "tests" / "data" / "vae_v1.keras"
ODD = os.fsdecode(b"AF\xff")
PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="names are UTF-8 by force elsewhere"
)


# Python without docstrings


@pytest.mark.parametrize("name", COMMANDS)
def test_docstrings_are_found_in_the_source(name):
    run = flow_class(name).run
    found = docstring_in_source(run)
    assert "Parameters" in found
    # DIPY may have removed the parameters of a combined flow.
    known = " ".join(run.__doc__.split())
    assert known and " ".join(found.split()).startswith(known)


@pytest.mark.parametrize("name", ["dipy_decode_vae", "dipy_vae_demo"])
def test_help_of_optimised_python(name):
    usual = run_command(name, "--help", PYTHONOPTIMIZE="0")
    assert usual.code == 0 and "--out_dir" in usual.out
    assert run_command(name, "--help", PYTHONOPTIMIZE="2") == usual


def test_dipy_that_needs_docstrings_is_named(tmp_path, trained_vae, bundles):
    """DIPY 1.12 cannot import its registration without docstrings."""
    save_model(trained_vae, tmp_path / "vae.keras")
    save_tractogram(make_tractogram(bundles[0]), tmp_path / "a.trk")
    values = (tmp_path / "vae.keras", tmp_path / "a.trk", "--out_dir", tmp_path / "o")
    result = run_command("dipy_encode_vae", *values, PYTHONOPTIMIZE="2")
    assert result.code in (0, 2), result.err
    if result.code:
        assert "PYTHONOPTIMIZE" in result.err and "bug" not in result.err


# Names


@on_linux
def test_names_that_are_not_utf8(bundles, trained_vae, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(trained_vae, f"{ODD}.keras")
    save_tractogram(make_tractogram(bundles[0]), f"{ODD}.trk")
    values = [f"{ODD}.keras", f"{ODD}.trk", "--log_file", f"{ODD}.txt"]
    values += ["--out_dir", ODD, "--save_tractogram"]
    result = call_command(capsys, "dipy_encode_vae", *values)
    assert result.code == 0, result
    assert r"AF\udcff.trk" in result.out
    assert r"AF\udcff.trk" in (tmp_path / f"{ODD}.txt").read_text("utf-8")
    assert load_latents(tmp_path / ODD / "latents.h5").tractogram.endswith(f"{ODD}.trk")
    values = [f"{ODD}.keras", "--bundle_files", f"{ODD}.trk", "--n_streamlines", 3]
    result = call_command(capsys, "dipy_sample_vae", *values, "--out_dir", "drawn")
    assert result.code == 0, result
    (bundle,) = load_densities("drawn/densities.h5", trained_vae)
    assert bundle.name == ODD
    shutil.rmtree(tmp_path / ODD)


@on_linux
def test_a_page_of_names_that_are_not_utf8(
    bundles, trained_vae, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    monkeypatch.chdir(tmp_path)
    save_model(trained_vae, f"{ODD}.keras")
    save_tractogram(make_tractogram(bundles[0]), f"{ODD}.trk")
    values = [f"{ODD}.keras", f"{ODD}.trk", "--out_dir", "page"]
    result = call_command(capsys, "dipy_explore_vae", *values)
    assert result.code == 0, result


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "=1", "$x$", ODD])
def test_any_name_is_stored_with_latents_and_densities(
    name, trained_vae, lines, tmp_path
):
    latents = encode(trained_vae, lines, tractogram=name)
    save_latents(latents, tmp_path / "a.h5")
    points = decode(trained_vae, latents)
    density = fit_bundle_density(trained_vae, points, name=name)
    save_densities([density], tmp_path / "b.h5", latents.fingerprint)
    shown = {"a\0b": r"a\x00b", "\ud800": r"\ud800"}.get(name, name)
    assert load_latents(tmp_path / "a.h5").tractogram == shown
    assert load_densities(tmp_path / "b.h5")[0].name == shown


@on_linux
def test_names_that_the_locale_cannot_hold(tmp_path):
    code = """
import os
from pathlib import Path
from dipy_tractoencoder.io.names import stored_names
stored = stored_names(["CST_\\xe9", "AF", "\\udcff"], "file", "out")
for name in stored.values():
    Path(name).write_text("")
"""
    result = run_python("-c", code, cwd=tmp_path, **PLAIN_C)
    assert result.code == 0, result.err
    found = sorted(map(os.fsencode, os.listdir(tmp_path)))
    assert found == [b"AF", b"CST_%C3%A9", b"\xff"]


@on_linux
def test_messages_that_the_locale_cannot_show(tmp_path):
    result = run_command(
        "dipy_decode_vae",
        "Üb.keras",
        "x.h5",
        cwd=tmp_path,
        PYTHONIOENCODING="ascii",
        **PLAIN_C,
    )
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("ERROR: ") and line.isascii() and "b.keras" in line
    usage = run_command("dipy_decode_vae", "-h", PYTHONIOENCODING="ascii", **PLAIN_C)
    assert usage.code == 0 and "--out_dir" in usage.out


# Forks

FORK = """
import multiprocessing
import os
import sys

import numpy as np

import dipy_tractoencoder as dte

LINES = [np.linspace([0, 0, 0], [60, 20, k], 40, dtype="f4") for k in range(4)]
model = None


def use(way):
    try:
        if way == "load":
            dte.load_model(sys.argv[1])
        elif way == "call":
            model(np.zeros((2, model.preprocessing.n_points, 3), "f4"))
        elif way == "train":
            dte.train(LINES, n_points=32, latent_dim=2, epochs=1)
        else:
            return dte.encode(model or dte.load_model(sys.argv[1]), LINES).mean.shape
    except dte.TractoencoderError as err:
        return f"{type(err).__name__}: {err}"


def forked(way):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply_async(use, (way,)).get(60)


if __name__ == "__main__":
    print(forked("first"))
    model = dte.load_model(sys.argv[1])
    for way in ("encode", "load", "call", "train"):
        print(forked(way))
    print(use("encode"))
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="no forks")
def test_forked_processes_work_or_say_why_not(tmp_path):
    (tmp_path / "fork.py").write_text(FORK)
    result = run_python(tmp_path / "fork.py", MODEL)
    assert result.code == 0, result
    lines = result.out.splitlines()
    first, *refused, last = lines
    assert first.startswith("(4, ") and last == first
    assert len(refused) == 4
    for line in refused:
        if os.environ.get("KERAS_BACKEND") == "torch" and "spawn" not in line:
            continue
        assert line.startswith("ForkedProcessError: ") and "spawn" in line
