"""Run the commands on mutated and hostile files: right results, or one of our errors.

    python benchmarks/fuzz_files.py                    # 3,675 cases
    python benchmarks/fuzz_files.py --cases 50         # per kind
    python benchmarks/fuzz_files.py --only trx --first 137 --cases 1 --keep build/

Worker processes run the public commands on files of ``tests/fuzz_cases.py``: formats
whose bytes are mutated, and names, counts and sizes made to be hostile. Tractograms are
encoded, reconstructed, filtered, labelled, used as bundles or for training. The kind
"settings" runs a command in a fresh process under other settings of the machine
(``keras.json``, locale, matplotlibrc, TMPDIR, ...).

A case may take four minutes, on a machine with other work, and 2 GB of additional
memory. It fails if the worker ends, takes longer, reports a bug or an error that is not
one of ours, changes an input, writes outside of the output folder (temporary files that
are left behind count), or exits with 0 after writing numbers that are not finite.
Writes the counts to ``doc/results/fuzzing.csv`` and ``.rst``; with ``--only`` the rows
of other kinds stay.
"""

import argparse
import contextlib
import csv
import io
import json
import os
from pathlib import Path
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

from result_tables import write_results
from study_main import main, option

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
CASES = {
    "trk": 300,
    "tck": 250,
    "trx": 300,
    "trk.gz": 150,
    "tck.gz": 100,
    "dpy": 300,
    "vtk": 200,
    "vtp": 150,
    "tt.gz": 150,
    "keras": 400,
    "h5": 400,
    "densities": 300,
    "checkpoint": 20,
    "names": 280,
    "counts": 210,
    "sizes": 140,
    "settings": 25,
}
SECONDS, BYTES = 240, 2 * 2**30
SLOW = 10  # said, to look at
FAULTS = {
    "crash": "crashes",
    "timeout": "timeouts",
    "changed": "inputs changed",
    "elsewhere": "written elsewhere",
    "not finite": "not finite",
}
COLUMNS = {
    "kind": "kind",
    "cases": "cases",
    "accepted": "read",
    "refused": "refused",
    **FAULTS,
    "longest_s": "longest (s)",
    "largest_memory_mb": "largest memory (MB)",
}
ABOUT = """\
Commands run on mutated and hostile files by ``benchmarks/fuzz_files.py``: they read
them, or refuse them with one line. The kinds are formats of files whose bytes were
mutated, what files say (names, counts, sizes), and settings of the user's machine.
Memory is what a case needed in addition to that of the process before it. See
:doc:`/trust`."""
# Outputs that hold the streamlines of the input, those that were rejected, too.
COPIES = ("encoded", "removed", "labelled")
READ = (".trk", ".tck", ".trx", ".gz", ".dpy", ".vtk", ".vtp")
# Settings of a machine: files below its home, and variables; {home} is the folder.
SETTINGS = (
    {},
    {".keras/keras.json": '{"image_data_format": "channels_first"}'},
    {".keras/keras.json": '{"floatx": "float16"}'},
    {".keras/keras.json": '{"floatx": "float64", "epsilon": 0.5}'},
    {".keras/keras.json": "{not json"},
    {".keras/keras.json": '{"backend": "nonsense"}'},
    {".keras/keras.json": '{"dtype_policy": "mixed_float16"}'},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "nonsense"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONOPTIMIZE": "1"},
    {"PYTHONWARNINGS": "ignore"},
    {"PYTHONHASHSEED": "7"},
    {"TMPDIR": "{home}/missing"},
    {"TMPDIR": "{home}/t\udcffmp", "t\udcffmp/": ""},
    {"HOME": "{home}/missing"},
    {"MPLCONFIGDIR": "{home}/mpl", "mpl/matplotlibrc": "text.usetex: True\n"},
    {"MPLCONFIGDIR": "{home}/mpl", "mpl/matplotlibrc": "nonsense\n"},
    {"MPLBACKEND": "qtagg"},
    {"MPLBACKEND": "nonsense"},
    {"COLUMNS": "1"},
    {"TERM": "dumb", "NO_COLOR": "1"},
    {"TZ": "nonsense"},
    {"HDF5_USE_FILE_LOCKING": "FALSE"},
)


