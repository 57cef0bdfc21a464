"""Run the commands on mutated files: they succeed or end with one of our errors.

    python benchmarks/fuzz_files.py                    # 3,100 files
    python benchmarks/fuzz_files.py --cases 50         # per kind
    python benchmarks/fuzz_files.py --only trx --first 137 --cases 1 --keep build/

Worker processes run the public commands on mutated TRK, TCK, TRX, model, latents and
density files: tractograms are encoded, and some are reconstructed, filtered, labelled
or used for training. A case may take 20 s, and 2 GB of additional memory. It counts as
a crash if the worker ends, if it takes longer, if the command reports a bug, or if the
error is not one of ours. Writes the counts to ``doc/results/fuzzing.csv``.
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
import subprocess
import sys
import tempfile
import time

from study_main import main, option

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
CASES = {"trk": 700, "tck": 500, "trx": 600, "keras": 400, "h5": 600, "densities": 300}
SECONDS, BYTES = 20, 2 * 2**30
SLOW = 3  # said, to look at


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
    from dipy_tractoencoder.nn import model_file
    from dipy_tractoencoder.workflows import cli

    untyped = []
    explain = cli._explain

    def note(err):
        if not isinstance(err, TractoencoderError):
            untyped.append(type(err).__name__)
        return explain(err)

    cli._explain = note
    load, good = model_file.load_model, str(folder / "vae.keras")
    kept = []

    def load_once(path):  # Compiled once for all tractograms.
        if str(path) != good:
            return load(path)
        if not kept:
            kept.append(load(path))
        return kept[0]

    model_file.load_model = load_once
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
        lines = [line for line in text.splitlines() if line.startswith("ERROR")]
        fine = code == 0 or (code == 2 and not untyped and len(lines) == 1)
        if "Traceback" in text or not fine:
            return "crash", f"{code} {untyped} {text[-500:]}"
        return ("refused", lines[0]) if code else ("accepted", "")

    # What is loaded and compiled once counts for no case.
    out = ["--out_dir", str(folder / "out"), "--force"]
    for name in ("dipy_encode_vae", "dipy_reconstruct_vae"):
        run(name, [good, str(folder / "reference.trk"), *out])
    limit = status("VmSize") + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, values = json.loads(line)
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="utf-8"
        )  # The peak begins here.
        before = status("VmRSS")
        result, text = run(name, values)
        answer = {"result": result, "text": text, "bytes": status("VmHWM") - before}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A process that takes cases, and another one when it is lost."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
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


def run(options):
    if options.work:
        work(options.work)
        return
    from mutations import arguments, file_name, make_good_files, mutated

    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = make_good_files(folder)
        worker = Worker(folder)
        for kind in options.only:
            counts = dict.fromkeys(("accepted", "refused", "crash", "timeout"), 0)
            longest = largest = 0
            n_cases = options.cases or CASES[kind]
            for number in range(options.first, options.first + n_cases):
                if worker.process is None:
                    worker.start()
                path = folder / file_name(kind)
                path.write_bytes(mutated(good[kind], kind, number))
                start = time.perf_counter()
                answer = worker.run(arguments(kind, path, folder, number))
                took = time.perf_counter() - start
                if took > SLOW:
                    print(kind, number, f"took {took:.1f} s", flush=True)
                longest = max(longest, took)
                counts[answer["result"]] += 1
                largest = max(largest, answer["bytes"])
                if answer["result"] in ("crash", "timeout"):
                    print(kind, number, answer["result"], answer["text"], flush=True)
                    if options.keep:
                        kept = options.keep / f"{number}.{kind}"
                        kept.write_bytes(path.read_bytes())
                elif options.cases == 1:
                    print(kind, number, answer, flush=True)
            bad += counts["crash"] + counts["timeout"]
            rows.append(
                {
                    "kind": kind,
                    "cases": n_cases,
                    "accepted": counts["accepted"],
                    "refused": counts["refused"],
                    "crashes": counts["crash"],
                    "timeouts": counts["timeout"],
                    "longest_s": round(longest, 1),
                    "largest_memory_mb": round(largest / 2**20),
                }
            )
            print(rows[-1], flush=True)
        worker.stop()
    if options.cases is None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with open(options.out, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--cases", type=int, help="per kind"),
        option("--first", type=int, default=0),
        option("--only", nargs="*", default=list(CASES)),
        option("--keep", type=Path, help="folder for files that crash"),
        option("--work", type=Path, help=argparse.SUPPRESS),
        out_file="fuzzing.csv",
    )
