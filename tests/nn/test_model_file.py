"""Model files: the same numbers everywhere, and nothing but our own models."""

import errno
import hashlib
import importlib.util
import io
import json
import os
import time
import zipfile

from flow_data import run_python
import h5py
from hostile_hdf5 import KINDS
import keras
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder.errors import (
    FingerprintError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    TractoencoderError,
)
from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.nn import model_archive
from dipy_tractoencoder.nn.model_file import (
    CARD,
    FORMAT_VERSION,
    check_model_file,
    load_model,
    save_model,
)
from dipy_tractoencoder.nn.provenance import TrainingRecord, fingerprint
from dipy_tractoencoder.nn.vae import StreamlineVAE

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
NAMES = ("trained_vae", "trained_ae", "trained_convolutional_vae")

# Loads each model and writes what it makes of the points in mm.
ENCODE = """
import sys
import numpy as np
from dipy_tractoencoder import decode, encode, load_model

folder, *names = sys.argv[1:]
lines = list(np.load(f"{folder}/points.npy"))
for name in names:
    model = load_model(f"{folder}/{name}.keras")
    latents = encode(model, lines)
    log_var = np.zeros(0) if latents.log_var is None else latents.log_var
    points = decode(model, latents)
    np.savez(f"{folder}/{name}.npz", mean=latents.mean, log_var=log_var, points=points)
"""


@pytest.fixture
def path(trained_vae, tmp_path):
    """File of a small VAE."""
    save_model(trained_vae, tmp_path / "vae.keras")
    return tmp_path / "vae.keras"


@pytest.fixture(scope="module")
def saved(tmp_path_factory, request, bundles):
    """Folder with points and three kinds of model, and what they make of them here."""
    folder = tmp_path_factory.mktemp("saved")
    points = np.stack([line[:15] for line in bundles[0]])
    np.save(folder / "points.npy", points)
    expected = {}
    for name in NAMES:
        model = request.getfixturevalue(name)
        save_model(model, folder / f"{name}.keras")
        latents = encode(model, list(points))
        expected[name] = latents, decode(model, latents)
    return folder, expected


