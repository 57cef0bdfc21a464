"""Kill a training repeatedly, resume it, and compare with an uninterrupted one.

    python benchmarks/kill_training.py                 # 20 kills
    python benchmarks/kill_training.py --kills 3 --epochs 40

One training through ``dipy_train_vae`` gets SIGKILL and is started again with
``--resume`` until it finishes. Three quarters of the kills are soon after a random
epoch of the training or the refit; the others within the first seconds of a process,
while Python starts or the checkpoint is read. Checkpoints are written every half second
instead of every five, so that kills also happen during writing. Writes
``doc/results/kill_training.csv`` with a row per kill.
"""

import csv
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import numpy as np
from study_main import main, option

ROOT = Path(__file__).resolve().parents[1]
TRAIN = """
from dipy_tractoencoder.training import checkpoint
checkpoint.SECONDS_BETWEEN_WRITES = checkpoint.SECONDS_BETWEEN_COPIES = 0.5
checkpoint.WRITING_FRACTION = 1
from dipy_tractoencoder.workflows.cli import run_command
from dipy_tractoencoder.workflows.train import TrainVAEFlow
run_command(TrainVAEFlow())
"""
# Through both parts of a refit, with noise, turning and a schedule in force.
OPTIONS = (
    "--n_points",
    32,
    "--latent_dim",
    8,
    "--backbone",
    "compact",
    "--refit",
    "--no_linear_skip",
    "--orientation",
    "augment",
    "--kl_annealing",
    "cyclical",
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
    try:
        with np.load(path, allow_pickle=False) as file:
            phases = json.loads(str(file["about"]))["phases"]
    except FileNotFoundError:
        return "none", 0
    name, state = list(phases.items())[-1]
    return name, state["epoch"]


def epochs_done(out, epochs):
    """Epochs of both parts that are in the checkpoint."""
    phase, epoch = kept_state(out)
    return epoch + epochs * (phase == "refit")


def kill(process, out, epochs, place, delay):
    """Kill a training; give its code if it ended before.

    Parameters
    ----------
    process : subprocess.Popen
        The training.
    out : Path
        Its folder.
    epochs : int
        Of its first part.
    place : int or None
        Epochs, of both parts, that have to be done first.
    delay : float
        Seconds to wait then.
    """
    while place is not None and epochs_done(out, epochs) < place:
        if process.poll() is not None:
            return process.returncode
        time.sleep(0.05)
    try:
        return process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def same_weights(first, second):
    from dipy_tractoencoder import load_model

    pairs = zip(*(load_model(path).get_weights() for path in (first, second)))
    return all(np.array_equal(one, other) for one, other in pairs)


def run(options):
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
        from dipy_tractoencoder import load_model

        refit = load_model(folder / "whole" / "vae.keras").record.best_epoch
        print(f"Epochs: {options.epochs}, refit: {refit}", flush=True)
        out = folder / "killed"
        n_placed = round(0.75 * options.kills)
        # Not so late that it ends before it is killed.
        places = list(rng.integers(0, options.epochs + refit - 10, n_placed))
        # Those of the start come where the training happens to be.
        places += [None] * (options.kills - n_placed)
        order = rng.permutation(len(places))
        waiting = sorted(place for place in places if place is not None)
        ended = False
        for number in order:
            place = None if places[number] is None else waiting.pop(0)
            process = subprocess.Popen(
                command(folder, out, options.epochs, "--resume"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            delay = float(rng.uniform(0, 10 if place is None else 1))
            start = time.perf_counter()
            code = kill(process, out, options.epochs, place, delay)
            took = time.perf_counter() - start
            if code:
                sys.exit(process.stderr.read())
            ended = code == 0
            if ended:
                break
            phase, epoch = kept_state(out)
            strays = len(list(out.glob(".*"))) if out.exists() else 0
            row = {"kill": len(rows) + 1, "after_s": round(took, 1)}
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
        same &= (folder / "whole" / table).read_text(encoding="utf-8") == (
            out / table
        ).read_text(encoding="utf-8")
        left = sorted(path.name for path in out.iterdir())
    print(f"{len(rows)} kills; same weights and history: {same}; left: {left}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "same_weights_at_the_end"])
        writer.writeheader()
        writer.writerows({**row, "same_weights_at_the_end": same} for row in rows)
    sys.exit(not same)


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--kills", type=int, default=20),
        option("--epochs", type=int, default=150),
        option("--streamlines", type=int, default=500),
        option("--seed", type=int, default=0),
        out_file="kill_training.csv",
    )
