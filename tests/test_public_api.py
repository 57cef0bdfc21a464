"""What ``import dipy_tractoencoder as dte`` offers, and that nothing else is shown."""

import ast
import importlib
import inspect
import re
import textwrap

from flow_data import COMMANDS, PACKAGE, ROOT
import pytest
from test_shown_blocks import MD_BLOCK, RST_BLOCK

import dipy_tractoencoder as dte
from dipy_tractoencoder import errors

PAGES = [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md"))]
PAGES += sorted((ROOT / "doc").glob("*.rst"))
TUTORIALS = sorted((ROOT / "doc" / "examples").glob("*.py"))


def home(name):
    """Give the module that has a public name, and the name it has there."""
    return f"dipy_tractoencoder.{dte._HOME[name]}", dte._OWN_NAME.get(name, name)


# Names


def test_stub_says_what_the_package_does():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    shown = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == {name: home(name) for name in dte._HOME}
    listed = next(node for node in stub.body if isinstance(node, ast.Assign))
    assert ast.unparse(listed.targets[0]) == "__all__"
    assert ast.literal_eval(listed.value) == dte.__all__
    assert (PACKAGE / "py.typed").is_file()


def test_names_are_those_of_what_they_give():
    for name in dte._HOME:
        module, own = home(name)
        value = getattr(dte, name)
        assert value is getattr(importlib.import_module(module), own)
        if callable(value):
            assert (value.__module__, value.__name__) == (module, name)
        else:
            assert name.isupper()
    assert set(dte._OWN_NAME) == {name for name in dte._HOME if name.isupper()}


def test_no_name_hides_a_package():
    folders = {path.parent.name for path in PACKAGE.rglob("__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert not set(dte._HOME) & (folders | modules)


def test_every_error_and_every_workflow_is_public():
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TractoencoderError)
    }
    assert kinds <= set(dte._HOME)
    flows = {name for _, name in COMMANDS.values()}
    assert flows <= set(dte._HOME)


@pytest.mark.parametrize(
    "module", ["training", "encoded", "phantom", "principal", "report_parts"]
)
def test_modules_of_before_are_not_found(module):
    if module == "training":  # A package now; its old contents are elsewhere.
        with pytest.raises(ImportError):
            exec("from dipy_tractoencoder.training import run_training")
        return
    with pytest.raises(ModuleNotFoundError, match=module):
        importlib.import_module(f"dipy_tractoencoder.{module}")


# What is shown


def python_of(path):
    """Each piece of Python that a page or tutorial shows."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        # Scripts within strings are shown, too.
        parts = [
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "import dipy_tractoencoder" in node.value
        ]
        return [text, *parts]
    pattern = RST_BLOCK if path.suffix == ".rst" else MD_BLOCK
    found = re.findall(pattern, text, flags=re.M | re.S * (path.suffix == ".md"))
    return [textwrap.dedent(block) for kind, block in found if kind == "python"]


def private_imports(source):
    """Give imports from inside of the package, and of names that are not public."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "dipy_tractoencoder" and rest and rest not in dte.__all__:
                yield name


@pytest.mark.parametrize("path", [*PAGES, *TUTORIALS], ids=lambda path: path.name)
def test_only_public_names_are_shown(path):
    assert [name for part in python_of(path) for name in private_imports(part)] == []


def test_private_imports_are_told():
    source = (
        "import dipy_tractoencoder as dte\n"
        "import dipy_tractoencoder.nn\n"
        "from dipy_tractoencoder import encode, errors\n"
        "def f():\n    from dipy_tractoencoder.nn.vae import StreamlineVAE\n"
    )
    assert list(private_imports(source)) == [
        "dipy_tractoencoder.nn",
        "dipy_tractoencoder.errors",
        "dipy_tractoencoder.nn.vae.StreamlineVAE",
    ]


def test_pages_with_python_are_found():
    assert sum(len(python_of(path)) for path in PAGES) >= 5
    assert all(python_of(path) for path in TUTORIALS)
    # A script within a tutorial.
    assert max(len(python_of(path)) for path in TUTORIALS) >= 2


def test_public_functions_name_and_type_their_arguments():
    for name in dte._HOME:
        value = getattr(dte, name)
        if isinstance(value, type) or not callable(value):
            continue
        for parameter in inspect.signature(value).parameters.values():
            assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, name
            assert parameter.annotation is not inspect.Parameter.empty, (
                f"{name} says no type for {parameter.name}"
            )
