"""Doubtful results: warnings, errors with --strict, and calibration by files."""

import csv

from flow_data import assert_refused, call_command, files_below, run_command
from made_data import make_bundle, make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, save as save_trx

from dipy_tractoencoder import save_model, save_tractogram

NAMES = ("AF", "CST", "UF")
BUNDLES = ("--bundle_files", "atlas")
PLAUSIBLE = ("--plausible_files", "atlas")


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae):
    """Folder with a model, its three bundles, and streamlines that are not of them."""
    home = tmp_path_factory.mktemp("doubts")
    save_model(trained_vae, home / "vae.keras")
    (home / "atlas").mkdir()
    for name, bundle in zip(NAMES, bundles):
        save_tractogram(make_tractogram(bundle), home / "atlas" / f"{name}.trk")
    rng = np.random.default_rng(3)
    own = [line + np.float32(0.2) for bundle in bundles for line in bundle]
    others = [line for _ in range(6) for line in make_bundle(rng, 5)]
    save_tractogram(make_tractogram(own), home / "own.trk")
    save_tractogram(make_tractogram(others), home / "others.trk")
    mixed = TrxFile.from_sft(make_tractogram(own + others))
    for code, name in enumerate(NAMES):
        rows = np.arange(20 * code, 20 * code + 20, dtype=np.uint32)
        mixed.groups[name] = rows
    save_trx(mixed, str(home / "known.trx"))
    labelled = make_tractogram(own + others)
    plausible = np.arange(len(own + others)) < len(own)
    labelled.data_per_streamline["plausible"] = plausible[:, None].astype(np.float32)
    save_tractogram(labelled, home / "labelled.trk")
    far = [np.float32(40) * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1]])] * 12
    bent = [line - 60 + np.float32(n) for n, line in enumerate(far)]
    save_tractogram(make_tractogram(bent), home / "far.trk")
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)

    def call(name, *arguments):
        arguments = (*arguments, "--out_dir", tmp_path / "out")
        return call_command(capsys, name, "vae.keras", *arguments)

    return call


def warnings(result):
    return [line for line in result.out.splitlines() if line.startswith("WARNING")]


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dipy_encode_vae", ()),
        ("dipy_reconstruct_vae", ()),
        ("dipy_label_vae", BUNDLES),
        ("dipy_filter_vae", PLAUSIBLE),
    ],
)
def test_strict_refuses_what_is_warned_of(call, home, tmp_path, name, options):
    """Streamlines far from what the model knows, with all commands that encode."""
    off = ("--align", "off", *options)
    result = call(name, "far.trk", *off)
    assert result.code == 0, result.err
    (warning,) = (w for w in warnings(result) if "training data" in w)
    assert "far.trk" in warning and "Check them" in warning
    for table in (tmp_path / "out").glob("*.csv"):
        assert all("far from" in row["doubts"] for row in read_table(table))
    before = files_below(tmp_path)
    result = call(name, "far.trk", *off, "--strict", "--force")
    assert_refused(result, "far.trk", "training data", "--strict")
    assert files_below(tmp_path) == before


def test_nothing_doubtful_is_no_error(call, tmp_path):
    for name, options in (("dipy_encode_vae", ()), ("dipy_label_vae", BUNDLES)):
        result = call(name, "own.trk", "--align", "off", *options, "--strict")
        assert result.code == 0, result.err
        assert not warnings(result)
    assert not any(row["doubts"] for row in read_table(tmp_path / "out" / "labels.csv"))


def test_strict_goes_on_with_files_that_are_not_doubtful(call, tmp_path):
    result = call("dipy_encode_vae", "own.trk", "far.trk", "--align", "off", "--strict")
    assert_refused(result, "1 of 2 files", "far.trk")
    assert "training data" in result.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["own_latents.h5"]


def test_strict_by_the_real_command_line(home, tmp_path):
    arguments = ("far.trk", "--align", "off", "--strict", "--out_dir", tmp_path)
    result = run_command("dipy_encode_vae", home / "vae.keras", *arguments, cwd=home)
    assert result.code == 2
    assert "ERROR: far.trk" in result.err and "Traceback" not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dipy_evaluate_vae", ("far.trk",)),
        ("dipy_sample_vae", ("--bundle_files", "far.trk")),
    ],
)
def test_commands_that_pool_files_refuse_all_of_it(call, tmp_path, name, options):
    result = call(name, *options, "--align", "off", "--strict")
    assert_refused(result, "far.trk", "--strict")
    assert not list(tmp_path.rglob("*.*"))


def test_many_files_are_named_once(call, home, tmp_path):
    for number in range(5):
        data = (home / "far.trk").read_bytes()
        (tmp_path / f"far{number}.trk").write_bytes(data)
    files = sorted(tmp_path.glob("far*.trk"))
    result = call("dipy_encode_vae", *files, "--align", "off")
    assert result.code == 0, result.err
    full = [line for line in warnings(result) if "Check them" in line]
    assert len(full) == 3
    assert warnings(result)[-1].startswith("WARNING: 5 of 5 files: far from")


def test_hardly_anything_labelled_is_doubted_before_it_is_written(call, tmp_path):
    """The model knows these streamlines, and the atlas has another bundle."""
    factor = ("--subject_factor", 1, "--alpha", 0.3, "--align", "off")
    options = ("atlas/UF.trk", "--bundle_files", "atlas/AF.trk", *factor)
    result = call("dipy_label_vae", *options)
    assert result.code == 0, result.err
    own, rest = read_table(tmp_path / "out" / "labels.csv")
    assert (own["n_streamlines"], rest["n_streamlines"]) == ("0", "20")
    assert own["doubts"] == "hardly any belong"
    before = files_below(tmp_path)
    result = call("dipy_label_vae", *options, "--strict", "--force")
    assert_refused(result, "UF.trk", "only 0 %", "--align")
    assert files_below(tmp_path) == before


def test_label_is_calibrated_by_groups_and_by_files(call, home):
    options = ("own.trk", *BUNDLES, "--align", "off", "--validation_file")
    result = call("dipy_label_vae", *options, "known.trx")
    assert result.code == 0, result.err
    assert "Calibrated by 60 streamlines of 1 subjects, and 30 that" in result.out
    files = ("atlas/AF.trk", "atlas/UF.trk")
    result = call("dipy_label_vae", *options, *files, "--force")
    assert result.code == 0, result.err
    assert "Calibrated by 40 streamlines of 1 subjects, and 0 that" in result.out
    result = call("dipy_label_vae", *options, "others.trk", "--force")
    assert_refused(result, "others.trk", "neither its groups")


def test_filter_is_calibrated_and_a_threshold_is_chosen_if_asked(call, tmp_path):
    options = ("own.trk", *PLAUSIBLE, "--align", "off")
    validation = ("--validation_file", "labelled.trk")
    rows = []
    for more in ((), validation, (*validation, "--threshold", "balanced")):
        result = call("dipy_filter_vae", *options, *more, "--force")
        assert result.code == 0, result.err
        rows += read_table(tmp_path / "out" / "filter.csv")
    plain, calibrated, balanced = rows
    assert not plain["threshold"] and not calibrated["threshold"]
    assert float(calibrated["alpha"]) == 0.05
    assert float(balanced["threshold"]) > 0 and not balanced["alpha"]
    assert balanced["subject_factor"] == calibrated["subject_factor"]
