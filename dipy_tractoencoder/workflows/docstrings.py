"""Docstrings of flows, from which DIPY makes the options of commands."""

import ast
from collections.abc import Callable
import inspect
import textwrap


def docstring_in_source(function: Callable) -> str:
    """Read the docstring of a function from its source.

    DIPY makes the options of commands from it, but Python removes it with
    ``PYTHONOPTIMIZE=2``.

    Parameters
    ----------
    function : callable
        Function that has a docstring in its source.

    Returns
    -------
    doc : str
        Docstring.
    """
    source = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(source).body[0]
    if not isinstance(definition, ast.FunctionDef):
        return ""
    return ast.get_docstring(definition, clean=False) or ""


def one_line_each(doc: str) -> str:
    """Join the lines of the description of each parameter of a docstring.

    Parameters
    ----------
    doc : str
        Docstring in numpydoc style.

    Returns
    -------
    doc : str
        The same text with other line breaks.
    """
    before, mark, after = inspect.cleandoc(doc).partition("Parameters\n----------\n")
    lines: list[str] = []
    for line in after.splitlines():
        if line.startswith(" ") and lines and lines[-1].startswith(" "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return before + mark + "\n".join(lines)
