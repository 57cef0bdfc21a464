"""Reports that commands write: with the command, protected, escaped."""

import shlex

from flow_data import assert_refused, call_command, files_below
from html_page import Page, assert_self_contained
import keras
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.report.model_checks import pca_kept


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae):
    """Folder of tractograms with names that are no good HTML, and a trained model."""
    folder = tmp_path_factory.mktemp("report")
    broken = [np.zeros((3, 3), dtype=np.float32)] * 4
    names = ("<img src=x onerror=alert(1)>.trk", "b & 'c'.trk", "UF.trk")
    for name, bundle in zip(names, bundles):
        save_tractogram(make_tractogram([*bundle, *broken]), folder / name)
    save_model(trained_vae, folder / "vae.keras")
    return folder


def test_training_command_writes_a_report(home, capsys, monkeypatch):
    arguments = [
        "<img src=x onerror=alert(1)>.trk",
        "b & 'c'.trk",
        "UF.trk",
        "--n_points",
        "16",
        "--latent_dim",
        "3",
        "--epochs",
        "2",
        "--out_dir",
        "out dir",
        "--out_report",
        "training.html",
    ]
    monkeypatch.chdir(home)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    result = call_command(capsys, "dipy_train_vae", *arguments)
    assert result.code == 0, result.err
    page = (home / "out dir" / "training.html").read_text(encoding="utf-8")
    parsed = assert_self_contained(page)
    assert len(parsed.all("img")) == 3
    command = shlex.join(["dipy_train_vae", *arguments])
    assert f"KERAS_BACKEND={keras.backend.backend()} {command}" in parsed.words
    assert "too_few_points 12 16.7" in parsed.words
    assert "many-rejects" in parsed.findings
    warned = [line for line in result.out.splitlines() if "WARNING" in line]
    assert any("12 of 72" in line for line in warned)
    assert "out dir/training.html" in result.out
    assert f"folder {home}" in parsed.words
    assert f"backend {keras.backend.backend()}" in parsed.words
    again = call_command(capsys, "dipy_train_vae", *arguments)
    assert_refused(again, "training.html", "--force")


@pytest.mark.slow
def test_no_epoch_is_warned_of(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    result = call_command(
        capsys,
        "dipy_train_vae",
        "UF.trk",
        "--n_points",
        "16",
        "--latent_dim",
        "2",
        "--epochs",
        "0",
        "--out_dir",
        "none",
    )
    assert result.code == 0, result.err
    page = Page((home / "none" / "report.html").read_text(encoding="utf-8"))
    assert "pca-kept" in page.findings
    found = pca_kept(0, 0, True).found
    assert found in page.words
    assert any("WARNING" in s and found in s for s in result.out.splitlines())


@pytest.mark.slow
def test_evaluation_command_writes_a_report(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    arguments = ("vae.keras", "UF.trk", "b & 'c'.trk", "--max_streamlines", "15")
    result = call_command(
        capsys, "dipy_evaluate_vae", *arguments, "--out_dir", "measured"
    )
    assert result.code == 0, result.err
    page = (home / "measured" / "evaluation.html").read_text(encoding="utf-8")
    parsed = assert_self_contained(page)
    assert shlex.join(["dipy_evaluate_vae", *arguments]) in parsed.words
    assert "UF.trk 24 4" in parsed.words and "b & 'c'.trk 24 4" in parsed.words
    assert "too_few_points 8 16.7" in parsed.words
    assert "16 streamlines" in parsed.words and "14 " in parsed.words
    assert "max_streamlines 15 2000" in parsed.words
    assert "few-per-bundle" in parsed.findings
    assert len(parsed.all("img")) == 4
    assert "measured/evaluation.html" in result.out


@pytest.mark.parametrize(
    ("name", "arguments", "report"),
    [
        ("dipy_train_vae", ("UF.trk",), "report.html"),
        ("dipy_evaluate_vae", ("vae.keras", "UF.trk"), "evaluation.html"),
    ],
)
def test_reports_are_protected(home, capsys, tmp_path, name, arguments, report):
    (tmp_path / report).write_text("precious")
    arguments = [*(home / argument for argument in arguments), "--out_dir", tmp_path]
    before = files_below(tmp_path)
    assert_refused(call_command(capsys, name, *arguments), report, "--force")
    odd = call_command(capsys, name, *arguments, "--out_report", "")
    assert_refused(odd, "--force" if odd.code == 0 else ".html")
    assert files_below(tmp_path) == before


@pytest.mark.slow
def test_report_of_a_flow_called_from_python(home, tmp_path):
    from dipy_tractoencoder.workflows.train import TrainVAEFlow

    flow = TrainVAEFlow()
    flow.run(
        [str(home / "UF.trk")],
        n_points=16,
        latent_dim=2,
        epochs=0,
        out_dir=str(tmp_path),
    )
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.all("button")  # There is no command to copy.
    assert flow.report.command is None
