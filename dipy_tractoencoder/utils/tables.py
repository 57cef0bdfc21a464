"""Write tables of results as CSV files and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import csv
from pathlib import Path

from dipy_tractoencoder.utils.atomic_files import whole_file

# First characters by which a spreadsheet takes a cell for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def save_table(rows: Iterable[Mapping], path: str | Path) -> None:
    """Write a table to a CSV file, completely or not at all.

    Parameters
    ----------
    rows : sequence of dict
        One dictionary per row. The columns are all keys, in order of first occurrence.
    path : str or Path
        File to write.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (
        whole_file(path) as partial,
        # Names of files may hold bytes that are no UTF-8.
        open(
            partial, "w", newline="", encoding="utf-8", errors="backslashreplace"
        ) as f,
    ):
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(map(plain_text, columns))
        for row in rows:
            writer.writerow(plain_text(row.get(name, "")) for name in columns)


def plain_text(value: object) -> object:
    """Mark text that a spreadsheet would compute as a formula.

    Parameters
    ----------
    value : object
        Cell of a table.

    Returns
    -------
    value : object
        The cell; text that starts with ``=``, ``+``, ``-`` or ``@`` gets an apostrophe
        in front, unless it is a number.

    Examples
    --------
    >>> from dipy_tractoencoder.utils.tables import plain_text
    >>> plain_text("=1+1"), plain_text("-2.5"), plain_text(-2.5), plain_text("AF_L")
    ("'=1+1", '-2.5', -2.5, 'AF_L')
    """
    if not isinstance(value, str) or value[:1] not in FORMULA_STARTS or not value:
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def history_rows(history: Mapping[str, Sequence]) -> list[dict]:
    """Convert a training history to table rows, one per epoch.

    Parameters
    ----------
    history : dict of list
        For each quantity, one number per epoch.

    Returns
    -------
    rows : list of dict
        One row per epoch: "epoch", counted from 1, then the quantities.
    """
    names = list(history)
    return [
        {"epoch": epoch, **dict(zip(names, values))}
        for epoch, values in enumerate(zip(*history.values()), start=1)
    ]


def format_table(rows: Iterable[Mapping], columns: Mapping[str, str]) -> str:
    """Format columns of a table as aligned text for the terminal.

    Parameters
    ----------
    rows : sequence of dict
        One dictionary per row.
    columns : dict of str to str
        Keys to show, each with its heading.

    Returns
    -------
    text : str
        A line of headings, then one line per row.
    """
    cells = [list(columns.values())]
    for row in rows:
        values = [row.get(name, "") for name in columns]
        values = ["-" if value is None else value for value in values]
        cells.append([f"{v:.3f}" if isinstance(v, float) else str(v) for v in values])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in cells
    )


def rejects_text(rejects: Mapping[str, int]) -> str:
    """Describe reject counts in words.

    Parameters
    ----------
    rejects : dict of str to int
        Number of rejected streamlines by reason.

    Returns
    -------
    text : str
        For example, " (rejected: 2 too_short)"; empty if there are none.
    """
    if not rejects:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
    return f" (rejected: {counts})"


def nothing_encoded(
    path: str | Path, n_streamlines: int, rejects: Mapping[str, int]
) -> str:
    """Describe why no streamline of a file could be encoded.

    Parameters
    ----------
    path : str or Path
        File that was read.
    n_streamlines : int
        Number of streamlines in the file.
    rejects : dict of str to int
        Number of rejected streamlines by reason.

    Returns
    -------
    message : str
        Message for `EmptyDataError`.
    """
    return (
        f"{path}: none of its {n_streamlines} streamlines can be "
        f"encoded{rejects_text(rejects)}."
    )
