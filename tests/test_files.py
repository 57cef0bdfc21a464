import numpy as np
import pytest

from dipy_tractoencoder.errors import (
    EmptyDataError,
    FingerprintError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    TractoencoderError,
    TrainingDivergedError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.files import check_writable, whole_file


@pytest.mark.parametrize(
    "error, builtin",
    [
        (InvalidArgumentError, ValueError),
        (InputFileError, OSError),
        (OutputFileError, OSError),
        (EmptyDataError, ValueError),
        (FingerprintError, ValueError),
        (TrainingDivergedError, ArithmeticError),
    ],
)
def test_errors_are_ours_and_the_builtin_ones(error, builtin):
    assert issubclass(error, TractoencoderError)
    assert issubclass(error, builtin)


def test_check_choice():
    check_choice("loss", "mse", ("likelihood", "mse"))
    with pytest.raises(InvalidArgumentError, match="`loss`.*likelihood, mse.*'l1'"):
        check_choice("loss", "l1", ("likelihood", "mse"))


@pytest.mark.parametrize(
    "value, limits",
    [
        (0, {"low": 0}),
        (1, {"high": 1}),
        (1e-9, {"above": 0}),
        (3.0, {"integer": True}),
        (np.int64(3), {"integer": True, "low": 3, "high": 3}),
        (np.float32(0.5), {"above": 0}),
        (-1.5, {}),
    ],
)
def test_check_number_lets_through(value, limits):
    check_number("x", value, **limits)


@pytest.mark.parametrize(
    "value, limits",
    [
        (-1, {"low": 0}),
        (1.1, {"high": 1}),
        (0, {"above": 0}),
        (2.5, {"integer": True}),
        (np.nan, {}),
        (np.inf, {}),
        (-np.inf, {}),
        (np.inf, {"integer": True}),
        (True, {}),
        (None, {}),
        ("1", {}),
        ([1], {}),
    ],
)
def test_check_number_refuses(value, limits):
    with pytest.raises(InvalidArgumentError, match="`x`"):
        check_number("x", value, **limits)


def test_whole_file_appears_with_its_folder_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as partial:
        assert partial.suffix == ".txt"
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_whole_file_keeps_the_older_file_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_file_says_which_file_cannot_be_written(tmp_path):
    with pytest.raises(OutputFileError, match="a.txt.*disk is full"):
        with whole_file(tmp_path / "a.txt"):
            raise OSError("the disk is full")


def test_whole_file_in_a_file_as_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="a.txt"):
        with whole_file(tmp_path / "file" / "a.txt") as partial:
            partial.write_text("never")


def test_check_writable(tmp_path):
    check_writable(tmp_path / "new" / "a.txt")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(OutputFileError, match="folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="file"):
        check_writable(tmp_path / "file" / "a.txt")
