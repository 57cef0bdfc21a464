"""Write the index of the API reference, and link names and sources in docstrings.

`api_page` reads packages and modules from their folder and public names from
``dipy_tractoencoder.__all__``; Sphinx calls it before it looks for pages.
"""

import ast
import importlib
import inspect
from pathlib import Path
import re

from command_reference import underlined, write_pages

DOC = Path(__file__).resolve().parents[1]
FOLDER = DOC / "generated" / "api"
PACKAGE = "dipy_tractoencoder"
# The guard test keeps the order of packages and checks imports against it.
GUARDS = DOC.parent / "tests" / "test_guards.py"


def package_order():
    """Read the order of packages, from those that import none of the others.

    Returns
    -------
    order : list of str
        Names, row by row.
    """
    for node in ast.parse(GUARDS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROWS":
            return [name for row in ast.literal_eval(node.value) for name in row]
    raise LookupError(f"{GUARDS} has no ROWS")


def find_modules():
    """List the modules of the package.

    Returns
    -------
    modules : dict of str to list of str
        Package, in the order of `package_order`, to its modules, as ``nn.vae``.
        A module outside of the packages stands for itself.
    """
    root = Path(importlib.import_module(PACKAGE).__file__).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] != "__init__":
            found.setdefault(parts[0], []).append(".".join(parts))
    order = package_order()
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def public_homes():
    """Find where the public names are defined.

    Returns
    -------
    homes : dict of str to str
        Public name to full name, as ``dipy_tractoencoder.latent.codec.encode``.
    """
    package = importlib.import_module(PACKAGE)
    return {
        name: f"{PACKAGE}.{module}.{package._OWN_NAME.get(name, name)}"
        for name, module in sorted(package._HOME.items())
    }


def api_page():
    """Write the index of the API reference.

    Returns
    -------
    page : str
        reStructuredText.
    """
    homes = public_homes()
    lines = [
        *underlined("API reference", "="),
        "Public names are imported from ``dipy_tractoencoder``, usually as ``dte``:",
        "``import dipy_tractoencoder as dte``. Everything else may change without",
        "notice.",
        "",
        *underlined("Public names", "-"),
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   ~{home}" for name, home in homes.items() if not name.isupper()),
        "",
        "Constants:",
        "",
        *(
            f"- ``{name}``: ``{home}``"
            for name, home in homes.items()
            if name.isupper()
        ),
        "",
        *underlined("Packages", "-"),
        "A package imports only packages listed above it (:doc:`/architecture`). The",
        "workflows behind the commands are described in the",
        ":doc:`command reference </generated/commands/index>`.",
        "",
        f".. currentmodule:: {PACKAGE}",
        "",
    ]
    for package, modules in find_modules().items():
        if package == "workflows":
            continue
        lines += underlined(package, "~")
        lines += [".. autosummary::", "   :toctree: .", "   :nosignatures:", ""]
        lines += [*(f"   {name}" for name in modules), ""]
    return "\n".join(lines)


def link_names(text, packages, homes):
    """Link public names and ``package.module.name`` in single backquotes.

    Parameters
    ----------
    text : str
        Of a docstring.
    packages : sequence of str
        Names of the packages.
    homes : dict of str to str
        From `public_homes`.

    Returns
    -------
    text : str
        With links.
    """

    def link(match):
        name = match.group(1)
        if name in homes:
            return f":py:obj:`{name} <{homes[name]}>`"
        if name.partition(".")[0] in packages and "." in name:
            return f":py:obj:`{name} <{PACKAGE}.{name}>`"
        return match.group()

    return re.sub(r"(?<![`:\w])`([A-Za-z_][\w.]*)`(?!`)", link, text)


def complete_docstring(app, what, name, obj, options, lines):
    """Link names in a docstring, and list the sources that it cites.

    Parameters
    ----------
    app, what, name, obj, options : object
        As Sphinx calls it.
    lines : list of str
        The docstring; changed in place.
    """
    packages, homes = app.api_names
    lines[:] = [link_names(line, packages, homes) for line in lines]
    text = "\n".join(lines)
    if ":footcite:" in text and "footbibliography::" not in text:
        lines += ["", ".. rubric:: Sources", "", ".. footbibliography::", ""]


def own_signature(app, what, name, obj, options, signature, returns):
    """Show the arguments of a class's own ``__init__`` where Keras hides them.

    Parameters
    ----------
    app, what, name, obj, options, signature, returns : object
        As Sphinx calls it.

    Returns
    -------
    shown : tuple of str, or None
        Arguments and return annotation; None leaves them unchanged.
    """
    if what != "class" or "__init__" not in vars(obj):
        return None
    _, *others = inspect.signature(obj.__init__).parameters.values()
    return str(inspect.Signature(others)), returns


def setup(app):
    """Write the index before Sphinx looks for pages.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The running build.

    Returns
    -------
    about : dict
        Metadata of the extension.
    """

    def write(app, config):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in FOLDER.glob("*.rst"):  # Also pages of removed modules.
            path.unlink()
        write_pages(FOLDER, {"index": api_page()})
        app.api_names = tuple(find_modules()), public_homes()

    app.connect("config-inited", write)
    # After numpydoc, which sorts sections.
    app.connect("autodoc-process-docstring", complete_docstring, priority=900)
    app.connect("autodoc-process-signature", own_signature, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
