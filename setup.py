"""Thin door for tools that still call ``setup.py``; the build is meson-python's."""

from pathlib import Path
import subprocess
import sys

HERE = Path(__file__).resolve().parent

COMMANDS = {
    "bdist_wheel": ["pip", "wheel", "--no-deps", "--wheel-dir", "dist", "."],
    "build": ["pip", "wheel", "--no-deps", "--wheel-dir", "dist", "."],
    "develop": ["pip", "install", "--no-build-isolation", "--editable", "."],
    "install": ["pip", "install", "."],
    "sdist": ["build", "--sdist"],
}
METADATA = {"--name": "name", "--version": "version"}


def main(arguments):
    """Run the command that does today what a ``setup.py`` command did."""
    if arguments and arguments[0] in METADATA:
        import tomllib

        project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
        print(project[METADATA[arguments[0]]])
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        print(
            "setup.py hands over to meson-python (see pyproject.toml). "
            f"It takes {', '.join([*COMMANDS, *METADATA])}; "
            "for anything else use `python -m pip` or `python -m build`.",
            file=sys.stderr,
        )
        return 2
    if arguments[1:]:
        print(f"setup.py takes no options: {arguments[1:]}", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", *COMMANDS[arguments[0]]]
    print("setup.py hands over to meson-python:", " ".join(command[1:]), flush=True)
    return subprocess.call(command, cwd=HERE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
