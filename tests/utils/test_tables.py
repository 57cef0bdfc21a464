import csv

import pytest

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.utils.tables import format_table, history_rows, save_table


def test_columns_are_all_names_in_the_order_of_first_use(tmp_path):
    path = tmp_path / "a.csv"
    save_table([{"file": "a, b.trk", "x": 0.1}, {"file": "ü", "y": 2}], path)
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["file", "x", "y"], ["a, b.trk", "0.1", ""], ["ü", "", "2"]]
    assert b"\r" not in path.read_bytes()


def test_numbers_keep_all_their_digits(tmp_path):
    path = tmp_path / "a.csv"
    save_table([{"x": 1 / 3}], path)
    with open(path, newline="") as file:
        assert float(next(csv.DictReader(file))["x"]) == 1 / 3


def test_a_failure_leaves_the_older_table(tmp_path):
    class Unwritable:
        def __str__(self):
            raise RuntimeError("no text")

    path = tmp_path / "a.csv"
    path.write_text("older")
    with pytest.raises(RuntimeError):
        save_table([{"x": 1}, {"x": Unwritable()}], path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_without_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFileError, match="a.csv"):
        save_table([{"x": 1}], tmp_path / "file" / "a.csv")


def test_history_rows():
    assert history_rows({"loss": [3.0, 2.0], "error_mm": [1.0, 0.5]}) == [
        {"epoch": 1, "loss": 3.0, "error_mm": 1.0},
        {"epoch": 2, "loss": 2.0, "error_mm": 0.5},
    ]
    assert history_rows({}) == []


def test_format_table_aligns_numbers_and_leaves_missing_ones_empty():
    rows = [{"name": "long name", "x": 12.3456}, {"name": "b", "x": 1.0, "n": 3}]
    assert format_table(rows, {"name": "file", "x": "x (mm)", "n": "n"}) == (
        "file       x (mm)  n\nlong name  12.346\nb           1.000  3"
    )


def test_what_is_not_known_is_a_dash():
    text = format_table([{"a": None, "b": 0.5}], {"a": "a", "b": "b"})
    assert text.splitlines()[1].split() == ["-", "0.500"]
