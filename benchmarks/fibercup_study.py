"""The FiberCup study: models, settings and PCA beside each other, on held-out data.

    python benchmarks/fibercup_study.py                 # everything, resumable
    python benchmarks/fibercup_study.py --quick         # minutes, for CI
    python benchmarks/fibercup_study.py --only headline # some sections
    python benchmarks/fibercup_study.py --tables_only   # tables of what has run

Each run writes one JSON file into ``--work_dir``, whole or not at all; a run whose file
is there is not repeated. Sections with convolutions take hours on two cores;
``KERAS_BACKEND=jax`` is the fastest there.
"""

import argparse
import json
import os
from pathlib import Path
import platform
import time

import numpy as np
from study_rows import DIMENSIONS, study_runs

from dipy_tractoencoder import make_fibercup
from dipy_tractoencoder.files import whole_file
from dipy_tractoencoder.latent import decode, encode
from dipy_tractoencoder.latent_metrics import (
    active_dimensions,
    best_noise_std,
    bundle_distances,
    distance_preservation,
    length_scores,
    log_likelihood,
    mdf_matrix,
    neighbor_label_scores,
    sample_rows,
)
from dipy_tractoencoder.metrics import paired_mdf, point_distance, pooled_distance
from dipy_tractoencoder.model_file import save_model
from dipy_tractoencoder.preprocessing import Preprocessing, fit_axis
from dipy_tractoencoder.principal import fit_principal
from dipy_tractoencoder.record import software_versions
from dipy_tractoencoder.tables import save_table
from dipy_tractoencoder.training import run_training

SIZES = {"train": 3112, "validation": 400, "test": 1000}
QUICK_SIZES = {"train": 300, "validation": 60, "test": 120}


def make_data(sizes, seed=0):
    """Plausible streamlines of each split, mm, and their bundles."""
    rng = np.random.default_rng(seed)
    made = {n: make_fibercup(size, 0.0, seed=rng) for n, size in sizes.items()}
    return {name: (list(m.streamlines), m.bundle) for name, m in made.items()}


def lengths(points):
    """Lengths in mm of (n, n_points, 3)."""
    return np.linalg.norm(np.diff(points, axis=1), axis=2).sum(axis=1)


def nearest_mdf(points, reference):
    """Distance in mm of each streamline to the nearest of the reference."""
    return mdf_matrix(points, reference).min(axis=1)


