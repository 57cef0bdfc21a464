"""Reports as self-contained HTML files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
import hashlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.utils.atomic_files import whole_file
from dipy_tractoencoder.viz.text import draw_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.report.data_checks import Check

EXTENSIONS = (".html", ".htm")
DPI = 100
NO_METADATA = {"Date": None, "Creator": None}  # Equal figures are equal bytes.
N_COLOURS = 256  # Of a palette; enough for curves and streamlines.
IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Table:
    """Table of a report.

    Attributes
    ----------
    caption : str
        What the table shows.
    columns : sequence of str
        Headings, with units.
    rows : sequence of sequence
        Text, numbers, or None where there is no value.
    note : str
        Explanation below the table.
    folded : bool
        Whether the table is collapsed until it is opened.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence]
    note: str = ""
    folded: bool = False

    @property
    def of_numbers(self) -> list[bool]:
        """Whether each column holds numbers, which are aligned right."""
        return [
            any(map(is_number, values)) and not any(isinstance(v, str) for v in values)
            for values in zip(*self.rows)
        ] or [False] * len(self.columns)


@dataclass(frozen=True)
class Picture:
    """Image embedded in a report.

    Attributes
    ----------
    source : str
        Data URI.
    alt : str
        Description for readers who do not see the image.
    caption : str
        Text below the image.
    """

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """Section of a report, with an entry in its table of contents.

    Attributes
    ----------
    title : str
        Heading.
    parts : sequence of str, Table or Picture
        Contents in order; text is a paragraph.
    """

    title: str
    parts: Sequence[str | Table | Picture]


@dataclass(frozen=True)
class Report:
    """Contents of a report.

    Attributes
    ----------
    title : str
        Title.
    summary : sequence of str
        Result in a few sentences.
    checks : sequence of data_checks.Check
        Results of all checks.
    command : str or None
        Command line, quoted for the shell; None if it was run from Python.
    facts : sequence of (str, object)
        Names and values that document the origin of the results.
    sections : sequence of Section
        Sections of the report.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> from dipy_tractoencoder.report.page import Section
    >>> data = Section("Data", ("43 streamlines.",))
    >>> report = dte.Report("Training", ("Error: 1 mm.",), sections=(data,))
    >>> len(report.findings)
    0
    """

    title: str
    summary: Sequence[str]
    checks: Sequence[Check] = ()
    command: str | None = None
    facts: Sequence[tuple[str, object]] = ()
    sections: Sequence[Section] = ()

    @property
    def findings(self) -> tuple[Check, ...]:
        """Checks that found something."""
        return tuple(check for check in self.checks if check.found)


def check_report_extension(path: str | Path) -> None:
    """Raise an error unless the extension is that of a report.

    Parameters
    ----------
    path : str or Path
        File to write.

    Raises
    ------
    InvalidArgumentError
        If it does not end in .html or .htm.
    """
    if Path(path).suffix.lower() not in EXTENSIONS:
        raise InvalidArgumentError(
            f"Cannot write {path}: the name of a report ends in .html."
        )


def save_report(report: Report, path: str | Path) -> None:
    """Save a report as one HTML file, completely or not at all.

    Parameters
    ----------
    report : Report
        Report to save.
    path : str or Path
        File to write, ending in .html.

    Raises
    ------
    InvalidArgumentError
        If the file has another extension.
    OutputFileError
        If the file cannot be written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> dte.save_report(dte.Report("Training", ("Error: 1 mm.",)), "report.html")
    """
    check_report_extension(path)
    page = render_report(report)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def render_report(report: Report) -> str:
    """Render a report as an HTML page.

    Parameters
    ----------
    report : Report
        Report to render.

    Returns
    -------
    page : str
        HTML that loads no other files; all text of the report is escaped.
    """
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(cell=format_cell, words=_words, digest=_digest)
    folder = files("dipy_tractoencoder.report") / "templates"
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    page = template.render(report=report, made=made)
    # File names may contain bytes that are not UTF-8.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _digest(script):
    """Return the hash that the page's security policy allows its script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _words(text):
    """Keep numbers and their unit on one line."""
    return text.replace(" mm", "\u00a0mm")


def is_number(value: object) -> bool:
    """Return whether a value of a table is a number.

    Parameters
    ----------
    value : object
        Value of a table.

    Returns
    -------
    is_number : bool
        True for int and float; False for bool and anything else.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def format_cell(value: object) -> str:
    """Format one value of a table.

    Parameters
    ----------
    value : object
        Text, a number, or None.

    Returns
    -------
    text : str
        Three digits for a float, thousands separators for an integer, a dash for None.
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–" if math.isnan(value) else str(value)
        if value and not 1e-3 <= abs(value) < 1000:
            return f"{value:.3g}" if abs(value) < 1 else f"{value:,.0f}"
        return f"{value:#.3g}".rstrip(".") if value else "0"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "–"
    return str(value)


def picture(
    figure: Figure, alt: str, caption: str = "", *, vector: bool = False
) -> Picture:
    """Embed a figure as an image.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure to embed.
    alt : str
        Description for readers who do not see the image.
    caption : str, optional
        Text below the image.
    vector : bool, optional
        Use SVG, for figures with few lines; otherwise PNG.

    Returns
    -------
    picture : Picture
        Embedded image.
    """
    buffer = io.BytesIO()
    if vector:
        draw_figure(figure, buffer, format="svg", metadata=NO_METADATA)
        return Picture(_data_uri(buffer.getvalue(), ".svg"), alt, caption)
    draw_figure(figure, buffer, format="png", dpi=DPI)
    return Picture(_data_uri(_packed(buffer), ".png"), alt, caption)


def picture_of_file(path: str | Path, alt: str, caption: str = "") -> Picture | None:
    """Embed an image file.

    Parameters
    ----------
    path : str or Path
        PNG, JPEG or SVG file.
    alt, caption : str
        As for `picture`.

    Returns
    -------
    picture : Picture or None
        Embedded image; None for other formats, which browsers do not show.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_TYPES:
        return None
    extension = path.suffix.lower()
    content = _packed(path) if extension == ".png" else path.read_bytes()
    return Picture(_data_uri(content, extension), alt, caption)


def _packed(png):
    """Return the bytes of a PNG with a palette, a third of the size."""
    from PIL import Image  # A dependency of matplotlib.

    packed = io.BytesIO()
    with Image.open(png) as image:
        few = image.convert("RGB").quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE)
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _data_uri(content, extension):
    """Return an image as a data URI."""
    text = base64.b64encode(content).decode("ascii")
    return f"data:{IMAGE_TYPES[extension]};base64,{text}"
