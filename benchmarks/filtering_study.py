"""Filter plausible streamlines: latent neighbours and other rules, on the phantom.

    KERAS_BACKEND=jax python benchmarks/filtering_study.py

The protocol is FINTA's: models are trained on all training streamlines, without labels;
the reference is the plausible ones among them; thresholds come from labelled validation
streamlines, where sensitivity equals specificity; all results are for test streamlines,
generated and tracked ones. Writes ``doc/results/filtering.{csv,rst}``.
"""

import time

from dipy.segment.bundles import RecoBundles
from nibabel.streamlines import ArraySequence
import numpy as np
from result_tables import write_results
from study_main import RESULTS, main

from dipy_tractoencoder import make_fibercup, train
from dipy_tractoencoder.segment.neighbors import nearest_distances
from dipy_tractoencoder.segment.plausibility_scores import SCORES, fit_scorer
from dipy_tractoencoder.segment.thresholds import balanced_threshold, filter_metrics
from dipy_tractoencoder.sims.labels import split_streamlines
from dipy_tractoencoder.sims.tracking import (
    gradient_scheme,
    simulate_signal,
    track_fibercup,
)
from dipy_tractoencoder.streamlines.metrics import curve_length, mdf_matrix
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

SIZES = {"train": 3112, "validation": 1000, "test": 1000}


def load(route, *, quick=False):
    """Make labelled streamlines of the phantom, for training, validation and test."""
    sizes = {k: n // 8 if quick else n for k, n in SIZES.items()}
    rng = np.random.default_rng(0)
    if route == "made":
        return {name: make_fibercup(n, 0.3, seed=rng) for name, n in sizes.items()}
    scheme = gradient_scheme(seed=rng)
    signal = simulate_signal(scheme, snr=20.0, seed=rng)
    tracked = track_fibercup(signal, scheme, sum(sizes.values()), seed=rng)
    return split_streamlines(tracked, sizes, seed=rng)


def neighbours(data, n_points=32):
    """Score by MDF to the nearest plausible training streamline."""
    preprocessing = Preprocessing(n_points=n_points, orientation="as_is")
    arrays = {name: preprocessing.array(d.streamlines) for name, d in data.items()}
    reference = arrays["train"].points[data["train"].plausible == 1]
    start = time.perf_counter()
    scores = {
        name: mdf_matrix(arrays[name].points, reference).min(axis=1)
        for name in ("validation", "test")
    }
    return scores, time.perf_counter() - start


def shape_rule(data):
    """Score by how far length and curvature are from the plausible ones' middle."""
    preprocessing = Preprocessing(n_points=64, orientation="as_is")

    def features(labelled):
        points = preprocessing.array(labelled.streamlines).points
        steps = np.diff(points, axis=1)
        steps /= np.linalg.norm(steps, axis=2, keepdims=True)
        angles = np.arccos(np.clip((steps[:, 1:] * steps[:, :-1]).sum(2), -1, 1))
        length = curve_length(points)
        return np.column_stack([length, angles.sum(axis=1), angles.max(axis=1)])

    start = time.perf_counter()
    known = features(data["train"][data["train"].plausible == 1])
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75], axis=0)
    scores = {
        name: (np.abs(features(data[name]) - middle) / (high - low)).max(axis=1)
        for name in ("validation", "test")
    }
    return scores, time.perf_counter() - start


def recobundles(data):
    """Score 0 for what RecoBundles recognises as one of the plausible bundles.

    Its reduction threshold (mm) is the best of three on the validation streamlines.
    """
    known = data["train"][data["train"].plausible == 1]

    def recognised(labelled, threshold):
        whole = ArraySequence(labelled.streamlines)
        finder = RecoBundles(whole, greater_than=0, clust_thr=10, verbose=False)
        found = np.ones(len(whole))
        for bundle in np.unique(known.bundle):
            model = ArraySequence(known.streamlines[known.bundle == bundle])
            _, rows = finder.recognize(
                model,
                2.5,
                reduction_thr=25,
                pruning_thr=threshold,
                slr=False,  # One space; it takes minutes.
            )
            found[rows] = 0
        return found

    start = time.perf_counter()
    tried = {t: recognised(data["validation"], t) for t in (3, 5, 8)}
    right = data["validation"].plausible == 1
    best = max(tried, key=lambda t: ((tried[t] == 0) == right).mean())
    scores = {"validation": tried[best], "test": recognised(data["test"], best)}
    return scores, time.perf_counter() - start


