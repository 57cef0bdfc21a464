"""The scripts in benchmarks share one ``main``; each shows its own help by it."""

from pathlib import Path
import re

from flow_data import ROOT, run_python
import pytest
from slow import slow

BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(
    path
    for path in BENCHMARKS.glob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)


def options_of(*arguments, **keywords):
    import sys

    sys.path.insert(0, str(BENCHMARKS))
    try:
        from study_main import main
    finally:
        sys.path.remove(str(BENCHMARKS))
    return main(lambda given: given, "About.", argv=list(arguments), **keywords)


def test_quick_results_go_elsewhere():
    given = {"out_dir": Path("doc/results"), "quick": True}
    assert options_of(**given).out_dir == Path("doc/results")
    assert options_of("--quick", **given).out_dir == Path("build/quick")
    assert options_of("--quick", "--out_dir", "x", **given).out_dir == Path("x")


def test_file_of_a_table():
    assert options_of(out_file="a.csv").out == ROOT / "doc" / "results" / "a.csv"
    assert options_of("--out", "b.csv", out_file="a.csv").out == Path("b.csv")


def test_what_is_wrong_ends_with_the_usage(capsys):
    given = options_of()
    with pytest.raises(SystemExit) as left:
        given.refuse("no such section")
    assert left.value.code == 2
    assert "no such section" in capsys.readouterr().err


def test_every_script_uses_it():
    assert len(SCRIPTS) > 10
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^from study_main import .*main", text, flags=re.M), path
        assert "ArgumentParser" not in text, path


@slow
@pytest.mark.parametrize("name", ["fibercup_study", "comparison_study", "fuzz_files"])
def test_scripts_show_help(name):
    path = BENCHMARKS / f"{name}.py"
    result = run_python(path, "--help", cwd=ROOT)
    assert result.code == 0, result.err
    assert (
        path.read_text(encoding="utf-8").split('"""')[1].splitlines()[0][:60]
        in result.out
    )
