"""Tractograms in chunks give what whole ones give, and broken ones clear errors."""

import threading
import time

import h5py
from made_data import make_bundles, make_tractogram
import nibabel as nib
import numpy as np
import pytest

from dipy_tractoencoder import decode_tractogram, encode, reconstruct
from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram
from dipy_tractoencoder.io.writers import write_chunks
from dipy_tractoencoder.latent.file_codec import (
    decode_file,
    encode_file,
    reconstruct_file,
)
from dipy_tractoencoder.latent.latents_file import (
    latents_reader,
    load_latents,
    save_latents,
)
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.utils.prefetch import prefetch

N = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write 50 streamlines in each format, and an image for those without space.

    Some cannot be encoded: numbers 4 and 30 are too short, 17 is not finite.
    """
    folder = tmp_path_factory.mktemp("chunks")
    rng = np.random.default_rng(5)
    lines = [line for bundle in make_bundles(rng, 2, N // 2) for line in bundle]
    lines[4] = lines[4][:1].repeat(3, axis=0)
    lines[30] = lines[30][:1]
    lines[17] = lines[17].copy()
    lines[17][1, 2] = np.inf
    tractogram = make_tractogram(lines)
    for extension in ("trk", "tck", "trx", "dpy"):
        save_tractogram(tractogram, folder / f"lines.{extension}")
    image = nib.Nifti1Image(
        np.zeros(tractogram.dimensions, np.uint8), tractogram.affine
    )
    nib.save(image, folder / "image.nii.gz")
    return folder


def reference_of(path, folder):
    return None if path.suffix in (".trk", ".trx") else folder / "image.nii.gz"


@pytest.mark.parametrize("extension", ["trk", "tck", "trx", "dpy"])
@pytest.mark.parametrize("chunk_size", [1, 7, 25, 50, 1000])
def test_chunks_are_the_file(folder, extension, chunk_size):
    path = folder / f"lines.{extension}"
    reference = reference_of(path, folder)
    whole = load_tractogram(path, reference)
    reader = TractogramChunks(path, reference, chunk_size=chunk_size)
    chunks = list(reader)
    reader.close()
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    assert reader.n_streamlines == len(whole) == N
    lines = [line for chunk in chunks for line in chunk]
    assert len(lines) == N
    for line, wanted in zip(lines, whole.streamlines):
        np.testing.assert_allclose(line, wanted, atol=1e-4)
    for name, value in tractogram_space(whole).items():
        np.testing.assert_array_equal(reader.space[name], value)


@pytest.mark.parametrize("extension", ["trk", "tck", "trx", "dpy"])
@pytest.mark.parametrize("chunk_size", [8, 1000])
def test_encoding_does_not_depend_on_format_or_chunks(
    trained_vae, folder, extension, chunk_size, tmp_path
):
    path = folder / f"lines.{extension}"
    reference = reference_of(path, folder)
    wanted = encode(trained_vae, load_tractogram(folder / "lines.trk"))
    done = []
    counts = encode_file(
        trained_vae,
        path,
        tmp_path / "l.h5",
        reference=reference,
        chunk_size=chunk_size,
        progress=done.append,
    )
    found = load_latents(tmp_path / "l.h5")
    assert counts["n_encoded"] == len(found) == N - 3
    assert counts["n_streamlines"] == found.n_streamlines == sum(done) == N
    assert counts["rejects"] == found.rejects == wanted.rejects
    np.testing.assert_array_equal(found.index, wanted.index)
    np.testing.assert_array_equal(found.is_reversed, wanted.is_reversed)
    scale = np.abs(wanted.mean).max()
    np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-5 * scale)
    np.testing.assert_allclose(found.log_var, wanted.log_var, atol=1e-3)
    assert found.fingerprint == wanted.fingerprint
    assert found.tractogram == path.name
    np.testing.assert_array_equal(found.space["affine"], wanted.space["affine"])


@pytest.mark.parametrize("extension", ["trk", "tck", "trx", "dpy"])
@pytest.mark.parametrize("chunk_size", [8, 1000])
def test_decoding_in_chunks(trained_vae, folder, extension, chunk_size, tmp_path):
    tractogram = load_tractogram(folder / "lines.trk")
    latents = encode(trained_vae, tractogram)
    save_latents(latents, tmp_path / "l.h5")
    path = tmp_path / f"decoded.{extension}"
    n_decoded = decode_file(trained_vae, tmp_path / "l.h5", path, chunk_size=chunk_size)
    found = load_tractogram(path, reference_of(path, folder))
    wanted = decode_tractogram(trained_vae, latents)
    assert n_decoded == len(found) == len(wanted) == N - 3
    np.testing.assert_allclose(
        found.streamlines.get_data(), wanted.streamlines.get_data(), atol=1e-3
    )
    np.testing.assert_allclose(found.affine, tractogram.affine)


@pytest.mark.parametrize("extension", ["trk", "trx", "dpy"])
@pytest.mark.parametrize("chunk_size", [8, 1000])
def test_reconstruction_in_chunks(trained_vae, folder, extension, chunk_size, tmp_path):
    path = tmp_path / f"reconstructed.{extension}"
    errors, sample = reconstruct_file(
        trained_vae, folder / "lines.trx", path, chunk_size=chunk_size
    )
    whole = reconstruct(trained_vae, load_tractogram(folder / "lines.trx"))
    wanted = whole.errors()
    for name, value in wanted.items():
        assert errors[name] == pytest.approx(value, rel=1e-3), name
    assert errors["rejected_non_finite"] == 1
    assert errors["rejected_too_few_points"] == 2
    assert len(sample[0]) == len(sample[1]) == N - 3
    found = load_tractogram(path, reference_of(path, folder))
    assert len(found) == N - 3
    np.testing.assert_allclose(
        found.streamlines.get_data(),
        whole.tractogram().streamlines.get_data(),
        atol=1e-3,
    )


# Files that end too soon, or hold nothing


def cut(folder, tmp_path, name, share):
    data = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("share", [0.5, 0.97])
@pytest.mark.parametrize("extension", ["trk", "tck", "trx"])
def test_a_file_that_ends_too_soon(trained_vae, folder, extension, share, tmp_path):
    path = cut(folder, tmp_path, f"lines.{extension}", share)
    out = tmp_path / "l.h5"
    out.write_text("older")
    with pytest.raises(InputFileError, match=f"lines.{extension}"):
        encode_file(
            trained_vae,
            path,
            out,
            reference=reference_of(path, folder),
            chunk_size=10,
        )
    assert out.read_text(encoding="utf-8") == "older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.h5", path.name]


def test_the_streamline_it_ends_in_is_named(trained_vae, folder, tmp_path):
    path = cut(folder, tmp_path, "lines.trk", 0.5)
    with pytest.raises(InputFileError, match=r"after streamline \d\d: "):
        list(TractogramChunks(path, chunk_size=10))


def test_a_header_that_promises_more(folder, tmp_path):
    data = bytearray((folder / "lines.trk").read_bytes())
    data[988:992] = np.int32(N + 5).tobytes()
    path = tmp_path / "promise.trk"
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="promises 55 streamlines.* ends after 50"):
        list(TractogramChunks(path))
    for read in (load_tractogram, lambda path: mapped_tractogram(path).__enter__()):
        with pytest.raises(InputFileError, match="promises 55 .* ends after 50"):
            read(path)
    data[988:992] = np.int32(0).tobytes()  # TrackVis: not said.
    path.write_bytes(data)
    reader = TractogramChunks(path)
    assert reader.n_streamlines == sum(map(len, reader)) == N


def test_nothing_that_can_be_encoded(trained_vae, tmp_path):
    line = np.zeros((1, 3), dtype=np.float32)
    save_tractogram(make_tractogram([line, line]), tmp_path / "short.trk")
    for work in (encode_file, reconstruct_file):
        out = tmp_path / ("l.h5" if work is encode_file else "r.trk")
        with pytest.raises(EmptyDataError, match="none of its 2.*2 too_few_points"):
            work(trained_vae, tmp_path / "short.trk", out)
        assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["short.trk"]


@pytest.mark.parametrize("chunk_size", [0, -1, 1.5])
def test_wrong_chunk_size(folder, chunk_size):
    with pytest.raises(InvalidArgumentError, match="chunk_size"):
        TractogramChunks(folder / "lines.trk", chunk_size=chunk_size)


def test_full_disk(trained_vae, folder, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    with pytest.raises(OutputFileError, match="l.h5: No space left on device"):
        encode_file(trained_vae, folder / "lines.trk", tmp_path / "l.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["trk", "tck", "trx"])
def test_chunks_that_fail_leave_the_older_file(folder, extension, tmp_path):
    path = tmp_path / f"out.{extension}"
    path.write_text("older")
    space = tractogram_space(load_tractogram(folder / "lines.trk"))

    def chunks():
        yield np.zeros((3, 4, 3), dtype=np.float32)
        raise InputFileError("the rest is missing")

    with pytest.raises(InputFileError, match="the rest is missing"):
        write_chunks(chunks(), path, space, 6, 4)
    assert path.read_text(encoding="utf-8") == "older"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", ["trk", "tck", "trx", "dpy"])
@pytest.mark.parametrize("promised", [None, 5, 9])
def test_fewer_streamlines_than_promised(folder, extension, promised, tmp_path):
    space = tractogram_space(load_tractogram(folder / "lines.trk"))
    path = tmp_path / f"out.{extension}"
    points = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    write_chunks([points[:2], points[2:]], path, space, promised, 4)
    found = load_tractogram(path, reference_of(path, folder))
    assert len(found) == 5
    np.testing.assert_allclose(np.array(found.streamlines), points, atol=1e-4)


# Reading ahead


def test_prefetch_keeps_order_and_errors():
    def items():
        yield from range(5)
        raise KeyError("six")

    seen = []
    with pytest.raises(KeyError, match="six"):
        for item in prefetch(items()):
            seen.append(item)
    assert seen == list(range(5))


def test_prefetch_reads_ahead_but_not_far():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    ahead = prefetch(items(), depth=2)
    next(ahead)
    time.sleep(0.3)
    assert 2 <= len(made) <= 4
    ahead.close()


def test_prefetch_that_is_left_stops_its_thread():
    before = threading.active_count()
    ahead = prefetch(iter(range(1000)))
    next(ahead)
    ahead.close()
    assert threading.active_count() == before


def test_latents_of_an_empty_part(trained_vae, lines, tmp_path):
    save_latents(encode(trained_vae, as_sequence(lines)), tmp_path / "l.h5")
    with latents_reader(tmp_path / "l.h5") as reader:
        assert len(reader.rows(0, 0)) == 0
        assert len(reader.rows(55, 1000)) == reader.n_rows - 55
    with pytest.raises(InvalidArgumentError, match="space of a tractogram"):
        decode_file(trained_vae, tmp_path / "l.h5", tmp_path / "d.trk")
