"""Streamlines are encoded where the model knows them, and decoded where they are."""

from dataclasses import replace
import json

from dipy.io.stateful_tractogram import Space
import h5py
from made_data import make_tractogram
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipy_tractoencoder.align.alignment import Alignment
from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram
from dipy_tractoencoder.latent.alignment import alignment_text
from dipy_tractoencoder.latent.codec import decode, decode_tractogram, encode
from dipy_tractoencoder.latent.file_codec import (
    decode_file,
    encode_file,
    reconstruct_file,
)
from dipy_tractoencoder.latent.latents_file import load_latents, save_latents
from dipy_tractoencoder.latent.reconstruction import reconstruct


@pytest.fixture
def alignment():
    """From a subject who is turned, larger and 100 mm away."""
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", (10, -50, 120), degrees=True).as_matrix()
    matrix[:3, :3], matrix[:3, 3] = 0.8 * turn, (60, -80, 5)
    return Alignment(matrix, transform="similarity", verdict="accepted")


@pytest.fixture
def native(lines, alignment):
    """Put the streamlines into the space of the subject."""
    return make_tractogram(alignment.inverse().apply(lines))


def test_latents_are_of_the_moved_streamlines(trained_vae, lines, native, alignment):
    latents = encode(trained_vae, native, alignment=alignment)
    assert latents.alignment is alignment
    assert latents[:3].alignment is alignment
    expected = encode(trained_vae, lines)
    np.testing.assert_allclose(latents.mean, expected.mean, atol=1e-3)
    points = decode(trained_vae, latents)
    np.testing.assert_allclose(
        alignment.apply(points), decode(trained_vae, expected), atol=2e-3
    )
    home = decode_tractogram(trained_vae, latents)
    np.testing.assert_array_equal(home.streamlines.get_data(), points.reshape(-1, 3))
    np.testing.assert_array_equal(home.affine, native.affine)
    # An array is of the space of the model.
    np.testing.assert_array_equal(
        decode(trained_vae, latents.mean),
        decode(
            trained_vae,
            replace(latents, alignment=None, is_reversed=np.zeros(60, bool)),
        ),
    )


def test_tractogram_in_voxels_is_moved_in_mm(trained_vae, native, alignment):
    expected = encode(trained_vae, native, alignment=alignment).mean
    native.to_vox()
    native.to_corner()
    found = encode(trained_vae, native, alignment=alignment).mean
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert native.space == Space.VOX


def test_identity_changes_no_bit(trained_vae, lines):
    checked = Alignment(np.eye(4), transform="none", verdict="uncertain")
    one, other = (encode(trained_vae, lines, alignment=a) for a in (None, checked))
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(decode(trained_vae, one), decode(trained_vae, other))


def test_what_is_no_alignment(trained_vae, lines, alignment):
    with pytest.raises(InvalidArgumentError, match="`alignment`.*ndarray"):
        encode(trained_vae, lines, alignment=np.eye(4))
    array = trained_vae.preprocessing.array(lines)
    with pytest.raises(InvalidArgumentError, match="StreamlineArray"):
        encode(trained_vae, array, alignment=alignment)


def test_reconstruction_is_measured_in_the_space_of_the_model(
    trained_vae, lines, native, alignment, tmp_path
):
    found = reconstruct(trained_vae, native, alignment=alignment)
    expected = reconstruct(trained_vae, lines)
    np.testing.assert_allclose(found.points, expected.points, atol=5e-3)
    assert found.errors()["error_mm"] == pytest.approx(
        expected.errors()["error_mm"], abs=1e-3
    )
    home = found.tractogram()
    np.testing.assert_allclose(
        alignment.apply(home).get_data(), found.points.reshape(-1, 3), atol=1e-3
    )
    np.testing.assert_array_equal(home.affine, native.affine)
    save_tractogram(native, tmp_path / "native.trk")
    errors, sample = reconstruct_file(
        trained_vae, tmp_path / "native.trk", tmp_path / "a.trk", alignment=alignment
    )
    assert errors["error_mm"] == pytest.approx(found.errors()["error_mm"], abs=1e-3)
    np.testing.assert_allclose(sample[1], found.points, atol=5e-3)
    written = load_tractogram(tmp_path / "a.trk").streamlines.get_data()
    np.testing.assert_allclose(written, home.streamlines.get_data(), atol=5e-3)


