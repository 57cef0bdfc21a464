"""
================================================
6. Whole-brain scale: chunks, TRX, many subjects
================================================

Whole-brain tractograms often have more than a million streamlines. Files are read,
resampled, encoded and written in chunks, so memory does not grow with the file. This
tutorial measures memory and time for simulated files of moderate size, then encodes
several subjects, one after the other and in parallel.

The times below were measured when this page was built, on a machine with other work;
:doc:`/speed` has results for a million streamlines.
"""

from pathlib import Path
import subprocess
import sys
import tempfile
import time

from dipy.utils.parallel import paramap
import matplotlib.pyplot as plt
from nibabel.streamlines import ArraySequence
import numpy as np

import dipy_tractoencoder as dte

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

###############################################################################
# The data are shifted copies of streamlines of the phantom, as TRX files. TRX is the
# best format for large tractograms: files are read in parts instead of as a whole, and
# can hold groups and data per streamline. Our reader opens them read-only.

seeds = dte.make_fibercup(600, 0.0, seed=0)
rng = np.random.default_rng(0)


def make_file(path, n_streamlines):
    """Write a TRX with a number of streamlines."""
    rows = rng.integers(len(seeds), size=n_streamlines)
    shifts = rng.normal(0, 1, (n_streamlines, 3)).astype(np.float32)
    lines = ArraySequence(
        seeds.streamlines[row] + shift for row, shift in zip(rows, shifts)
    )
    codes = np.zeros(n_streamlines, dtype=np.uint8)
    made = dte.LabelledStreamlines(lines, seeds.bundle[rows], codes + 1, codes)
    dte.save_tractogram(made.tractogram(), path)
    size = path.stat().st_size / 1e6
    print(f"{path.name}: {n_streamlines:,} streamlines, {size:.0f} MB")


for count in (20_000, 80_000):
    make_file(folder / f"whole_{count}.trx", count)

###############################################################################
# Training keeps its resampled streamlines in memory, 3 kB each. ``max_streamlines``
# limits it to a random sample of the files' streamlines, drawn in one pass.

model = dte.train(
    [dte.load_tractogram(folder / "whole_20000.trx")],
    max_streamlines=4000,
    latent_dim=16,
    epochs=15,
    seed=0,
)
dte.save_model(model, folder / "vae.keras")
print("trained on", model.record.data["n_training"], "of", model.record.data["n_read"])

###############################################################################
# Memory and time of a file
# -------------------------
#
# Each run is a separate process, so that its peak memory can be measured. "Nothing"
# only loads the backend and the model; all other runs include this memory and time.

SCRIPT = """
from pathlib import Path
import resource
import sys
import dipy_tractoencoder as dte
model = dte.load_model("vae.keras")
if len(sys.argv) > 1:
    dte.encode_file(model, sys.argv[1], sys.argv[2], chunk_size=int(sys.argv[3]))
largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if sys.platform == "linux":  # Where that counts the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    largest = int(status.split("VmHWM:")[1].split()[0]) * 1024
print("largest memory:", largest)
"""


def measure(*arguments):
    """Measure the time (s) and peak memory (MB) of a run."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    return seconds, int(done.stdout.split("largest memory:")[1]) / 1e6


runs = {"nothing": measure()}
for count, chunk in ((20_000, 5_000), (80_000, 5_000), (80_000, 20_000)):
    name = f"{count // 1000}k, chunks of {chunk // 1000}k"
    runs[name] = measure(f"whole_{count}.trx", f"{count}_{chunk}.h5", chunk)
for name, (seconds, memory) in runs.items():
    print(f"{name:20} {seconds:5.1f} s  {memory:6.0f} MB")

fig, axes = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
names = list(runs)
axes[0].barh(names, [memory for _, memory in runs.values()], color="C0")
axes[0].set(xlabel="peak memory (MB)")
axes[1].barh(names, [seconds for seconds, _ in runs.values()], color="C1")
axes[1].set(xlabel="time, including start-up (s)", yticklabels=[])
for axis in axes:
    axis.invert_yaxis()
plt.show()

###############################################################################
# With the same chunk size, four times the streamlines need no more memory: memory holds
# the backend and three chunks, the one being encoded, the next one and the one being
# read. Larger chunks need more memory, and are not faster here.
#
# The latents do not depend on the chunk size:

latents = dte.load_latents(folder / "80000_20000.h5")
other = dte.load_latents(folder / "80000_5000.h5")
difference = np.abs(latents.mean - other.mean).max()
print(
    latents.mean.shape, f"largest difference between chunk sizes: {difference:.1e} mm"
)

###############################################################################
# Many subjects
# -------------
#
# One command with many files loads the model once::
#
#     dipy_encode_vae vae.keras sub-*/whole.trx --out_dir latents
#
# On a machine with many cores, DIPY's ``paramap`` runs a function for several subjects
# in parallel. Set the engine, since the default, ray, is not installed with DIPY.

subjects = []
for number in range(1, 5):
    (folder / f"sub-{number:02}").mkdir()
    subjects.append(folder / f"sub-{number:02}" / "whole.trx")
    make_file(subjects[-1], 5_000)


def encode_subject(path, model_file):
    """Encode the tractogram of a subject, next to it."""
    import dipy_tractoencoder as dte

    counts = dte.encode_file(dte.load_model(model_file), path, path.with_suffix(".h5"))
    return counts["n_encoded"]


for engine, n_jobs in (("serial", 1), ("joblib", 2)):
    start = time.perf_counter()
    counts = paramap(
        encode_subject,
        subjects,
        engine=engine,
        n_jobs=n_jobs,
        func_args=[folder / "vae.keras"],
    )
    seconds = time.perf_counter() - start
    print(f"{engine:7} {n_jobs} job(s): {sum(counts):,} streamlines, {seconds:.1f} s")

###############################################################################
# In parallel it is slower here, as for all files of this size: every worker starts its
# own backend, which takes seconds and most of a GB, and a single process already uses
# all cores. Parallel processes are worthwhile on many cores with files of millions of
# streamlines, or on a cluster with one job per subject.
#
# The simplest way in Python is a loop:

start = time.perf_counter()
for path in subjects:
    dte.encode_file(model, path, path.with_suffix(".hdf5"))
print(f"one model, one loop: {time.perf_counter() - start:.1f} s")
