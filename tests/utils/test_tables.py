import csv

from flow_data import run_python
import pytest

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.utils.tables import format_table, history_rows, save_table


def test_columns_are_all_names_in_the_order_of_first_use(tmp_path):
    path = tmp_path / "a.csv"
    save_table([{"file": "a, b.trk", "x": 0.1}, {"file": "ü", "y": 2}], path)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["file", "x", "y"], ["a, b.trk", "0.1", ""], ["ü", "", "2"]]
    assert b"\r" not in path.read_bytes()


def test_numbers_keep_all_their_digits(tmp_path):
    path = tmp_path / "a.csv"
    save_table([{"x": 1 / 3}], path)
    with open(path, encoding="utf-8", newline="") as file:
        assert float(next(csv.DictReader(file))["x"]) == 1 / 3


def test_a_failure_leaves_the_older_table(tmp_path):
    class Unwritable:
        def __str__(self):
            raise RuntimeError("no text")

    path = tmp_path / "a.csv"
    path.write_text("older")
    with pytest.raises(RuntimeError):
        save_table([{"x": 1}, {"x": Unwritable()}], path)
    assert path.read_text(encoding="utf-8") == "older"
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


# What users' names may do


def test_no_cell_is_a_formula(tmp_path):
    names = ("=1+1", "@x", "+1+1", "-1+1", "\t=1", "AF", "-2.5", "")
    rows = [{"name": name, "=columns": -1.5} for name in names]
    save_table(rows, tmp_path / "table.csv")
    with open(tmp_path / "table.csv", encoding="utf-8", newline="") as file:
        head, *found = csv.reader(file)
    assert head == ["name", "'=columns"]
    assert [row[0] for row in found] == [
        *(f"'{name}" for name in names[:5]),
        *names[5:],
    ]
    assert {row[1] for row in found} == {"-1.5"}


def test_table_is_utf_8_whatever_the_locale(tmp_path):
    script = (
        "import locale, sys\n"
        "from dipy_tractoencoder.utils.tables import save_table\n"
        "locale.setlocale(locale.LC_ALL, 'C')\n"
        "save_table([{'name': 'f\\xf3rnix \\udcff'}], sys.argv[1])\n"
    )
    path = tmp_path / "table.csv"
    result = run_python("-X", "utf8=0", "-c", script, path, LC_ALL="C")
    assert result.code == 0, result.err
    assert path.read_text(encoding="utf-8") == "name\nfórnix \\udcff\n"
