"""Commands that work by the bundles that a model holds."""

import csv

from dipy.io.streamline import load_tractogram as dipy_load
from flow_data import assert_refused, call_command, call_command_in, files_below
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import load_model, model_atlas, save_tractogram

NAMES = ("AF", "CST", "UF")
TINY = ("--n_points", 32, "--latent_dim", 5, "--epochs", 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles):
    """Folder with files of bundles, a model that holds them, and one that does not."""
    home = tmp_path_factory.mktemp("kept")
    (home / "atlas").mkdir()
    for name, bundle in zip(NAMES, bundles):
        save_tractogram(make_tractogram(bundle), home / "atlas" / f"{name}.trk")
    rng = np.random.default_rng(5)
    mixed = [line + rng.normal(0, 1, 3) for bundle in bundles for line in bundle]
    mixed += [line + 25 for line in bundles[0]]
    save_tractogram(make_tractogram(mixed), home / "mixed.trk")
    for name, options in (("atlas.keras", ("--keep_bundles",)), ("plain.keras", ())):
        values = ("atlas", *TINY, *options, "--out_model", name, "--force")
        result = call_command_in(home, "dipy_train_vae", *values, "--align", "off")
        assert result.code == 0, result.err
        if options:
            (home / "log.txt").write_text(result.out)
            (home / "report.html").rename(home / "kept.html")
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    """Run a command in this process, with the home's files at hand."""
    monkeypatch.chdir(home)

    def call(name, *arguments, out="out"):
        return call_command(capsys, name, *arguments, "--out_dir", tmp_path / out)

    return call


def read(path, name):
    lines = dipy_load(str(path), "same", bbox_valid_check=False)
    return lines.data_per_streamline[name].ravel()


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_receivers_are_told_what_the_model_holds(home):
    says = "The model holds 60 latents of 3 bundles. Whoever has the file can decode"
    assert says in (home / "log.txt").read_text(encoding="utf-8")
    assert says in (home / "kept.html").read_text(encoding="utf-8")
    assert says not in (home / "report.html").read_text(encoding="utf-8")
    model = load_model(home / "atlas.keras")
    assert "holds 60 latents of 3 bundles" in repr(model)
    assert model_atlas(model).names == NAMES
    assert model_atlas(load_model(home / "plain.keras")) is None


def test_label_needs_no_files(call, tmp_path):
    options = ("--alpha", 0.1, "--one_file", "--align", "off")
    for out, files in (("files", ("--bundle_files", "atlas")), ("kept", ())):
        values = ("atlas.keras", "mixed.trk", *files, *options)
        result = call("dipy_label_vae", *values, out=out)
        assert result.code == 0, result.err
    assert "Bundles: 3, of 60 latents that the model holds" in result.out
    for name in ("vae_p", "vae_distance", "vae_vote_share", "vae_second"):
        found = [read(tmp_path / o / "labelled.trx", name) for o in ("files", "kept")]
        np.testing.assert_allclose(*found, rtol=1e-5, err_msg=name)
    one, other = (read_table(tmp_path / o / "labels.csv") for o in ("files", "kept"))
    assert [row["n_streamlines"] for row in one] == [
        row["n_streamlines"] for row in other
    ]


def test_label_by_some_of_the_bundles(call, tmp_path):
    values = ("atlas.keras", "mixed.trk", "--groups", "AF", "U*", "--align", "off")
    result = call("dipy_label_vae", *values)
    assert result.code == 0, result.err
    table = read_table(tmp_path / "out" / "labels.csv")
    assert [row["bundle"] for row in table] == ["AF", "UF", "unassigned"]
    assert not (tmp_path / "out" / "CST_labelled.trx").exists()
    values = ("atlas.keras", "mixed.trk", "--groups", "left")
    assert_refused(call("dipy_label_vae", *values, out="no"), "AF, CST, UF", "left")


def test_filter_needs_no_files(call, tmp_path):
    options = ("--alpha", 0.2, "--align", "off")
    for out, files in (("files", ("--plausible_files", "atlas")), ("kept", ())):
        values = ("atlas.keras", "mixed.trk", *files, *options)
        result = call("dipy_filter_vae", *values, out=out)
        assert result.code == 0, result.err
    for file in ("kept.trx", "removed.trx"):
        for name in ("vae_p", "vae_score"):
            found = [read(tmp_path / out / file, name) for out in ("files", "kept")]
            np.testing.assert_allclose(*found, rtol=1e-5)
    values = ("atlas.keras", "mixed.trk", "--score", "reconstruction")
    assert_refused(call("dipy_filter_vae", *values, out="no"), "needs streamlines")


