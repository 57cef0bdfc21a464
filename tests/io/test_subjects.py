"""Whose streamlines a file holds."""

import os
from pathlib import Path

from hypothesis import given, strategies as st
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.subjects import SUBJECT_BY, subjects_of

CASES = {
    "entity of the file": (["x/sub-01_AF.trk", "y/sub-02_AF.trk"], "sub-01 sub-02"),
    "file before folder": (["sub-9/sub-01.trk", "sub-9/b.trk"], "sub-01 sub-9"),
    "innermost folder": (["sub-1/sub-2/AF.trk", "sub-1/AF.trk"], "sub-2 sub-1"),
    "sessions": (
        ["sub-1/ses-a/dwi/sub-1_AF.trk", "sub-1/ses-b/AF.trk", "sub-1_ses-a.trk"],
        "sub-1_ses-a sub-1_ses-b sub-1_ses-a",
    ),
    "one entity, many folders": (["a/sub-1/AF.trk", "b/sub-1/UF.trk"], "sub-1 sub-1"),
    "hyphens in labels": (["sub-CON-01_AF.trk", "sub-CON-02_AF.trk"], None),
    "no entity within a word": (["a/mysub-1.trk", "b/mysub-1.trk"], "a b"),
    "extensions": (["sub-01.trk.gz", "sub-01.trx", "x_sub-2.left.trk"], None),
    "first folder": (["a/l/AF.trk", "a/r/AF.trk", "b/l/AF.trk"], "a a b"),
    "files of one folder": (["d/anna.trk", "d/ben.tt.gz"], "anna ben"),
    "one file": (["d/anna.trk"], "anna"),
    "a file beside folders": (["d/AF.trk", "d/a/AF.trk", "d/a/UF.trk"], "AF a a"),
    "both kinds": (["sub-1/AF.trk", "c/AF.trk", "p/AF.trk"], "sub-1 c p"),
    "files of one name": (["d/anna.trk", "d/anna.trx"], None),
    "Windows": ([r"C:\data\sub-01\ses-2\AF.trk"], "sub-01_ses-2"),
    "nothing": ([], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_auto(case):
    paths, expected = CASES[case]
    expected = {
        "hyphens in labels": "sub-CON-01 sub-CON-02",
        "extensions": "sub-01 sub-01 sub-2",
        "files of one name": "d_anna_0 d_anna_1",
    }.get(case, expected)
    if case == "files of one name":  # The folders in front are those of this machine.
        found = subjects_of(paths)
        assert len(set(found)) == 2
        assert all("d_anna_" in name for name in found)
        return
    assert subjects_of(paths) == expected.split()


def test_sessions_can_be_one_subject():
    paths = ["sub-1/ses-a/AF.trk", "sub-1/ses-b/AF.trk", "sub-2/ses-a/AF.trk"]
    assert subjects_of(paths, sessions=False) == ["sub-1", "sub-1", "sub-2"]


def test_other_rules():
    paths = ["c/x/sub-1_AF.trk", "c/x/sub-2_AF.trk", "p/x/UF.trk", "p/y/UF.trk"]
    assert subjects_of(paths, "folder") == ["c_x", "c_x", "p_x", "p_y"]
    assert subjects_of(paths[:2], "folder") == ["x", "x"]
    assert subjects_of(paths, "file") == [
        "x_sub-1_AF",
        "x_sub-2_AF",
        "x_UF",
        "y_UF",
    ]
    assert subjects_of(paths[:2], "entity") == ["sub-1", "sub-2"]
    with pytest.raises(InputFileError, match="p/x/UF.trk names no subject as sub-01"):
        subjects_of(paths, "entity")
    with pytest.raises(InvalidArgumentError, match="subject_by.*'person'"):
        subjects_of(paths, "person")


def test_relative_and_absolute_paths_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["a/AF.trk", "./a/../a/UF.trk", tmp_path / "a" / "CC.trk", "b/AF.trk"]
    assert subjects_of(paths) == ["a", "a", "a", "b"]
    (tmp_path / "sub-7").mkdir()
    monkeypatch.chdir(tmp_path / "sub-7")
    assert subjects_of(["AF.trk"]) == ["sub-7"]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_keep_their_names(tmp_path):
    """As of git-annex, whose files lie elsewhere under names made of digits."""
    store = tmp_path / "store"
    for name in ("one", "two"):
        (store / name).mkdir(parents=True)
        (store / name / "content").write_bytes(b"")
        (tmp_path / name).mkdir()
        (tmp_path / name / "AF.trk").symlink_to(store / name / "content")
    assert subjects_of([tmp_path / "one/AF.trk", tmp_path / "two/AF.trk"]) == [
        "one",
        "two",
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_to_files_with_an_entity(tmp_path):
    (tmp_path / "sub-3").mkdir()
    (tmp_path / "sub-3" / "AF.trk").write_bytes(b"")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "third.trk").symlink_to(tmp_path / "sub-3" / "AF.trk")
    assert subjects_of([tmp_path / "all" / "third.trk"]) == ["sub-3"]


def test_the_same_file_twice():
    assert subjects_of(["d/AF.trk", "d/AF.trk"]) == ["AF", "AF"]
    assert subjects_of(["d/AF.trk", "d/../d/AF.trk", "e/AF.trk"]) == ["d", "d", "e"]


words = st.sampled_from(["a", "b", "a_b", "b_c", "sub-1", "sub-2", "ses-1", "x.y"])
some_paths = st.lists(
    st.builds(
        lambda folders, stem, end: "/".join([*folders, stem + end]),
        st.lists(words, max_size=4),
        st.sampled_from(["AF", "UF", "sub-1_AF", "c", "a_b"]),
        st.sampled_from([".trk", ".trx", ".trk.gz"]),
    ),
    max_size=8,
)


@given(some_paths, st.sampled_from([k for k in SUBJECT_BY if k != "entity"]), st.data())
def test_the_order_of_paths_does_not_matter(paths, subject_by, data):
    found = subjects_of(paths, subject_by)
    assert len(found) == len(paths)
    assert all(found)
    order = data.draw(st.permutations(range(len(paths))))
    mixed = subjects_of([paths[i] for i in order], subject_by)
    assert mixed == [found[i] for i in order]
    # A path given twice changes nothing.
    assert subjects_of(paths + paths, subject_by) == found + found


@given(some_paths)
def test_each_rule_tells_apart_what_it_says(paths):
    by_file, by_folder = subjects_of(paths, "file"), subjects_of(paths, "folder")
    for i, one in enumerate(paths):
        for j, other in enumerate(paths):
            assert (by_file[i] == by_file[j]) == (one == other)
            same = Path(one).parent == Path(other).parent
            assert (by_folder[i] == by_folder[j]) == same


def test_is_public():
    assert dte.subjects_of is subjects_of
