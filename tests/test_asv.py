"""The benchmarks for asv run: each of their functions is called once, on little."""

import importlib
import inspect
import json
import sys

from flow_data import ROOT
import pytest
from slow import slow

FOLDER = ROOT / "benchmarks" / "asv"
# What each class is run on instead of all it is for.
SMALL = {
    "Encode": (50,),
    "Read": (".trk", ".tck", ".trx"),
    "ReadByNibabel": (".trk", ".tck"),
    "Epoch": ("dense",),
}
PREFIXES = ("time_", "peakmem_")


def suites():
    """Find the classes of benchmarks."""
    sys.path.insert(0, str(FOLDER))
    try:
        modules = [
            importlib.import_module(f"benchmarks.{path.stem}")
            for path in sorted((FOLDER / "benchmarks").glob("[!_]*.py"))
        ]
    finally:
        sys.path.remove(str(FOLDER))
    return [
        suite
        for module in modules
        for _, suite in inspect.getmembers(module, inspect.isclass)
        if suite.__module__ == module.__name__
    ]


SUITES = suites()
CASES = [(suite, parameter) for suite in SUITES for parameter in SMALL[suite.__name__]]


@slow
@pytest.mark.parametrize(
    ("suite", "parameter"),
    CASES,
    ids=[f"{suite.__name__}-{parameter}" for suite, parameter in CASES],
)
def test_benchmarks_run(suite, parameter, monkeypatch):
    module = inspect.getmodule(suite)
    if hasattr(module, "N_STREAMLINES"):
        monkeypatch.setattr(module, "N_STREAMLINES", 50)
    names = [name for name in vars(suite) if name.startswith(PREFIXES)]
    assert any(name.startswith("time_") for name in names)
    benchmark = suite()
    benchmark.setup(parameter)
    try:
        for name in names:
            getattr(benchmark, name)(parameter)
    finally:
        getattr(benchmark, "teardown", lambda parameter: None)(parameter)


def test_configuration_names_what_exists():
    settings = json.loads((FOLDER / "asv.conf.json").read_text(encoding="utf-8"))
    assert (FOLDER / settings["benchmark_dir"]).is_dir()
    assert (FOLDER / settings["repo"]).resolve() == ROOT
    assert {1_000, 100_000} <= set(
        next(s for s in SUITES if s.__name__ == "Encode").params
    )
