"""Pages of reports: that they need nothing else, and how values are written."""

import base64
import io

from html_page import VILE, Page, assert_self_contained
from matplotlib.figure import Figure
from matplotlib.image import imread
import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.report.data_checks import Check
from dipy_tractoencoder.report.page import (
    Report,
    Section,
    Table,
    check_report_extension,
    format_cell,
    picture,
    picture_of_file,
    render_report,
    save_report,
)


def test_cells():
    assert [
        format_cell(value)
        for value in (None, 0.0, 1.5, 5.996, 0.05, 1e-5, 1234.5, 12345, True, "x", [])
    ] == [
        "–",
        "0",
        "1.50",
        "6.00",
        "0.0500",
        "1e-05",
        "1,234",
        "12,345",
        "yes",
        "x",
        "–",
    ]
    assert format_cell(float("nan")) == "–"
    assert format_cell(float("inf")) == "inf"
    assert format_cell(100.0) == "100"
    assert format_cell(-7.66) == "-7.66"


def test_columns_of_numbers_are_told_from_text():
    table = Table("t", ("a", "b", "c"), [("x", 1, 1.0), ("y", None, "none")])
    assert table.of_numbers == [False, True, False]
    assert Table("t", ("a", "b"), []).of_numbers == [False, False]


def test_everything_is_escaped():
    vile = f"{VILE}\"'><img src=x onerror=alert(1)>&amp;"
    page = render_report(
        Report(
            title=vile,
            summary=(vile,),
            checks=(Check(vile, vile, vile, vile, vile), Check(vile, vile, vile)),
            command=vile,
            facts=((vile, vile), ("n", [vile])),
            sections=(
                Section(
                    vile,
                    (
                        vile,
                        Table(vile, (vile,), [(vile,)], note=vile),
                        Table(vile, (vile,), [(vile,)], note=vile, folded=True),
                        picture(Figure(), vile, vile),
                    ),
                ),
            ),
        )
    )
    parsed = assert_self_contained(page)
    assert len(parsed.all("img")) == 1
    assert parsed.all("img")[0]["alt"] == vile
    assert parsed.words.count(vile) >= 20
    assert VILE not in page


def test_page_without_warnings_and_command():
    quiet = (Check("one", "One", "it is one."), Check("two", "Two", "it is two."))
    page = Page(render_report(Report(title="t", summary=("s",), checks=quiet)))
    assert page.findings == []
    rows = [row["data-check"] for row in page.all("tr") if "data-check" in row]
    assert rows == ["one", "two"]
    assert "it is one." in page.words
    assert not page.all("button") and not page.all("pre")


def test_page_with_warnings_and_command():
    checks = (
        Check("one", "One", "it is one.", "It is 1.", "Add 2."),
        Check("two", "Two", "it is two."),
    )
    page = Page(render_report(Report("t", ("s",), checks=checks, command="dipy_x")))
    assert page.findings == ["one"]
    for words in ("One", "It is 1.", "Add 2.", "it is two.", "dipy_x"):
        assert words in page.words
    assert len(page.all("button")) == 1


def test_file_names_that_are_no_text(tmp_path):
    odd = b"a\xff.trk".decode("utf-8", "surrogateescape")
    save_report(Report(title=odd, summary=()), tmp_path / "r.html")
    assert "a\\udcff.trk" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_extension_is_checked(tmp_path):
    for name in ("r.html", "R.HTML", "r.htm"):
        check_report_extension(tmp_path / name)
    for name in ("r.pdf", "r", "r.html.txt", ""):
        with pytest.raises(InvalidArgumentError, match=r"\.html"):
            check_report_extension(name)
    with pytest.raises(InvalidArgumentError):
        save_report(Report(title="t", summary=()), tmp_path / "r.txt")
    assert not list(tmp_path.iterdir())


def test_pictures_lie_in_the_page(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    for vector, head, kind in (
        (False, b"\x89PNG", "image/png"),
        (True, b"<?xml", "image/svg+xml"),
    ):
        shown = picture(figure, "a line", vector=vector)
        address, content = shown.source.split(",")
        assert address == f"data:{kind};base64"
        assert base64.b64decode(content).startswith(head)
    figure.savefig(tmp_path / "a.png")
    kept = picture_of_file(tmp_path / "a.png", "a line", "A")
    content = base64.b64decode(kept.source.split(",")[1])
    before, after = imread(tmp_path / "a.png"), imread(io.BytesIO(content))
    assert before.shape[:2] == after.shape[:2]
    assert np.abs(before[..., :3] - after[..., :3]).max() < 0.1
    figure.savefig(tmp_path / "a.svg")
    kept = picture_of_file(tmp_path / "a.svg", "a line")
    content = base64.b64decode(kept.source.split(",")[1])
    assert content == (tmp_path / "a.svg").read_bytes()
    assert picture_of_file(tmp_path / "a.pdf", "a line") is None
