"""Time from the start of a command to its end, compared with ``dipy_info --help``.

    python benchmarks/cold_start.py

Each command works on 300 streamlines with the default model, from a cold start of
Python, with its default options. ``dipy_info --help`` runs just before each, so that
both have the machine in the same state; the ratio is the median of those of the runs.
Processor time and peak memory are of the process and its threads.
"""

import multiprocessing
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

from result_tables import write_results
from study_main import RESULTS, main, option

N_STREAMLINES = 300
SUBJECTS = 6
COMMANDS = {
    "encode": ["{model}", "{sub_0}"],
    "decode": ["{model}", "latents.h5"],
    "reconstruct": ["{model}", "{sub_0}"],
    "filter": ["{model}", "{sub_0}", "--plausible_files", "{sub_1}"],
    "label": ["{model}", "{sub_0}", "--bundle_files", "{sub_1}"],
    "sample": ["{model}", "--bundle_files", "{sub_0}", "--n_streamlines", "300"],
    "compare": [
        "{model}",
        "{sub_0}",
        "--reference_files",
        *(f"{{sub_{number}}}" for number in range(1, SUBJECTS)),
    ],
    "evaluate": ["{model}", "{sub_0}", "--training_files", "{sub_1}"],
    "explore": ["{model}", "{sub_0}"],
    "train": ["{sub_0}", "--epochs", "1"],
}


def make_files(folder):
    """Write a model, latents and one tractogram for each subject; give the names."""
    import dipy_tractoencoder as dte

    names = {}
    for subject in range(SUBJECTS):
        made = dte.make_fibercup(N_STREAMLINES, seed=subject)
        rows = made[:N_STREAMLINES]
        name = f"sub-{subject}/fibers.trk"
        (folder / name).parent.mkdir()
        dte.save_tractogram(rows.tractogram(), folder / name)
        names[f"sub_{subject}"] = name
        if subject == 0:
            model = dte.train(rows.streamlines, epochs=1)
            dte.save_model(model, folder / "vae.keras")
            latents = dte.encode(model, rows.tractogram())
            dte.save_latents(latents, folder / "latents.h5")
    return {**names, "model": "vae.keras"}


def measure(command, folder):
    """Run a command; give wall time and processor time, s, and peak memory, MB."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{command}: {output.read().decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6


def median(values):
    return sorted(values)[len(values) // 2]


def run(options):
    scripts = Path(sys.executable).parent
    reference = [scripts / "dipy_info", "--help"]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # In another process: the peak of a child is at least the memory of its parent.
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(1) as pool:
            names = pool.apply(make_files, (folder,))
        for name in options.commands or COMMANDS:
            arguments = [text.format(**names) for text in COMMANDS[name]]
            command = [scripts / f"dipy_{name}_vae", *arguments, "--force"]
            command += ["--out_dir", f"out {name}"]
            measure(command, folder)  # Compiles what Python has not compiled yet.
            known, own = [], []
            for _ in range(options.repeats):
                known.append(measure(reference, folder))
                own.append(measure(command, folder))
            times = [[b / a for a, b in zip(*pair)] for pair in zip(known, own)]
            ratios = [median(values) for values in zip(*times)]
            known, own = list(zip(*known)), list(zip(*own))
            rows.append(
                {
                    "command": f"dipy_{name}_vae",
                    "wall_s": median(own[0]),
                    "reference_wall_s": median(known[0]),
                    "wall_ratio": ratios[0],
                    "processor_s": median(own[1]),
                    "reference_processor_s": median(known[1]),
                    "processor_ratio": ratios[1],
                    "peak_mb": max(own[2]),
                    "reference_peak_mb": max(known[2]),
                }
            )
            print(rows[-1], flush=True)
    write_results(
        rows,
        options.out_dir / "cold_start",
        title="Cold start of the commands",
        about=(
            f"Commands on {N_STREAMLINES} streamlines with the default model, and "
            f"``dipy_info --help`` before each; medians of {options.repeats} runs, "
            f"``benchmarks/cold_start.py``. {os.cpu_count()} cores; load of the "
            f"machine at the end: {os.getloadavg()[0]:.1f}."
        ),
        columns={
            "command": "command",
            "wall_s": "wall, s",
            "wall_ratio": "relative to dipy_info --help",
            "processor_s": "processor, s",
            "processor_ratio": "relative to dipy_info --help",
            "peak_mb": "peak memory, MB",
            "reference_peak_mb": "that of dipy_info --help, MB",
        },
    )


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--repeats", type=int, default=5, help="runs of each command"),
        option("--commands", nargs="+", choices=COMMANDS, help="all by default"),
        out_dir=RESULTS,
    )
