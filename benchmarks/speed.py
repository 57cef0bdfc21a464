"""Speed of training, encoding and whole files, compared with plain Keras and PyTorch.

    python benchmarks/speed.py                    # everything, about 20 minutes
    python benchmarks/speed.py --only train encode
    python benchmarks/speed.py --only files --n_file 1000 100000

Each row runs in a separate process, one after the other; run nothing else meanwhile.
Ratios are to plain Keras (`plain_keras`), the network of the GSoC 2024 project as a
user would write it, and to FINTA in PyTorch (`torch_finta`) if PyTorch is installed.
The fraction of the peak ("share of peak") is relative to the fastest float32 matrix
product of the same run, from the number of operations of the network.

The section "files" compares whole commands: dipy_encode_vae, and a script that reads
and resamples with DIPY and does not encode. They take turns; times are the shortest.
Its table is ``files``.
"""

import argparse
from importlib.util import find_spec
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np
from study_main import RESULTS, main, option

SECTIONS = ["train", "encode", "size", "files"]
SIZES = [1_000, 10_000, 100_000, 1_000_000]  # streamlines per file
N_POINTS, LATENT_DIM = 256, 32
BATCH = 128
SEED_MODEL = {"backbone": "finta", "linear_skip": False}
# Multiplications and additions per streamline, encoder only, folded.
CONVOLUTIONS = (
    (3, 32, 128),
    (32, 64, 64),
    (64, 128, 32),
    (128, 256, 16),
    (256, 512, 8),
)
FLOPS = {
    "finta": sum(2 * 3 * i * o * steps for i, o, steps in CONVOLUTIONS)
    + 2 * 512 * 10 * 2 * LATENT_DIM,
    "dense": 2 * (768 * 64 + 64 * 256 + 256 * 256 + 256 * 2 * LATENT_DIM),
}