def judge(train, test, decoder, seed=0):
    """Figures that a latent space of any kind has.

    ``train`` and ``test`` are dicts of "latent", "points" (mm), "reconstructed",
    "labels"; ``decoder`` turns latents into points in mm.
    """
    from sklearn.mixture import GaussianMixture

    distance = point_distance(test["points"], test["reconstructed"])
    figures = {
        "error_mm": pooled_distance(distance),
        "mdf_mm": float(paired_mdf(test["points"], test["reconstructed"]).mean()),
        **distance_preservation(test["latent"], test["points"], seed=seed),
        **bundle_distances(test["latent"], test["points"], test["labels"])[2],
        **neighbor_label_scores(
            train["latent"], train["labels"], test["latent"], test["labels"]
        ),
        **length_scores(
            train["latent"],
            lengths(train["points"]),
            test["latent"],
            lengths(test["points"]),
        ),
    }
    n_parts = min(60, len(train["latent"]) // 30)
    mixture = GaussianMixture(n_parts, reg_covar=1e-4, random_state=seed)
    mixture.fit(train["latent"].astype(np.float64))
    new = decoder(mixture.sample(300)[0].astype(np.float32))
    held_out = test["points"][sample_rows(len(test["points"]), seed)]
    figures["new_mdf_mm"] = float(np.median(nearest_mdf(new, train["points"])))
    figures["held_out_mdf_mm"] = float(
        np.median(nearest_mdf(held_out, train["points"]))
    )
    return figures


def run_model(settings, data, model_path):
    """Train one model and measure it."""
    start = time.perf_counter()
    options = dict(settings)
    validation = [data["validation"][0]]
    if options.get("loss") == "mse" and not options.get("normalise", True):
        options["patience"] = 10**6  # The project had no early stopping.
    run = run_training([data["train"][0]], validation=validation, **options)
    seconds = time.perf_counter() - start
    model, history = run.model, run.model.record.history
    sides = {}
    for name in ("train", "test"):
        lines, labels = data[name]
        array = model.preprocessing.array(lines)
        latents = encode(model, array)
        sides[name] = {
            "latent": latents.mean,
            "log_var": latents.log_var,
            "points": array.points,
            "reconstructed": decode(model, latents.mean),
            "labels": labels[array.index],
        }
    train, test = sides["train"], sides["test"]
    figures = judge(train, test, lambda latent: decode(model, latent))
    figures["train_error_mm"] = pooled_distance(
        point_distance(train["points"], train["reconstructed"])
    )
    figures["active_dimensions"] = active_dimensions(test["latent"], model.latent_unit)
    if model.variational:
        unit = model.latent_unit
        mean, log_var = test["latent"] / unit, test["log_var"] - 2 * np.log(unit)
        kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)
        figures["kl_nats"] = float(kl.sum(axis=1).mean())
        figures["kl_per_dimension"] = np.sort(kl.mean(axis=0))[::-1].tolist()
        noise_std = best_noise_std(model, train["points"])
        likelihood = log_likelihood(model, test["points"], noise_std)
        figures["log_likelihood_nats"] = float(likelihood.mean())
    sample = train["points"][sample_rows(len(train["points"]), 0, 512)]
    outputs = model(model.preprocessing.normalise(sample), training=True)
    figures["training_mode_error_mm"] = model.preprocessing.scale * pooled_distance(
        point_distance(*(np.asarray(outputs[k]) for k in ("target", "points")))
    )
    figures["best_epoch"] = run.model.record.best_epoch
    figures["epochs_run"] = len(history["loss"])
    figures["seconds_per_epoch"] = seconds / len(history["loss"])
    figures["finite"] = bool(np.isfinite(np.concatenate(list(history.values()))).all())
    save_model(model, model_path, overwrite=True)
    return figures, history


def run_pca(n_components, data):
    """PCA with so many dimensions, measured the same way."""
    raw = Preprocessing(n_points=256, orientation="as_is").array(data["train"][0])
    preprocessing = Preprocessing(n_points=256, axis=fit_axis(raw.points))
    arrays = {n: preprocessing.array(data[n][0]) for n in ("train", "test")}
    principal = fit_principal(arrays["train"].points, n_components)

    def decoder(latent):
        return (latent @ principal.directions.T + principal.mean).reshape(-1, 256, 3)

    sides = {}
    for name, array in arrays.items():
        flat = array.points.reshape(len(array), -1)
        latent = (flat - principal.mean) @ principal.directions
        sides[name] = {
            "latent": latent,
            "points": array.points,
            "reconstructed": decoder(latent),
            "labels": data[name][1][array.index],
        }
    return judge(sides["train"], sides["test"], decoder)


def run_mdf(data):
    """Bundle labels by the nearest streamline, the answer without a latent space."""
    preprocessing = Preprocessing(n_points=32, orientation="as_is")
    arrays = [preprocessing.array(data[name][0]) for name in ("train", "test")]
    (train, train_labels), (test, test_labels) = (
        (array.points, data[name][1][array.index])
        for array, name in zip(arrays, ("train", "test"))
    )
    return neighbor_label_scores(train, train_labels, test, test_labels, "mdf")


def save_json(value, path):
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1))


