import logging
import os

import pytest

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io import formats
from dipy_tractoencoder.io.paths import tractogram_files


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def names(paths):
    return [path.name for path in paths]


def said(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def refused(given):
    with pytest.raises(InputFileError) as caught:
        tractogram_files(given)
    return str(caught.value)


def test_a_folder_gives_its_tractograms_and_says_what_it_holds_besides(
    tmp_path, caplog
):
    touch(tmp_path, "one.trk", "two.TRX", "README.txt", "LICENSE", ".hidden.trk")
    touch(tmp_path, "three.trk.bz2", "four.tck.xz", "._one.trk")
    with caplog.at_level("INFO"):
        assert names(tractogram_files(tmp_path)) == ["one.trk", "two.TRX"]
        tractogram_files([tmp_path])  # What it skips is said once.
    (foreign,) = said(caplog, logging.INFO)
    assert str(tmp_path) in foreign and "LICENSE, README.txt" in foreign
    unreadable = said(caplog, logging.WARNING)
    assert any("three.trk.bz2" in text and "Unpack" in text for text in unreadable)
    assert any("four.tck.xz" in text for text in unreadable)
    assert "hidden" not in caplog.text and "._one" not in caplog.text


def test_a_format_that_needs_fury_is_named_where_it_is_not_installed(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("dipy.io.vtk.have_fury", False)
    touch(tmp_path, "AF.vtk", "UF.trk", "CC.VTP")
    assert names(tractogram_files(tmp_path)) == ["AF.vtk", "UF.trk"]
    text = " ".join(said(caplog, logging.WARNING))
    assert "CC.VTP" in text and "AF.vtk" not in text and "pip install" in text


def test_links_to_nothing_and_folders_with_the_name_of_a_tractogram(tmp_path, caplog):
    touch(tmp_path, "a.trk", "b.trx/data")
    (tmp_path / "gone.trk").symlink_to(tmp_path / "nothing.trk")
    assert names(tractogram_files(tmp_path)) == ["a.trk"]
    text = " ".join(said(caplog, logging.WARNING))
    assert "gone.trk" in text and "b.trx" in text


def test_two_stars_read_folders_in_folders(tmp_path, caplog):
    touch(tmp_path, "AF.trk", "sub-1/AF.trk", "sub-1/deep/UF.tck", "sub-1/notes.txt")
    assert names(tractogram_files(tmp_path)) == ["AF.trk"]
    (text,) = said(caplog, logging.WARNING)
    assert "sub-1" in text and str(tmp_path / "**") in text
    found = tractogram_files(str(tmp_path / "**"))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "AF.trk",
        "sub-1/AF.trk",
        "sub-1/deep/UF.tck",
    ]
    assert found == tractogram_files(str(tmp_path / "**" / "*"))
    assert names(tractogram_files(str(tmp_path / "**" / "*.tck"))) == ["UF.tck"]
    assert names(tractogram_files(str(tmp_path / "**" / "deep"))) == ["UF.tck"]


def test_wildcards_skip_what_a_folder_skips_unless_they_name_an_extension(tmp_path):
    touch(tmp_path, "AF.trk", "AF.txt", "AF.h5", "sub-1/UF.trk", "sub-1/README")
    assert names(tractogram_files(str(tmp_path / "*"))) == ["AF.trk", "UF.trk"]
    assert names(tractogram_files(str(tmp_path / "sub-*"))) == ["UF.trk"]
    (tmp_path / "AF.trk").unlink()
    assert names(tractogram_files(str(tmp_path / "*"))) == ["UF.trk"]
    touch(tmp_path, "AF.trk")
    assert names(tractogram_files(str(tmp_path / "*.h5"))) == ["AF.h5"]
    assert names(tractogram_files(str(tmp_path / "A?.t*"))) == ["AF.trk"]


def test_a_path_that_exists_wins_over_a_wildcard(tmp_path):
    touch(
        tmp_path, "AF [L].trk", "AF L.trk", "a*.trk", "ab.trk", "[x]/UF.trk", "x/B.trk"
    )
    for name in ("AF [L].trk", "a*.trk"):
        assert names(tractogram_files(tmp_path / name)) == [name]
        assert names(tractogram_files([str(tmp_path / name)])) == [name]
    assert names(tractogram_files(tmp_path / "[x]")) == ["UF.trk"]
    (tmp_path / "AF [L].trk").unlink()
    assert names(tractogram_files(tmp_path / "AF [L].trk")) == ["AF L.trk"]


def test_what_is_given_by_name_is_kept_in_its_order(tmp_path):
    touch(tmp_path, "b.trk", "a.trk", "README.txt", "atlas/z.trk", "atlas/c.trk")
    given = [tmp_path / name for name in ("README.txt", "b.trk", "atlas", "a.trk")]
    assert names(tractogram_files(given)) == [
        "README.txt",
        "b.trk",
        "c.trk",
        "z.trk",
        "a.trk",
    ]
    assert tractogram_files([]) == []


def test_folders_without_tractograms_say_what_they_hold(tmp_path, monkeypatch):
    assert "empty folder" in refused(tmp_path)
    touch(tmp_path, "a.nii.gz", "b.trk.bz2", "sub-1/AF.trk")
    text = refused(tmp_path)
    assert "holds no tractogram" in text and str(tmp_path) in text
    assert "a.nii.gz" in text and "b.trk.bz2" in text and "sub-1" in text
    assert str(tmp_path / "**") in text
    assert "holds no tractogram" in refused(str(tmp_path / "a*"))
    touch(tmp_path / "many", *(f"{number:02}.png" for number in range(50)))
    text = refused(tmp_path / "many")
    assert "00.png" in text and "44 others" in text and "49.png" not in text


def test_missing_files_and_wildcards_that_find_nothing(tmp_path):
    assert "File not found: x.trk" in refused("x.trk")
    text = refused(str(tmp_path / "x*.trk"))
    assert "x*.trk" in text and "wildcards" in text
    assert "not found" in refused("x" * 5000 + ".trk")
    assert "not found" in refused("a\0b.trk")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions")
def test_a_folder_that_may_not_be_read(tmp_path):
    tmp_path.chmod(0)
    try:
        assert "Permission" in refused(tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("given", [3, [3], None, [None]])
def test_other_things_than_paths(given):
    with pytest.raises(InvalidArgumentError, match="paths"):
        tractogram_files(given)


def test_other_kinds_of_files(tmp_path, caplog):
    touch(tmp_path, "a.h5", "b.HDF5", "AF.trk")
    with caplog.at_level("INFO"):
        found = tractogram_files(tmp_path, extensions=(".h5", ".hdf5"), kind="latents")
    assert names(found) == ["a.h5", "b.HDF5"]
    assert "AF.trk" in caplog.text and "latents" in caplog.text


@pytest.mark.parametrize(
    "name, looks",
    [
        ("AF.trk", True),
        ("AF.TRK.BZ2", True),
        ("AF.tt", True),
        ("README.txt", False),
        ("t1.nii.gz", False),
        ("notes.gz", False),
        ("AF", False),
    ],
)
def test_names_of_tractograms(name, looks):
    assert formats.looks_like_tractogram(name) == looks
    if not looks:
        assert ".trk" in formats.why_unreadable(name)
