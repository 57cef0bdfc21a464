"""The commands that filter and label, from files to files."""

import csv

from dipy.io.streamline import load_tractogram as dipy_load
from flow_data import assert_refused, call_command, files_below
from made_data import make_bundle, make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, load as load_trx, save as save_trx

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.latent.latents_file import save_latents


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae, trained_ae):
    """Folder with models, an atlas of three bundles, and streamlines to judge."""
    home = tmp_path_factory.mktemp("uses")
    rng = np.random.default_rng(5)
    save_model(trained_vae, home / "vae.keras")
    save_model(trained_ae, home / "ae.keras")
    (home / "atlas").mkdir()
    names = ("AF", "CST", "UF")
    for name, bundle in zip(names, bundles):
        save_tractogram(make_tractogram(bundle), home / "atlas" / f"{name}.trk")
    everything = [line for bundle in bundles for line in bundle]
    others = [line for _ in range(4) for line in make_bundle(rng, 5)]
    mixed = [line + np.float32(0.2) for line in everything] + others
    mixed.append(mixed[0][:1])  # Cannot be encoded.
    tractogram = make_tractogram(mixed)
    plausible = (np.arange(81) < 60).astype(np.float32)
    tractogram.data_per_streamline["plausible"] = plausible[:, None]
    tractogram.data_per_streamline["weight"] = np.arange(81.0)[:, None]
    save_tractogram(tractogram, home / "mixed.trk")
    save_tractogram(tractogram, home / "plain.tck")
    trx = TrxFile.from_sft(tractogram)
    for code, name in enumerate(names):
        trx.groups[name] = np.arange(20 * code, 20 * code + 20, dtype=np.uint32)
    trx.groups["all"] = np.arange(81, dtype=np.uint32)
    save_trx(trx, str(home / "mixed.trx"))
    save_latents(encode(trained_vae, make_tractogram(everything)), home / "good.h5")
    plausible[3] = np.nan
    tractogram.data_per_streamline["plausible"] = plausible[:, None]
    save_tractogram(tractogram, home / "unlabelled.trk")
    one = make_tractogram(bundles[0][:4])
    save_tractogram(one, home / "four.trk")
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    """Run a command in this process, with the home's files at hand."""
    monkeypatch.chdir(home)

    def call(name, *arguments, out_dir=tmp_path / "out"):
        return call_command(capsys, name, *arguments, "--out_dir", out_dir)

    return call


@pytest.fixture
def refuses(call, home, tmp_path):
    """Run a command that has to fail, saying why and leaving nothing."""

    def refuses(name, *arguments, says=()):
        before = files_below(home), files_below(tmp_path)
        assert_refused(call(name, *arguments), *says)
        assert (files_below(home), files_below(tmp_path)) == before

    return refuses


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(path):
    return dipy_load(str(path), "same", bbox_valid_check=False)


PLAUSIBLE = ("--plausible_files", "atlas")
BUNDLES = ("--bundle_files", "atlas")


# Filter


@pytest.mark.parametrize("score", ["latent", "reconstruction", "likelihood"])
def test_filter_splits_and_annotates(call, tmp_path, score):
    result = call(
        "dipy_filter_vae",
        "vae.keras",
        "mixed.trk",
        *PLAUSIBLE,
        "--score",
        score,
        "--validation_file",
        "mixed.trk",
        "--threshold",
        "balanced",
        "--chunk_size",
        30,
    )
    assert result.code == 0, result.err
    out = tmp_path / "out"
    kept, removed = read(out / "kept.trx"), read(out / "removed.trx")
    assert len(kept) + len(removed) == 81
    (row,) = read_table(out / "filter.csv")
    assert (int(row["n_kept"]), int(row["n_removed"])) == (len(kept), len(removed))
    assert row["rejected_too_few_points"] == "1"
    scores = kept.data_per_streamline["vae_score"]
    assert scores.max() <= float(row["threshold"]) + 1e-3
    missing = np.isnan(removed.data_per_streamline["vae_score"]).ravel()
    assert missing.sum() == 1
    others = removed.data_per_streamline["vae_score"][~missing]
    assert others.min() > float(row["threshold"]) - 1e-3
    # The streamlines' own points and data.
    for line, weight in zip(kept.streamlines, kept.data_per_streamline["weight"]):
        source = read("mixed.trk").streamlines[int(weight[0])]
        np.testing.assert_allclose(line, source, atol=1e-4)
    if score == "latent":
        assert float(row["accuracy"]) > 0.95
    assert (out / "filter.png").stat().st_size > 10_000
    assert "Next:" in result.out