def tables(work_dir, out_dir, context):
    """CSV and rst of all runs that are there."""
    results = [json.loads(p.read_text()) for p in sorted(work_dir.glob("*.json"))]
    groups = {}
    for result in results:
        settings = {k: v for k, v in result["settings"].items() if k != "seed"}
        key = (result["section"], result["row"], json.dumps(settings, sort_keys=True))
        groups.setdefault(key, []).append(result)
    rows = []
    for (section, row, settings), members in groups.items():
        values = {"section": section, "model": row, "seeds": len(members)}
        values["epochs"] = json.loads(settings).get("epochs", "")
        for name, first in members[0]["figures"].items():
            if isinstance(first, (int, float)) and not isinstance(first, bool):
                seen = [member["figures"][name] for member in members]
                values[name] = float(np.mean(seen))
                if len(seen) > 1:
                    values[f"{name}_spread"] = float(np.ptp(seen))
        rows.append(values)
    save_table(rows, out_dir / "fibercup_study.csv")
    shown = {
        "model": "model",
        "epochs": "epochs",
        "seeds": "seeds",
        "error_mm": "error (mm)",
        "kl_nats": "KL (nats)",
        "active_dimensions": "active",
        "spearman": "order",
        "accuracy": "label accuracy",
        "length_r2": "length R2",
        "new_mdf_mm": "new (mm)",
        "log_likelihood_nats": "log p (nats)",
        "seconds_per_epoch": "s/epoch",
    }
    lines = [context, ""]
    for section in dict.fromkeys(row["section"] for row in rows):
        lines += [f".. csv-table:: {section}", "   :header-rows: 1", ""]
        lines.append("   " + ",".join(shown.values()))
        for row in (row for row in rows if row["section"] == section):
            cells = [row.get(name, "") for name in shown]
            cells = [f"{c:.3g}" if isinstance(c, float) else f'"{c}"' for c in cells]
            lines.append("   " + ",".join(cells))
        lines.append("")
    (out_dir / "fibercup_study.rst").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", default="build/fibercup_study", type=Path)
    parser.add_argument("--out_dir", default="doc/results", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", help="sections")
    parser.add_argument("--tables_only", action="store_true")
    options = parser.parse_args()
    runs = study_runs(quick=options.quick)
    sections = {run["section"] for run in runs.values()} | {"baselines"}
    if unknown := set(options.only or ()) - sections:
        parser.error(f"unknown sections {unknown}; known are {sorted(sections)}")
    if options.quick and options.work_dir == Path("build/fibercup_study"):
        options.work_dir = Path("build/fibercup_study_quick")
    options.work_dir.mkdir(parents=True, exist_ok=True)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    sizes = QUICK_SIZES if options.quick else SIZES
    data = None
    todo = {}
    if "baselines" in (options.only or ["baselines"]):
        todo["baseline-mdf"] = ("MDF nearest neighbour", run_mdf, ())
        for n_components in DIMENSIONS[-1:] if options.quick else DIMENSIONS:
            name = f"PCA, latent_dim={n_components}"
            todo[f"baseline-pca-{n_components}"] = (name, run_pca, (n_components,))
    context = f"{platform.machine()}, {os.cpu_count()} cores, " + ", ".join(
        f"{name} {version}" for name, version in software_versions().items()
    )
    for name, (row, measure, arguments) in todo.items():
        path = options.work_dir / f"{name}.json"
        if options.tables_only or path.exists():
            continue
        data = data or make_data(sizes)
        figures = measure(*arguments, data)
        item = {"section": "baselines", "row": row, "settings": {}, "figures": figures}
        save_json(item, path)
        print(name, {k: round(v, 4) for k, v in figures.items()}, flush=True)
    for name, run in runs.items():
        path = options.work_dir / f"{name}.json"
        chosen = not options.only or run["section"] in options.only
        if options.tables_only or path.exists() or not chosen:
            continue
        data = data or make_data(sizes)
        figures, history = run_model(run["settings"], data, path.with_suffix(".keras"))
        save_json({**run, "figures": figures, "history": history}, path)
        scalars = {k: v for k, v in figures.items() if isinstance(v, float)}
        print(name, {k: round(v, 4) for k, v in scalars.items()}, flush=True)
        tables(options.work_dir, options.out_dir, context)
    tables(options.work_dir, options.out_dir, context)


if __name__ == "__main__":
    main()
