"""Reports: what was done and found, as one HTML file that needs nothing else."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
import hashlib
import io
import math
from pathlib import Path

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.utils.atomic_files import whole_file

EXTENSIONS = (".html", ".htm")
DPI = 100
N_COLOURS = 256  # of a palette; curves and streamlines need no more
IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Table:
    """Rows of values under headings that say their unit.

    Attributes
    ----------
    caption : str
        What the table shows.
    columns : sequence of str
        Headings.
    rows : sequence of sequence
        Text, numbers, or None where there is no value.
    note : str
        Explanation below the table.
    folded : bool
        Show it only on demand.
    """

    caption: str
    columns: tuple
    rows: tuple
    note: str = ""
    folded: bool = False

    @property
    def of_numbers(self):
        """Whether each column holds numbers, and stands on the right."""
        return [
            any(map(is_number, values)) and not any(isinstance(v, str) for v in values)
            for values in zip(*self.rows)
        ] or [False] * len(self.columns)


@dataclass(frozen=True)
class Picture:
    """An image that lies in the page itself.

    Attributes
    ----------
    source : str
        Data URI.
    alt : str
        What it shows, for those who do not see it.
    caption : str
        Text below it.
    """

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report, with a place in its table of contents.

    Attributes
    ----------
    title : str
        Heading.
    parts : sequence of str, Table or Picture
        What it says, in this order; text makes a paragraph.
    """

    title: str
    parts: tuple


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes
    ----------
    title : str
        What was done.
    summary : sequence of str
        The result in a few sentences.
    checks : sequence of data_checks.Check
        What was looked for, and what was found.
    command : str or None
        Command line that did it, quoted for the shell; None if it was run from Python.
    facts : sequence of (str, object)
        Names and values that say where all this comes from.
    sections : sequence of Section
        The rest.
    """

    title: str
    summary: tuple
    checks: tuple = ()
    command: str | None = None
    facts: tuple = ()
    sections: tuple = field(default_factory=tuple)

    @property
    def findings(self):
        """Checks that found something."""
        return tuple(check for check in self.checks if check.found)


def check_report_extension(path):
    """Raise unless a report can be written under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    InvalidArgumentError
        If it does not end in .html or .htm.
    """
    if Path(path).suffix.lower() not in EXTENSIONS:
        raise InvalidArgumentError(f"Cannot write {path}: a report ends in .html.")


def save_report(report, path):
    """Write a report as one HTML file, whole or not at all.

    Parameters
    ----------
    report : Report
        What it says.
    path : str or Path
        File to write, ending in .html.

    Raises
    ------
    InvalidArgumentError
        If the name has another extension.
    OutputFileError
        If the file cannot be written.
    """
    check_report_extension(path)
    page = render_report(report)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def render_report(report):
    """Make the page of a report.

    Parameters
    ----------
    report : Report
        What it says.

    Returns
    -------
    page : str
        HTML that loads nothing; all text of the report is escaped.
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
    # Names of files may hold bytes that are no UTF-8.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _digest(script):
    """Hash by which the page's policy knows its only script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _words(text):
    """Keep numbers and their unit on one line."""
    return text.replace(" mm", "\u00a0mm")


def is_number(value):
    """Tell whether a value of a table is a number.

    Parameters
    ----------
    value : object
        Of a table.

    Returns
    -------
    is_number : bool
        Truth values are none.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def format_cell(value):
    """Write one value of a table.

    Parameters
    ----------
    value : object
        Text, a number, or None.

    Returns
    -------
    text : str
        Three digits of a float, thousands of an integer apart, a dash for none.
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


def picture(figure, alt, caption="", *, vector=False):
    """Draw a figure into the page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to draw.
    alt : str
        What it shows, for those who do not see it.
    caption : str, optional
        Text below it.
    vector : bool, optional
        As SVG, for figures of few lines; otherwise as PNG.

    Returns
    -------
    picture : Picture
        With the image inside.
    """
    buffer = io.BytesIO()
    if vector:
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return Picture(_data_uri(buffer.getvalue(), ".svg"), alt, caption)
    figure.savefig(buffer, format="png", dpi=DPI)
    return Picture(_data_uri(_packed(buffer), ".png"), alt, caption)


def picture_of_file(path, alt, caption=""):
    """Take an image file into the page.

    Parameters
    ----------
    path : str or Path
        PNG, JPEG or SVG.
    alt, caption : str
        As for `picture`.

    Returns
    -------
    picture : Picture or None
        None for other formats, which browsers do not show.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_TYPES:
        return None
    extension = path.suffix.lower()
    content = _packed(path) if extension == ".png" else path.read_bytes()
    return Picture(_data_uri(content, extension), alt, caption)


def _packed(png):
    """Bytes of a PNG with few colours, a third of the size."""
    from PIL import Image  # A dependency of matplotlib.

    packed = io.BytesIO()
    with Image.open(png) as image:
        few = image.convert("RGB").quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE)
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _data_uri(content, extension):
    """Bytes of an image as the address of an image inside the page."""
    text = base64.b64encode(content).decode("ascii")
    return f"data:{IMAGE_TYPES[extension]};base64,{text}"
