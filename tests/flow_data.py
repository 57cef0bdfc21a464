"""Run commands, in a process of their own or in this one; see what they left."""

from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
import importlib
import io
import logging
import os
from pathlib import Path
import re
import subprocess
import sys

from dipy.workflows import flow_runner
import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dipy_tractoencoder"


def _read_scripts():
    """Find module and flow of each script, by name."""
    found = {}
    for script in sorted((ROOT / "bin").glob("dipy_*")):
        pattern = r"from dipy_tractoencoder\.workflows\.(\w+) import (\w+Flow)$"
        (found[script.name],) = re.findall(
            pattern, script.read_text(encoding="utf-8"), flags=re.M
        )
    return found


COMMANDS = _read_scripts()


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def flow_class(name):
    """Give the flow behind a command."""
    module, flow = COMMANDS[name]
    return getattr(
        importlib.import_module(f"dipy_tractoencoder.workflows.{module}"), flow
    )


def run_python(*arguments, cwd=None, **environment):
    """Run Python in a fresh process, away from the source tree."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd or "/",
        env=env,
        timeout=300,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def run_command(name, *arguments, cwd=None, **environment):
    """Run an installed command as a user does."""
    script = Path(sys.executable).parent / name
    return run_python(script, *arguments, cwd=cwd, **environment)


def call_command(capsys, name, *arguments):
    """Run a command inside this process, which is quicker; leaves logging as it was."""
    capsys.readouterr()
    code = _call(name, *arguments)
    captured = capsys.readouterr()
    return Result(code, captured.out, captured.err)


def call_command_in(folder, name, *arguments):
    """Run a command inside this process and a folder, for fixtures of a module."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = _call(name, *arguments)
    return Result(code, out.getvalue(), err.getvalue())


def _call(name, *arguments):
    """Run a command inside this process; give its exit code."""
    from dipy_tractoencoder.workflows.cli import run_command

    loggers = [logging.getLogger(n) for n in ("dipy_tractoencoder", "dipy")]
    kept = [(log.handlers, log.level, log.propagate) for log in loggers]
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        # Both are changed by the command and put back at the end.
        patch.setattr(flow_runner, "configure_logger", flow_runner.configure_logger)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            run_command(flow_class(name)())
        except SystemExit as leave:
            code = leave.code
        finally:
            for log, (handlers, level, propagate) in zip(loggers, kept):
                for handler in set(log.handlers) - set(handlers):
                    if isinstance(handler, logging.FileHandler):
                        handler.close()
                log.handlers, log.propagate = handlers, propagate
                log.setLevel(level)
    return code or 0


def assert_refused(result, *needles, code=2):
    """Check for one line of error that holds certain words, and nothing else."""
    lines = result.err.strip().splitlines()
    assert result.code == code, result
    assert len(lines) == 1, result.err
    assert lines[0].startswith("ERROR: ")
    assert "Traceback" not in result.err + result.out
    for needle in needles:
        assert str(needle) in lines[0], lines[0]


def files_below(folder):
    """All files below a folder, hidden ones too, with their time and bytes."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def save_reference(path):
    """Write an image of the space that `made_data.make_tractogram` is in."""
    from made_data import AFFINE, DIMENSIONS

    nib.save(nib.Nifti1Image(np.zeros(DIMENSIONS, dtype=np.uint8), AFFINE), path)
    return path
