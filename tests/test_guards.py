"""What keeps the package in shape: flows, scripts, lists of files, imports."""

import ast
import inspect
import os
import re
import shlex
import sys

from dipy.workflows.base import IntrospectiveArgumentParser
from dipy.workflows.docstring_parser import NumpyDocString
from flow_data import COMMANDS, PACKAGE, ROOT, flow_class, run_command, run_python
import pytest

from dipy_tractoencoder.training.settings import TrainingSettings

MODULES = sorted(PACKAGE.rglob("*.py"))
OTHER_FILES = sorted(
    path
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc", ".build", ".so", ".pyd")
)
HEAVY = ("keras", "tensorflow", "torch", "jax", "matplotlib", "sklearn", "jinja2")
# DIPY's parser finds the type by parts of words; these are what it reads rightly.
TYPES = {"string", "string or Path", "int", "float", "bool"}
TYPES |= {"variable string", "variable string or Path"}
# A class statement needs its base classes: who imports the module wants them.
NEEDED_BY_A_CLASS = {"training/embedding.py": {"sklearn"}}
DIPY_OWN = {"force", "version", "out_strat", "mix_names", "log_level", "log_file"}

every_command = pytest.mark.parametrize("name", COMMANDS)


def identify(path):
    return str(path.relative_to(PACKAGE))


every_module = pytest.mark.parametrize("path", MODULES, ids=identify)


def parser_of(name):
    parser = IntrospectiveArgumentParser(prog=name)
    parser.add_workflow(flow_class(name)())
    return parser


def documented(name):
    """Name, type and description of each parameter in the docstring of run."""
    return NumpyDocString(inspect.getdoc(flow_class(name).run))["Parameters"]


