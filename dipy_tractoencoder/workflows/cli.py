"""Run a flow from the command line: options, logging, one-line errors, exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import logging
import os
from pathlib import Path
import shlex
import signal
import sys
import traceback
from typing import Any

from dipy_tractoencoder import __version__
from dipy_tractoencoder.errors import TractoencoderError
from dipy_tractoencoder.io.formats import READABLE
from dipy_tractoencoder.workflows.options import (
    OptionsFormatter,
    name_options,
    option_names,
)

logger = logging.getLogger("dipy_tractoencoder")

LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
# Files that a log must not be appended to.
DATA_EXTENSIONS = (*READABLE, ".h5", ".hdf5", ".keras", ".nii", ".gz", ".csv", ".png")
UNPRINTABLE = "backslashreplace"  # What text does not hold, in messages.
EXIT_ERROR = 2
EXIT_BUG = 1
STOPPING = ("SIGTERM", "SIGHUP")  # SIGINT is Python's own.


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = signal.Signals(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Convert signals that end the process into an exception, so that it can clean up.

    Yields
    ------
    None
        Signals that are ignored, as with nohup, stay ignored.
    """

    def stop(number, frame):
        raise Stopped(number)

    kept = {}
    for name in STOPPING:
        number = getattr(signal, name, None)  # Windows has fewer.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            kept[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def run_command(flow: Any) -> None:
    """Run a flow with the arguments of the process, and exit.

    Parameters
    ----------
    flow : Workflow
        Flow of the command.

    Raises
    ------
    SystemExit
        With code 2 after a bad argument, file or training, 1 after a bug, and 128 plus
        the number of the signal after an interruption: 130 (SIGINT), 143 (SIGTERM).
    """
    from dipy import __version__ as dipy_version
    from dipy.workflows import flow_runner

    show_any_text()
    options = option_names(flow)
    level = _configure_logging(options)
    flow.command = command_line()
    # A closed pipe (`| head`) stops the messages, not the work.
    logging.raiseExceptions = level == "DEBUG"
    # Hide TensorFlow's messages on processors and devices.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if level == "DEBUG" else "3")
    version = f"dipy_tractoencoder {__version__} (DIPY {dipy_version})"
    extra_args = {"version": {"action": "version", "version": version}}
    # DIPY 1.12 would log everything at INFO through the root logger, whatever
    # --log_level says; ours is configured already.
    flow_runner.configure_logger = lambda **_: None
    if level != "DEBUG":
        # Its warnings on retracing are for developers.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with stoppable():
            flow_runner.run_flow(flow, extra_args=extra_args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as err:
        number = getattr(err, "number", signal.SIGINT)
        _leave(
            f"Interrupted ({number.name}); outputs not written so far are missing.",
            128 + number,
        )
    # Our own errors, and those of DIPY for missing files, sizes and folders.
    except (TractoencoderError, OSError, ImportError) as err:
        _show_traceback(level)
        _leave(name_options(_explain(err), options), EXIT_ERROR)
    except Exception as err:
        _show_traceback(level)
        if sys.flags.optimize > 1 and isinstance(err, TypeError):
            _leave(
                "Python runs without docstrings, and parts of DIPY cannot be imported "
                f"then ({err}). Unset PYTHONOPTIMIZE, or leave out -OO.",
                EXIT_ERROR,
            )
        _leave(
            f"{type(err).__name__}: {err} This is a bug: please report it, with the "
            "output of --log_level DEBUG.",
            EXIT_BUG,
        )


def show_any_text() -> None:
    """Let messages and the help hold any text, whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        # Otherwise a line with a name that the locale cannot show would be missing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=UNPRINTABLE)


def command_line() -> str:
    """Return the command line of this process, so that it can be copied.

    Returns
    -------
    command : str
        Command, quoted for the shell, with KERAS_BACKEND in front if it is set.
    """
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    backend = os.environ.get("KERAS_BACKEND")
    return f"KERAS_BACKEND={shlex.quote(backend)} {command}" if backend else command


def _explain(err):
    """Add advice to the errors of DIPY and the system about files and folders."""
    if isinstance(err, TractoencoderError):
        return str(err)
    if getattr(err, "filename", None):
        return (
            f"Cannot use {err.filename}: {err.strerror}. Check the paths; --out_dir "
            "chooses another folder for the outputs."
        )
    return str(err)


def _configure_logging(names):
    """Make --log_level and --log_file work for this package's and DIPY's messages."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--log_level", default="INFO")
    parser.add_argument("--log_file", default="")
    options, _ = parser.parse_known_args()
    level = options.log_level.upper()
    if level not in LEVELS:
        _leave(
            f"Invalid value received for `log_level`. Expected one of "
            f"{', '.join(LEVELS)}. Received: {options.log_level!r}.",
            EXIT_ERROR,
        )
    screen = logging.StreamHandler(sys.stdout)
    screen.setFormatter(OptionsFormatter("%(levelname)s: %(message)s", names))
    handlers = [screen]
    if options.log_file:
        log_path = Path(options.log_file)
        if _holds_data(log_path):
            _leave(
                f"Cannot log to {log_path}: it is a data file, which appended text "
                "would destroy. Give another name.",
                EXIT_ERROR,
            )
        try:
            Path(options.log_file).parent.mkdir(parents=True, exist_ok=True)
            text = {"encoding": "utf-8", "errors": UNPRINTABLE}
            handlers.append(logging.FileHandler(options.log_file, **text))
        except OSError as err:
            _leave(
                f"Cannot write the log file {options.log_file}: {err.strerror}.",
                EXIT_ERROR,
            )
        handlers[-1].setFormatter(
            OptionsFormatter("%(asctime)s %(name)s %(levelname)s: %(message)s", names)
        )
    for name in ("dipy_tractoencoder", "dipy"):
        named = logging.getLogger(name)
        named.handlers = handlers
        named.setLevel(level)
        named.propagate = False
    return level


def _holds_data(path):
    """Tell whether a file, followed through links, is something else than text."""
    target = path.resolve()
    if not target.is_file():
        return False
    if target.suffix.lower() in DATA_EXTENSIONS:
        return True
    try:
        with open(target, "rb") as file:
            while block := file.read(2**20):
                if b"\0" in block:
                    return True
    except OSError:
        return False  # Opening it for appending says what is wrong.
    return False


def _show_traceback(level):
    """Print the traceback of the current error if the log level is DEBUG."""
    if level == "DEBUG":
        traceback.print_exc()


def _leave(message, code):
    """Print one line on standard error, log it to the file, and exit."""
    message = " ".join(message.split())
    print(f"ERROR: {message}", file=sys.stderr)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(
                logger.makeRecord(
                    logger.name, logging.ERROR, __file__, 0, message, (), None
                )
            )
    sys.exit(code)