def rewrite(path, **parts):
    """Replace parts of an archive; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {key.replace("__", "."): value for key, value in parts.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)


def part(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def change_config(path, change):
    config = json.loads(part(path, CONFIG))
    change(config)
    rewrite(path, config__json=json.dumps(config))


def change_card(path, **values):
    card = {**json.loads(part(path, CARD)), **values}
    rewrite(path, tractoencoder__json=json.dumps(card))


# What is saved is loaded


@slow
@pytest.mark.parametrize(
    "setting",
    [
        {"image_data_format": "channels_first"},
        {"floatx": "float64"},
        {"floatx": "float16"},
        {"max_epochs": 1, "max_steps_per_epoch": 1},
    ],
    ids=lambda setting: "-".join(map(str, setting.values())),
)
def test_the_users_keras_configuration_changes_nothing(saved, tmp_path, setting):
    folder, expected = saved
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(setting))
    backend = keras.backend.backend()
    result = run_python(
        "-c",
        ENCODE,
        folder,
        *NAMES,
        HOME=tmp_path,
        KERAS_BACKEND=backend,
        KERAS_HOME="",
    )
    assert result.code == 0, result.err
    for name in NAMES:
        latents, points = expected[name]
        found = np.load(folder / f"{name}.npz")
        np.testing.assert_allclose(found["mean"], latents.mean, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(found["points"], points, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_weights_that_are_not_finite_are_refused(trained_vae, tmp_path, value):
    model = type(trained_vae).from_config(trained_vae.get_config())
    weights = trained_vae.get_weights()
    weights[-1] = np.full_like(weights[-1], value)
    model.set_weights(weights)
    save_model(model, tmp_path / "nan.keras")  # Its fingerprint is right.
    with pytest.raises(InputFileError, match="nan.keras.*(not finite|no training)"):
        load_model(tmp_path / "nan.keras")


@pytest.mark.parametrize(
    "change",
    [{"centre": [float("nan"), 0, 0]}, {"scale": 0.0}, {"axis": [float("inf"), 0, 0]}],
    ids=lambda change: next(iter(change)),
)
def test_preprocessing_that_is_not_finite_is_refused(path, change):
    change_config(path, lambda config: config["config"]["preprocessing"].update(change))
    with pytest.raises(InputFileError, match=next(iter(change))):
        load_model(path)


@slow
@pytest.mark.parametrize("backend", ["same", "tensorflow", "jax", "torch"])
def test_fresh_process_gives_the_same_numbers(saved, backend):
    here = keras.backend.backend()
    if backend == here:
        pytest.skip(f"{backend} is the backend in use, tested as `same`")
    if backend != "same" and importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder, expected = saved
    environment = {"KERAS_BACKEND": here if backend == "same" else backend}
    result = run_python("-c", ENCODE, folder, *NAMES, **environment)
    assert result.code == 0, result.err
    tolerance = 1e-6 if backend == "same" else 1e-4
    for name, (latents, points) in expected.items():
        with np.load(folder / f"{name}.npz") as found:
            log_var = latents.log_var if latents.log_var is not None else np.zeros(0)
            for key, wanted in (
                ("mean", latents.mean),
                ("log_var", log_var),
                ("points", points),
            ):
                atol = tolerance * np.abs(wanted).max(initial=0)
                np.testing.assert_allclose(found[key], wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("name", NAMES)
def test_everything_survives(saved, name, request):
    folder, _ = saved
    model, loaded = request.getfixturevalue(name), load_model(folder / f"{name}.keras")
    assert type(loaded) is type(model)
    assert loaded.preprocessing == model.preprocessing
    assert loaded.record == model.record
    assert len(loaded.record.history["loss"]) == 3
    assert loaded.record.settings["latent_dim"] == 5
    assert loaded.record.versions["backend"] == keras.backend.backend()
    assert fingerprint(loaded) == fingerprint(model)
    assert dict(loaded.sections) == dict(model.sections) != {}
    for first, second in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(first, second)


def test_loaded_model_can_be_saved_again(path, tmp_path):
    again = save_model(load_model(path), tmp_path / "again.keras")
    assert again == fingerprint(load_model(tmp_path / "again.keras"))


def test_saving_leaves_the_model_as_it_was(trained_vae, tmp_path):
    before = [np.array(weight) for weight in trained_vae.get_weights()]
    assert save_model(trained_vae, tmp_path / "a.keras") == fingerprint(trained_vae)
    for first, second in zip(before, trained_vae.get_weights()):
        np.testing.assert_array_equal(first, second)


# Saving


def test_existing_file_is_kept_unless_told(trained_vae, path):
    before = path.read_bytes()
    with pytest.raises(OutputFileError, match="vae.keras exists"):
        save_model(trained_vae, path)
    assert path.read_bytes() == before
    path.write_text("older")
    save_model(trained_vae, path, overwrite=True)
    assert load_model(path).latent_dim == trained_vae.latent_dim


def test_failure_leaves_the_older_file(trained_vae, path, monkeypatch):
    def fail(self, partial):
        partial.write_text("half")
        raise RuntimeError("stopped")

    before = path.read_bytes()
    monkeypatch.setattr(type(trained_vae), "save", fail)
    with pytest.raises(RuntimeError):
        save_model(trained_vae, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_saving_what_is_no_model(tmp_path):
    with pytest.raises(InvalidArgumentError, match="`model`.*vae.keras"):
        save_model("vae.keras", tmp_path / "a.keras")


@pytest.mark.parametrize("name", ["a.h5", "a", "a.keras.zip"])
def test_other_extensions_are_refused(trained_vae, tmp_path, name):
    with pytest.raises(OutputFileError, match="ends in .keras"):
        save_model(trained_vae, tmp_path / name)
    assert not list(tmp_path.iterdir())


# Files that are no such model


def refused(path, error=InputFileError):
    """Message of the error that loading raises; it names the file."""
    with pytest.raises(error) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing(tmp_path):
    assert "not found" in refused(tmp_path / "no.keras")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9, 0.999])
def test_cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "incomplete" in refused(path)


def test_one_byte_damaged(path):
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(WEIGHTS)
    content = bytearray(path.read_bytes())
    content[info.header_offset + info.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_text(tmp_path):
    path = tmp_path / "notes.keras"
    path.write_text("buy milk")
    assert "not a model" in refused(path)


def test_plain_archive(tmp_path):
    path = tmp_path / "plain.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "buy milk")
    assert "not a model of dipy_tractoencoder" in refused(path)


def test_folder(tmp_path):
    (tmp_path / "a.keras").mkdir()
    refused(tmp_path / "a.keras")


@pytest.mark.parametrize("config", ["[]", "{", "null", '"text"', "{}", "\xff"])
def test_broken_configuration(path, config):
    rewrite(path, config__json=config)
    refused(path)


@pytest.mark.parametrize("card", ["[]", "{", "null", "3", "{}"])
def test_broken_card(path, card):
    rewrite(path, tractoencoder__json=card)
    refused(path)


def test_model_of_keras_without_our_card(path):
    rewrite(path, tractoencoder__json=None)
    assert "not a model of dipy_tractoencoder" in refused(path)


def test_model_without_weights(path):
    rewrite(path, model__weights__h5=None)
    refused(path)


def test_another_model_of_keras(tmp_path):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "foreign.keras")
    assert "dipy_train_vae" in refused(tmp_path / "foreign.keras")


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 10**9])
def test_newer_format(path, version):
    change_card(path, format_version=version)
    message = refused(path)
    assert str(version) in message and "Update" in message


@pytest.mark.parametrize("version", ["1", None, [1], True, 0, -1, 1.0])
def test_format_version_of_another_kind(path, version):
    change_card(path, format_version=version)
    refused(path)


# Changed or made up


def change_record(path, **values):
    change_config(path, lambda whole: whole["config"]["record"].update(values))


@pytest.mark.parametrize(
    "values",
    [
        {"best_epoch": 1},
        {"data": {}},
        {"versions": {"keras": "99"}},
        {"history": {"loss": [0.0, 0.0, 0.0]}},
    ],
    ids=lambda values: next(iter(values)),
)
@pytest.mark.parametrize("read", [load_model, check_model_file])
def test_changed_record(path, values, read):
    change_record(path, **values)
    with pytest.raises(FingerprintError, match="vae.keras.*record of its training"):
        read(path)


def test_record_of_an_older_version(path, trained_vae):
    """Older versions stored no digest of the record."""
    change_record(path, best_epoch=1)
    card = json.loads(part(path, CARD))
    del card["record"]
    rewrite(path, tractoencoder__json=json.dumps(card))
    loaded = load_model(path)
    assert loaded.record.best_epoch == 1
    assert fingerprint(loaded) == fingerprint(trained_vae)


@pytest.mark.parametrize("digest", [None, "", 3, "0" * 64, []])
def test_wrong_digest_of_the_record(path, digest):
    change_card(path, record=digest)
    assert "record" in refused(path, FingerprintError)


SECTION = "section_alignment.bin"


@pytest.mark.parametrize(
    "parts",
    [
        {"section_alignment__bin": b"other"},
        {"section_alignment__bin": None},
        {"section_extra__bin": b"more"},
        {"section_alignment__bin": None, "section_aligned__bin": b"renamed"},
    ],
    ids=["changed", "missing", "added", "renamed"],
)
@pytest.mark.parametrize("read", [load_model, check_model_file])
def test_changed_sections(path, parts, read):
    rewrite(path, **parts)
    with pytest.raises(FingerprintError, match="vae.keras.*sections"):
        read(path)


def test_a_section_changed_together_with_its_digest(path):
    content = part(path, SECTION)[:-1] + b"?"
    digest = hashlib.sha256(content).hexdigest()
    change_card(path, sections={"alignment": digest})
    rewrite(path, section_alignment__bin=content)
    assert "weights or settings" in refused(path, FingerprintError)


@pytest.mark.parametrize("digests", [None, [], {}, {"alignment": 3}, "0" * 64])
def test_wrong_digests_of_sections(path, digests):
    change_card(path, sections=digests)
    assert "sections" in refused(path, FingerprintError)


@pytest.mark.parametrize("name", ["section_A.bin", "section_.bin", "section_a/b.bin"])
def test_names_that_no_section_has(path, name):
    rewrite(path, **{name: b"x"})
    assert name in refused(path)


def test_more_and_larger_sections_than_allowed(path, monkeypatch):
    rewrite(path, **{f"section_{letter}.bin": b"x" for letter in "abcdefgh"})
    assert "sections" in refused(path)
    rewrite(path, **{f"section_{letter}.bin": None for letter in "abcdefgh"})
    load_model(path)
    monkeypatch.setattr(model_archive, "LARGEST_SECTION", 10)
    assert "too much" in refused(path)


def test_sections_in_the_configuration_are_refused(path):
    change_config(path, lambda config: config["config"].update(sections={"a": "YQ=="}))
    assert "sections" in refused(path)


def test_without_sections_the_format_is_that_of_older_versions(trained_vae, tmp_path):
    model = type(trained_vae).from_config(trained_vae.get_config())
    model.sections = {}
    model.set_weights(trained_vae.get_weights())
    save_model(model, tmp_path / "plain.keras")
    _, card = check_model_file(tmp_path / "plain.keras")
    assert card.keys() == {"format_version", "fingerprint", "record"}
    assert card["format_version"] == 1
    loaded = load_model(tmp_path / "plain.keras")
    assert not loaded.sections
    assert fingerprint(loaded) != fingerprint(trained_vae)


@pytest.mark.parametrize("record", [[], "text", {"best_epoch": -1}, {"data": {}}])
def test_models_are_not_saved_with_a_record_that_cannot_be_read(
    trained_ae, tmp_path, record
):
    model = type(trained_ae).from_config(trained_ae.get_config())
    if isinstance(record, dict):
        record = TrainingRecord(**record)
    model.record = record
    if record == TrainingRecord():
        save_model(model, tmp_path / "a.keras")
        assert load_model(tmp_path / "a.keras").record == record
    else:
        with pytest.raises((OutputFileError, AttributeError)):
            save_model(model, tmp_path / "a.keras")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mark", [None, 3, "", "abc", "G" * 64, "a" * 65])
@pytest.mark.parametrize("read", [load_model, check_model_file])
def test_card_without_a_fingerprint(path, mark, read):
    change_card(path, fingerprint=mark)
    with pytest.raises(InputFileError, match="vae.keras.*fingerprint"):
        read(path)


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"trainable": False}])
def test_settings_that_change_how_keras_computes(path, change):
    change_config(path, lambda config: config["config"].update(change))
    assert next(iter(change)) in refused(path)


def test_texts_that_need_much_memory(path):
    """Lists of lists need 24 times the memory of their text."""
    content = b"[" + b"[]," * 5_000_000 + b"[]]"
    rewrite(path, config__json=None)
    add_member(path, CONFIG, content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    assert "would unpack" in refused(path)


def test_changed_weights(path):
    content = io.BytesIO(part(path, WEIGHTS))
    with h5py.File(content, "a") as file:
        datasets = []
        file.visititems(lambda _, item: datasets.append(item))
        weights = [d for d in datasets if isinstance(d, h5py.Dataset) and d.ndim == 2]
        weights[-1][0, 0] += 1e-3
    rewrite(path, model__weights__h5=content.getvalue())
    assert "changed" in refused(path, FingerprintError)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 2.0},
        {"centre": [1.0, 2.0, 3.0]},
        {"orientation": "as_is"},
        {"min_length": 7.0},
    ],
)
def test_changed_preprocessing(path, change):
    change_config(path, lambda config: config["config"]["preprocessing"].update(change))
    assert "changed" in refused(path, FingerprintError)


def test_changed_architecture(path):
    change_config(path, lambda config: config["config"].update(latent_dim=6))
    refused(path)


def test_weights_of_another_model(path, trained_ae, tmp_path):
    save_model(trained_ae, tmp_path / "ae.keras")
    rewrite(path, model__weights__h5=part(tmp_path / "ae.keras", WEIGHTS))
    refused(path, TractoencoderError)


@pytest.fixture
def with_lambda(tmp_path):
    """Keras file with code in a Lambda layer, and the file that this code writes."""
    mark = tmp_path / "executed"
    function = eval(f"lambda x: (open({str(mark)!r}, 'w').close(), 2 * x)[1]")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Lambda(function)])
    model.save(tmp_path / "lambda.keras")
    mark.unlink()
    return tmp_path / "lambda.keras", mark


def test_lambda_of_a_foreign_model_is_not_run(with_lambda):
    path, mark = with_lambda
    assert "dipy_train_vae" in refused(path)
    assert not mark.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert mark.exists()  # That is what it would have done.


@pytest.mark.parametrize("place", ["preprocessing", "record", "backbone", "seed"])
def test_lambda_smuggled_into_our_model_is_not_run(path, with_lambda, place):
    foreign, mark = with_lambda
    config = json.loads(part(foreign, CONFIG))
    change_config(path, lambda ours: ours["config"].update({place: config}))
    refused(path, TractoencoderError)
    assert not mark.exists()


def test_lambda_under_our_name_is_not_run(path, with_lambda):
    foreign, mark = with_lambda
    card = part(path, CARD)
    rewrite(foreign, tractoencoder__json=card)
    refused(foreign)

    def rename(config):
        config.update(class_name="StreamlineVAE")

    change_config(foreign, rename)
    refused(foreign)
    assert not mark.exists()


@pytest.mark.parametrize("place", ["preprocessing", "record", "top"])
def test_functions_of_other_modules_are_not_called(path, tmp_path, place):
    mark = tmp_path / "executed"
    call = {
        "module": "os",
        "class_name": "mkdir",
        "config": {"path": str(mark)},
        "registered_name": "mkdir",
    }

    def change(config):
        if place == "top":
            config.update(module="os", registered_name="mkdir")
            config["config"] = {"path": str(mark)}
        else:
            config["config"][place] = call

    change_config(path, change)
    refused(path, TractoencoderError)
    assert not mark.exists()
    assert os.path.exists(path)


# Archives made to harm


def add_member(path, name, content=b"x", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content, compression)


@pytest.mark.parametrize(
    "name", ["../climbs.txt", "/tmp/absolute.txt", "assets/x.pkl", "data.pkl", "a/b"]
)
def test_parts_that_are_none_of_a_model(path, name):
    add_member(path, name)
    before = set(path.parent.parent.rglob("*"))
    assert "not part of a model" in refused(path)
    assert set(path.parent.parent.rglob("*")) == before


def test_a_part_twice(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        add_member(path, CONFIG, part(path, CONFIG))
    assert "twice" in refused(path)


@pytest.mark.parametrize("name", [CONFIG, CARD, WEIGHTS, "metadata.json"])
def test_zip_bomb(path, name):
    rewrite(path, **{name.replace(".", "__"): None})
    add_member(path, name, bytes(300 * 2**20), zipfile.ZIP_DEFLATED)
    start = time.monotonic()
    assert "would unpack" in refused(path)
    assert time.monotonic() - start < 1


def test_size_that_is_a_lie(path):
    """The directory says 99 bytes, the part unpacks to more."""
    config = part(path, CONFIG) + b" " * 10**5
    rewrite(path, config__json=None)
    add_member(path, CONFIG, config, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (99).to_bytes(4, "little")
    path.write_bytes(content)
    refused(path)


def test_a_model_packed_again_can_be_read(path):
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    load_model(path)


@pytest.mark.parametrize("text", ["[" * 10**5, "1" * 10**5, '{"class_name": []}'])
def test_texts_that_break_readers(path, text):
    for name in (CONFIG, CARD):
        rewrite(path, **{name.replace(".", "__"): text})
        refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": 10**9, "linear_skip": False},
        {"record": "text"},
        {"record": ["text"]},
        {"record": {"other": 1}},
        {"name": 3},
        {"preprocessing": {"n_points": 10**9}},
        {"preprocessing": {"n_points": -(10**9)}},
        {"preprocessing": None},
        {"preprocessing": {"n_points": 16, "axis": "abc"}},
        {"extra": 1},
    ],
)
def test_numbers_that_no_model_has(path, change):
    change_config(path, lambda config: config["config"].update(change))
    start = time.monotonic()
    refused(path, TractoencoderError)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("config", [None, [], "text", 3])
def test_configuration_of_another_kind(path, config):
    change_config(path, lambda whole: whole.update(config=config))
    refused(path)


@pytest.mark.parametrize("kind", ["external_link", "second_name", "bomb"])
def test_hostile_weights_are_refused(path, tmp_path, kind):
    content = io.BytesIO(part(path, WEIGHTS))
    with h5py.File(content, "a") as file:
        KINDS[kind](file, "layers/dense/vars/0", tmp_path)
    rewrite(path, model__weights__h5=content.getvalue())
    refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": 170_000, "linear_skip": False},
        {"latent_dim": 6},
        {"backbone": "compact"},
        {"backbone": "finta", "latent_dim": 170_000, "linear_skip": False},
    ],
    ids=str,
)
def test_models_larger_than_their_weights_are_not_built(path, monkeypatch, change):
    """The last asks for 4.2 GB in a file of 0.7 MB."""

    def build(*args, **kwargs):
        raise AssertionError("Keras was asked to build the model")

    def enlarge(config):
        config["config"].update(change)
        if change.get("backbone") == "finta":
            config["config"]["preprocessing"]["n_points"] = 64

    change_config(path, enlarge)
    monkeypatch.setattr(StreamlineVAE, "__init__", build)
    assert "ask for weights of shape" in refused(path)


def test_groups_that_hold_each_other(path):
    content = io.BytesIO(part(path, WEIGHTS))
    with h5py.File(content, "a") as file:
        group = file
        for _ in range(60):  # 2^60 ways through.
            inner = group.create_group("left")
            group["right"] = inner
            group = inner
        group["back"] = file["/"]
    rewrite(path, model__weights__h5=content.getvalue())
    assert "the same as another" in refused(path)


def test_no_room_to_unpack(path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputFileError, match="No space.*TMPDIR"):
        load_model(path)
