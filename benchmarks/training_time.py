"""Time to train 120 epochs of 3,112 streamlines, compared with plain Keras.

    python benchmarks/training_time.py

Each row runs in a separate process, one after the other, on an otherwise idle machine.
The first epoch includes compilation; the time of 120 epochs is that of the first plus
119 times the median of the others. Our times include fitting PCA, validation, the final
batch normalisation statistics and everything else a training does.
"""

import json
import os
import platform
import subprocess
import sys
import time

from study_main import RESULTS, main, option

EPOCHS = 120
# The seed's own batch sizes were 20 and 300.
ROWS = {
    "plain Keras, batch 20": ("tensorflow", "plain", {"batch_size": 20}, 3),
    "plain Keras, batch 300": ("tensorflow", "plain", {"batch_size": 300}, 3),
    "plain Keras, batch 300, XLA": (
        "tensorflow",
        "plain",
        {"batch_size": 300, "jit_compile": True},
        3,
    ),
    "seed's model, TensorFlow": ("tensorflow", "finta", {}, 6),
    "seed's model, JAX": ("jax", "finta", {}, 6),
    "default model, TensorFlow": ("tensorflow", "dense", {}, 120),
    "default model, JAX": ("jax", "dense", {}, 120),
}


def streamlines():
    """Make the study's training and validation streamlines."""
    from study_data import phantom

    data = phantom()
    return data["train"][0], data["training"]["validation"][0]


def time_plain(epochs, *, batch_size, **compile_options):
    """Seconds of each epoch of plain Keras."""
    from plain_keras import plain_vae

    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

    train, _ = streamlines()
    points = Preprocessing(n_points=256, orientation="as_is").array(train).points
    start = time.perf_counter()
    model = plain_vae(**compile_options)
    watch = clock()
    model.fit(
        points,
        points,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[watch],
    )
    return watch.seconds, time.perf_counter() - start


def time_ours(epochs, backbone):
    """Seconds of each epoch of our training, and of everything."""
    from study_rows import SEED_MODEL

    from dipy_tractoencoder.training.train import run_training

    train, validation = streamlines()
    settings = SEED_MODEL if backbone == "finta" else {}
    start = time.perf_counter()
    watch = clock()
    run_training(
        [train],
        validation=[validation],
        epochs=epochs,
        callbacks=[watch],
        **settings,
    )
    return watch.seconds, time.perf_counter() - start


def clock():
    """Make a callback with the seconds of each epoch."""
    from study_measures import Watch

    return Watch()


def run_row(name):
    """Time one row here; print it as JSON."""
    _, kind, options, epochs = ROWS[name]
    if kind == "plain":
        seconds, whole = time_plain(epochs, **options)
    else:
        seconds, whole = time_ours(epochs, kind)
    median = sorted(seconds[1:])[len(seconds[1:]) // 2]
    around = whole - sum(seconds)
    print(
        json.dumps(
            {
                "model": name,
                "first epoch (s)": seconds[0],
                "epoch (s)": median,
                "around (s)": around,
                "120 epochs (s)": around + seconds[0] + (EPOCHS - 1) * median,
                "measured epochs": len(seconds),
            }
        )
    )


def run(options):
    if options.row:
        run_row(options.row)
        return
    from dipy_tractoencoder.utils.tables import save_table

    rows = []
    for name, (backend, *_) in ROWS.items():
        output = subprocess.run(
            [sys.executable, __file__, "--row", name],
            env={**os.environ, "KERAS_BACKEND": backend},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        rows.append(json.loads(output.splitlines()[-1]))
        print(rows[-1], flush=True)
    fastest = min(r["120 epochs (s)"] for r in rows if r["model"].startswith("plain"))
    slowest = max(r["120 epochs (s)"] for r in rows if r["model"].startswith("plain"))
    for row in rows:
        row["fastest plain / this"] = fastest / row["120 epochs (s)"]
        row["slowest plain / this"] = slowest / row["120 epochs (s)"]
    options.out_dir.mkdir(parents=True, exist_ok=True)
    save_table(rows, options.out_dir / "training_time.csv")
    lines = [
        f"Training of 3,112 streamlines, {EPOCHS} epochs; {platform.machine()}, "
        f"{os.cpu_count()} cores, nothing else running. Keras compiles with XLA on "
        "request only, on a CPU.",
        "",
        ".. csv-table::",
        "   :header-rows: 1",
        "",
        "   " + ",".join(rows[0]),
    ]
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else f'"{v}"' for v in row.values()]
        lines.append("   " + ",".join(cells))
    (options.out_dir / "training_time.rst").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--row", choices=ROWS, help="time one row, in this process"),
        out_dir=RESULTS,
    )
