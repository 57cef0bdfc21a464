"""Random streamlines of files, read without reading the files completely."""

from made_data import make_tractogram
import numpy as np
import pytest
from trx_data import rich_parts, write_trx

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.sampling import sample_files, sample_streamlines
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram


def saved(tmp_path, lines, name):
    path = tmp_path / name
    save_tractogram(make_tractogram(lines), path)
    return path


@pytest.mark.parametrize("suffix", ["trk", "tck", "trx", "dpy"])
def test_rows_are_those_of_the_file(tmp_path, lines, suffix):
    image = saved(tmp_path, lines[:2], "image.trk")
    path = saved(tmp_path, lines, f"lines.{suffix}")
    (found,) = sample_files([path], image, 17, seed=3)
    assert found.n_streamlines == 60
    assert len(found.rows) == len(found.streamlines) == 17
    assert (np.diff(found.rows) > 0).all()
    whole = load_tractogram(path, image).streamlines
    for row, line in zip(found.rows, found.streamlines):
        np.testing.assert_array_equal(line, whole[row])


def test_seed_chooses(tmp_path, lines):
    path = saved(tmp_path, lines, "lines.trk")
    rows = [sample_files([path], n=10, seed=seed)[0].rows for seed in (0, 0, 1)]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_files_have_their_share(tmp_path, lines):
    paths = [
        saved(tmp_path, lines[:50], "many.trk"),
        saved(tmp_path, lines[50:55], "few.trx"),
    ]
    shares = np.array(
        [
            [len(sample.rows) for sample in sample_files(paths, n=11, seed=seed)]
            for seed in range(40)
        ]
    )
    assert (shares.sum(axis=1) == 11).all()
    assert 9.5 < shares[:, 0].mean() < 10.5
    together = sample_streamlines(paths, n=100)
    assert len(together) == 55


def test_small_sample_has_some_of_each_file(tmp_path, lines):
    paths = [saved(tmp_path, lines[i::30], f"{i:02}.trk") for i in range(30)]
    found = sample_files(paths, small=True)
    assert len(found) == 20
    assert all(len(sample.rows) == 2 for sample in found)
    (large,) = sample_files([saved(tmp_path, lines * 10, "large.trk")], small=True)
    assert len(large.rows) == 300
    assert large.rows[0] < 20 and large.rows[-1] > 580  # Over the whole file.


def test_groups_are_positions_in_the_sample(tmp_path, lines):
    path = write_trx(tmp_path / "groups.trx", rich_parts(lines))
    (found,) = sample_files([path], n=20, groups=["CST", "unknown"])
    assert set(found.groups) == {"CST"}
    members = found.rows[found.groups["CST"]]
    np.testing.assert_array_equal(members, found.rows[found.rows >= 30])
    (found,) = sample_files([path], n=20, groups=None)
    assert set(found.groups) == {"AF", "CST"}


def test_damaged_file_is_left_out(tmp_path, lines):
    good, bad = saved(tmp_path, lines, "good.trk"), tmp_path / "bad.trk"
    bad.write_bytes(good.read_bytes()[:-7])
    assert [sample.path for sample in sample_files([bad, good])] == [good]
    with pytest.raises(InputFileError, match=r"bad\.trk"):
        sample_files([bad])


def test_absurd_streamlines_are_left_out(tmp_path, lines):
    lines = [np.array(line) for line in lines[:9]]
    lines[2][1, 0], lines[5][:] = 1e9, np.nan
    (found,) = sample_files([saved(tmp_path, lines, "odd.trk")])
    assert found.rows.tolist() == [0, 1, 3, 4, 6, 7, 8]
    np.testing.assert_allclose(found.streamlines[2], lines[3], atol=1e-4)


def test_no_streamlines(tmp_path):
    path = saved(tmp_path, [], "empty.trk")
    assert len(sample_streamlines([path, path])) == 0
    assert len(sample_streamlines([path], small=True)) == 0
    assert len(sample_streamlines([])) == 0