def status(name):
    """Read a number of bytes from this process's status."""
    with open("/proc/self/status", encoding="utf-8") as file:
        (line,) = (line for line in file if line.startswith(name))
    return int(line.split()[1]) * 1024


def work(folder):
    """Take cases from standard input, and answer on what was standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from dipy.workflows import flow_runner
    from flow_data import flow_class

    from dipy_tractoencoder.errors import TractoencoderError
    from dipy_tractoencoder.nn import applied_file
    from dipy_tractoencoder.workflows import cli

    untyped = []
    explain = cli._explain

    def note(err):
        if not isinstance(err, TractoencoderError):
            untyped.append(type(err).__name__)
        return explain(err)

    cli._explain = note
    load, good = applied_file.load_dense_model, str(folder / "vae.keras")
    kept = []

    def load_once(path):  # Read once for all tractograms.
        if str(path) != good:
            return load(path)
        if not kept:
            kept.append(load(path))
        return kept[0]

    applied_file.load_dense_model = load_once
    configure = flow_runner.configure_logger

    def run(name, values):
        sys.argv = [name, *values]
        errors = io.StringIO()
        untyped.clear()
        code = 0
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            try:
                cli.run_command(flow_class(name)())
            except SystemExit as leave:
                code = leave.code or 0
        flow_runner.configure_logger = configure
        text = errors.getvalue()
        return judge(code, text, untyped)

    # What is loaded and compiled once counts for no case.
    out = ["--out_dir", str(folder / "out"), "--force"]
    reference = str(folder / "reference.trk")
    for name, *more in (
        ("dipy_encode_vae", reference),
        ("dipy_reconstruct_vae", reference),
        ("dipy_label_vae", reference, "--bundle_files", reference),
    ):
        run(name, [good, *more, *out])
    limit = status("VmSize") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, values = json.loads(line)
        # The peak begins here.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = status("VmRSS")
        result, text = run(name, values)
        answer = {"result": result, "text": text, "bytes": status("VmHWM") - before}
        print(json.dumps(answer), file=answers, flush=True)


def judge(code, text, untyped=()):
    """Tell from exit code and messages of a command how it ended."""
    lines = [line for line in text.splitlines() if line.startswith("ERROR")]
    fine = code == 0 or (code == 2 and not untyped and len(lines) == 1)
    if "Traceback" in text or "should not happen" in text or not fine:
        return "crash", f"{code} {list(untyped)} {text[-500:]}"
    return ("refused", lines[0]) if code else ("accepted", "")


class Worker:
    """A process that takes cases, and another one when it is lost."""

    def __init__(self, folder, home):
        self.folder, self.home = folder, home
        self.process = None

    def start(self):
        (self.folder / "cwd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.folder / "cwd",
            env=surroundings(self.folder, self.home),
        )
        if self.process.stdout.readline() != "ready\n":
            sys.exit("The worker does not start.")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def run(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                self.stop()
                return {"result": "timeout", "text": "", "bytes": 0}
        answer = self.process.stdout.readline()
        if not answer:
            code = self.process.wait()
            self.process = None
            return {"result": "crash", "text": f"ended with {code}", "bytes": 0}
        return json.loads(answer)


def surroundings(folder, home):
    """Variables of a process: watched temporary folder, unwatched home."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
        ),
    }


