"""Write a benchmark's rows as CSV and as an rst table with its heading."""

from pathlib import Path
import platform

from dipy_tractoencoder.nn.provenance import software_versions
from dipy_tractoencoder.utils.tables import save_table


def write_results(rows, stem, *, title, about, columns):
    """Write ``stem``.csv with all values, and ``stem``.rst with some.

    Parameters
    ----------
    rows : list of dict
        Named values.
    stem : Path
        Where, without extension.
    title, about : str
        Heading and explanation.
    columns : dict of str to str
        Name in the rows to heading, for the rst table.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    save_table(rows, stem.with_suffix(".csv"))
    versions = ", ".join(f"{k} {v}" for k, v in software_versions().items())
    lines = [title, "=" * len(title), "", about, ""]
    lines += [f"On {platform.machine()}; {versions}.", ""]
    lines += [".. list-table::", "   :header-rows: 1", ""]
    for number, row in enumerate([columns, *rows]):
        for position, name in enumerate(columns):
            value = columns[name] if number == 0 else row.get(name)
            text = "" if value is None else value
            text = f"{value:.4g}" if isinstance(value, float) else str(text)
            lines.append(f"   {'*' if position == 0 else ' '} - {text}")
    text = "\n".join(lines) + "\n"
    stem.with_suffix(".rst").write_text(text, encoding="utf-8")
    print(text)
