"""The demo on the bundles inside DIPY, shortened."""

import csv

from flow_data import assert_refused, call_command, call_command_in, files_below
from matplotlib.image import imread
import pytest
from slow import slow

from dipy_tractoencoder import load_latents, load_model
from dipy_tractoencoder.workflows.demo import BUNDLES, TEST_SUBJECT, TRAINING_SUBJECTS


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run it once, quickly; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    result = call_command_in(
        folder, "dipy_vae_demo", "--train.epochs", 3, "--train.latent_dim", 6
    )
    assert result.code == 0, result.err
    return folder / "tractoencoder_demo", result


def table(folder):
    with open(
        folder / "reconstruction" / "reconstruction.csv", encoding="utf-8", newline=""
    ) as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@slow
def test_everything_is_there(demo):
    folder, _ = demo
    names = {str(path) for path in files_below(folder)}
    subjects = (*TRAINING_SUBJECTS, TEST_SUBJECT)
    assert names == {
        *(f"data/{subject}/{name}.trk" for subject in subjects for name in BUNDLES),
        *(f"model/{name}" for name in ("vae.keras", "history.csv", "training.png")),
        *(f"latents/{name}_latents.h5" for name in BUNDLES),
        *(f"reconstruction/{name}_reconstructed.trx" for name in BUNDLES),
        *(f"reconstruction/{name}_reconstruction.png" for name in BUNDLES),
        "reconstruction/reconstruction.csv",
        "report.html",
    }


@slow
def test_pictures(demo):
    folder, _ = demo
    pictures = list(folder.rglob("*.png"))
    assert len(pictures) == 1 + len(BUNDLES)
    for path in pictures:
        assert imread(path).std() > 0.01, path


@slow
def test_fifth_subject_is_held_out_and_all_others_are_used(demo):
    folder, _ = demo
    model = load_model(folder / "model" / "vae.keras")
    assert model.latent_dim == 6
    assert model.record.settings["epochs"] == 3
    assert model.record.settings["refit"] is True
    assert model.record.data["n_read"] == 4 * 150
    assert model.record.data["n_validation"] == 150  # one subject
    assert len(model.record.data["files"]) == 4 * len(BUNDLES)
    for name in BUNDLES:
        latents = load_latents(folder / "latents" / f"{name}_latents.h5")
        assert latents.mean.shape == (50, 6)


@slow
def test_error_is_not_worse_than_pcas(demo):
    folder, _ = demo
    rows = table(folder)
    assert set(rows) == {f"{name}.trk" for name in BUNDLES}
    for row in rows.values():
        error, pca_error = float(row["error_mm"]), float(row["pca_error_mm"])
        assert 1 < pca_error < 15
        assert error < 1.1 * pca_error


@slow
def test_last_words_say_the_errors_and_where_everything_is(demo):
    folder, result = demo
    assert result.err == ""
    words = result.out[result.out.index(f"Error on {TEST_SUBJECT}") :]
    for name, row in table(folder).items():
        bundle = name.removesuffix(".trk")
        assert f"{bundle} {float(row['error_mm']):.2f} mm" in words
    places = ("model/training.png", "reconstruction", "model/vae.keras", "report.html")
    for path in places:
        assert f"tractoencoder_demo/{path}" in words
        assert (folder / path).exists()


@slow
def test_existing_folder_is_refused_before_any_work(demo, capsys):
    folder, _ = demo
    before = files_below(folder)
    result = call_command(capsys, "dipy_vae_demo", "--out_dir", folder)
    assert_refused(result, folder, "--force")
    assert files_below(folder) == before


def test_a_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert_refused(call_command(capsys, "dipy_vae_demo", "--out_dir", place), place)


def test_bad_option_leaves_nothing_and_can_be_mended(capsys, tmp_path):
    arguments = ("dipy_vae_demo", "--out_dir", tmp_path / "demo", "--train.latent_dim")
    for _ in range(2):  # The second time, nothing of the first is in the way.
        assert_refused(call_command(capsys, *arguments, 0), "latent_dim")
        assert not files_below(tmp_path)