def test_files_bring_streamlines_home(trained_vae, native, alignment, tmp_path):
    save_tractogram(native, tmp_path / "native.trk")
    encode_file(
        trained_vae,
        tmp_path / "native.trk",
        tmp_path / "a.h5",
        alignment=alignment,
        chunk_size=25,
    )
    latents = load_latents(tmp_path / "a.h5")
    assert latents.alignment.to_dict() == alignment.to_dict()
    np.testing.assert_allclose(
        latents.mean, encode(trained_vae, native, alignment=alignment).mean, atol=1e-3
    )
    decode_file(trained_vae, tmp_path / "a.h5", tmp_path / "a.trk", chunk_size=25)
    written = load_tractogram(tmp_path / "a.trk")
    points = decode(trained_vae, latents)
    np.testing.assert_allclose(
        written.streamlines.get_data(), points.reshape(-1, 3), atol=1e-3
    )
    np.testing.assert_allclose(written.affine, native.affine, atol=1e-5)
    resampled = trained_vae.preprocessing.array(native).tractogram_order()
    # Otherwise 100 mm away.
    assert np.linalg.norm(points - resampled, axis=-1).mean() < 15


def test_latents_that_are_not_finite_are_not_written(
    trained_vae, native, tmp_path, monkeypatch
):
    start = 0

    def overflowing(model, chunk, **options):
        nonlocal start
        latents = encode(model, chunk, **options)
        latents.mean[latents.index + start == 42] = np.inf
        start += latents.n_streamlines
        return latents

    monkeypatch.setattr("dipy_tractoencoder.latent.file_codec.encode", overflowing)
    save_tractogram(native, tmp_path / "native.trk")
    paths = (tmp_path / "native.trk", tmp_path / "a.h5")
    with pytest.raises(InputFileError, match=r"native\.trk.*streamline 42 "):
        encode_file(trained_vae, *paths, chunk_size=25)
    assert not paths[1].exists()


def test_version_tells_older_releases_that_they_cannot_decode(
    trained_vae, lines, alignment, tmp_path
):
    checked = Alignment(np.eye(4), transform="none", quality={"check_ratio": 1.25})
    latents = encode(trained_vae, lines)
    for given, version in ((None, 1), (checked, 1), (alignment, 2)):
        path = tmp_path / f"{given and given.transform}.h5"
        save_latents(replace(latents, alignment=given), path)
        with h5py.File(path) as file:
            assert file.attrs["format_version"] == version
            assert ("alignment" in file.attrs) == (given is not None)
        found = load_latents(path).alignment
        assert (found and found.to_dict()) == (given and given.to_dict())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{" * 10_000,
        "x" * 40_000,
        json.dumps({"transform": "rigid"}),
        json.dumps({"matrix": np.zeros((4, 4)).tolist()}),
        json.dumps({"matrix": np.eye(3).tolist()}),
        json.dumps({"matrix": np.eye(4).tolist(), "verdict": "fine"}),
        json.dumps({"matrix": np.eye(4).tolist(), "more": 1}),
    ],
)
def test_damaged_alignment_is_refused(trained_vae, lines, tmp_path, text):
    path = tmp_path / "a.h5"
    save_latents(encode(trained_vae, lines), path)
    with h5py.File(path, "r+") as file:
        file.attrs["alignment"] = text
    with pytest.raises(InputFileError, match=r"a\.h5"):
        load_latents(path)


def test_long_alignment_is_stored_without_what_was_tried(alignment):
    long = replace(alignment, tried=({"distance": 1.0},) * 10_000)
    assert len(json.dumps(long.to_dict())) > 100_000
    stored = Alignment.from_dict(json.loads(alignment_text(long)))
    assert stored.to_dict() == alignment.to_dict()
