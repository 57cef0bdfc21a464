"""All quality figures of a model, and the command that measures them."""

import csv
import re

from flow_data import assert_refused, call_command, files_below
from html_page import Page
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow_but

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.evaluation.encoded_bundles import (
    encode_side,
    encode_side_by_pca,
)
from dipy_tractoencoder.evaluation.evaluate import (
    bundle_rows,
    draw_new,
    evaluate_model,
)
from dipy_tractoencoder.latent.reconstruction import reconstruct
from dipy_tractoencoder.nn.likelihood import kl_per_dimension
from dipy_tractoencoder.nn.provenance import TrainingRecord, source_digest
from dipy_tractoencoder.report.data_checks import MEASURED, trained_on
from dipy_tractoencoder.streamlines.metrics import point_distance
from dipy_tractoencoder.viz.evaluation import evaluation_figure, kl_figure


@pytest.fixture(scope="module")
def sides(bundles, trained_vae):
    """Two halves of three bundles, as arrays."""
    halves = []
    for rows in (slice(0, 10), slice(10, 20)):
        halves.append(
            {
                name: trained_vae.preprocessing.array(bundle[rows]).points
                for name, bundle in zip("ABC", bundles)
            }
        )
    return halves


def test_figures_agree_with_those_of_a_reconstruction(trained_vae, bundles, sides):
    result = evaluate_model(trained_vae, sides[1], train=sides[0])
    lines = [line for bundle in bundles for line in bundle[10:]]
    errors = reconstruct(trained_vae, lines).errors()
    model, pca = result.rows
    assert (model["latents"], pca["latents"]) == ("model", "PCA")
    assert model["error_mm"] == pytest.approx(errors["error_mm"], rel=1e-5)
    assert pca["error_mm"] == pytest.approx(errors["pca_error_mm"], rel=1e-4)
    assert model["mdf_mm"] == pytest.approx(errors["mdf_mm"], rel=1e-5)
    assert model["n_streamlines"] == model["n_known"] == 30
    assert model["held_out_mdf_mm"] == pca["held_out_mdf_mm"] > 0
    assert model["accuracy"] == 1
    assert model["kl_nats"] == pytest.approx(sum(model["kl_per_dimension"]), rel=1e-5)
    rows = [row for row in result.bundles if row["latents"] == "model"]
    squares = [row["n_streamlines"] * row["error_mm"] ** 2 for row in rows]
    assert np.sqrt(sum(squares) / 30) == pytest.approx(model["error_mm"], rel=1e-5)


@pytest.mark.slow
def test_maps_are_in_the_unit_of_the_latents(
    trained_convolutional_vae, trained_vae, sides
):
    for model, unit in ((trained_vae, "mm"), (trained_convolutional_vae, "no unit")):
        figure = evaluation_figure(evaluate_model(model, sides[1], train=sides[0]))
        for axis in figure.axes[2:4]:
            assert axis.get_xlabel() == f"principal component 1 ({unit})"
            assert axis.get_ylabel() == f"principal component 2 ({unit})"


def test_dimensions_are_counted_as_in_arrays():
    axis = kl_figure([3.0, 2.0, 4.0]).axes[0]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in axis.patches]
    assert centres == pytest.approx([0, 1, 2])
    assert "z[k]" in axis.get_xlabel()


def test_halves_are_taken_without_training_streamlines(trained_vae, sides):
    first, second = (evaluate_model(trained_vae, sides[0], seed=3) for _ in range(2))
    assert first.rows[0]["known"] == "half of the input"
    assert first.rows[0]["n_streamlines"] == first.rows[0]["n_known"] == 15
    assert first.rows == second.rows


def test_an_autoencoder_and_one_bundle_are_measured_too(trained_ae, bundles):
    points = trained_ae.preprocessing.array(bundles[0]).points
    (model, pca) = evaluate_model(trained_ae, {"A": points}).rows
    assert not {"kl_nats", "accuracy", "mantel_r"} & set(model)
    assert np.isfinite([model["spearman"], pca["spearman"]]).all()


def test_pca_latents_are_in_mm_and_decode(trained_vae, sides):
    points = sides[0]["A"]
    side = encode_side_by_pca(trained_vae, points, np.zeros(10, dtype=int))
    np.testing.assert_array_equal(
        trained_vae.pca_baseline().decode(side.latent), side.reconstructed
    )
    # Distances of latents are those of the reconstructions' points, in mm.
    first, second = side.latent[:5], side.latent[5:]
    expected = point_distance(side.reconstructed[:5], side.reconstructed[5:])
    np.testing.assert_allclose(
        np.linalg.norm(first - second, axis=1), expected, rtol=1e-3
    )


def test_kl_is_that_of_the_posterior(trained_vae, sides):
    side = encode_side(trained_vae, sides[0]["A"], np.zeros(10, dtype=int))
    unit = trained_vae.latent_unit.astype(float)
    std = np.exp(side.log_var / 2)
    # Of two Gaussians, written down for the prior's spread.
    expected = np.log(unit / std) + (std**2 + side.latent**2) / (2 * unit**2) - 0.5
    np.testing.assert_allclose(kl_per_dimension(trained_vae, side), expected, atol=1e-4)


def test_empty_bundles_have_no_row(trained_vae, sides):
    side = encode_side(trained_vae, sides[0]["A"], np.zeros(10, dtype=int))
    assert [row["bundle"] for row in bundle_rows(side, ["A", "B"])] == ["A"]


