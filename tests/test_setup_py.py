import tomllib

from flow_data import ROOT, run_python
import pytest


def setup_py(*arguments):
    return run_python(ROOT / "setup.py", *arguments)


def test_metadata_come_from_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    for name in ("name", "version"):
        result = setup_py(f"--{name}")
        assert (result.code, result.out) == (0, project[name] + "\n")


@pytest.mark.parametrize("arguments", [[], ["upload"], ["--author"]])
def test_unknown_command_gives_the_list(arguments):
    result = setup_py(*arguments)
    assert result.code == 2
    for word in (
        "install",
        "sdist",
        "bdist_wheel",
        "build_ext",
        "--version",
        "pyproject.toml",
    ):
        assert word in result.err
    assert not result.out


def test_options_are_refused():
    result = setup_py("install", "--user")
    assert result.code == 2
    assert "--user" in result.err
