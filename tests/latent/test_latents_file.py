from dataclasses import fields, replace
import json

from dipy.io.streamline import load_tractogram, save_tractogram
import h5py
import numpy as np
import pytest

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.latent.codec import Latents, encode
from dipy_tractoencoder.latent.latents_file import (
    DATA_NAME,
    FORMAT_VERSION,
    load_latents,
    save_latents,
    with_latents,
)


@pytest.fixture
def tractogram(lines):
    """Sixty streamlines, of which two cannot be encoded."""
    from made_data import make_tractogram

    lines = list(lines)
    lines[3] = lines[3] * np.float32(np.nan)
    lines[8] = lines[8][:1]
    return make_tractogram(lines)


@pytest.fixture
def latents(trained_vae, tractogram):
    return encode(trained_vae, tractogram, tractogram="ü AF_L.trk")


@pytest.fixture
def path(latents, tmp_path):
    save_latents(latents, tmp_path / "latents.h5")
    return tmp_path / "latents.h5"


def assert_same(first, second):
    for field in fields(Latents):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, dict):
            assert set(one) == set(two)
            for key, value in one.items():
                np.testing.assert_array_equal(two[key], value)
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype, field.name
        else:
            assert one == two, field.name
            assert type(one) is type(two), field.name


def test_round_trip(latents, path):
    assert latents.rejects == {"non_finite": 1, "too_few_points": 1}
    assert_same(load_latents(path), latents)
    assert list(path.parent.iterdir()) == [path]


def test_round_trip_of_an_autoencoder(trained_ae, tractogram, tmp_path):
    latents = encode(trained_ae, tractogram)
    save_latents(latents, tmp_path / "a.hdf5")
    assert load_latents(tmp_path / "a.hdf5").log_var is None
    assert_same(load_latents(tmp_path / "a.hdf5"), latents)


def test_round_trip_without_streamlines_or_space(trained_vae, tmp_path):
    latents = encode(trained_vae, [])
    assert latents.mean.shape == (0, 5)
    save_latents(latents, tmp_path / "a.h5")
    assert_same(load_latents(tmp_path / "a.h5"), latents)


def test_layout_that_others_may_read(latents, path):
    with h5py.File(path) as file:
        assert set(file) == {"mean", "log_var", "index", "is_reversed"}
        assert file["mean"].dtype == np.float32
        assert file["mean"].shape == file["log_var"].shape == (58, 5)
        assert file["index"][()].tolist() == latents.index.tolist()
        assert file.attrs["fingerprint"] == latents.fingerprint
        assert file.attrs["tractogram"] == "ü AF_L.trk"
        assert file.attrs["n_streamlines"] == 60
        assert json.loads(file.attrs["rejects"]) == latents.rejects
        assert file.attrs["space_affine"].shape == (4, 4)
        assert file.attrs["format_version"] == 1  # Read by all releases.


def test_failure_leaves_the_older_file(latents, path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_latents(replace(latents, rejects={"x": object()}), path, overwrite=True)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_saving_what_is_no_latents(latents, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"shape \(58, 5\).*numpy.save"):
        save_latents(latents.mean, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.csv", "a", "a.h5.gz"])
def test_other_extensions_are_refused(latents, tmp_path, name):
    with pytest.raises(OutputFileError, match="ends in .h5"):
        save_latents(latents, tmp_path / name)
    assert not list(tmp_path.iterdir())


def refused(path):
    with pytest.raises(InputFileError) as caught:
        load_latents(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing(tmp_path):
    assert "not found" in refused(tmp_path / "no.h5")


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9])
def test_cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "incomplete" in refused(path)


def test_other_contents(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("buy milk")
    assert "not a latents file" in refused(path)
    with h5py.File(path, "w") as file:
        file["mean"] = np.zeros((3, 2))
    assert "dipy_encode_vae" in refused(path)


def test_newer_format(path):
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = FORMAT_VERSION + 1
    message = refused(path)
    assert str(FORMAT_VERSION + 1) in message and "Update" in message


@pytest.mark.parametrize("name", ["mean", "index", "is_reversed"])
def test_missing_dataset(path, name):
    with h5py.File(path, "a") as file:
        del file[name]
    assert name in refused(path)


@pytest.mark.parametrize(
    "name", ["fingerprint", "format_version", "n_streamlines", "rejects", "tractogram"]
)
def test_missing_attribute(path, name):
    with h5py.File(path, "a") as file:
        del file.attrs[name]
    assert name in refused(path)


@pytest.mark.parametrize("name", ["index", "is_reversed", "log_var", "mean"])
def test_datasets_of_different_lengths(path, name):
    with h5py.File(path, "a") as file:
        values = file[name][:-1]
        del file[name]
        file[name] = values
    assert "do not match" in refused(path)


@pytest.mark.parametrize("name", ["index", "mean"])
@pytest.mark.parametrize("value", [3, "group"])
def test_datasets_of_another_kind(path, name, value):
    with h5py.File(path, "a") as file:
        del file[name]
        if value == "group":
            file.create_group(name)
        else:
            file[name] = value
    refused(path)


@pytest.mark.parametrize(
    "name, value",
    [("rejects", "{"), ("n_streamlines", "many"), ("format_version", "one")],
)
def test_broken_attribute(path, name, value):
    with h5py.File(path, "a") as file:
        file.attrs[name] = value
    refused(path)


# Riding along in the tractogram


def test_with_latents_marks_rejects(latents, tractogram):
    copy = with_latents(tractogram, latents)
    values = np.asarray(copy.data_per_streamline[DATA_NAME])
    assert values.shape == (60, 5)
    np.testing.assert_array_equal(values[latents.index], latents.mean)
    assert np.isnan(values[[3, 8]]).all()
    assert DATA_NAME not in tractogram.data_per_streamline
    assert len(copy) == 60


@pytest.mark.parametrize("suffix", [".trk", ".trx"])
def test_with_latents_survives_a_file(latents, tractogram, tmp_path, suffix):
    tractogram.data_per_streamline["weight"] = np.arange(60.0)[:, None]
    path = str(tmp_path / f"a{suffix}")
    copy = with_latents(tractogram, latents)
    assert save_tractogram(copy, path, bbox_valid_check=False) is not False
    read = load_tractogram(path, "same", bbox_valid_check=False)
    values = np.asarray(read.data_per_streamline[DATA_NAME])
    np.testing.assert_array_equal(values[latents.index], latents.mean)
    assert np.isnan(values[[3, 8]]).all()
    np.testing.assert_array_equal(
        np.asarray(read.data_per_streamline["weight"]).ravel(), np.arange(60)
    )
    np.testing.assert_allclose(
        read.streamlines[10], tractogram.streamlines[10], atol=1e-3
    )


def test_with_latents_needs_the_same_tractogram(latents, tractogram):
    with pytest.raises((ValueError, IndexError)):
        with_latents(tractogram[:20], latents)
