"""Tractograms on disk, and some of their streamlines written with all they carry."""

from contextlib import ExitStack
import tracemalloc

from dipy.io.streamline import load_tractogram as dipy_load
from made_data import make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, load as load_trx, save as save_trx

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram
from dipy_tractoencoder.io.writers import save_selection


@pytest.fixture
def full(lines, rng):
    """Make a tractogram with data per streamline and per point."""
    tractogram = make_tractogram(lines)
    tractogram.data_per_streamline["weight"] = rng.random((60, 1)).astype(np.float32)
    tractogram.data_per_streamline["colour"] = rng.random((60, 3)).astype(np.float32)
    tractogram.data_per_point["fa"] = [
        rng.random((len(line), 1)).astype(np.float32) for line in lines
    ]
    return tractogram


def reference_of(tmp_path, full):
    """Write a TRK that a TCK's space can be taken from."""
    path = tmp_path / "reference.trk"
    save_tractogram(full, path)
    return path


@pytest.mark.parametrize("suffix", ["trk", "trx", "tck"])
@pytest.mark.parametrize("out", ["trk", "trx", "tck"])
def test_selection_keeps_points_and_data(tmp_path, full, suffix, out):
    reference = reference_of(tmp_path, full)
    path, target = tmp_path / f"full.{suffix}", tmp_path / f"some.{out}"
    save_tractogram(full, path)
    rows = np.array([3, 0, 41, 59])
    scores = np.arange(60, dtype=np.float32)
    with mapped_tractogram(path, reference) as mapped:
        assert len(mapped) == 60
        save_selection(mapped, rows, target, data={"score": scores})
    some = load_tractogram(target, reference)
    assert len(some) == 4
    for line, row in zip(some.streamlines, rows):
        np.testing.assert_allclose(line, full.streamlines[row], atol=1e-4)
    if out == "tck":
        return
    np.testing.assert_array_equal(
        np.ravel(some.data_per_streamline["score"]), scores[rows]
    )
    if suffix == "tck":
        assert list(some.data_per_streamline) == ["score"]
        return
    for name in ("weight", "colour"):
        np.testing.assert_allclose(
            some.data_per_streamline[name], full.data_per_streamline[name][rows]
        )
    for values, row in zip(some.data_per_point["fa"], rows):
        np.testing.assert_allclose(values, full.data_per_point["fa"][row])


def test_groups_follow_their_streamlines(tmp_path, full):
    trx = TrxFile.from_sft(full)
    trx.groups.update(left=np.arange(30, dtype=np.uint32), right=np.array([59], "u4"))
    save_trx(trx, str(tmp_path / "full.trx"))
    with mapped_tractogram(tmp_path / "full.trx") as mapped:
        save_selection(mapped, np.array([40, 5, 7]), tmp_path / "some.trx")
    some = load_trx(str(tmp_path / "some.trx"))
    assert list(some.groups) == ["left"]
    np.testing.assert_array_equal(some.groups["left"], [1, 2])
    some.close()


@pytest.mark.parametrize("suffix", ["trk", "trx", "tck"])
def test_nothing_selected_gives_an_empty_file(tmp_path, full, suffix):
    reference = reference_of(tmp_path, full)
    with mapped_tractogram(reference) as mapped:
        save_selection(mapped, [], tmp_path / f"none.{suffix}")
    assert len(load_tractogram(tmp_path / f"none.{suffix}", reference)) == 0


def test_selection_keeps_the_space(tmp_path, full):
    reference = reference_of(tmp_path, full)
    with mapped_tractogram(reference) as mapped:
        save_selection(mapped, [1], tmp_path / "one.trk")
        save_selection(mapped, [1], tmp_path / "one.trx")
    for name in ("one.trk", "one.trx"):
        one = dipy_load(str(tmp_path / name), "same", bbox_valid_check=False)
        np.testing.assert_allclose(one.affine, full.affine, atol=1e-5)
        np.testing.assert_array_equal(one.dimensions, full.dimensions)


@pytest.mark.parametrize("suffix", ["trk", "tck"])
def test_points_stay_on_disk(tmp_path, full, suffix, monkeypatch):
    """Neither are they read into memory, nor copied to a temporary file."""
    long = np.zeros((200_000, 3), np.float32)
    save_tractogram(make_tractogram([long] * 5), tmp_path / f"full.{suffix}")
    reference = reference_of(tmp_path, full)
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    tracemalloc.start()
    with mapped_tractogram(tmp_path / f"full.{suffix}", reference) as mapped:
        assert len(mapped) == 5
        opened = tracemalloc.get_traced_memory()[0]
        np.testing.assert_allclose(mapped.streamlines[3], long, atol=1e-4)
    tracemalloc.stop()
    assert opened < long.nbytes


def test_truncated_file_is_refused(tmp_path, full):
    path = tmp_path / "cut.trk"
    save_tractogram(full, path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(InputFileError, match="cut.trk"), ExitStack() as stack:
        stack.enter_context(mapped_tractogram(path))


def test_more_bytes_than_streamlines_are_refused(tmp_path, full):
    path = tmp_path / "long.trk"
    save_tractogram(full, path)
    path.write_bytes(path.read_bytes() + bytes(40))
    with pytest.raises(InputFileError, match="would take"), ExitStack() as stack:
        stack.enter_context(mapped_tractogram(path))


def test_a_selection_that_finds_no_room(tmp_path, full, monkeypatch):
    """A mapped file that finds no room would end the process with a signal."""
    save_tractogram(full, tmp_path / "full.trx")
    usage = type("Usage", (), {"free": 10**3})
    with mapped_tractogram(tmp_path / "full.trx") as mapped:
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(OutputFileError, match="some.trx.*free"):
            save_selection(mapped, np.arange(60), tmp_path / "some.trx")
    assert [p.name for p in tmp_path.iterdir()] == ["full.trx"]


def test_trk_refuses_more_data_than_it_holds(tmp_path, full):
    full.data_per_streamline["a_name_that_is_far_too_long"] = np.zeros((60, 1))
    save_tractogram(full, tmp_path / "full.trx")
    with mapped_tractogram(tmp_path / "full.trx") as mapped:
        with pytest.raises(OutputFileError, match="a_name_that_is_far_too_long"):
            save_selection(mapped, [1], tmp_path / "some.trk")
    assert not (tmp_path / "some.trk").exists()
