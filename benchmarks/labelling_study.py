"""Label bundles: latent neighbours, neighbours by MDF, and RecoBundles.

    KERAS_BACKEND=jax python benchmarks/labelling_study.py

On synthetic streamlines of the phantom, and on DIPY's bundles with each of the five
subjects left out once; then the time for 100,000 streamlines of the phantom. Unassigned
streamlines count as errors. Writes ``doc/results/labelling.{csv,rst}``.
"""

import time

from dipy.segment.bundles import RecoBundles
from dipy.segment.fss import FastStreamlineSearch, nearest_from_matrix_row
from nibabel.streamlines import ArraySequence
import numpy as np
from result_tables import write_results
from sklearn.metrics import f1_score
from study_data import SUBJECTS, load
from study_main import RESULTS, main

from dipy_tractoencoder import make_fibercup, train
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_classifier import (
    N_NEIGHBORS,
    fit_latent_classifier,
    vote,
)
from dipy_tractoencoder.streamlines.array import as_sequence, to_array
from dipy_tractoencoder.streamlines.metrics import mdf_matrix

N_POINTS = 32  # of streamlines compared by MDF; FastStreamlineSearch takes its own
N_MANY = 100_000


def by_mdf(train_side, lines):
    """Label by the vote of the nearest streamlines, MDF."""
    reference, labels = train_side
    first = to_array(reference, N_POINTS, orientation="as_is").points
    found = []
    for start in range(0, len(lines), 5000):
        chunk = to_array(lines[start : start + 5000], N_POINTS, orientation="as_is")
        distances = mdf_matrix(chunk.points, first)
        rows = np.argpartition(distances, N_NEIGHBORS, axis=1)[:, :N_NEIGHBORS]
        distances = np.take_along_axis(distances, rows, axis=1)
        order = np.argsort(distances, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
        found.append(vote(labels[rows], distances, labels.max() + 1)[0])
    return np.concatenate(found)


def by_search(train_side, lines, radius=30.0):
    """Label by the nearest streamline within a radius (mm), FastStreamlineSearch."""
    reference, labels = train_side
    search = FastStreamlineSearch(as_sequence(reference), radius)
    found = np.full(len(lines), -1)
    for start in range(0, len(lines), 20_000):
        chunk = as_sequence(lines[start : start + 20_000])
        rows, nearest, _ = nearest_from_matrix_row(search.radius_search(chunk, radius))
        found[start + rows] = labels[nearest]
    return found


def by_recobundles(train_side, lines, align):
    """Label by the bundle that recognises a streamline, the last if several do."""
    reference, labels = train_side
    whole = as_sequence(lines)
    finder = RecoBundles(whole, greater_than=0, clust_thr=15, verbose=False)
    found = np.full(len(lines), -1)
    for code in np.unique(labels):
        model = ArraySequence(
            [reference[row] for row in np.flatnonzero(labels == code)]
        )
        _, rows = finder.recognize(
            model, 5.0, reduction_thr=25, pruning_thr=12, slr=align
        )
        found[rows] = code
    return found


class Latent:
    """Label by latent neighbours; by p-values, or every streamline."""

    def __init__(self, model, train_side, alpha):
        reference, labels = train_side
        self.model, self.alpha = model, alpha
        self.neighbors = fit_latent_classifier(
            encode(model, reference).mean,
            labels,
            [str(code) for code in range(labels.max() + 1)],
        )

    def __call__(self, lines):
        mean = encode(self.model, lines).mean
        factor = self.neighbors.subject_factor(mean).factor
        return self.neighbors.label(mean, alpha=self.alpha, factor=factor)[0]


def methods(data, *, quick=False):
    """Name to a function that labels streamlines."""
    reference, labels = data["train"]
    side = reference, labels.astype(np.int64)
    options = dict(data["training"])
    tractograms = options.pop("tractograms")
    found = {}
    for latent_dim in (6, 32):
        model = train(
            tractograms,
            latent_dim=latent_dim,
            epochs=5 if quick else 50,
            seed=0,
            **options,
        )
        for name, alpha in (("", 0.05), (", alpha 0.01", 0.01), (", all assigned", 0)):
            found[f"VAE-{latent_dim}{name}"] = Latent(model, side, alpha)
    found["MDF, 5 nearest"] = lambda lines: by_mdf(side, lines)
    found["FastStreamlineSearch"] = lambda lines: by_search(side, lines)
    found["RecoBundles"] = lambda lines: by_recobundles(
        side, lines, "groups" in options
    )
    return found


def run(options):
    rows = []
    for name in ("phantom", *(SUBJECTS[-1:] if options.quick else SUBJECTS)):
        data = load(name, quick=options.quick)
        lines, truth = data["test"]
        faulty = []
        if name == "phantom":
            made = make_fibercup(1000, 0.5, seed=1)
            faulty = [
                line
                for line, right in zip(made.streamlines, made.plausible)
                if not right
            ]
        for rule, label in methods(data, quick=options.quick).items():
            start = time.perf_counter()
            found = label(lines)
            row = {
                "streamlines": name,
                "rule": rule,
                "accuracy": float((found == truth).mean()),
                "macro_f1": float(
                    f1_score(truth, found, labels=np.unique(truth), average="macro")
                ),
                "unassigned": float((found < 0).mean()),
                "seconds": time.perf_counter() - start,
            }
            if faulty:
                row["faulty_unassigned"] = float((label(faulty) < 0).mean())
                many = [lines[k % len(lines)] for k in range(N_MANY)]
                many = as_sequence(many[:5000] if options.quick else many)
                label(lines[:100])  # Compiled.
                start = time.perf_counter()
                label(many)
                row["seconds_many"] = time.perf_counter() - start
            rows.append(row)
            print(row, flush=True)
    for row in rows:
        if "seconds_many" in row:
            mdf = next(r for r in rows if r["rule"].startswith("MDF"))
            row["times_faster_than_mdf"] = mdf["seconds_many"] / row["seconds_many"]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_results(
        rows,
        options.out_dir / "labelling",
        title="Labelling",
        about=(
            "Accuracies; unassigned streamlines count as errors. Phantom: synthetic "
            "streamlines of 7 bundles, 3,112 labelled and 1,000 to label; "
            f"seconds_many is the time for {N_MANY:,} of them, including resampling "
            "and encoding; faulty_unassigned is the fraction of implausible "
            "streamlines left unassigned. sub_n: DIPY's three bundles of that subject, "
            "labelled by those of the four others. Script: "
            "``python benchmarks/labelling_study.py``"
        ),
        columns={name: name for name in columns},
    )


if __name__ == "__main__":
    main(run, __doc__, out_dir=RESULTS, quick=True)
