"""TRX files written: read back by trx-python, with all names, groups and data."""

from contextlib import closing
import logging
import tempfile
import zipfile

from dipy.io.streamline import load_tractogram as dipy_load
from made_data import make_tractogram
from nibabel.streamlines import ArraySequence
import numpy as np
import pytest
from trx.trx_file_memmap import load as load_trx
from trx_data import rich_parts, trx_parts, write_trx

from dipy_tractoencoder import load_tractogram, save_tractogram
from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.mapped import MappedTractogram, mapped_tractogram
from dipy_tractoencoder.io.trx import open_trx
from dipy_tractoencoder.io.writers import save_selection, write_chunks
from dipy_tractoencoder.streamlines.array import as_sequence


def test_a_copy_holds_what_the_file_held(tmp_path, lines):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    with mapped_tractogram(path) as source:
        save_selection(source, np.arange(60), tmp_path / "b.trx")
    with (
        closing(load_trx(str(path))) as before,
        closing(load_trx(str(tmp_path / "b.trx"))) as after,
    ):
        for name in ("_data", "_offsets", "_lengths"):
            np.testing.assert_array_equal(
                getattr(before.streamlines, name), getattr(after.streamlines, name)
            )
        for name, values in before.header.items():
            np.testing.assert_array_equal(values, after.header[name])
        for level in ("data_per_streamline", "data_per_vertex", "groups"):
            one, other = getattr(before, level), getattr(after, level)
            assert one.keys() == other.keys()
            for name, values in one.items():
                values, again = (getattr(v, "_data", v) for v in (values, other[name]))
                np.testing.assert_array_equal(values, again)
                assert level == "groups" or values.dtype == again.dtype
        for group, data in before.data_per_group.items():
            for name, values in data.items():
                again = after.data_per_group[group][name]
                np.testing.assert_array_equal(values, again)
                assert values.dtype == again.dtype


@pytest.mark.parametrize("rows", [[59, 3, 4, 5, 31], [10, 11, 12], [30]])
def test_groups_and_their_data_go_with_what_is_kept(tmp_path, lines, rows, caplog):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    with caplog.at_level(logging.INFO), mapped_tractogram(path) as source:
        save_selection(source, rows, tmp_path / "b.trx")
    with closing(load_trx(str(tmp_path / "b.trx"))) as some:
        for name, first, end in (("AF", 0, 30), ("CST", 30, 60)):
            wanted = [n for n, row in enumerate(rows) if first <= row < end]
            assert sorted(some.groups.get(name, [])) == wanted
            assert (name in some.data_per_group) == bool(wanted)
        if "CST" in some.groups:
            assert some.data_per_group["CST"]["volume"].tolist() == [[1234]]
            assert "data of the groups" in caplog.text and "CST" in caplog.text
        numbers = np.ravel(some.data_per_streamline["id"])
        np.testing.assert_array_equal(numbers, rows)
        starts = np.cumsum([0, *map(len, lines)])
        for number, row in enumerate(rows):
            np.testing.assert_array_equal(some.streamlines[number], lines[row])
            np.testing.assert_array_equal(
                some.data_per_vertex["number"][number][:, 0],
                np.arange(starts[row], starts[row + 1]),
            )


def test_data_of_a_group_that_is_another_now_are_left_out(tmp_path, lines, caplog):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    with caplog.at_level(logging.WARNING), mapped_tractogram(path) as source:
        groups = {**source.groups, "AF": np.array([1, 2])}
        save_selection(source, np.arange(60), tmp_path / "b.trx", groups=groups)
    assert "group AF (mean_fa)" in caplog.text
    after = open_trx(tmp_path / "b.trx")
    assert list(after.per_group) == ["CST"]
    assert list(after.groups["AF"]) == [1, 2]


def test_no_streamlines_left(tmp_path, lines):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    with mapped_tractogram(path) as source:
        save_selection(source, [], tmp_path / "b.trx")
    assert len(load_tractogram(tmp_path / "b.trx")) == 0
    theirs = dipy_load(str(tmp_path / "b.trx"), "same", bbox_valid_check=False)
    assert len(theirs) == 0
    np.testing.assert_array_equal(theirs.dimensions, open_trx(path).space["dimensions"])


