"""Names of data, groups and bundles, whatever stands in them."""

import logging

from hypothesis import given, strategies as st
import pytest

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.names import read_names, stored_names

AWKWARD = (
    "AF.left",
    "AF.right",
    "AF",
    "../../../dots",
    "/tmp/x/e",
    "MD/FA",
    "..",
    ".",
    ".hidden",
    "C:\\x",
    "a\nb\0c\x7f",
    "",
    "%",
    "%2E",
    "50%",
    "%25",
    "%2",
    "é中\U0001f9e0",
    "con   ",
    "\udcff",
)


@pytest.mark.parametrize("kind", ["trx", "file"])
def test_names_stay_apart_and_inside(kind):
    stored = stored_names(AWKWARD, kind, "a.trx")
    assert len(set(stored.values())) == len(AWKWARD)
    for name in stored.values():
        assert name and not set(name) & set("/\\:\0\n\x7f")
        assert not name.startswith(".")
    if kind == "trx":
        assert not any("." in name for name in stored.values())
        assert read_names(stored.values()) == {new: old for old, new in stored.items()}
    for name in ("AF", "50%", "é中\U0001f9e0", "con   "):
        assert stored[name] == name


@given(st.lists(st.text(max_size=20), unique=True, max_size=8))
def test_every_name_comes_back(names):
    stored = stored_names(names, "trx", "a.trx")
    assert len(set(stored.values())) == len(names)
    assert list(read_names(stored.values()).values()) == names


@given(st.lists(st.text("aA%2E.5", max_size=8), unique=True, max_size=8))
def test_two_names_of_another_program_never_become_one(written):
    names = read_names(written)
    assert len(set(names.values())) == len(written)


def test_a_change_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        stored_names(["fine", "also fine"], "trx", "a.trx")
        assert not caplog.records
        stored_names(["AF.left", "AF.right"], "trx", "a.trx", "groups")
    (record,) = caplog.records
    assert "a.trx" in record.message and "groups" in record.message
    assert "AF.left as AF%2Eleft" in record.message


def test_long_names_are_refused():
    with pytest.raises(OutputFileError, match="a.trx.*xxx.*200 bytes"):
        stored_names(["x" * 201], "trx", "a.trx")
    with pytest.raises(OutputFileError, match="200 bytes"):
        stored_names(["/" * 100], "file", "out")


@pytest.mark.parametrize("name", ["", "a" * 21, "a\0b", "中"])
def test_trk_refuses_what_it_cannot_hold(name):
    with pytest.raises(OutputFileError, match="a.trk.*trx"):
        stored_names(["fa.mean", name], "trk", "a.trk")
    assert stored_names(["fa.mean", "é" * 20], "trk", "a.trk")
