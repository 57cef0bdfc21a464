"""Memory and time of training on files, with and without points in memory.

    python benchmarks/training_memory.py                   # 100,000 and a million
    python benchmarks/training_memory.py --n 1000 --epochs 2

Trains the default model on made TRX files of 50 points a streamline. "Read again" is
what ``train`` does: it reads the file three times and keeps coefficients. "Points in
memory" reads it once and keeps resampled points, which ``train`` does for convolutions.
Each row runs in a separate process, one after the other. Peak memory is the largest
resident size of the process; "backend (GB)" is its size before the training, with all
libraries loaded.
"""

import argparse
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
import tempfile
import time

from speed import make_file
from study_main import RESULTS, main, option

WAYS = ("read again", "points in memory")


def resident(name):
    """Resident memory of this process, GB: VmRSS now, VmHWM at most."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{name}:")[1].split()[0]) / 1024**2


def clock():
    """Make a callback with the seconds of each epoch."""
    from study_measures import Watch

    return Watch()


def row(way, path, reference, epochs):
    """Train once; return seconds, memory (GB) and held-out error (mm)."""
    import numpy as np

    from dipy_tractoencoder.io.chunks import TractogramChunks
    from dipy_tractoencoder.nn.provenance import software_versions
    from dipy_tractoencoder.training.coefficient_trainer import coefficient_distances
    from dipy_tractoencoder.training.fit import fit, train_with_settings
    from dipy_tractoencoder.training.settings import TrainingSettings

    settings = TrainingSettings(epochs=epochs)
    before, start, watch = resident("VmRSS"), time.perf_counter(), clock()
    with_points = way == "points in memory"
    source = [TractogramChunks(path, reference)]
    if with_points:
        from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
        from dipy_tractoencoder.training.dataset import gather, split

        data = gather(source, Preprocessing())
        held_out = split(data.source, settings.validation_fraction)
        sides = (data.points[~held_out], data.points[held_out])
        model, _, _ = fit(*sides, data.preprocessing, settings, callbacks=[watch])
        distance, _ = coefficient_distances(
            model, model.principal_directions().whitened(sides[1])
        )
        error = float(np.sqrt(np.square(distance).mean()))
    else:
        run = train_with_settings(source, settings, callbacks=[watch])
        error = run.errors()["error_mm"]
    seconds = time.perf_counter() - start
    return {
        "epochs": epochs,
        "seconds": seconds,
        "of these in epochs": sum(watch.seconds),
        "peak (GB)": resident("VmHWM"),
        "backend (GB)": before,
        "held-out error (mm)": error,
        "versions": ", ".join(f"{k} {v}" for k, v in software_versions().items()),
    }


def run(options):
    if options.row:
        print(json.dumps(row(*json.loads(options.row))))
        return
    from dipy_tractoencoder.utils.tables import save_table

    rows, versions = [], ""
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        reference, path = f"{folder}/image.nii.gz", f"{folder}/lines.trx"
        for n in options.n:
            make_file(path, n, reference)
            for way in WAYS:
                if way != "read again" and n > options.most_points:
                    continue
                arguments = [way, path, reference, options.epochs]
                output = subprocess.run(
                    [sys.executable, __file__, "--row", json.dumps(arguments)],
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                ).stdout
                figures = json.loads(output.splitlines()[-1])
                versions = figures.pop("versions")
                rows.append({"streamlines": n, "way": way, **figures})
                print(rows[-1], flush=True)
            os.remove(path)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    save_table(rows, options.out_dir / "training_memory.csv")
    lines = [
        f"Training of the default model, {platform.machine()}, {os.cpu_count()} cores, "
        f"{versions}.",
        "",
        ".. csv-table::",
        "   :header-rows: 1",
        "",
        "   " + ",".join(rows[0]),
    ]
    for figures in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else v for v in figures.values()]
        lines.append("   " + ",".join(f'"{cell}"' for cell in cells))
    text = "\n".join(lines) + "\n"
    (options.out_dir / "training_memory.rst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--n", type=int, nargs="+", default=[100_000, 1_000_000]),
        option("--epochs", type=int, default=1),
        option("--most_points", type=int, default=1_000_000, help="with points kept"),
        option("--scratch", help="folder for the made files"),
        option("--row", help=argparse.SUPPRESS),
        out_dir=RESULTS,
    )