def test_too_few_streamlines_are_refused(trained_vae, sides):
    with pytest.raises(EmptyDataError, match="Received: 1 .* 2 "):
        evaluate_model(trained_vae, {"A": sides[0]["A"][:3]})


# The command


@pytest.fixture
def home(tmp_path, monkeypatch, bundles, trained_vae):
    """Folder with a model, and bundles to learn from and to measure on."""
    save_model(trained_vae, tmp_path / "vae.keras")
    for side, rows in (("train", slice(0, 10)), ("test", slice(10, 20))):
        (tmp_path / side).mkdir()
        for name, bundle in zip(("AF", "CST", "UF"), bundles):
            path = tmp_path / side / f"{name}.trk"
            save_tractogram(make_tractogram(bundle[rows]), path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("first", "seen"), slow_but([(0, True), (10, False)], 0))
def test_measuring_on_what_was_trained_on_is_warned_of(
    home, capsys, bundles, first, seen
):
    (home / "again").mkdir()
    for name, bundle in zip(("AF", "CST", "UF"), bundles):
        turned = [line[::-1] for line in bundle[first:20]]
        save_tractogram(make_tractogram(turned), home / "again" / f"{name}.trx")
    result = call_command(
        capsys,
        "dipy_evaluate_vae",
        "vae.keras",
        "again/*.trx",
        "--training_files",
        "train",
        "--out_dir",
        "out",
    )
    assert result.code == 0, result.err
    assert ("again/AF.trx, again/CST.trx, again/UF.trx" in result.out) == seen
    page = Page((home / "out/evaluation.html").read_text(encoding="utf-8"))
    assert ("trained-on" in page.findings) == seen
    assert {"data-check": "trained-on"} in page.all("tr")


def test_digest_is_of_the_first_streamlines_in_either_direction(sides):
    points = sides[0]["A"]
    digest = source_digest(points)
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert source_digest(points[:, ::-1] + np.float32(1e-4)) == digest
    assert source_digest(points[1:]) != digest
    many = np.concatenate([points] * 10)
    assert source_digest(many) == source_digest(many[:60])


def test_what_validates_only_was_not_trained_on(sides):
    digest = source_digest(sides[0]["A"])
    files = [{"file": "a.trk", "use": MEASURED, "digest": digest}]
    for refit, n_training, warns in ((False, 0, 0), (True, 0, 1), (False, 9, 1)):
        record = TrainingRecord(
            settings={"refit": refit},
            data={"tractograms": [{"digest": digest, "n_training": n_training}]},
        )
        check = trained_on(record, files)
        assert bool(check and check.found) == warns
    other = [{**files[0], "use": "Learned from"}]
    assert not trained_on(record, other).found
    assert trained_on(TrainingRecord(), files) is None


def test_command_writes_tables_and_picture(home, capsys):
    result = call_command(
        capsys,
        "dipy_evaluate_vae",
        "vae.keras",
        "test/*.trk",
        "--training_files",
        "train",
        "--out_dir",
        "out",
        "--max_streamlines",
        8,
    )
    assert result.code == 0, result.err
    with open(home / "out" / "evaluation.csv", encoding="utf-8", newline="") as file:
        model, pca = csv.DictReader(file)
    assert model["n_streamlines"] == model["n_known"] == "24"
    assert pca["latents"] == "PCA"
    with open(
        home / "out" / "evaluation_bundles.csv", encoding="utf-8", newline=""
    ) as file:
        bundles = list(csv.DictReader(file))
    assert [row["bundle"] for row in bundles] == ["AF", "CST", "UF"] * 2
    assert (home / "out" / "evaluation.png").stat().st_size > 10_000
    assert "Next:" in result.out
    # One name, one number: in the terminal, the report and the file.
    heads, shown = (
        re.split(r"\s{2,}", line.removeprefix("INFO: "))
        for line in result.out.splitlines()
        if re.match("(INFO: )?(latents|model) ", line)
    )
    page = (home / "out" / "evaluation.html").read_text(encoding="utf-8")
    for name, key in (
        ("length R2", "length_r2"),
        ("length R2, quadratic", "length_r2_squares"),
    ):
        assert dict(zip(heads, shown))[name] == f"{float(model[key]):.3f}"
        assert f"<td>{name}: regression on " in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--projection", "umap"), ["projection", "tsne"]),
        (("--max_streamlines", 2), ["max_streamlines"]),
        (("--training_files", "nowhere"), ["nowhere", "not found"]),
        (("--training_files", "vae.keras"), ["vae.keras", "the model first"]),
        (("--training_files", "test"), ["AF.trk", "training file"]),
        (("--out_figure", "x.txt"), ["x.txt"]),
        (("--out_report", "x.txt"), ["x.txt", ".html"]),
    ],
)
def test_command_refuses(home, capsys, arguments, says):
    before = files_below(home)
    result = call_command(
        capsys, "dipy_evaluate_vae", "vae.keras", "test/AF.trk", *arguments
    )
    assert_refused(result, *says)
    assert files_below(home) == before


def test_new_latents_are_drawn_from_a_full_mixture():
    from sklearn.mixture import GaussianMixture

    latent = np.random.default_rng(0).normal(size=(95, 3)).astype(np.float32)
    mixture = GaussianMixture(3, reg_covar=1e-4, random_state=4).fit(
        latent.astype(float)
    )
    expected = mixture.sample(20)[0]
    np.testing.assert_allclose(draw_new(latent, 20, seed=4), expected, atol=1e-5)