def best_of(work, seconds=6.0, least=3):
    """Shortest time of some repetitions, after one that is not counted."""
    work()
    times = []
    while len(times) < least or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def points(n, n_points=N_POINTS):
    """Streamlines of the synthetic phantom, mm."""
    from dipy_tractoencoder import make_fibercup
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

    some = make_fibercup(1000, 0.0, seed=0).streamlines
    array = Preprocessing(n_points=n_points, orientation="as_is").array(some).points
    return np.tile(array, (-(-n // len(array)), 1, 1))[:n]


def row_peak():
    """Largest matrix product per second, GFLOP/s."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4096, 4096)).astype(np.float32) for _ in "ab")
    return {"gflops": 2 * 4096**3 / best_of(lambda: a @ b) / 1e9}


def row_train_plain(jit_compile="auto"):
    from plain_keras import plain_vae

    data = points(1024)
    model = plain_vae(jit_compile=jit_compile)

    def epoch():
        model.fit(data, data, batch_size=BATCH, epochs=1, verbose=0)

    return {"rate": len(data) / best_of(epoch)}


def row_train_torch():
    from torch_finta import train

    data = points(1024)
    epochs = train(data, BATCH)
    return {"rate": len(data) / best_of(lambda: next(epochs))}


def row_train_ours(**settings):
    from study_measures import Watch

    from dipy_tractoencoder.training.train import run_training

    dense = settings.get("backbone", "dense") == "dense"
    n, epochs = (3072, 60) if dense else (1024, 8)
    watch = Watch()
    run_training(
        [list(points(n))],
        validation_fraction=0,
        epochs=epochs,
        callbacks=[watch],
        **settings,
    )
    return {"rate": n / min(watch.seconds[1:])}


def row_encode_plain():
    from plain_keras import plain_vae

    data = points(4096)
    encoder = plain_vae().encoder

    def work():
        encoder.predict(data, batch_size=512, verbose=0)

    return {"rate": len(data) / best_of(work)}


def row_encode_torch():
    from torch_finta import Finta, encode

    data = points(4096)
    model = Finta().eval()
    return {"rate": len(data) / best_of(lambda: encode(model, data, 512))}


def row_encode_ours(n, **settings):
    from dipy_tractoencoder.latent.codec import encode
    from dipy_tractoencoder.streamlines.array import StreamlineArray
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
    from dipy_tractoencoder.training.fit import build_model
    from dipy_tractoencoder.training.settings import TrainingSettings

    settings = TrainingSettings(**settings)
    data = points(n, settings.n_points)
    model = build_model(Preprocessing(n_points=settings.n_points), settings)
    model.ensure_built()
    array = StreamlineArray.from_points(data)
    return {"rate": n / best_of(lambda: encode(model, array))}


def row_file_reading(path, reference):
    """DIPY's own reading and resampling of a file."""
    from dipy.io.streamline import load_tractogram
    from dipy.tracking.streamline import set_number_of_points

    tractogram = load_tractogram(path, reference, bbox_valid_check=False)
    set_number_of_points(tractogram.streamlines, nb_points=N_POINTS)
    return process_figures()


def row_file_encoding(path, reference, model, folder):
    """From file to latents file, by the command."""
    from dipy_tractoencoder.workflows.cli import run_command
    from dipy_tractoencoder.workflows.encode import EncodeVAEFlow

    options = ["--reference", reference, "--out_dir", folder, "--force"]
    sys.argv = ["dipy_encode_vae", model, path, *options]
    run_command(EncodeVAEFlow())
    return process_figures()


def row_file_bytes(path):
    """Read the same bytes, one after the other."""
    buffer = bytearray(2**22)

    def read():
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    return {"seconds": best_of(read, seconds=0.5, least=2)}


def row_model(path):
    """Train the default model for a moment, which is enough to measure its speed."""
    from dipy_tractoencoder import save_model, train

    save_model(train(list(points(500, 50)), epochs=1, validation_fraction=0), path)
    return {}


def process_figures():
    """Processor time and largest resident memory of the process since its start."""
    # Not getrusage, whose largest size is inherited from the process that started this.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024**2
    return {"cpu": time.process_time(), "peak_gb": peak}


def make_file(path, n, reference):
    """Write n streamlines of 50 points."""
    import nibabel as nib

    from dipy_tractoencoder.io.space import tractogram_space
    from dipy_tractoencoder.io.writers import write_chunks
    from dipy_tractoencoder.sims.geometry import AFFINE, DIMENSIONS

    if not Path(reference).exists():
        nib.save(nib.Nifti1Image(np.zeros(DIMENSIONS, np.uint8), AFFINE), reference)
    from dipy.io.stateful_tractogram import Space, StatefulTractogram

    space = tractogram_space(StatefulTractogram([], str(reference), Space.RASMM))
    base = points(20_000, 50)
    rng = np.random.default_rng(0)

    def chunks():
        for start in range(0, n, len(base)):
            some = base[: n - start]
            yield some + rng.normal(size=(len(some), 1, 3)).astype(np.float32)

    write_chunks(chunks(), path, space, n, 50)


TRAIN = {
    "plain Keras": ("tensorflow", "train_plain", {}),
    "plain Keras, XLA": ("tensorflow", "train_plain", {"jit_compile": True}),
    "PyTorch FINTA": ("torch", "train_torch", {}),
    "finta, TensorFlow": ("tensorflow", "train_ours", SEED_MODEL),
    "finta, JAX": ("jax", "train_ours", SEED_MODEL),
    "finta AE, TensorFlow": ("tensorflow", "train_ours", {**SEED_MODEL, "model": "ae"}),
    "finta AE, JAX": ("jax", "train_ours", {**SEED_MODEL, "model": "ae"}),
    "default, TensorFlow": ("tensorflow", "train_ours", {}),
    "default, JAX": ("jax", "train_ours", {}),
}
ENCODE = {
    "plain Keras": ("tensorflow", "encode_plain", {}),
    "PyTorch FINTA": ("torch", "encode_torch", {}),
    "finta, TensorFlow": ("tensorflow", "encode_ours", {"n": 8192, **SEED_MODEL}),
    "finta, JAX": ("jax", "encode_ours", {"n": 8192, **SEED_MODEL}),
    "default, TensorFlow": ("tensorflow", "encode_ours", {"n": 100_000}),
    "default, JAX": ("jax", "encode_ours", {"n": 100_000}),
}


def measure(backend, kind, arguments):
    """Run one row in a process of its own; figures have its whole "wall" time."""
    start = time.perf_counter()
    output = subprocess.run(
        [sys.executable, __file__, "--row", json.dumps([kind, arguments])],
        env={
            **os.environ,
            "KERAS_BACKEND": "tensorflow" if backend == "torch" else backend,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    ).stdout
    wall = time.perf_counter() - start
    return {"wall": wall, **json.loads(output.splitlines()[-1])}


def run(options):
    if options.row:
        kind, arguments = json.loads(options.row)
        print(json.dumps(globals()[f"row_{kind}"](**arguments)))
        return
    rows = []
    peak = measure("tensorflow", "peak", {})["gflops"]

    def add(section, name, figures, **more):
        rows.append({"section": section, "row": name, **figures, **more})
        print(rows[-1], flush=True)

    add("machine", "float32 matrix product", {"gflops": peak})
    for section, table in (("train", TRAIN), ("encode", ENCODE)):
        if section not in options.only:
            continue
        rates = {}
        for name, (backend, kind, arguments) in table.items():
            if find_spec(backend) is None:
                continue
            figures = measure(backend, kind, arguments)
            rates[name] = figures["rate"]
            for other, column in (
                ("plain Keras", "to plain Keras"),
                ("PyTorch FINTA", "to PyTorch"),
            ):
                if other in rates:
                    figures[column] = rates[name] / rates[other]
            if kind == "encode_ours":
                flops = FLOPS["finta" if "finta" in name else "dense"]
                figures["share of peak"] = flops * rates[name] / peak / 1e9
            add(section, name, figures)
    if "size" in options.only:
        for n_points in (64, 128, 256):
            for n in (1_000, 10_000, 100_000, 1_000_000):
                if n * n_points <= 256 * 300_000:  # 1 GB of points.
                    arguments = {"n": n, "n_points": n_points}
                    figures = measure("tensorflow", "encode_ours", arguments)
                    add("size", f"{n_points} points", figures, n=n)
    table = [row for row in rows if row["section"] != "machine"]
    if table:
        write(rows, options.out_dir, "speed")
    if "files" in options.only:
        write(rows[:1] + file_rows(options, peak), options.out_dir, "files")


def file_rows(options, peak):
    """Whole files: ours beside DIPY's reading and resampling alone."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        reference, model = f"{folder}/image.nii.gz", f"{folder}/model.keras"
        measure("jax" if find_spec("jax") else "tensorflow", "model", {"path": model})
        for extension in ("trk", "tck", "trx"):
            for n in options.n_file:
                path = f"{folder}/lines.{extension}"
                make_file(path, n, reference)
                file = {"path": path, "reference": reference}
                into = {"model": model, "folder": f"{folder}/out"}
                sides = [[], []]
                for _ in range(options.repeats):
                    for side, kind, more in zip(
                        sides, ("file_reading", "file_encoding"), ({}, into)
                    ):
                        side.append(measure("tensorflow", kind, {**file, **more}))
                dipy, ours = (
                    {key: min(row[key] for row in side) for key in side[0]}
                    for side in sides
                )
                limit = measure("tensorflow", "file_bytes", {"path": path})["seconds"]
                rows.append(
                    {
                        "section": "files",
                        "file": extension,
                        "n": n,
                        "DIPY wall (s)": dipy["wall"],
                        "DIPY cpu (s)": dipy["cpu"],
                        "wall (s)": ours["wall"],
                        "cpu (s)": ours["cpu"],
                        "wall to DIPY's": ours["wall"] / dipy["wall"],
                        "cpu to DIPY's": ours["cpu"] / dipy["cpu"],
                        "DIPY peak (GB)": dipy["peak_gb"],
                        "peak (GB)": ours["peak_gb"],
                        "bytes alone (s)": limit,
                        "share of peak": FLOPS["dense"] * n / ours["wall"] / peak / 1e9,
                    }
                )
                print(rows[-1], flush=True)
                os.remove(path)
    return rows


def write(rows, out_dir, name):
    """Write a table, as CSV and rst."""
    from dipy_tractoencoder.nn.provenance import software_versions
    from dipy_tractoencoder.utils.tables import save_table

    out_dir.mkdir(parents=True, exist_ok=True)
    save_table(rows, out_dir / f"{name}.csv")
    versions = ", ".join(f"{k} {v}" for k, v in software_versions().items())
    lines = [f"{platform.machine()}, {os.cpu_count()} cores, {versions}.", ""]
    for section in dict.fromkeys(row["section"] for row in rows):
        members = [row for row in rows if row["section"] == section]
        columns = list(dict.fromkeys(k for row in members for k in row))[1:]
        lines += [f".. csv-table:: {section}", "   :header-rows: 1", ""]
        lines.append("   " + ",".join(columns))
        for row in members:
            cells = [row.get(column, "") for column in columns]
            cells = [f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells]
            lines.append("   " + ",".join(f'"{c}"' for c in cells))
        lines.append("")
    (out_dir / f"{name}.rst").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--only", nargs="*", choices=SECTIONS, default=SECTIONS),
        option("--n_file", type=int, nargs="+", default=SIZES),
        option("--repeats", type=int, default=3),
        option("--row", help=argparse.SUPPRESS),
        out_dir=RESULTS,
    )