def rows_of(route, *, quick=False):
    """Measure every rule on one kind of streamlines."""
    data = load(route, quick=quick)
    truth = {name: labelled.plausible == 1 for name, labelled in data.items()}
    rows = []

    def add(rule, scores, seconds, threshold=None, **more):
        if threshold is None:
            threshold = balanced_threshold(scores["validation"], truth["validation"])
        figures = filter_metrics(scores["test"], truth["test"], threshold)
        counts = {"n_test": len(data["test"]), "n_plausible": int(truth["test"].sum())}
        row = {"streamlines": route, "rule": rule, **figures, "seconds": seconds}
        rows.append({**row, **counts, "threshold": threshold, **more})
        print(route, rule, {k: round(v, 4) for k, v in figures.items()}, flush=True)

    for latent_dim in (6, 32):
        model = train(
            [data["train"].streamlines],
            latent_dim=latent_dim,
            epochs=5 if quick else 50,
            seed=0,
        )
        arrays = {
            name: model.preprocessing.array(labelled.streamlines)
            for name, labelled in data.items()
        }
        known = model.preprocessing.array(data["train"].streamlines[truth["train"]])
        for score in SCORES:
            start = time.perf_counter()
            reference = [known]
            scorer = fit_scorer(model, reference.copy, score=score)
            scores = {name: scorer(arrays[name]) for name in ("validation", "test")}
            seconds = time.perf_counter() - start
            add(f"VAE-{latent_dim}, {score}", scores, seconds)
            for alpha in (0.05, 0.01) if score == "latent" else ():
                start = time.perf_counter()
                _, remoteness = scorer.judge(arrays["test"])
                factor = scorer.density.decisions.fit_factor(remoteness).factor
                less = {"test": -scorer.density.p_values(remoteness, factor)}
                rule = f"VAE-{latent_dim}, latent, without labels, p > {alpha:g}"
                seconds = time.perf_counter() - start
                add(rule, less, seconds, np.nextafter(-alpha, -1))
        principal = model.principal_directions()

        def coefficients(array, principal=principal, n=latent_dim, model=model):
            return principal.encode(model.preprocessing.normalise(array.points), n)

        start = time.perf_counter()
        reference = coefficients(known)
        scores = {
            name: nearest_distances(coefficients(arrays[name]), reference)
            for name in ("validation", "test")
        }
        add(f"PCA-{latent_dim}, nearest", scores, time.perf_counter() - start)
    add("MDF, nearest", *neighbours(data))
    add("length and curvature", *shape_rule(data))
    add("RecoBundles", *recobundles(data), threshold=0.5)
    return rows


def run(options):
    rows = [
        r for kind in ("made", "tracked") for r in rows_of(kind, quick=options.quick)
    ]
    columns = ("streamlines", "rule", "accuracy", "sensitivity", "specificity")
    columns += ("precision", "f1", "auc", "seconds")
    write_results(
        rows,
        options.out_dir / "filtering",
        title="Filtering",
        about=(
            "Results on test streamlines of the phantom. Thresholds are from "
            "validation streamlines, where sensitivity equals specificity ('without "
            "labels': p-values by the reference). Seconds "
            "are for validation and test together; those of RecoBundles include trying "
            "three thresholds. Script: ``python benchmarks/filtering_study.py``"
        ),
        columns={name: name for name in columns},
    )


if __name__ == "__main__":
    main(run, __doc__, out_dir=RESULTS, quick=True)