def parameters(name):
    found = inspect.signature(flow_class(name).run).parameters
    return {key: value for key, value in found.items() if key != "self"}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(nodes):
    """Absolute names of all modules imported, those inside functions too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# Flows


@every_command
def test_docstring_and_signature_agree(name):
    assert [entry[0] for entry in documented(name)] == list(parameters(name))


@every_command
def test_parameters_are_what_the_parser_understands(name):
    for (parameter, kind, _), signature in zip(
        documented(name), parameters(name).values()
    ):
        base, *optional = kind.split(", ")
        has_default = signature.default is not inspect.Parameter.empty
        assert base in TYPES, parameter
        assert optional == (["optional"] if has_default else []), parameter
        assert "out_" not in parameter.removeprefix("out_"), parameter
        assert parameter not in DIPY_OWN
        if base == "bool":
            assert signature.default is False, parameter
        elif has_default and signature.default is not None:
            python = {"int": int, "float": (int, float)}.get(base, str)
            assert isinstance(signature.default, python), parameter


@every_command
def test_outputs_come_last_after_out_dir(name):
    names = list(parameters(name))
    outputs = [key for key in names if key.startswith("out_")]
    assert outputs[0] == "out_dir"
    assert names[-len(outputs) :] == outputs


@every_command
def test_example_of_the_help_parses(name):
    doc = inspect.getdoc(flow_class(name).run)
    (example,) = re.findall(r"^Example: (.+)$", doc, flags=re.M)
    command, *arguments = shlex.split(example)
    assert command == name
    given = parser_of(name).get_flow_args(arguments)
    assert all(value in str(given) for value in arguments if value[:1] != "-")


@every_command
def test_every_option_is_understood(name):
    arguments, expected = [], {}
    given = {"string": "x", "string or Path": "x", "int": 7, "float": 0.5}
    for parameter, kind, _ in documented(name):
        base, *optional = kind.split(", ")
        flag = [f"--{parameter}"] if optional else []
        if base == "bool":
            arguments, expected[parameter] = [*arguments, *flag], True
        elif base.startswith("variable string"):
            arguments = [*arguments, *flag, "a", "b"]
            expected[parameter] = ["a", "b"]
        else:
            arguments = [*arguments, *flag, str(given[base])]
            expected[parameter] = given[base]
    given = parser_of(name).get_flow_args(arguments)
    # What a combined flow passes on has a point in its name.
    assert {key: value for key, value in given.items() if "." not in key} == expected


def test_demo_passes_on_the_options_of_its_sub_flows():
    given = parser_of("dipy_vae_demo").get_flow_args(
        ["--train.epochs", "3", "--encode.save_tractogram", "--reconstruct.seed", "4"]
    )
    assert given["train.epochs"] == 3
    assert given["encode.save_tractogram"] is True
    assert given["reconstruct.seed"] == 4


def test_defaults_of_the_training_command_are_those_of_the_library():
    settings = TrainingSettings().to_dict()
    settings["no_linear_skip"] = not settings.pop("linear_skip")
    settings["no_rate_schedule"] = not settings.pop("rate_schedule")
    settings["no_normalization"] = not settings.pop("normalise")
    settings["no_alignment_sample"] = not settings.pop("alignment_sample")
    command = {k: p.default for k, p in parameters("dipy_train_vae").items()}
    assert {key: command.get(key, "missing") for key in settings} == settings


# Scripts


def test_each_flow_has_a_script():
    flows = set()
    for path in (PACKAGE / "workflows").glob("*.py"):
        defined = (node for node in tree(path).body if isinstance(node, ast.ClassDef))
        flows |= {
            (path.stem, node.name)
            for node in defined
            if any(ast.unparse(base).endswith("Workflow") for base in node.bases)
        }
    flows.remove(("base", "TractoWorkflow"))
    assert flows == set(COMMANDS.values())
    assert len(COMMANDS) >= 5
    files = {path.name for path in (ROOT / "bin").iterdir()}
    assert files == {*COMMANDS, "meson.build"}


@every_command
def test_script_is_short_and_calls_its_flow(name):
    script = ROOT / "bin" / name
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert lines[0] == "#!python"
    assert len(lines) <= 7
    assert f"run_command({COMMANDS[name][1]}())" in lines[-1]
    assert any(f"workflows.{COMMANDS[name][0]} import" in line for line in lines)


@every_command
def test_help_is_light_and_shows_an_example(name):
    # Prints what is loaded once the installed script has left.
    watch = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('LOADED', *sys.modules))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    script = os.path.join(os.path.dirname(sys.executable), name)
    result = run_python("-c", watch, script, "--help")
    assert result.code == 0, result.err
    shown, loaded = result.out.split("LOADED")
    loaded = {module.partition(".")[0] for module in loaded.split()}
    assert "dipy" in loaded  # The list is there.
    assert not loaded & set(HEAVY)
    assert f"Example: {name} " in shown
    for parameter in parameters(name):
        assert parameter in shown


def test_version_is_the_packages_own():
    import dipy_tractoencoder

    result = run_command("dipy_train_vae", "--version")
    assert result.code == 0
    assert result.out.startswith(f"dipy_tractoencoder {dipy_tractoencoder.__version__}")


# Lists of files


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}))
def test_meson_lists_the_modules(folder):
    text = (folder / "meson.build").read_text(encoding="utf-8")
    listed = re.findall(r"'([^']+\.py)'", text)
    assert listed == sorted(path.name for path in folder.glob("*.py"))
    assert f"subdir: '{folder.relative_to(ROOT)}'" in text
    below = {path.parent.name for path in MODULES if path.parent.parent == folder}
    assert set(re.findall(r"^subdir\('(\w+)'\)", text, flags=re.M)) == below


def test_meson_lists_the_scripts():
    text = (ROOT / "bin" / "meson.build").read_text(encoding="utf-8")
    assert re.findall(r"'(dipy_\w+)'", text) == sorted(COMMANDS)


def test_meson_lists_what_is_no_module():
    """Templates, scripts of pages, type stubs and their mark."""
    for path in OTHER_FILES:
        near = [folder / "meson.build" for folder in path.parents[:2]]
        listed = "".join(
            file.read_text(encoding="utf-8") for file in near if file.is_file()
        )
        assert f"{path.name}'" in listed, path


def test_installed_package_is_whole():
    """As a wheel leaves it, where the tests run on one."""
    import dipy_tractoencoder

    installed = os.path.dirname(dipy_tractoencoder.__file__)
    assert {".html", ".css", ".js"} <= {path.suffix for path in OTHER_FILES}
    for path in (*MODULES, *OTHER_FILES):
        if path.suffix == ".pyx":  # Only what is built from it is installed.
            continue
        copy = os.path.join(installed, identify(path))
        assert os.path.isfile(copy), copy
        with open(copy, "rb") as file:
            assert file.read() == path.read_bytes(), copy


# Imports


def test_importing_the_package_is_light():
    result = run_python("-c", "import dipy_tractoencoder, sys; print(*sys.modules)")
    loaded = {module.partition(".")[0] for module in result.out.split()}
    assert "dipy_tractoencoder" in loaded
    assert not loaded & {*HEAVY, "dipy", "nibabel", "h5py", "numpy"}


WITHOUT_A_MODEL = """
import sys
import numpy as np
import dipy_tractoencoder as dte

