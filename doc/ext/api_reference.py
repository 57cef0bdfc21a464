"""The API reference, floor by floor of the house, and sources below docstrings.

`api_page` needs the package only; Sphinx calls it before it looks for pages.
"""

import inspect
from pathlib import Path
import re

from command_reference import underlined, write_pages

DOC = Path(__file__).resolve().parents[1]
FOLDER = DOC / "generated" / "api"


def read_floors():
    """Read the table of the architecture.

    Returns
    -------
    floors : list of tuple
        Number, names of modules, and what they are for.
    """
    rows = re.findall(
        r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$",
        (DOC / "architecture.md").read_text(encoding="utf-8"),
        flags=re.M,
    )
    return [
        (int(number), re.findall(r"`(\w+)`", names), job.strip())
        for number, names, job in rows
    ]


def api_page():
    """Write the page that leads to all modules.

    Returns
    -------
    page : str
        reStructuredText.
    """
    import dipy_tractoencoder

    lines = [
        *underlined("API reference", "="),
        "What is public is reached from ``dipy_tractoencoder`` itself, and imported",
        "when it is first used:",
        "",
        ".. list-table::",
        "   :widths: auto",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - module",
    ]
    for name, home in sorted(dipy_tractoencoder._HOME.items()):
        target = f"dipy_tractoencoder.{home}"
        lines += [
            f"   * - :py:obj:`{name} <{target}.{name}>`",
            f"     - :py:mod:`{home} <{target}>`",
        ]
    lines += [
        "",
        "Everything else may change without notice. Modules stand on floors; upper",
        "ones import lower ones, never the reverse (:doc:`/architecture`). The flows",
        "behind the commands (floor 7) are described in the",
        ":doc:`command reference </generated/commands/index>`.",
        "",
    ]
    for number, modules, job in read_floors():
        modules = [name for name in modules if name not in ("bin", "workflows")]
        if not modules:
            continue
        job = job[0].upper() + job[1:].replace("`", "``")
        lines += underlined(f"Floor {number}", "-")
        lines += [job.rstrip(".") + ".", "", ".. autosummary::", "   :toctree: .", ""]
        lines += [f"   dipy_tractoencoder.{name}" for name in modules]
        lines.append("")
    return "\n".join(lines)


def add_sources(app, what, name, obj, options, lines):
    """List the sources that a docstring cites below it.

    Parameters
    ----------
    app, what, name, obj, options : object
        As Sphinx calls it.
    lines : list of str
        The docstring; changed in place.
    """
    text = "\n".join(lines)
    if ":footcite:" in text and "footbibliography::" not in text:
        lines += ["", ".. rubric:: Sources", "", ".. footbibliography::", ""]


def own_signature(app, what, name, obj, options, signature, returns):
    """Show the arguments of a class' own making, where Keras' hide them.

    Parameters
    ----------
    app, what, name, obj, options, signature, returns : object
        As Sphinx calls it.

    Returns
    -------
    shown : tuple of str, or None
        Arguments, and what is returned; None leaves them as they are.
    """
    if what != "class" or "__init__" not in vars(obj):
        return None
    _, *others = inspect.signature(obj.__init__).parameters.values()
    return str(inspect.Signature(others)), returns


def setup(app):
    """Write the page before Sphinx looks for any.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.

    Returns
    -------
    about : dict
        What Sphinx asks of extensions.
    """

    def write(app, config):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in FOLDER.glob("*.rst"):  # Of modules that are no more, too.
            path.unlink()
        write_pages(FOLDER, {"index": api_page()})

    app.connect("config-inited", write)
    # After numpydoc, which sorts sections.
    app.connect("autodoc-process-docstring", add_sources, priority=900)
    app.connect("autodoc-process-signature", own_signature, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
