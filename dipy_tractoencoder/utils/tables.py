"""Results as CSV files and as text."""

import csv

from dipy_tractoencoder.utils.atomic_files import whole_file


def save_table(rows, path):
    """Write rows of named values to a CSV file, whole or not at all.

    Parameters
    ----------
    rows : sequence of dict
        One dictionary per row; columns are all names, in the order they first occur.
    path : str or Path
        File to write.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def history_rows(history):
    """Turn a training history into table rows, one per epoch.

    Parameters
    ----------
    history : dict of list
        Quantity to one number per epoch.

    Returns
    -------
    rows : list of dict
        With "epoch", from 1, first.
    """
    names = list(history)
    return [
        {"epoch": epoch, **dict(zip(names, values))}
        for epoch, values in enumerate(zip(*history.values()), start=1)
    ]


def format_table(rows, columns):
    """Align chosen columns of some rows as text for the terminal.

    Parameters
    ----------
    rows : sequence of dict
        Named values.
    columns : dict of str to str
        Name in the rows to heading.

    Returns
    -------
    text : str
        A heading and one line per row.
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


def rejects_text(rejects):
    """Reject counts in words, empty if there are none.

    Parameters
    ----------
    rejects : dict of str to int
        Reason to number of streamlines.

    Returns
    -------
    text : str
        As " (rejected: 2 too_short)".
    """
    if not rejects:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
    return f" (rejected: {counts})"
