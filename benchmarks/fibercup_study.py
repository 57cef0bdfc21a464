"""The FiberCup study: compare models, settings and PCA on held-out data.

    python benchmarks/fibercup_study.py               # everything, resumable
    python benchmarks/fibercup_study.py --quick       # minutes, for CI
    python benchmarks/fibercup_study.py --only loss     # some sections
    python benchmarks/fibercup_study.py --tables_only # tables of what has run

Each run writes one JSON file into ``--work_dir``. A run whose file exists is not
repeated, so an interrupted study continues where it stopped. The files behind the
tables in ``doc/results`` are stored next to them: give another ``--work_dir`` to repeat
the measurements. Rows with convolutions take hours on two cores; ``KERAS_BACKEND=jax``
is the fastest there.
"""

import json
from pathlib import Path
import sys

import numpy as np
from study_data import SUBJECTS, load
from study_main import RESULTS, main, option
from study_rows import DIMENSIONS, study_runs

from dipy_tractoencoder.nn.provenance import software_versions
from dipy_tractoencoder.utils.atomic_files import whole_file

WORK_DIR = Path("doc/results/fibercup_runs")
EXAMPLES_DIR = Path("build/fibercup_examples")  # for pictures; too large to keep


def save_json(value, path):
    """Write a JSON file, whole or not at all, numbers to six digits."""

    def short(item):
        if isinstance(item, dict):
            return {k: short(v) for k, v in item.items()}
        if isinstance(item, (list, tuple)):
            return [short(v) for v in item]
        if isinstance(item, (float, np.floating)):
            return float(f"{item:.6g}")
        return item

    with whole_file(path) as partial:
        partial.write_text(json.dumps(short(value)) + "\n")


def baselines(quick):
    """Name to (data, row, function, arguments) of what is not trained."""
    from study_measures import run_bundle_pca, run_mdf, run_pca

    todo = {}
    for data in ("phantom", *(SUBJECTS[-1:] if quick else SUBJECTS)):
        todo[f"baselines-{data}-mdf"] = (data, "MDF nearest neighbour", run_mdf, ())
        for n in (6,) if quick else DIMENSIONS:
            row = f"PCA, latent_dim={n}"
            todo[f"baselines-{data}-pca-{n}"] = (data, row, run_pca, (n,))
        for n in () if quick else DIMENSIONS:
            row = f"PCA of each bundle, latent_dim={n}"
            todo[f"baselines-{data}-bundle_pca-{n}"] = (data, row, run_bundle_pca, (n,))
    return todo


def run(options):
    quick = options.quick
    work_dir = options.work_dir or (Path("build/quick/runs") if quick else WORK_DIR)
    out_dir = options.out_dir
    examples_dir = Path("build/quick/examples") if quick else EXAMPLES_DIR
    runs = study_runs(quick=quick)
    sections = {run["section"] for run in runs.values()} | {"baselines"}
    if unknown := set(options.only) - sections:
        options.refuse(f"unknown sections {sorted(unknown)}; known: {sorted(sections)}")
    if unknown := set(options.data) - {"phantom", *SUBJECTS}:
        options.refuse(f"unknown data {sorted(unknown)}; known: phantom, {SUBJECTS}")
    for folder in (work_dir, out_dir):
        if folder.exists() and not folder.is_dir():
            options.refuse(f"{folder} is a file; a folder is needed there")
        folder.mkdir(parents=True, exist_ok=True)

    def wanted(section, data, name):
        return (
            not (work_dir / f"{name}.json").exists()
            and (not options.only or section in options.only)
            and (not options.data or data in options.data)
        )

    todo = [name for name, r in runs.items() if wanted(r["section"], r["data"], name)]
    if options.list:
        print("\n".join(todo))
        return
    if not options.tables_only:
        loaded = {}

        def get(data):
            if data not in loaded:
                loaded.clear()
                loaded[data] = load(data, quick=quick)
            return loaded[data]

        versions = software_versions()
        for name, (data, row, function, arguments) in baselines(quick).items():
            if wanted("baselines", data, name):
                item = {"section": "baselines", "data": data, "row": row}
                item["figures"] = function(*arguments, get(data))
                save_json({**item, "settings": {}}, work_dir / f"{name}.json")
        within = {run["snapshot"]: n for n, run in runs.items() if "snapshot" in run}
        for number, name in enumerate(todo, start=1):
            if not (within.get(name) in todo or (work_dir / f"{name}.json").exists()):
                print(f"{number} of {len(todo)}: {name}", flush=True)
                data = get(runs[name]["data"])
                execute(runs, name, data, work_dir, examples_dir, versions)
    from study_figures import write_figures
    from study_tables import write_tables

    left = [name for name in runs if not (work_dir / f"{name}.json").exists()]
    write_tables(work_dir, out_dir, len(left))
    for method in ("pca", "tsne") if options.tsne else ("pca",):
        write_figures(work_dir, examples_dir, out_dir / "figures", method=method)
    print(f"{len(left)} of {len(runs)} runs are left; tables are in {out_dir}.")


def execute(runs, name, data, work_dir, examples_dir, versions):
    """Train, measure and keep one run, and the shorter one within it."""
    from study_measures import run_model

    run = runs[name]
    names = [name]
    epochs = None
    if "snapshot" in run:
        names.append(run["snapshot"])
        epochs = runs[run["snapshot"]]["settings"]["epochs"]
    results = run_model(run, data, epochs)
    for name, result in reversed(list(zip(names, results))):
        if run["section"] == "headline" and run["settings"]["seed"] == 0:
            examples_dir.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(examples_dir / f"{name}.npz", **result["examples"])
        kept = {k: result[k] for k in ("figures", "history")}
        kept["versions"] = versions
        save_json({**runs[name], **kept}, work_dir / f"{name}.json")
    shown = ("error_mm", "spearman", "accuracy", "kl_nats", "seconds_per_epoch")
    figures = results[0]["figures"]
    print({k: round(figures[k], 4) for k in shown if k in figures}, flush=True)


if __name__ == "__main__":
    sys.exit(
        main(
            run,
            __doc__,
            option("--work_dir", type=Path, help=f"default: {WORK_DIR}"),
            option("--only", nargs="*", metavar="SECTION", default=[]),
            option("--data", nargs="*", help="phantom, sub_1, ...", default=[]),
            option("--list", action="store_true", help="what is left to run"),
            option(
                "--tables_only",
                action="store_true",
                help="tables and figures of what has run",
            ),
            option("--tsne", action="store_true", help="latent maps by t-SNE too"),
            out_dir=RESULTS,
            quick=True,
        )
    )