def test_sample_needs_no_files(call, tmp_path):
    values = ("--n_streamlines", 8, "--groups", "A*", "UF", "--max_parts", 1)
    result = call("dipy_sample_vae", "atlas.keras", *values)
    assert result.code == 0, result.err
    table = read_table(tmp_path / "out" / "samples.csv")
    assert [(row["bundle"], row["n_real"]) for row in table] == [
        ("AF", "20"),
        ("UF", "20"),
    ]
    assert float(table[0]["nearest_mm"]) < 20
    assert not (tmp_path / "out" / "CST_new.trx").exists()
    values = ("atlas.keras", "--align", "rigid")
    assert_refused(call("dipy_sample_vae", *values, out="no"), "--transform")


def test_explore_the_model_itself(call, tmp_path):
    pytest.importorskip("plotly")
    result = call("dipy_explore_vae", "atlas.keras", "atlas.keras")
    assert result.code == 0, result.err
    assert "Shown: 60 of 60 streamlines of 3 bundles" in result.out
    for arguments, says in (
        (("atlas.keras", "plain.keras"), "only atlas.keras again"),
        (("atlas.keras", "atlas.keras", "mixed.trk"), "only atlas.keras again"),
        (("plain.keras", "plain.keras"), "dipy_train_vae --keep_bundles"),
    ):
        assert_refused(call("dipy_explore_vae", *arguments, out="no"), says)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("dipy_label_vae", "--bundle_files"),
        ("dipy_filter_vae", "--plausible_files"),
        ("dipy_sample_vae", "--bundle_files"),
    ],
)
def test_a_model_without_bundles_says_what_helps(call, tmp_path, command, option):
    inputs = () if "sample" in command else ("mixed.trk",)
    result = call(command, "plain.keras", *inputs)
    assert_refused(result, option, "plain.keras", "dipy_train_vae --keep_bundles")
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("atlas", "--per_bundle", 3), ["per_bundle"]),
        (("atlas", "lower/af.trk"), ["AF", "af", "upper and lower case"]),
        (("atlas", "lower/unassigned.trk"), ["called unassigned"]),
    ],
)
def test_train_refuses_bundles_before_the_work(call, home, bundles, arguments, says):
    (home / "lower").mkdir(exist_ok=True)
    for name in ("af", "unassigned"):
        path = home / "lower" / f"{name}.trk"
        save_tractogram(make_tractogram(bundles[0]), path, overwrite=True)
    result = call("dipy_train_vae", *arguments, *TINY, "--keep_bundles", out="no")
    assert_refused(result, *says)


def test_empty_bundles_stop_nothing(call, home, tmp_path):
    (home / "empty").mkdir(exist_ok=True)
    save_tractogram(make_tractogram([]), home / "empty" / "none.trk")
    known = ("--bundle_files", "atlas", "empty/none.trk")
    result = call("dipy_label_vae", "plain.keras", "mixed.trk", *known, out="label")
    assert result.code == 0, result.err
    assert "none (0)" in result.out
    assert read_table(tmp_path / "label" / "labels.csv")[3]["n_streamlines"] == "0"
    options = ("--n_streamlines", 5, "--max_parts", 1, "--align", "off")
    result = call("dipy_sample_vae", "plain.keras", *known, *options, out="sample")
    assert result.code == 0, result.err
    assert "none (0)" in result.out
    row = read_table(tmp_path / "sample" / "samples.csv")[-1]
    assert (row["bundle"], row["accepted"], row["n_real"]) == ("none", "0", "0")
    path = tmp_path / "sample" / "none_new.trx"
    assert len(dipy_load(str(path), "same", bbox_valid_check=False)) == 0
    files = ("atlas", "empty/none.trk", "--align", "off")
    result = call("dipy_evaluate_vae", "plain.keras", *files, out="evaluate")
    assert result.code == 0, result.err
    assert "No streamline of 1 bundles can be encoded: none" in result.out
    row = read_table(tmp_path / "evaluate" / "evaluation_bundles.csv")[-1]
    assert (row["bundle"], row["n_streamlines"]) == ("none", "0")
    result = call("dipy_label_vae", "plain.keras", "mixed.trk", *known[::2], out="no")
    assert_refused(result, "no streamline of none can be encoded")