def test_names_never_become_paths_and_none_is_lost(tmp_path, lines, caplog):
    """They did in trx-python: outside of the folder, or two in one."""
    (tmp_path / "in").mkdir()
    space = open_trx(write_trx(tmp_path / "a.trx", trx_parts(lines))).space
    names = ("fa.mean", "fa.std", "MD/FA", str(tmp_path / "e"), "../../../dots", "fine")
    data = {name: np.arange(60.0) + n for n, name in enumerate(names)}
    point = ArraySequence([np.full((len(line), 1), len(line)) for line in lines])
    groups = {"AF.left": np.arange(20), "AF.right": np.arange(20, 60), "CST": [0, 59]}
    groups = {name: np.asarray(members) for name, members in groups.items()}
    source = MappedTractogram(
        as_sequence(lines),
        space,
        per_point={"a.b": point, "a.c": point},
        groups=groups,
        per_group={"AF.left": {"fa.mean": np.ones((1, 1), "f4")}},
    )
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / "in" / "b.trx"
    with caplog.at_level(logging.WARNING):
        save_selection(source, np.arange(60), target, data=data)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, target])
    assert "b.trx" in caplog.text and "fa.mean as fa%2Emean" in caplog.text
    assert "AF.left as AF%2Eleft" in caplog.text and "fine as" not in caplog.text
    ours = open_trx(target)
    assert set(ours.per_streamline) == set(names)
    for name in names:
        np.testing.assert_array_equal(ours.per_streamline[name][:, 0], data[name])
    assert set(ours.per_point) == {"a.b", "a.c"}
    assert ours.per_group.keys() == {"AF.left"}
    with closing(load_trx(str(target))) as theirs:
        assert len(theirs.data_per_streamline) == len(names)
        assert set(theirs.groups) == {"AF%2Eleft", "AF%2Eright", "CST"}
        np.testing.assert_array_equal(theirs.groups["AF%2Eright"], np.arange(20, 60))


def test_dipys_tractogram_keeps_names_types_and_space(tmp_path, lines):
    tractogram = make_tractogram(lines)
    tractogram.data_per_streamline["fa.mean"] = np.arange(60.0)[:, None] / 3
    tractogram.data_per_streamline["fa.std"] = np.arange(60, dtype="i4")[:, None]
    tractogram.data_per_point["a"] = [np.ones((len(line), 2), "u1") for line in lines]
    tractogram.to_vox()
    tractogram.to_corner()
    save_tractogram(tractogram, tmp_path / "a.trx")
    assert tractogram.space.value == "vox"
    again = load_tractogram(tmp_path / "a.trx")
    for line, other in zip(again.streamlines, lines):
        np.testing.assert_allclose(line, other, atol=1e-4)
    for name, values in tractogram.data_per_streamline.items():
        np.testing.assert_array_equal(again.data_per_streamline[name], values)
        assert again.data_per_streamline[name].dtype == values.dtype
    assert again.data_per_point["a"]._data.dtype == np.uint8
    some = tractogram[[5, 3]]
    save_tractogram(some, tmp_path / "some.trx")
    some = load_tractogram(tmp_path / "some.trx")
    np.testing.assert_allclose(some.streamlines[1], lines[3], atol=1e-4)


def test_a_type_that_trx_has_not_is_refused(tmp_path, lines):
    tractogram = make_tractogram(lines)
    tractogram.data_per_streamline["a"] = np.zeros((60, 1), np.complex64)
    with pytest.raises(OutputFileError, match="a.trx.*dps/a.*complex64"):
        save_tractogram(tractogram, tmp_path / "a.trx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_streamlines", [None, 60, 100])
def test_nothing_is_unpacked_to_a_temporary_folder(
    tmp_path, lines, monkeypatch, n_streamlines
):
    """It filled up, which ended the process, and stayed where that was killed."""

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    for name in ("mkdtemp", "mkstemp", "TemporaryDirectory", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, full)
    with mapped_tractogram(path) as source:
        save_selection(source, np.arange(0, 60, 2), tmp_path / "b.trx")
        chunks = [np.zeros((30, 4, 3), np.float32)] * 2
        write_chunks(chunks, tmp_path / "c.trx", source.space, n_streamlines, 4)
    assert len(open_trx(tmp_path / "b.trx")) == 30
    assert len(open_trx(tmp_path / "c.trx")) == 60


def test_the_same_contents_are_the_same_bytes(tmp_path, lines):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines))
    with mapped_tractogram(path) as source:
        for name in ("b.trx", "c.trx"):
            save_selection(source, np.arange(60), tmp_path / name)
    assert (tmp_path / "b.trx").read_bytes() == (tmp_path / "c.trx").read_bytes()
    with zipfile.ZipFile(tmp_path / "b.trx") as archive:
        assert archive.testzip() is None


def test_trk_takes_long_names_of_one_number(tmp_path, lines):
    """Twenty bytes, of which several numbers take some."""
    path = write_trx(tmp_path / "a.trx", trx_parts(lines))
    with mapped_tractogram(path) as source:
        data = {"a" * 20: np.arange(60.0), "b" * 18: np.ones((60, 3))}
        save_selection(source, [4, 2], tmp_path / "b.trk", data=data)
        again = load_tractogram(tmp_path / "b.trk").data_per_streamline
        np.testing.assert_array_equal(np.ravel(again["a" * 20]), [4, 2])
        assert again["b" * 18].shape == (2, 3)
        with pytest.raises(OutputFileError, match="bbbbb"):
            data = {"b" * 19: np.ones((60, 3))}
            save_selection(source, [4], tmp_path / "c.trk", data=data)
        with pytest.raises(OutputFileError, match="ccccc"):
            data = {"c" * 18: np.ones((60, 12))}
            save_selection(source, [4], tmp_path / "c.trk", data=data)
    assert not (tmp_path / "c.trk").exists()