def test_filter_without_labels_decides_by_p(call, tmp_path):
    kept = {}
    for alpha in (0, 0.3):
        out = tmp_path / f"a{alpha}"
        values = ("--alpha", alpha, *PLAUSIBLE, "--out_removed", "rest.trk")
        result = call("dipy_filter_vae", "vae.keras", "mixed.trk", *values, out_dir=out)
        assert result.code == 0, result.err
        (row,) = read_table(out / "filter.csv")
        assert row["alpha"] == str(float(alpha)) and not row["threshold"]
        assert float(row["subject_factor"]) >= 1
        p = read(out / "kept.trx").data_per_streamline["vae_p"]
        assert (p > alpha).all()
        others = read(out / "rest.trk").data_per_streamline["vae_p"].ravel()
        assert not (others > alpha).any() and np.isnan(others).sum() == 1
        kept[alpha] = int(row["n_kept"])
    assert kept[0] == 80 > kept[0.3]


def test_files_of_the_reference_change_no_decision(call, home, tmp_path):
    """The filter once kept what was unlike all other files of the reference."""
    lines = [
        line
        for name in ("AF", "CST", "UF")
        for line in read(f"atlas/{name}.trk").streamlines
    ]
    save_tractogram(make_tractogram(lines), tmp_path / "whole.trk")
    save_tractogram(make_tractogram(lines[::-1] * 2), tmp_path / "doubled.trk")
    found = []
    for number, files in enumerate(("atlas", "whole.trk", "doubled.trk")):
        files = files if files == "atlas" else tmp_path / files
        out = tmp_path / str(number)
        values = ("--plausible_files", files, "--alpha", 0.2)
        result = call("dipy_filter_vae", "vae.keras", "mixed.trk", *values, out_dir=out)
        assert result.code == 0, result.err
        found.append(read(out / "kept.trx").data_per_streamline["weight"].ravel())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_subject_factor_can_be_given(call, tmp_path):
    kept = []
    for factor in (1, 3):
        values = (*PLAUSIBLE, "--alpha", 0.2, "--subject_factor", factor)
        out = tmp_path / str(factor)
        result = call("dipy_filter_vae", "vae.keras", "mixed.trk", *values, out_dir=out)
        assert result.code == 0, result.err
        (row,) = read_table(out / "filter.csv")
        assert float(row["subject_factor"]) == factor
        kept.append(int(row["n_kept"]))
    assert kept[0] < kept[1]


def test_filter_takes_latents_and_several_inputs(call, tmp_path):
    result = call(
        "dipy_filter_vae",
        "vae.keras",
        "mixed.trk",
        "plain.tck",
        "--reference",
        "mixed.trk",
        "--plausible_files",
        "good.h5",
        "--threshold",
        3,
        "--out_kept",
        "kept.trk",
    )
    assert result.code == 0, result.err
    first, second = (
        read(tmp_path / "out" / f"{name}_kept.trk") for name in ("mixed", "plain")
    )
    assert len(first) == len(second) > 0
    rows = read_table(tmp_path / "out" / "filter.csv")
    assert [row["file"] for row in rows] == ["mixed.trk", "plain.tck"]
    assert rows[0]["accuracy"] and not rows[1]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), ["--plausible_files"]),
        (("--plausible_files", "nowhere"), ["nowhere", "not found"]),
        ((*PLAUSIBLE, "--score", "magic"), ["score", "latent"]),
        ((*PLAUSIBLE, "--alpha", -0.1), ["alpha"]),
        ((*PLAUSIBLE, "--alpha", 1.5), ["alpha"]),
        ((*PLAUSIBLE, "--subject_factor", "x"), ["subject_factor", "auto"]),
        ((*PLAUSIBLE, "--subject_factor", 0), ["subject_factor"]),
        ((*PLAUSIBLE, "--threshold", "balanced"), ["--validation_file"]),
        ((*PLAUSIBLE, "--threshold", "x"), ["threshold", "balanced", "'x'"]),
        ((*PLAUSIBLE, "--validation_file", "atlas/AF.trk"), ["AF.trk", "--label_name"]),
        (
            (*PLAUSIBLE, "--validation_file", "unlabelled.trk"),
            ["unlabelled.trk", "streamline 3", "nan"],
        ),
        (("--plausible_files", "good.h5", "--score", "likelihood"), ["good.h5"]),
        (("--plausible_files", "mixed.trx", "--groups", "left"), ["AF", "left"]),
        ((*PLAUSIBLE, "--out_kept", "kept.txt"), ["kept.txt"]),
        ((*PLAUSIBLE, "--out_removed", "kept.trx"), ["same file"]),
    ],
)
def test_filter_refuses(refuses, arguments, says):
    refuses("dipy_filter_vae", "vae.keras", "mixed.trk", *arguments, says=says)


def test_filter_refuses_latents_of_another_model(refuses):
    refuses(
        "dipy_filter_vae",
        "ae.keras",
        "mixed.trk",
        "--plausible_files",
        "good.h5",
        says=["another model"],
    )


def test_an_autoencoder_has_no_likelihood(refuses):
    refuses(
        "dipy_filter_vae",
        "ae.keras",
        "mixed.trk",
        *PLAUSIBLE,
        "--score",
        "likelihood",
        says=["autoencoder", "reconstruction"],
    )


# Label


