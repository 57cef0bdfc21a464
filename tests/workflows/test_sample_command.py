"""dipy_sample_vae, from bundles to new streamlines, and what it says of bad input."""

import csv

from dipy.io.streamline import load_tractogram as dipy_load
from flow_data import assert_refused, call_command, files_below, save_reference
from made_data import AFFINE, DIMENSIONS, make_tractogram
import nibabel as nib
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, load as load_trx, save as save_trx

from dipy_tractoencoder import save_latents, save_model, save_tractogram
from dipy_tractoencoder.generation.sampling import (
    fit_bundle_density,
    sample_streamlines,
)
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_files import bundle_arrays

NAME = "dipy_sample_vae"
NAMES = ("AF", "CST", "UF")
ATLAS = ("--bundle_files", "atlas")


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae, trained_ae):
    """Folder with models, an atlas of three bundles, masks, and bad files."""
    home = tmp_path_factory.mktemp("sampling")
    save_model(trained_vae, home / "vae.keras")
    save_model(trained_ae, home / "ae.keras")
    (home / "atlas").mkdir()
    for name, bundle in zip(NAMES, bundles):
        save_tractogram(make_tractogram(bundle), home / "atlas" / f"{name}.trk")
    everything = make_tractogram([line for bundle in bundles for line in bundle])
    trx = TrxFile.from_sft(everything)
    for code, name in enumerate(NAMES):
        trx.groups[name] = np.arange(20 * code, 20 * code + 20, dtype=np.uint32)
    save_trx(trx, str(home / "atlas.trx"))
    save_tractogram(make_tractogram(bundles[0]), home / "AF.tck")
    save_tractogram(make_tractogram(bundles[0][:4]), home / "few.trk")
    save_latents(encode(trained_vae, everything), home / "latents.h5")
    save_reference(home / "b0.nii.gz")  # Zero everywhere.
    for name, affine, shape in (
        ("wide", np.diag([-5.0, 5, 5, 1]), (60, 60, 60)),
        ("elsewhere", np.eye(4), (9, 9, 9)),
    ):
        affine = affine.copy()
        affine[:3, 3] = [150, -150, -150] if name == "wide" else 500
        image = nib.Nifti1Image(np.ones(shape, np.uint8), affine)
        nib.save(image, home / f"{name}.nii.gz")
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    """Run the command in this process, with the home's files at hand."""
    monkeypatch.chdir(home)

    def call(*arguments, model="vae.keras", out_dir=tmp_path / "out"):
        return call_command(capsys, NAME, model, *arguments, "--out_dir", out_dir)

    return call


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(path):
    return dipy_load(str(path), "same", bbox_valid_check=False)


def test_a_tractogram_per_bundle(call, home, tmp_path, trained_vae):
    result = call(*ATLAS, "--n_streamlines", 30, "--seed", 4, "--mask", "wide.nii.gz")
    assert result.code == 0, result.err
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"{name}_new.trx" for name in NAMES),
        "densities.h5",
        "samples.csv",
        "samples.png",
    ]
    real, _ = bundle_arrays(trained_vae, [home / "atlas"])
    for name, row in zip(NAMES, read_table(out / "samples.csv"), strict=True):
        new = read(out / f"{name}_new.trx")
        np.testing.assert_allclose(new.affine, AFFINE)
        assert tuple(new.dimensions) == DIMENSIONS
        bundle = fit_bundle_density(trained_vae, real[name], name=name)
        expected = sample_streamlines(trained_vae, bundle, 30, seed=4)
        np.testing.assert_allclose(
            np.array(new.streamlines), expected.points, atol=1e-3
        )
        assert np.isfinite(new.data_per_streamline["vae_log_density"]).all()
        assert (row["bundle"], row["accepted"]) == (name, "30")
        rejected = [int(row[key]) for key in row if key.startswith("rejected_")]
        assert int(row["tried"]) == 30 + sum(rejected) == expected.n_tried
        assert 0.4 < float(row["nearest_mm"]) / float(row["real_nearest_mm"]) < 1.6
    assert (out / "samples.png").stat().st_size > 10_000
    assert "Next:" in result.out and "densities.h5" in result.out


def test_densities_are_used_again(call, tmp_path):
    wanted = ("--n_streamlines", 12, "--seed", 2)
    first = call("--bundle_files", "atlas.trx", "--density", "kernel", *wanted)
    assert first.code == 0, first.err
    again = call(
        "--density_file",
        tmp_path / "out" / "densities.h5",
        *wanted,
        "--groups",
        "A*",
        "U*",
        "--out_tractogram",
        "more.trk",
        out_dir=tmp_path / "again",
    )
    assert again.code == 0, again.err
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "AF_more.trk",
        "UF_more.trk",
        "samples.csv",
        "samples.png",
    ]
    for name in ("AF", "UF"):
        before = read(tmp_path / "out" / f"{name}_new.trx")
        after = read(tmp_path / "again" / f"{name}_more.trk")
        np.testing.assert_allclose(
            before.streamlines.get_data(), after.streamlines.get_data(), atol=1e-3
        )
    assert {r["n_parts"] for r in read_table(tmp_path / "again/samples.csv")} == {"20"}


