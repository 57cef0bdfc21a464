"""Kill a training again and again, resume it, and compare with an unbroken one.

    python benchmarks/kill_training.py                 # 20 kills
    python benchmarks/kill_training.py --kills 3 --epochs 40

One training through ``dipy_train_vae`` gets SIGKILL at random moments, from the start
of Python to the writing of the outputs, and is started again with ``--resume`` until it
ends. States are written every half second instead of every five, so that kills meet the
writing too. The table in ``doc/results/kill_training.csv`` has a row per kill.
"""

import argparse
import csv
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TRAIN = """
from dipy_tractoencoder import checkpoint
checkpoint.SECONDS_BETWEEN_WRITES = checkpoint.SECONDS_BETWEEN_COPIES = 0.5
checkpoint.WRITING_SHARE = 1
from dipy_tractoencoder.workflows.cli import run_command
from dipy_tractoencoder.workflows.train import TrainVAEFlow
run_command(TrainVAEFlow())
"""
# Through both parts of a refit, with noise, turning and a schedule in force.
OPTIONS = (
    *("--n_points", 32, "--latent_dim", 8, "--backbone", "compact", "--refit"),
    *("--no_linear_skip", "--orientation", "augment", "--kl_annealing", "cyclical"),
)


def command(folder, out, epochs, *more):
    arguments = [folder / "a.trk", *OPTIONS, "--epochs", epochs, "--out_dir", out]
    return [sys.executable, "-c", TRAIN, *map(str, arguments), *more]


def make_data(folder, n_streamlines):
    sys.path.insert(0, str(ROOT / "tests"))
    from made_data import make_bundles, make_tractogram

    from dipy_tractoencoder import save_tractogram

    bundles = make_bundles(np.random.default_rng(7), 5, n_streamlines // 5)
    lines = [line for bundle in bundles for line in bundle]
    save_tractogram(make_tractogram(lines), folder / "a.trk")


def kept_state(out):
    """Phase and epochs that are in the checkpoint."""
    path = out / "vae.checkpoint.npz"
    if not path.exists():
        return "none", 0
    with np.load(path, allow_pickle=False) as file:
        phases = json.loads(str(file["about"]))["phases"]
    name, state = list(phases.items())[-1]
    return name, state["epoch"]


def same_weights(first, second):
    from dipy_tractoencoder import load_model

    pairs = zip(*(load_model(path).get_weights() for path in (first, second)))
    return all(np.array_equal(one, other) for one, other in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--streamlines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "doc" / "results" / "kill_training.csv"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder, options.streamlines)
        start = time.perf_counter()
        subprocess.run(
            command(folder, folder / "whole", options.epochs),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        whole = time.perf_counter() - start
        print(f"Unbroken: {whole:.0f} s", flush=True)
        out = folder / "killed"
        # So that it gets on by a little more than the start takes, on the average.
        longest = 2 * whole / options.kills + 15
        ended = False
        while len(rows) < options.kills and not ended:
            process = subprocess.Popen(
                command(folder, out, options.epochs, "--resume"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            wait = float(rng.uniform(0, longest))
            try:
                process.wait(wait)
                ended = True
                if process.returncode:
                    sys.exit(process.stderr.read())
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                phase, epoch = kept_state(out)
                strays = len(list(out.glob(".*"))) if out.exists() else 0
                row = {"kill": len(rows) + 1, "after_s": round(wait, 1)}
                rows.append({**row, "kept": phase, "epoch": epoch, "strays": strays})
                print(rows[-1], flush=True)
        if not ended:
            subprocess.run(
                command(folder, out, options.epochs, "--resume"),
                check=True,
                stdout=subprocess.DEVNULL,
            )
        same = same_weights(folder / "whole" / "vae.keras", out / "vae.keras")
        table = "history.csv"
        same &= (folder / "whole" / table).read_text() == (out / table).read_text()
        left = sorted(path.name for path in out.iterdir())
    print(f"{len(rows)} kills; same weights and history: {same}; left: {left}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "same_weights_at_the_end"])
        writer.writeheader()
        writer.writerows({**row, "same_weights_at_the_end": same} for row in rows)
    sys.exit(not same)


if __name__ == "__main__":
    main()