def test_label_writes_a_file_per_bundle(call, tmp_path):
    result = call("dipy_label_vae", "vae.keras", "mixed.trx", *BUNDLES)
    assert result.code == 0, result.err
    out = tmp_path / "out"
    for code, name in enumerate(("AF", "CST", "UF")):
        bundle = read(out / f"{name}_labelled.trx")
        numbers = bundle.data_per_streamline["weight"].ravel()
        assert set(range(20 * code, 20 * code + 20)) <= set(numbers)
        assert bundle.data_per_streamline["vae_vote_share"].min() > 0.5
    rest = read(out / "unassigned_labelled.trx")
    assert 80 in rest.data_per_streamline["weight"]
    assert np.isnan(rest.data_per_streamline["vae_vote_share"]).sum() == 1
    table = read_table(out / "labels.csv")
    assert [row["bundle"] for row in table] == ["AF", "CST", "UF", "unassigned"]
    assert sum(int(row["n_streamlines"]) for row in table) == 81
    confusion = read_table(out / "confusion.csv")
    assert [row["true"] for row in confusion] == ["AF", "CST", "UF", "unassigned"]
    assert [confusion[k][n] for k, n in enumerate(("AF", "CST", "UF"))] == ["20"] * 3
    assert int(confusion[3]["unassigned"]) >= 15
    assert "accuracy 1.0000" in result.out


def test_label_writes_groups(call, tmp_path):
    result = call(
        "dipy_label_vae",
        "vae.keras",
        "mixed.trx",
        *BUNDLES,
        "--one_file",
        "--chunk_size",
        25,
    )
    assert result.code == 0, result.err
    trx = load_trx(str(tmp_path / "out" / "labelled.trx"))
    assert len(trx.streamlines) == 81
    groups = {name: len(members) for name, members in trx.groups.items()}
    assert groups["all"] == 81
    found = sum(groups.get(name, 0) for name in ("AF", "CST", "UF", "unassigned"))
    assert found == 81
    trx.close()


def test_label_knows_bundles_by_groups_and_by_file(call, tmp_path):
    result = call(
        "dipy_label_vae",
        "vae.keras",
        "atlas/AF.trk",
        "--assign_all",
        "--bundle_files",
        "mixed.trx",
        "--groups",
        "AF",
        "CST",
        "UF",
        "--n_neighbors",
        3,
        "--out_tractogram",
        "found.trk",
    )
    assert result.code == 0, result.err
    assert len(read(tmp_path / "out" / "AF_found.trk")) == 20
    assert len(read(tmp_path / "out" / "UF_found.trk")) == 0
    (row,) = read_table(tmp_path / "out" / "confusion.csv")
    assert row == {"true": "AF", "AF": "20", "CST": "0", "UF": "0", "unassigned": "0"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), ["--bundle_files"]),
        (("--bundle_files", "mixed.trx"), ["mixed.trx", "AF", "all", "--groups"]),
        ((*BUNDLES, "--n_neighbors", 0), ["n_neighbors"]),
        ((*BUNDLES, "--one_file", "--out_tractogram", "x.trk"), ["x.trk", "groups"]),
        ((*BUNDLES, "--alpha", -1), ["alpha"]),
        ((*BUNDLES, "--subject_factor", -1), ["subject_factor"]),
    ],
)
def test_label_refuses(refuses, arguments, says):
    refuses("dipy_label_vae", "vae.keras", "mixed.trk", *arguments, says=says)


def test_small_bundles_are_used_with_a_warning(call, tmp_path):
    result = call(
        "dipy_label_vae", "vae.keras", "mixed.trk", "--bundle_files", "four.trk"
    )
    assert result.code == 0, result.err
    assert "four (4)" in result.out
    assert "Give more streamlines, or a larger" in result.out


def test_labelled_files_say_how_sure_they_are(call, tmp_path):
    result = call("dipy_label_vae", "vae.keras", "mixed.trx", *BUNDLES, "--one_file")
    assert result.code == 0, result.err
    assert "About 5 in 100" in result.out
    assert "missing from it" in result.out
    data = read(tmp_path / "out" / "labelled.trx").data_per_streamline
    p, second = data["vae_p"].ravel(), data["vae_second"].ravel()
    assert np.isnan(p).sum() == 1 and np.nanmin(p) > 0 and np.nanmax(p) <= 1
    table = read_table(tmp_path / "out" / "labels.csv")
    numbers = {int(row["number"]) for row in table}
    assert set(second) <= numbers | {0}
    labelled = p > 0.05
    assert labelled.sum() == sum(int(row["n_streamlines"]) for row in table[:-1])


def test_label_refuses_to_overwrite_any_bundle(call, home, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "UF_labelled.trx").write_text("mine")
    result = call("dipy_label_vae", "vae.keras", "mixed.trk", *BUNDLES)
    assert_refused(result, "UF_labelled.trx", "--force")
    assert [path.name for path in out.iterdir()] == ["UF_labelled.trx"]