def test_one_file_has_a_group_per_bundle(call, tmp_path):
    result = call(
        "--bundle_files",
        "atlas/AF.trk",
        "atlas/UF.trk",
        "--one_file",
        "--n_streamlines",
        7,
        "--density",
        "mixture",
    )
    assert result.code == 0, result.err
    trx = load_trx(str(tmp_path / "out" / "new.trx"))
    groups = {name: np.asarray(rows).tolist() for name, rows in trx.groups.items()}
    assert groups == {"AF": list(range(7)), "UF": list(range(7, 14))}
    assert len(trx.streamlines) == 14
    trx.close()


def test_too_few_are_written_with_a_warning(call, tmp_path):
    wanted = ("--n_streamlines", 500, "--max_tries", 100)
    result = call("--bundle_files", "AF.tck", "--reference", "b0.nii.gz", *wanted)
    assert result.code == 0, result.err
    assert "WARNING" in result.out and "--max_tries" in result.out
    (row,) = read_table(tmp_path / "out" / "samples.csv")
    assert len(read(tmp_path / "out" / "AF_new.trx")) == int(row["accepted"]) < 500


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), ["--bundle_files", "--density_file"]),
        ((*ATLAS, "--density_file", "latents.h5"), ["either"]),
        (("--bundle_files", "nowhere"), ["nowhere", "not found"]),
        (("--bundle_files", "AF.tck"), ["AF.tck", "--reference"]),
        (("--bundle_files", "latents.h5"), ["latents.h5", "--density_file"]),
        (("--density_file", "latents.h5"), ["latents.h5", "no densities"]),
        (("--density_file", "nowhere.h5"), ["nowhere.h5", "not found"]),
        (("--bundle_files", "few.trk"), ["few", "5 streamlines", "4"]),
        ((*ATLAS, "--density", "magic"), ["density", "kernel"]),
        ((*ATLAS, "--n_streamlines", 0), ["n_streamlines"]),
        ((*ATLAS, "--max_parts", 0), ["max_parts"]),
        ((*ATLAS, "--max_tries", 0), ["max_tries"]),
        ((*ATLAS, "--min_inside", 2), ["min_inside"]),
        ((*ATLAS, "--seed", -1), ["seed"]),
        ((*ATLAS, "--mask", "nowhere.nii.gz"), ["nowhere.nii.gz", "not found"]),
        ((*ATLAS, "--mask", "b0.nii.gz"), ["b0.nii.gz", "above 0"]),
        ((*ATLAS, "--mask", "elsewhere.nii.gz"), ["AF", "inside", "500"]),
        ((*ATLAS, "--density", "prior", "--max_tries", 3), ["None of 3", "rejected"]),
        ((*ATLAS, "--one_file", "--out_tractogram", "new.trk"), ["groups", "trx"]),
        ((*ATLAS, "--out_tractogram", "new.txt"), ["new.txt"]),
        ((*ATLAS, "--out_densities", "new.txt"), ["new.txt"]),
        ((*ATLAS, "--out_figure", "new.txt"), ["new.txt"]),
    ],
)
def test_refusals_leave_nothing(call, home, tmp_path, arguments, says):
    before = files_below(home), files_below(tmp_path)
    assert_refused(call(*arguments), *says)
    assert (files_below(home), files_below(tmp_path)) == before


def test_densities_of_another_model_are_refused(call, tmp_path):
    assert call(*ATLAS, "--n_streamlines", 3).code == 0
    densities = tmp_path / "out" / "densities.h5"
    result = call(
        "--density_file", densities, model="ae.keras", out_dir=tmp_path / "other"
    )
    assert_refused(result, "another model", "--bundle_files")
    # An earlier run's outputs are not replaced unasked.
    before = files_below(tmp_path)
    assert_refused(call(*ATLAS), "exists", "--force")
    assert files_below(tmp_path) == before


def test_a_wished_length(call, tmp_path, home):
    lengths = [
        np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
        for line in read(home / "atlas" / "AF.trk").streamlines
    ]
    low, high = np.quantile(lengths, [0.2, 0.8]).round(1)
    wanted = ("--bundle_files", "atlas/AF.trk", "--length", low, high)
    result = call(*wanted, "--n_streamlines", 20)
    assert result.code == 0, result.err
    new = read(tmp_path / "out" / "AF_new.trx")
    steps = [np.diff(line, axis=0) for line in new.streamlines]
    made = np.array([np.linalg.norm(step, axis=1).sum() for step in steps])
    assert ((made > low - 0.1) & (made < high + 0.1)).all()
    np.testing.assert_array_equal(new.data_per_streamline["vae_sampled"], 1)


def test_streamlines_like_given_ones(call, tmp_path, home):
    result = call("--bundle_files", "atlas/AF.trk", "--like", "few.trk")
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "AF_new.trx").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (("--length", 900, 950), "0 streamlines have a length within 10 %"),
        (("--length", 50), "two numbers of mm"),
        (("--length", 50, "x"), "two numbers of mm"),
        (("--length", 50, 60, "--density", "mixture"), "needs a local density"),
        (("--like", "few.trk", "--density", "prior"), "needs a local density"),
        (("--like", "missing.trk"), "missing.trk"),
    ],
)
def test_wishes_that_cannot_be_met(call, tmp_path, options, message):
    result = call(*ATLAS, *options)
    assert result.code != 0
    assert message in " ".join((result.err + result.out).split())
    assert files_below(tmp_path / "out") == files_below(tmp_path / "nowhere")
