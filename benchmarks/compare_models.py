"""Held-out reconstruction error of each model and of PCA, on DIPY's real bundles.

Models are trained on four subjects and evaluated on the fifth. One of the four is held
out to choose the number of epochs, then all four are used (``refit``). Writes a CSV and
an rst table.

    python benchmarks/compare_models.py --out_dir doc/results

``--only`` runs one model; ``KERAS_BACKEND=jax`` selects another backend.
"""

from pathlib import Path
import platform
import tempfile
import time

from dipy.data.fetcher import extract_example_tracts
import numpy as np
from study_main import RESULTS, main, option
from study_rows import GSOC, SEED_MODEL

import dipy_tractoencoder as dte
from dipy_tractoencoder.nn.provenance import software_versions
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.utils.tables import save_table
from dipy_tractoencoder.workflows.demo import BUNDLES, TEST_SUBJECT, TRAINING_SUBJECTS

MODELS = {
    "VAE (default)": {},
    "AE (default settings)": {"model": "ae"},
    "seed's VAE, our training": SEED_MODEL,
    # Best validation epoch: the last one is after its loss has exploded.
    "seed's VAE, GSoC settings": {**GSOC, "refit": False},
}
VALIDATION = {"validation_fraction": 0.25, "refit": True}


def load(folder, subjects):
    """Tractograms of some subjects, bundle by bundle."""
    return [
        dte.load_tractogram(folder / subject / f"{bundle}.trk")
        for subject in subjects
        for bundle in BUNDLES
    ]


def measure(model, tractograms):
    """Errors in mm per bundle and over all, of the model and of PCA."""
    results = [dte.reconstruct(model, tractogram) for tractogram in tractograms]
    rows = {}
    for name in ("points", "pca_points"):
        distances = [point_distance(r.original, getattr(r, name)) for r in results]
        rows[name] = [pooled_distance(d) for d in distances]
        rows[name].append(pooled_distance(np.concatenate(distances)))
    return rows["points"], rows["pca_points"]


def run(options):
    columns = [f"{bundle} (mm)" for bundle in (*BUNDLES, "all")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        extract_example_tracts(folder)
        training = load(Path(folder), TRAINING_SUBJECTS)
        test = load(Path(folder), [TEST_SUBJECT])
    groups = [subject for subject in TRAINING_SUBJECTS for _ in BUNDLES]
    for latent_dim in options.latent_dim:
        pca_done = False
        for name in options.only:
            runs, seconds = [], []
            for seed in options.seed:
                start = time.perf_counter()
                model = dte.train(
                    training,
                    groups=groups,
                    latent_dim=latent_dim,
                    epochs=options.epochs,
                    seed=seed,
                    **{**VALIDATION, **MODELS[name]},
                )
                seconds.append(time.perf_counter() - start)
                errors, pca_errors = measure(model, test)
                runs.append(errors)
                best = model.record.best_epoch
                print(latent_dim, name, seed, best, np.round(errors, 3), flush=True)
            if not pca_done and "orientation" not in MODELS[name]:
                row = {"latent_dim": latent_dim, "model": "PCA"}
                rows.append({**row, **dict(zip(columns, pca_errors))})
                pca_done = True
            row = {"latent_dim": latent_dim, "model": name}
            row.update(zip(columns, np.mean(runs, axis=0)))
            if len(runs) > 1:
                row["spread over seeds (mm)"] = float(np.ptp([run[-1] for run in runs]))
            row["training (s)"] = float(np.median(seconds))
            rows.append(row)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    save_table(rows, options.out_dir / "compare_models.csv")
    lines = [".. csv-table::", "   :header-rows: 1", ""]
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines.append("   " + ",".join(names))
    for row in rows:
        values = [row.get(name, "") for name in names]
        cells = [f"{v:.2f}" if isinstance(v, float) else f'"{v}"' for v in values]
        lines.append("   " + ",".join(cells))
    versions = ", ".join(f"{k} {v}" for k, v in software_versions().items())
    lines += [
        "",
        f"Root mean squared distance of points for {TEST_SUBJECT}, mean over seeds "
        f"{options.seed}, at most {options.epochs} epochs. {platform.machine()}, "
        f"{versions}.",
    ]
    (options.out_dir / "compare_models.rst").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--latent_dim", type=int, nargs="*", default=[32, 6]),
        option("--epochs", type=int, default=100),
        option("--seed", type=int, nargs="*", default=[0, 1, 2]),
        option("--only", nargs="*", choices=MODELS, default=list(MODELS)),
        out_dir=RESULTS,
    )