made = dte.make_fibercup(40, seed=0)
dte.save_tractogram(made.tractogram(), "a.trk")
n = len(dte.load_tractogram("a.trk"))
mean = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
flags = np.zeros(n, bool)
dte.save_latents(dte.Latents(mean, None, np.arange(n), flags, n), "a.h5")
latents = dte.load_latents("a.h5")
dte.fit_latent_classifier(latents[flags == 0].mean, np.arange(n) % 2, ["AF", "UF"])
dte.fit_density(latents.mean)
dte.load_densities(sys.argv[1])
print(*sys.modules)
"""


def test_what_needs_no_model_loads_no_keras(tmp_path):
    densities = ROOT / "tests" / "data" / "densities_v1.h5"
    result = run_python("-c", WITHOUT_A_MODEL, densities, cwd=tmp_path)
    assert result.code == 0, result.err
    loaded = {module.partition(".")[0] for module in result.out.split()}
    assert {"dipy_tractoencoder", "h5py"} <= loaded
    assert not loaded & {"keras", "tensorflow", "torch", "jax"}


def test_public_names_resolve():
    import dipy_tractoencoder

    assert len(set(dipy_tractoencoder.__all__)) == len(dipy_tractoencoder.__all__) > 10
    assert set(dir(dipy_tractoencoder)) == set(dipy_tractoencoder.__all__)
    for name in dipy_tractoencoder.__all__:
        value = getattr(dipy_tractoencoder, name)
        home = getattr(value, "__module__", "dipy_tractoencoder")
        assert home.startswith("dipy_tractoencoder"), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dipy_tractoencoder.nothing  # noqa: B018


@every_module
def test_backends_are_reached_through_keras_only(path):
    nodes = list(ast.walk(tree(path)))
    roots = {name.partition(".")[0] for name in imports(nodes)}
    assert not roots & {"tensorflow", "torch", "jax", "jaxlib", "tensorboard"}
    assert "tf" not in {node.id for node in nodes if isinstance(node, ast.Name)}


@every_module
def test_slow_modules_are_imported_where_used(path):
    at_top = {name.partition(".")[0] for name in imports(tree(path).body)}
    slow = {"matplotlib", "sklearn", "h5py", "tqdm", "jinja2", "PIL"}
    assert at_top & slow == NEEDED_BY_A_CLASS.get(identify(path), set())


def test_modules_with_slow_imports_are_reached_by_the_lazy_table_only():
    for path in MODULES:
        used = set(imports(ast.walk(tree(path))))
        for slow in NEEDED_BY_A_CLASS:
            name = "dipy_tractoencoder." + slow.removesuffix(".py").replace("/", ".")
            assert not any(item.startswith(name) for item in used), path


# Packages from the ground up; a package imports only from the rows above its own.
ROWS = (
    ("errors",),
    ("utils",),
    ("streamlines", "sims"),
    ("io", "nn", "align"),
    ("latent",),
    ("training", "evaluation", "segment", "generation", "stats"),
    ("viz",),
    ("report", "explorer"),
    ("workflows",),
)
ROW_OF = {package: row for row, packages in enumerate(ROWS) for package in packages}
WITHIN_A_ROW = {
    ("evaluation", "generation"),
    ("evaluation", "segment"),
    ("training", "segment"),
    ("nn", "align"),
    ("nn", "io"),
    ("align", "io"),
}


def arrows():
    """List importing module and imported package of all imports between packages."""
    for path in MODULES:
        inner = path.relative_to(PACKAGE).with_suffix("").parts
        if inner == ("__init__",):
            continue
        for imported in imports(ast.walk(tree(path))):
            root, _, rest = imported.partition(".")
            used = rest.partition(".")[0]
            if root == "dipy_tractoencoder" and used in ROW_OF and used != inner[0]:
                yield inner, used


def test_every_package_has_a_row():
    names = {path.relative_to(PACKAGE).parts[0] for path in MODULES}
    names = {name.removesuffix(".py") for name in names} - {"__init__"}
    assert names <= set(ROW_OF)


def test_no_package_imports_an_upper_row():
    wrong = [
        (".".join(inner), used)
        for inner, used in arrows()
        if ROW_OF[used] > ROW_OF[inner[0]]
        or (ROW_OF[used] == ROW_OF[inner[0]] and (inner[0], used) not in WITHIN_A_ROW)
    ]
    assert not wrong


def test_packages_and_modules_import_each_other_in_no_circle():
    packages, modules = {}, {}
    for path in MODULES:
        inner = path.relative_to(PACKAGE).with_suffix("").parts
        if inner[-1] == "__init__":
            continue
        name = ".".join(("dipy_tractoencoder", *inner))
        found = set(imports(ast.walk(tree(path))))
        modules[name] = found | {imported.rpartition(".")[0] for imported in found}
        packages.setdefault(inner[0], set())
    for inner, used in arrows():
        packages[inner[0]].add(used)
    for graph in (packages, modules):
        graph = {name: (used & set(graph)) - {name} for name, used in graph.items()}
        assert any(graph.values())
        while graph:
            leaves = {name for name, used in graph.items() if not used & set(graph)}
            assert leaves, f"these import each other: {sorted(graph)}"
            graph = {name: used for name, used in graph.items() if name not in leaves}


def test_initialisers_of_packages_are_empty():
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent != PACKAGE:
            assert not tree(path).body, path


# Style


@every_module
def test_the_library_names_no_option(path):
    """The workflows add options to messages; docstrings may speak of commands."""
    if "workflows" in path.parts:
        return
    nodes = list(ast.walk(tree(path)))
    docs = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(n.body[0].value)
        for n in nodes
        if isinstance(n, docs) and n.body and isinstance(n.body[0], ast.Expr)
    }
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                assert not re.search(r"(?<![\w-])--[a-z]", node.value), node.value


@every_module
def test_modules_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 420


def test_docstrings_follow_numpydoc():
    pytest.importorskip("numpydoc.hooks.validate_docstrings", reason="needs numpydoc")
    result = run_python("-m", "numpydoc.hooks.validate_docstrings", *MODULES, cwd=ROOT)
    assert result.code == 0, result.out + result.err


@every_command
def test_commands_show_an_example_and_end_with_what_is_next(name):
    flow = flow_class(name)
    assert f"Example: {name} " in flow.run.__doc__
    assert 'logger.info("Next: ' in inspect.getsource(inspect.getmodule(flow))


@every_module
def test_no_check_is_an_assertion(path):
    """They would be left out with PYTHONOPTIMIZE=1."""
    assert not [n for n in ast.walk(tree(path)) if isinstance(n, ast.Assert)]
