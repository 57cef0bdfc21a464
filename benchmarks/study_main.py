"""The one ``main`` of the scripts here: options, where results go, quick runs."""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("doc/results")
QUICK_RESULTS = Path("build/quick")


def option(name, **how):
    """Name an option, with the keywords of ``add_argument``."""
    return name, how


def main(run, text, *options, out_dir=None, out_file=None, quick=False, argv=None):
    """Parse the command line of a script and run it.

    Parameters
    ----------
    run : callable
        Called with the options as a namespace, and ``refuse``, which ends the script
        with a message about them.
    text : str
        The script's docstring, shown as help.
    *options : tuple
        What `option` gives.
    out_dir : Path, optional
        Adds ``--out_dir``, with this default.
    out_file : str, optional
        Adds ``--out``, a file of this name in doc/results by default.
    quick : bool, optional
        Adds ``--quick``; its results go to build/quick unless ``--out_dir`` is given,
        so that those of a full run stay.
    argv : list of str, optional
        The command line, by default that of the process.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if out_dir is not None:
        parser.add_argument("--out_dir", type=Path, help=f"default: {out_dir}")
    if out_file is not None:
        default = ROOT / RESULTS / out_file
        parser.add_argument("--out", type=Path, default=default)
    if quick:
        shown = f"little of everything, into {QUICK_RESULTS} by default"
        parser.add_argument("--quick", action="store_true", help=shown)
    for name, how in options:
        parser.add_argument(name, **how)
    given = parser.parse_args(argv)
    if out_dir is not None and given.out_dir is None:
        given.out_dir = QUICK_RESULTS if quick and given.quick else out_dir
    given.refuse = parser.error
    return run(given)
