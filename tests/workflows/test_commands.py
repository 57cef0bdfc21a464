"""The installed commands, from files to files, and what they say about bad input."""

import csv
import shutil

from dipy.tracking.streamline import set_number_of_points
from flow_data import (
    assert_refused,
    call_command,
    call_command_in,
    files_below,
    run_command,
    save_reference,
)
import h5py
from made_data import AFFINE, DIMENSIONS, make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import (
    decode,
    encode,
    load_latents,
    load_model,
    load_tractogram,
    reconstruct,
    save_latents,
    save_model,
    save_tractogram,
    train,
)

LOADER = "dipy_tractoencoder.nn.applied_file.load_dense_model"
TRAINING = ("--n_points", 32, "--latent_dim", 5, "--epochs", 2, "--batch_size", 16)
# Without validation the weights of the last epoch are kept, not the untrained ones.
TRAINING += ("--validation_fraction", 0, "--seed", 3)


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles):
    """Folder with tractograms, good and bad, and a model trained by the command."""
    home = tmp_path_factory.mktemp("home of it")
    for subject, bundle in zip(("sub 1", "sub 2"), bundles):
        (home / subject).mkdir()
        save_tractogram(make_tractogram(bundle), home / subject / "AF.trk")
    good = make_tractogram(bundles[0])
    for name in ("good.trk", "good.tck", "good.trx", "good.dpy"):
        save_tractogram(good, home / name)
    mixed = list(bundles[0])
    mixed[2] = mixed[2] * np.float32(np.nan)
    mixed[5] = mixed[5][:1]
    mixed[7] = np.repeat(mixed[7][:1], 4, axis=0)
    save_tractogram(make_tractogram(mixed), home / "mixed.trk")
    bad = [line * np.float32(np.nan) for line in bundles[0]]
    save_tractogram(make_tractogram(bad), home / "bad.trk")
    save_tractogram(good[:0], home / "empty.trk")
    (home / "cut.trk").write_bytes((home / "good.trk").read_bytes()[:2000])
    (home / "notes.txt").write_text("buy milk")
    (home / "fake.keras").write_text("buy milk")
    save_reference(home / "b0.nii.gz")
    result = call_command_in(
        home, "dipy_train_vae", "sub 1/AF.trk", "sub 2/AF.trk", *TRAINING,
        "--out_dir", "m",
    )  # fmt: skip
    assert result.code == 0, result.err
    (home / "train.log").write_text(result.out)
    model = (home / "m" / "vae.keras").read_bytes()
    (home / "cut.keras").write_bytes(model[: len(model) // 2])
    return home


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """Empty folder to work in, with the home beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").symlink_to(home)
    return tmp_path


@pytest.fixture
def call(capsys):
    """Run a command in this process."""

    def call(name, *arguments):
        return call_command(capsys, name, *arguments)

    return call


@pytest.fixture
def refuses(call, here, home):
    """Run a command that has to fail, saying why and leaving nothing."""

    def refuses(name, *arguments, says=(), out_dir="out"):
        before = files_below(here), files_below(home)
        result = call(name, *arguments, "--out_dir", out_dir)
        assert_refused(result, *says)
        assert (files_below(here), files_below(home)) == before
        return result

    return refuses


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names_below(folder):
    return sorted(str(path) for path in files_below(folder))


# The main job


def test_training_writes_model_history_and_figure(home):
    names = ["history.csv", "report.html", "training.png", "vae.keras"]
    assert names_below(home / "m") == names
    rows = read_table(home / "m" / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    model = load_model(home / "m" / "vae.keras")
    history = model.record.history
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert {"error_mm", "kl_nats", "kl_weight", "learning_rate"} <= set(rows[0])
    assert model.record.data["files"] == ["AF.trk", "AF.trk"]
    assert model.record.data["n_training"] == 40
    text = (home / "train.log").read_text(encoding="utf-8")
    assert "Training on 40 streamlines, 0 held out" in text
    for path in ("m/vae.keras", "m/history.csv", "m/training.png", "m/report.html"):
        assert path in text
    assert "dipy_encode_vae m/vae.keras" in text


def test_command_and_library_agree_for_the_same_seed(home):
    paths = [home / subject / "AF.trk" for subject in ("sub 1", "sub 2")]
    options = dict(zip(TRAINING[::2], TRAINING[1::2]))
    options = {name.removeprefix("--"): value for name, value in options.items()}
    model = train([load_tractogram(path) for path in paths], **options)
    trained = load_model(home / "m" / "vae.keras")
    tractogram = load_tractogram(paths[0])
    first, second = (encode(m, tractogram) for m in (model, trained))
    scale = np.abs(second.mean).max()
    np.testing.assert_allclose(first.mean, second.mean, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(first.log_var, second.log_var, rtol=1e-3, atol=1e-3)
    other = train([load_tractogram(path) for path in paths], **{**options, "seed": 4})
    changed = np.abs(encode(other, tractogram).mean - second.mean).max()
    assert changed > 1e-3 * scale


@pytest.fixture(scope="module")
def chain(home, tmp_path_factory):
    """Encode, decode and reconstruct two tractograms of equal names."""
    out = tmp_path_factory.mktemp("chain")
    files = (home / "sub 1" / "AF.trk", home / "sub 2" / "AF.trk")
    model = home / "m" / "vae.keras"
    latents = [out / "e" / f"sub {number}_AF_latents.h5" for number in (1, 2)]
    results = [
        call_command_in(out, "dipy_encode_vae", model, *files, "--save_tractogram",
                        "--out_dir", "e"),
        call_command_in(out, "dipy_decode_vae", model, *latents, "--out_dir", "d",
                        "--out_tractogram", "x.trk"),
        call_command_in(out, "dipy_reconstruct_vae", model, *files, "--out_dir", "r"),
    ]  # fmt: skip
    for result in results:
        assert result.code == 0, result.err
    return out, [result.out for result in results]


def test_encode_writes_latents_and_annotated_tractograms(home, chain):
    out, (text, *_) = chain
    assert names_below(out / "e") == [
        f"sub {number}_AF_{name}"
        for number in (1, 2)
        for name in ("encoded.trx", "latents.h5")
    ]
    model = load_model(home / "m" / "vae.keras")
    for number in (1, 2):
        tractogram = load_tractogram(home / f"sub {number}" / "AF.trk")
        expected = encode(model, tractogram)
        found = load_latents(out / "e" / f"sub {number}_AF_latents.h5")
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.log_var, expected.log_var, rtol=1e-5)
        np.testing.assert_array_equal(found.index, np.arange(20))
        assert found.fingerprint == expected.fingerprint
        assert found.tractogram == "AF.trk"
        copy = load_tractogram(out / "e" / f"sub {number}_AF_encoded.trx")
        carried = np.asarray(copy.data_per_streamline["latent"])
        np.testing.assert_array_equal(carried, found.mean)
        np.testing.assert_allclose(copy.streamlines[4], tractogram.streamlines[4])
        assert f"Encoded 20 of 20 streamlines of {home}/sub {number}/AF.trk" in text


def test_encoding_does_not_depend_on_the_order_of_files(home, call, tmp_path):
    """Whatever stands before a file in the same call."""
    paths = [home / f"sub {number}" / "AF.trk" for number in (1, 2)]
    for out, order in (("there", paths), ("back", paths[::-1])):
        result = call(
            "dipy_encode_vae",
            home / "m" / "vae.keras",
            *order,
            "--out_dir",
            tmp_path / out,
        )
        assert result.code == 0, result.err
    for number in (1, 2):
        there, back = (
            load_latents(tmp_path / out / f"sub {number}_AF_latents.h5")
            for out in ("there", "back")
        )
        np.testing.assert_array_equal(there.mean, back.mean)
        np.testing.assert_array_equal(there.log_var, back.log_var)
        np.testing.assert_array_equal(there.index, back.index)


def test_decode_goes_back_to_the_original_space(home, chain):
    out, _ = chain
    names = [f"sub {number}_AF_latents_x.trk" for number in (1, 2)]
    assert names_below(out / "d") == names
    model = load_model(home / "m" / "vae.keras")
    for number, name in zip((1, 2), names):
        original = load_tractogram(home / f"sub {number}" / "AF.trk")
        decoded = load_tractogram(out / "d" / name)
        np.testing.assert_allclose(decoded.affine, AFFINE)
        assert tuple(decoded.dimensions) == DIMENSIONS
        assert decoded.voxel_order == original.voxel_order
        assert len(decoded) == len(original)
        latents = load_latents(out / "e" / f"sub {number}_AF_latents.h5")
        np.testing.assert_allclose(
            np.array(decoded.streamlines), decode(model, latents), atol=1e-3
        )
        # Same direction as the input, whose streamlines run either way.
        assert 0 < latents.is_reversed.sum() < 20
        for line, made in zip(original.streamlines, decoded.streamlines):
            near = np.linalg.norm(line[[0, -1]] - made[[0, -1]], axis=1).max()
            far = np.linalg.norm(line[[0, -1]] - made[[-1, 0]], axis=1).min()
            assert near < far


def test_reconstruct_writes_errors_as_the_library_measures_them(home, chain):
    out, (_, _, text) = chain
    assert names_below(out / "r") == [
        "reconstruction.csv",
        *(
            f"sub {number}_AF_{name}"
            for number in (1, 2)
            for name in ("reconstructed.trx", "reconstruction.png")
        ),
    ]
    rows = read_table(out / "r" / "reconstruction.csv")
    files = [home / f"sub {number}" / "AF.trk" for number in (1, 2)]
    assert [row["file"] for row in rows] == [str(path) for path in files]
    model = load_model(home / "m" / "vae.keras")
    for number, row in enumerate(rows, start=1):
        result = reconstruct(model, load_tractogram(row.pop("file")))
        row.pop("doubts")
        expected = result.errors(seed=0)
        assert set(row) == set(expected)
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-4, abs=1e-4), name
        assert f"{expected['error_mm']:.3f}" in text
        made = load_tractogram(out / "r" / f"sub {number}_AF_reconstructed.trx")
        made = np.array(made.streamlines)
        np.testing.assert_allclose(made, result.points, atol=1e-3)
        # By hand, from the files alone.
        original = load_tractogram(files[number - 1]).streamlines
        step = np.array(set_number_of_points(original, nb_points=32)) - made
        error = np.sqrt(np.square(step, dtype=float).sum(axis=2).mean())
        assert float(row["error_mm"]) == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("name", ["good.tck", "good.trx", "good.dpy"])
def test_all_formats_encode_alike(home, here, call, name):
    for path in ("good.trk", name):
        result = call(
            "dipy_encode_vae", home / "m" / "vae.keras", home / path,
            "--reference", home / "b0.nii.gz", "--out_latents", f"{path}.h5",
        )  # fmt: skip
        assert result.code == 0, result.err
    first, second = (load_latents(f"{path}.h5") for path in ("good.trk", name))
    np.testing.assert_allclose(first.mean, second.mean, atol=1e-3)
    np.testing.assert_array_equal(first.is_reversed, second.is_reversed)


def test_streamlines_that_cannot_be_encoded_are_counted(home, here, call):
    result = call(
        "dipy_encode_vae", home / "m" / "vae.keras", home / "mixed.trk",
        "--save_tractogram",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "Encoded 17 of 20" in result.out
    assert "1 non_finite, 2 too_few_points" in result.out
    latents = load_latents("latents.h5")
    assert sorted({*range(20)} - {*latents.index.tolist()}) == [2, 5, 7]
    carried = load_tractogram("encoded.trx").data_per_streamline["latent"]
    assert np.flatnonzero(np.isnan(carried).any(axis=1)).tolist() == [2, 5, 7]
    result = call("dipy_reconstruct_vae", home / "m" / "vae.keras", home / "mixed.trk")
    assert result.code == 0, result.err
    (row,) = read_table("reconstruction.csv")
    counts = ("n_streamlines", "n_reconstructed", "rejected_non_finite")
    assert [row[name] for name in counts] == ["20", "17", "1"]
    assert row["rejected_too_few_points"] == "2"
    assert np.isfinite(float(row["error_mm"]))


def test_training_counts_them_too_and_saves_ae(home, here, call):
    result = call(
        "dipy_train_vae", home / "mixed.trk", home / "good.trk", "--model", "ae",
        "--n_points", 8, "--latent_dim", 3, "--epochs", 1, "--validation_by", "file",
        "--validation_fraction", 0.5, "--max_length", 1000,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "3 of 40 read were rejected, 1 non_finite, 2 too_few_points" in result.out
    record = load_model("vae.keras").record
    assert record.settings["model"] == "ae"
    assert record.settings["max_length"] == 1000
    assert sorted(record.data[k] for k in ("n_training", "n_validation")) == [17, 20]
    call("dipy_encode_vae", "vae.keras", home / "good.trk")
    with h5py.File("latents.h5") as file:
        assert "log_var" not in file


# Outputs


def test_inputs_of_equal_names_never_share_an_output(home, here, call):
    for folder in ("a/x", "b/x", "b/y"):
        (here / folder).mkdir(parents=True)
        shutil.copy(home / "good.trk", here / folder / "AF.trk")
    shutil.copy(home / "good.trx", here / "a/x/AF.trx")
    inputs = ["a/x/AF.trk", "b/x/AF.trk", "b/y/AF.trk", "a/x/AF.trx"]
    for number, options in enumerate(([], ["--mix_names"], ["--out_strat", "append"])):
        before = set(files_below(here))
        result = call(
            "dipy_encode_vae", home / "m" / "vae.keras", *inputs, *options,
            "--out_latents", f"latents{number}.h5", "--out_dir", here / "out",
        )  # fmt: skip
        assert result.code == 0, result.err
        new = set(files_below(here)) - before
        assert len(new) == len(inputs)
        for path in inputs:
            line = next(line for line in result.out.splitlines() if f" {path}:" in line)
            assert sum(str(name) in line for name in new) == 1


def test_wildcards_and_folders_expand(home, here, call):
    for number in (1, 2):
        (here / f"s{number}").mkdir()
        shutil.copy(home / f"sub {number}" / "AF.trk", here / f"s{number}")
    model = home / "m" / "vae.keras"
    assert call("dipy_encode_vae", model, "s?/*.trk", "--out_dir", "o").code == 0
    assert names_below(here / "o") == ["s1_AF_latents.h5", "s2_AF_latents.h5"]
    assert call("dipy_encode_vae", model, "s1", "--out_dir", "p").code == 0
    assert names_below(here / "p") == ["latents.h5"]


def test_existing_outputs_stop_the_command_before_any_work(home, here, call):
    model, tractogram = home / "m" / "vae.keras", home / "good.trk"
    broken = home / "cut.keras"  # Reading it would be an error of its own.
    for name, inputs, outputs in (
        ("dipy_train_vae", [home / "cut.trk"], ["training.png", "report.html"]),
        ("dipy_encode_vae", [broken, tractogram], ["latents.h5"]),
        ("dipy_decode_vae", [broken, model], ["decoded.trx"]),
        ("dipy_reconstruct_vae", [broken, tractogram], ["reconstruction.csv"]),
    ):
        for output in outputs:
            (here / output).write_text("precious")
        before = files_below(here)
        result = call(name, *inputs)
        assert_refused(result, *outputs, "--force", "--out_dir")
        assert files_below(here) == before


def test_one_existing_output_of_many_stops_all(home, here, call):
    (here / "sub 2_AF_latents.h5").write_text("precious")
    before = files_below(here)
    files = [home / "sub 1" / "AF.trk", home / "sub 2" / "AF.trk"]
    assert_refused(
        call("dipy_encode_vae", home / "m" / "vae.keras", *files), "sub 2_AF_latents.h5"
    )
    assert files_below(here) == before


def test_output_that_is_not_asked_for_does_not_stop_it(home, here, call):
    (here / "encoded.trx").write_text("precious")
    assert (
        call("dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk").code == 0
    )
    assert (here / "encoded.trx").read_text(encoding="utf-8") == "precious"


def test_force_replaces(home, here, call):
    (here / "latents.h5").write_text("old")
    model = home / "m" / "vae.keras"
    assert call("dipy_encode_vae", model, home / "good.trk", "--force").code == 0
    assert len(load_latents("latents.h5")) == 20
    assert names_below(here) == ["latents.h5"]


def test_force_that_fails_leaves_the_old_file(home, here, call):
    (here / "latents.h5").write_text("old")
    before = files_below(here)
    result = call(
        "dipy_encode_vae", home / "m" / "vae.keras", home / "bad.trk", "--force"
    )
    assert_refused(result, "bad.trk")
    assert files_below(here) == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_input_is_never_replaced(home, here, call, force):
    shutil.copy(home / "good.trk", here / "AF.trk")
    before = files_below(here)
    result = call(
        "dipy_encode_vae", home / "m" / "vae.keras", "AF.trk", "--save_tractogram",
        "--out_tractogram", "AF.trk", *force,
    )  # fmt: skip
    assert_refused(result, "AF.trk", "input")
    assert files_below(here) == before


def test_two_outputs_never_share_a_file(home, here, refuses):
    refuses(
        "dipy_train_vae", home / "good.trk", *TRAINING,
        "--out_model", "x.keras", "--out_history", "x.keras", says=["x.keras"],
    )  # fmt: skip
    refuses(
        "dipy_reconstruct_vae", home / "m" / "vae.keras", home / "good.trk",
        "--out_table", "x.png", "--out_figure", "x.png", says=["x.png"],
    )  # fmt: skip


# Logging


def test_debug_shows_the_traceback_and_info_does_not(home, here, call):
    arguments = ("dipy_train_vae", home / "good.trk", "--latent_dim", 0)
    assert_refused(call(*arguments), "latent_dim")
    assert_refused(call(*arguments, "--log_level", "info"), "latent_dim")
    result = call(*arguments, "--log_level", "DEBUG")
    assert result.code == 2
    assert "Traceback" in result.err and "InvalidArgumentError" in result.err
    assert result.err.strip().splitlines()[-1].startswith("ERROR: ")


def test_log_level_chooses_what_is_shown(home, here, call):
    arguments = ("dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk")
    assert "INFO: Encoded" in call(*arguments).out
    result = call(*arguments, "--force", "--log_level", "ERROR")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_log_file_gets_messages_and_errors(home, here, call):
    arguments = ("dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk")
    arguments += ("--log_file", "logs/a.log")
    assert call(*arguments).code == 0
    assert "Encoded 20 of 20" in (here / "logs" / "a.log").read_text(encoding="utf-8")
    assert call(*arguments).code == 2
    assert "ERROR: Output exists: latents.h5" in (here / "logs/a.log").read_text(
        encoding="utf-8"
    )


def test_bad_log_options(home, refuses):
    arguments = ("dipy_train_vae", home / "good.trk")
    refuses(*arguments, "--log_level", "loud", says=["log_level", "DEBUG", "loud"])
    log_file = home / "notes.txt" / "a.log"
    refuses(*arguments, "--log_file", log_file, says=[log_file])


# Bad input


@pytest.mark.parametrize(
    "name",
    ["dipy_train_vae", "dipy_encode_vae", "dipy_decode_vae", "dipy_reconstruct_vae"],
)
def test_missing_file(home, refuses, name):
    model = [] if name == "dipy_train_vae" else [home / "m" / "vae.keras"]
    refuses(name, *model, home / "no.trk", says=[home / "no.trk"])
    if model:
        refuses(name, home / "no.keras", home / "good.trk", says=[home / "no.keras"])


@pytest.mark.parametrize(
    "name", ["dipy_train_vae", "dipy_encode_vae", "dipy_reconstruct_vae"]
)
@pytest.mark.parametrize(
    "file, says",
    [
        ("notes.txt", ["notes.txt", ".trk", "program that wrote it"]),
        ("good.tck", ["good.tck", "--reference"]),
        ("empty.trk", ["empty.trk"]),
        ("bad.trk", ["bad.trk", "20 non_finite"]),
        ("cut.trk", ["cut.trk", "damaged"]),
    ],
)
def test_bad_tractogram(home, refuses, name, file, says):
    model = [] if name == "dipy_train_vae" else [home / "m" / "vae.keras"]
    refuses(name, *model, home / file, says=says)


def test_bad_reference(home, refuses):
    for reference in ("no.nii.gz", "notes.txt"):
        refuses(
            "dipy_train_vae", home / "good.tck", "--reference", home / reference,
            says=[home / reference],
        )  # fmt: skip


def test_all_rejected(home, here, refuses):
    arguments = ("dipy_train_vae", home / "good.trk", "--min_length", 1000)
    refuses(*arguments, says=["good.trk", "20 too_short", "min_length"])


@pytest.mark.parametrize(
    "options, says",
    [
        (["--latent_dim", 0], ["latent_dim", "at least 1", "0"]),
        (["--latent_dim", 97, "--n_points", 32], ["latent_dim", "96", "97"]),
        (["--n_points", 100, "--backbone", "finta"], ["n_points", "finta", "100"]),
        (["--n_points", 1], ["n_points", "1"]),
        (["--backbone", "foo"], ["backbone", "dense", "compact", "finta", "foo"]),
        (["--model", "gan"], ["model", "vae, ae", "gan"]),
        (["--epochs", -1], ["epochs", "-1"]),
        (["--batch_size", 0], ["batch_size", "0"]),
        (["--learning_rate", "nan"], ["learning_rate", "nan"]),
        (["--seed", -1], ["seed", "-1"]),
        (["--validation_fraction", 1], ["validation_fraction", "less than 1"]),
        (["--validation_by", "file"], ["validation", "two"]),
        (["--validation_by", "day"], ["validation_by", "folder", "day"]),
        (["--min_length", 9, "--max_length", 3], ["max_length", "9", "3"]),
        (["--max_streamlines", 0], ["max_streamlines", "0"]),
        (["--patience", 0], ["patience", "0"]),
        (["--precision", "half"], ["precision", "mixed_bfloat16", "half"]),
        (["--xla", "yes"], ["xla", "auto, on, off", "yes"]),
        (["--kl_annealing", "foo"], ["kl_annealing", "cyclical", "foo"]),
        (["--orientation", "up"], ["orientation", "canonical", "up"]),
        (["--out_model", "a.h5"], ["a.h5", ".keras"]),
        (["--out_figure", "a.txt"], ["a.txt", ".png"]),
        (["--out_report", "a.txt"], ["a.txt", ".html"]),
        (["--learning_rate", 1e30, "--epochs", 1, "--n_points", 8, "--latent_dim", 2],
         ["Training stopped", "learning rate"]),
    ],
)  # fmt: skip
def test_bad_training_option(home, refuses, options, says):
    refuses("dipy_train_vae", home / "good.trk", *options, says=says)


def test_numbers_that_are_none(home, here, call):
    for options in (["--epochs", "1.5"], ["--seed", "x"], ["--bogus", "1"]):
        result = call("dipy_train_vae", home / "good.trk", *options)
        assert result.code == 2
        assert options[0] in result.err.splitlines()[-1]
        assert "Traceback" not in result.err
        assert not files_below(here)


@pytest.mark.parametrize("name", ["dipy_encode_vae", "dipy_reconstruct_vae"])
@pytest.mark.parametrize("model", ["cut.keras", "fake.keras", "good.trk"])
def test_bad_model(home, refuses, name, model):
    refuses(name, home / model, home / "good.trx", says=[model, "not a model"])


def test_foreign_model(home, here, refuses):
    import keras

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.save(here / "foreign.keras")
    says = ["foreign.keras", "dipy_train_vae"]
    refuses("dipy_encode_vae", "foreign.keras", home / "good.trk", says=says)


def test_latents_of_another_model(home, here, refuses, trained_ae):
    save_model(trained_ae, "other.keras")
    latents = encode(trained_ae, load_tractogram(home / "good.trk"), tractogram="t.trk")
    save_latents(latents, "other.h5")
    refuses(
        "dipy_decode_vae", home / "m" / "vae.keras", "other.h5",
        says=["other.h5", "another model", latents.fingerprint[:12]],
    )  # fmt: skip


def test_bad_latents(home, here, refuses):
    model = home / "m" / "vae.keras"
    refuses("dipy_decode_vae", model, home / "notes.txt", says=["notes.txt"])
    refuses("dipy_decode_vae", model, home / "good.trk", says=["dipy_encode_vae"])


def test_latents_without_a_space(home, here, refuses):
    model = load_model(home / "m" / "vae.keras")
    lines = list(load_tractogram(home / "good.trk").streamlines)
    save_latents(encode(model, lines), "bare.h5")
    refuses("dipy_decode_vae", home / "m" / "vae.keras", "bare.h5", says=["bare.h5"])


def test_bad_output_names(home, refuses):
    model, good = home / "m" / "vae.keras", home / "good.trk"
    encoding = ("dipy_encode_vae", model, good)
    refuses(*encoding, "--out_latents", "a.csv", says=["a.csv", ".h5"])
    arguments = (*encoding, "--save_tractogram", "--out_tractogram")
    refuses(*arguments, "a.tck", says=["a.tck", ".trk"])
    refuses(
        "dipy_reconstruct_vae", model, good, "--out_tractogram", "a.txt", says=["a.txt"]
    )
    refuses(
        "dipy_reconstruct_vae", model, good, "--out_figure", "a.txt", says=["a.txt"]
    )
    refuses("dipy_reconstruct_vae", model, good, "--seed", -1, says=["seed", "-1"])
    for name in ("dipy_encode_vae", "dipy_reconstruct_vae", "dipy_decode_vae"):
        refuses(name, model, good, "--chunk_size", 0, says=["chunk_size", "0"])


@pytest.mark.parametrize("name", ["dipy_train_vae", "dipy_encode_vae"])
def test_unwritable_folder(home, here, refuses, name):
    inputs = [home / "good.trk"]
    if name == "dipy_encode_vae":
        inputs.insert(0, home / "m" / "vae.keras")
    (here / "file").write_text("")
    for folder in ("file", "file/below", "/proc/x"):
        refuses(name, *inputs, out_dir=folder, says=[folder, "--out_dir"])


def test_output_that_is_a_folder(home, here, refuses):
    (here / "out" / "latents.h5").mkdir(parents=True)
    refuses(
        "dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk",
        says=["latents.h5", "folder"],
    )  # fmt: skip


def test_the_same_file_twice(home, refuses):
    once, again = home / "good.trk", home / "sub 1" / ".." / "good.trk"
    refuses("dipy_train_vae", once, again, says=["good.trk", "twice"])


def test_name_that_looks_like_a_pattern(home, here, call):
    shutil.copy(home / "good.trk", here / "a[1].trk")
    result = call("dipy_encode_vae", home / "m" / "vae.keras", "a[1].trk")
    assert result.code == 0, result.err
    assert len(load_latents("latents.h5")) == 20


def test_a_bug_is_reported_as_one(home, here, call, monkeypatch):
    def fail(path):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(LOADER, fail)
    result = call("dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk")
    assert_refused(result, "ZeroDivisionError", "--log_level DEBUG", code=1)


def test_an_interruption_leaves_no_files(home, here, call, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "dipy_tractoencoder.nn.applied_file.load_dense_model", interrupt
    )
    result = call("dipy_encode_vae", home / "m" / "vae.keras", home / "good.trk")
    assert_refused(result, "Interrupted", code=130)
    assert not files_below(here)


def test_exit_code_and_message_of_the_process(home, tmp_path):
    """Check the same in processes of their own, one error found early and one late."""
    for arguments, says in (
        (["no.trk"], ["no.trk"]),
        (["good.trk", "--min_length", 1000], ["too_short"]),
    ):
        before = files_below(home)
        out = ("--out_dir", tmp_path / "o")
        result = run_command("dipy_train_vae", *arguments, *out, cwd=home)
        assert_refused(result, *says)
        assert files_below(home) == before
        assert not files_below(tmp_path)