def run_with_settings(number, folder, home):
    """Run a command in a fresh process, under settings of the user's machine."""
    chosen = SETTINGS[number % len(SETTINGS)]
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    env = surroundings(folder, home)
    for name, value in chosen.items():
        if name.isupper():
            env[name] = value.format(home=home)
        elif name.endswith("/"):
            (home / name).mkdir()
        else:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value, encoding="utf-8")
    model, path = folder / "vae.keras", folder / "reference.trk"
    script, values = (
        ("encode", [path, "--save_tractogram"]),
        ("label", [path, "--bundle_files", path]),
    )[number // len(SETTINGS) % 2]
    flow = {"encode": "EncodeVAEFlow", "label": "LabelVAEFlow"}[script]
    code = (
        "from dipy_tractoencoder.workflows.cli import run_command\n"
        f"from dipy_tractoencoder.workflows.{script} import {flow}\n"
        f"run_command({flow}())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, model, *values, "--out_dir", folder / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=folder / "cwd",
        timeout=10 * SECONDS,  # Imports and compiles.
    )
    result, text = judge(done.returncode, done.stdout.decode(errors="replace"))
    answer = {"result": result, "text": text, "bytes": 0}
    if result == "accepted" and script == "encode":
        answer["latents"] = (folder / "out" / "latents.h5").read_bytes()
    return answer


def contents(top, leave=()):
    """Bytes of each file below a folder, by path; folders are None."""
    found = {}
    for path in top.rglob("*"):
        if not any(path == other or other in path.parents for other in leave):
            found[path] = path.read_bytes() if path.is_file() else None
    return found


def is_finite(path):
    """Return whether all points of a tractogram are finite; False if unreadable."""
    import numpy as np

    from dipy_tractoencoder import TractoencoderError, TractogramChunks

    try:
        chunks = TractogramChunks(path, path.with_name("reference.trk"))
        with contextlib.closing(chunks):
            return all(np.isfinite(chunk.get_data()).all() for chunk in chunks)
    except TractoencoderError:
        return False


def not_finite(out, copies=True):
    """Name a file of outputs with numbers that are not finite, if there is one.

    Copies hold the streamlines of the input, so that they are looked at only if all
    of its points are finite.
    """
    import h5py
    import nibabel as nib
    import numpy as np

    for path in sorted(out.rglob("*")):
        numbers = []
        if not copies and any(word in path.name for word in COPIES):
            continue
        if path.name.endswith("latents.h5"):
            with h5py.File(path) as file:
                numbers = [file[n][()] for n in ("mean", "log_var") if n in file]
        elif path.suffix == ".trx":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.startswith("positions."):
                        kind = np.dtype(name.rpartition(".")[2])
                        numbers.append(np.frombuffer(archive.read(name), kind))
        elif path.suffix in (".trk", ".tck"):
            lines = nib.streamlines.load(path).streamlines
            numbers = [lines.get_data()] if len(lines) else []
        if not all(np.isfinite(some).all() for some in numbers):
            return path.name
    return None


def run_case(kind, number, good, folder, worker):
    """Run one case; give its answer, with what it did to the files around."""
    from fuzz_cases import make_case

    out = folder / "out"
    inputs = []
    if kind != "settings":
        if worker.process is None:
            worker.start()
        command, values, inputs = make_case(kind, number, good, folder)
    known = {path: path.read_bytes() for path in inputs}
    before = contents(worker.top, (out, worker.home))
    start = time.perf_counter()
    if kind == "settings":
        answer = run_with_settings(number, folder, worker.home)
    else:
        answer = worker.run((command, values))
    answer["took"] = time.perf_counter() - start
    after = contents(worker.top, (out, worker.home))
    if answer["result"] in ("accepted", "refused"):
        for path, content in known.items():
            if not path.is_file() or path.read_bytes() != content:
                answer.update(result="changed", text=path.name)
        if answer["result"] == "accepted":
            copies = bool(inputs) and all(
                is_finite(path) for path in inputs if path.suffix in READ
            )
            if name := not_finite(out, copies):
                answer.update(result="not finite", text=name)
        if after != before and answer["result"] != "changed":
            other = {p for p, c in after.items() if p not in before or before[p] != c}
            other |= before.keys() - after.keys()
            answer.update(result="elsewhere", text=" ".join(map(ascii, other)))
    answer["case"] = "" if kind == "settings" else f"{command} {values}"
    # The next case begins with what was there at first.
    shutil.rmtree(out, ignore_errors=True)
    for path in sorted(contents(worker.top, (worker.home,)), reverse=True):
        if path not in worker.first:
            path.rmdir() if path.is_dir() else path.unlink()
    for path, content in worker.first.items():
        if content is not None and path.is_file() and path.read_bytes() != content:
            path.write_bytes(content)
    return answer


def run(options):
    if options.work:
        work(options.work)
        return
    from fuzz_cases import add_checkpoint, make_case, make_files

    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as top, tempfile.TemporaryDirectory() as home:
        # Deep enough for names that lead up to stay inside of what is watched.
        folder = Path(top) / "1" / "2" / "3" / "4" / "5" / "here"
        folder.mkdir(parents=True)
        worker = Worker(folder, Path(home) / "home")
        worker.top = Path(top)
        good = make_files(folder)
        add_checkpoint(good, folder)
        worker.start()
        shutil.rmtree(folder / "out", ignore_errors=True)
        worker.first = contents(worker.top)
        first_latents = None
        for kind in options.only:
            counts = dict.fromkeys(("accepted", "refused", *FAULTS), 0)
            longest = largest = 0
            n_cases = options.cases or CASES[kind]
            for number in range(options.first, options.first + n_cases):
                answer = run_case(kind, number, good, folder, worker)
                latents = answer.pop("latents", None)
                if latents is not None:
                    first_latents = first_latents or latents
                    if not same_latents(latents, first_latents, Path(home)):
                        answer.update(result="not finite", text="other latents")
                took = answer["took"]
                if took > SLOW and kind != "settings":
                    print(kind, number, f"took {took:.1f} s", flush=True)
                longest = max(longest, took)
                counts[answer["result"]] += 1
                largest = max(largest, answer["bytes"])
                if answer["result"] in FAULTS or options.cases == 1:
                    print(kind, number, answer, flush=True)
                    if options.keep and kind != "settings":
                        make_case(kind, number, good, options.keep)
            bad += sum(counts[name] for name in FAULTS)
            row = {"kind": kind, "cases": n_cases, **counts}
            row["longest_s"] = round(longest, 1)
            row["largest_memory_mb"] = round(largest / 2**20)
            rows.append(row)
            print(row, flush=True)
        worker.stop()
    if options.cases is None:
        rows = with_earlier(rows, options.out)
        total = {"kind": "all"}
        for name in list(rows[0])[1:]:
            values = [row[name] for row in rows]
            largest = name in ("longest_s", "largest_memory_mb")
            total[name] = max(values) if largest else sum(values)
        write_results(
            [*rows, total],
            options.out.with_suffix(""),
            title="Mutated and hostile files",
            about=ABOUT,
            columns=COLUMNS,
        )
    sys.exit(bool(bad))


def with_earlier(rows, path):
    """Add the rows of kinds that were not run again, from the table there is."""
    known = {row["kind"]: row for row in rows}
    if path.is_file():
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                numbers = {k: json.loads(v) for k, v in row.items() if k != "kind"}
                known.setdefault(row["kind"], {"kind": row["kind"], **numbers})
    return [known[kind] for kind in CASES if kind in known]


def same_latents(one, other, folder):
    """Tell whether two latents files hold the same, up to rounding."""
    import numpy as np

    from dipy_tractoencoder.latent.latents_file import load_latents

    means = []
    for number, content in enumerate((one, other)):
        path = folder / f"{number}.h5"
        path.write_bytes(content)
        means.append(load_latents(path).mean)
    return np.allclose(*means, atol=1e-4)


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--cases", type=int, help="per kind"),
        option("--first", type=int, default=0),
        option("--only", nargs="*", default=list(CASES)),
        option("--keep", type=Path, help="folder for the files of cases that fail"),
        option("--work", type=Path, help=argparse.SUPPRESS),
        out_file="fuzzing.csv",
    )
