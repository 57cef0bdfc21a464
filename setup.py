"""Thin door for tools that still call ``setup.py``; the build is meson-python's."""

from pathlib import Path
import shutil
import subprocess
import sys

HERE = Path(__file__).resolve().parent
COMPILED = HERE / "dipy_tractoencoder" / "streamlines"

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
    if not arguments or arguments[0] not in {*COMMANDS, "build_ext"}:
        print(
            "setup.py hands over to meson-python (see pyproject.toml). "
            f"It takes {', '.join([*COMMANDS, 'build_ext', *METADATA])}; "
            "for anything else use `python -m pip` or `python -m build`.",
            file=sys.stderr,
        )
        return 2
    if arguments[1:]:
        print(f"setup.py takes no options: {arguments[1:]}", file=sys.stderr)
        return 2
    if arguments[0] == "build_ext":
        return build_in_place()
    command = [sys.executable, "-m", *COMMANDS[arguments[0]]]
    print("setup.py hands over to meson-python:", " ".join(command[1:]), flush=True)
    return subprocess.call(command, cwd=HERE)


def build_in_place():
    """Build the compiled loop, and put it beside its source, for tests of the tree."""
    build = HERE / "build" / "in_place"
    meson = ["meson", "setup", build, HERE, "-Dcompiled=enabled", "-Dbuildtype=release"]
    if build.exists():
        meson.append("--reconfigure")
    for command in (meson, ["meson", "compile", "-C", build]):
        if code := subprocess.call(command, cwd=HERE):
            return code
    for made in (build / COMPILED.relative_to(HERE)).glob("_resample.*"):
        if made.is_file() and made.suffix in (".so", ".pyd"):
            # A process that has loaded the old one keeps it.
            (COMPILED / made.name).unlink(missing_ok=True)
            print("Built", shutil.copy(made, COMPILED), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
