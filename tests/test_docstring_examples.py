"""Examples in docstrings run, and every public function and class has one.

One test per module with ``>>>`` in it runs the examples of its docstrings by
``doctest``, each in an empty folder. An example sees nothing that it does not make or
import itself, so that a reader can paste it; ellipses (``...``) stand for anything in
what it prints, and spaces and line breaks count alike. Equal calls of ``dte.train``
train once for all examples: use the same few lines where a trained model is needed,

    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)

and do not change the model. Print numbers rounded, by ``round`` or ``print``: backends
differ in the last digits, versions of NumPy in how they show a scalar.
"""

import doctest
import functools
import hashlib
import importlib
import inspect

from flow_data import PACKAGE
import numpy as np
import pytest

import dipy_tractoencoder as dte

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_name(path):
    """Give the name a file of the package is imported by."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


WITH_EXAMPLES = [
    module_name(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" and ">>>" in path.read_text(encoding="utf-8")
]


def needs_example(name):
    """Tell a public function or class from constants, errors and workflows.

    The help of each command has an example of its own, and errors are not called.
    """
    value = getattr(dte, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return False
    return callable(value) and dte._HOME[name].partition(".")[0] != "workflows"


PUBLIC = [name for name in dte._HOME if needs_example(name)]


def digest(value):
    """Describe an argument by its content, as a key."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest())
    if hasattr(value, "__iter__") and not isinstance(value, (str, dict)):
        return tuple(map(digest, value))
    return repr(value)


@pytest.fixture(scope="module")
def models():
    """Models trained by examples so far, by the arguments of `train`."""
    return {}


@pytest.fixture
def prepared(models, monkeypatch):
    """Let `train` remember what it was called with."""
    real = dte.train

    @functools.wraps(real)
    def train(streamlines, *arguments, **settings):
        key = digest([streamlines, arguments, sorted(settings.items())])
        if key not in models:
            model = real(streamlines, *arguments, **settings)
            models[key] = model, dict(model.sections)
        model, sections = models[key]
        model.sections = sections  # Without what an example kept in it.
        return model

    monkeypatch.setattr(dte, "train", train)
    with np.printoptions(precision=4, suppress=True):
        yield


# Optional dependencies of examples.
NEEDS = {"dipy_tractoencoder.explorer.page": "plotly"}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name, prepared, monkeypatch, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    report = []
    for test in doctest.DocTestFinder().find(module, globs={}):
        folder = tmp_path / test.name
        folder.mkdir()
        monkeypatch.chdir(folder)
        runner.run(test, out=report.append)
    assert runner.tries > 0
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_an_example(name):
    _, heading, examples = inspect.getdoc(getattr(dte, name)).partition(
        "\nExamples\n--------\n"
    )
    assert heading and ">>> " in examples
