"""How often label and filter are wrong about what belongs: p-values and the old rule.

    KERAS_BACKEND=jax python benchmarks/decision_study.py --hcp1065 hcp1065.trx

Half of a real atlas of 106 bundles judges its other half (split by streamline, and by
clusters of near-copies), all of it and with a quarter of the bundles left out, four
folds; by all streamlines, and by the latents that a model would hold of them
(``--keep_bundles``). Then DIPY's five subjects, aligned, with each left out, by four
and by one other subject, and calibrated by one and by three of the others. Alarms:
bundles that the atlas is said to miss neighbours of, and how many of these are right.
The old rule, 1.5 times the 99th percentile of the distances to the nearest other
streamline and the first percentile of vote shares, is computed in the same run.
The atlas is a TRX with a group per bundle, RASMM: for example the HCP1065 atlas of
F.-C. Yeh, from https://brain.labsolver.org (CC BY-SA 4.0). Without it only DIPY's
subjects are used. Writes ``doc/results/decisions.{csv,rst}``.
"""

from itertools import combinations
import time

from nibabel.streamlines import ArraySequence
import numpy as np
from result_tables import write_results
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from study_data import SUBJECTS, bundles_without
from study_main import RESULTS, main, option

from dipy_tractoencoder import encode, fit_alignment, fit_alignment_reference, train
from dipy_tractoencoder.segment.atlas import fit_atlas
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.bundle_files import LabelledLatents
from dipy_tractoencoder.segment.doubts import FEWEST_MISSED, FRACTION_MISSED
from dipy_tractoencoder.segment.from_atlas import atlas_classifier
from dipy_tractoencoder.segment.labelling import BESIDE
from dipy_tractoencoder.segment.reference_density import fit_reference_density
from dipy_tractoencoder.segment.votes import vote
from dipy_tractoencoder.streamlines.array import to_array
from dipy_tractoencoder.streamlines.metrics import mdf_matrix

ALPHAS = (0.01, 0.05, 0.10)
N_FOLDS = 4
PER_BUNDLE = (500, 100, 50, 20)  # latents that a model holds
NEAR = 2.0  # mm; MDF within which streamlines are near-copies
MARGIN, N_NEIGHBORS = 1.5, 5
COLUMNS = {
    "data": "data",
    "rule": "rule",
    "judged": "judged",
    "rejected": "right ones rejected",
    "strangers": "strangers",
    "labelled": "strangers labelled",
    "predicted": "predicted",
    "auc": "AUC",
    "factor": "subject factor",
    "true_factor": "true factor",
    "wrong": "wrong",
    "n_latents": "latents",
    "same": "same labels",
    "alarms": "alarms",
    "right_alarms": "right alarms",
}
ABOUT = """\
Right ones rejected: of streamlines whose most-voted bundle is theirs, the fraction
that stays unassigned. Strangers: streamlines of bundles that the atlas lacks; predicted
is the fraction labelled that the atlas itself foretells. AUC: chance that a right one
has a larger p-value than a stranger. The true factor is the median relative distance of
right ones over that of the atlas's own. Wrong: fraction of all streamlines with the
label of another bundle. Same labels: fraction of all streamlines that all latents label
alike. Alarms: bundles beside which many streamlines lie that are
not of them, for a warning that the atlas misses their neighbours; right ones are those
where most of these streamlines are of a bundle that was left out. Calibrated: by
labelled streamlines of other subjects (or of the atlas's population), whose bundles
that the atlas lacks are left out, too. By ``benchmarks/decision_study.py``."""


class OldRule:
    """Thresholds on the nearest distance and on the votes, per bundle."""

    def __init__(self, mean, bundle, n_bundles):
        self.mean, self.bundle, self.n = mean, bundle, n_bundles
        self.search = NearestNeighbors().fit(mean)
        _, rows = self.search.kneighbors(n_neighbors=N_NEIGHBORS)
        share = (bundle[rows] == bundle[:, None]).mean(axis=1)
        self.largest, self.smallest = np.full((2, n_bundles), np.nan)
        for code in np.unique(bundle):
            own = mean[bundle == code]
            if len(own) > 1:
                near = NearestNeighbors().fit(own).kneighbors(n_neighbors=1)[0][:, 0]
                self.largest[code] = MARGIN * np.quantile(near, 0.99)
            self.smallest[code] = np.quantile(share[bundle == code], 0.01)
        self.largest[np.isnan(self.largest)] = np.nanmedian(self.largest)

    def __call__(self, mean):
        distances, rows = self.search.kneighbors(mean, n_neighbors=N_NEIGHBORS)
        bundle, share, nearest = vote(self.bundle[rows], distances, self.n)
        far = nearest > self.largest[bundle]
        return bundle, ~(far | (share < self.smallest[bundle]))


def read_atlas(path):
    """Read an atlas: streamlines, bundle of each, and names."""
    from dipy_tractoencoder.io.mapped import mapped_tractogram

    with mapped_tractogram(path) as atlas:
        names = sorted(atlas.groups)
        bundle = np.full(len(atlas), -1)
        for code, name in enumerate(names):
            bundle[atlas.groups[name]] = code
        rows = np.flatnonzero(bundle >= 0)
        return atlas.streamlines[rows].copy(), bundle[rows], names


def near_copies(lines):
    """Return the number of the cluster of near-copies of each streamline."""
    points = to_array(lines, 12, orientation="as_is").points
    cluster = np.arange(len(points))
    for start in range(0, len(points), 1000):
        near = mdf_matrix(points[start : start + 1000], points) < NEAR
        cluster[start : start + 1000] = np.minimum(
            cluster[start : start + 1000], near.argmax(axis=1)
        )
    for _ in range(50):  # Follow the links to the first of each chain.
        cluster = cluster[cluster]
    return cluster


def halves(lines, how, seed=0):
    """Split streamlines into two halves; near-copies stay together by "cluster"."""
    rng = np.random.default_rng(seed)
    unit = np.arange(len(lines)) if how == "streamline" else near_copies(lines)
    first = rng.random(len(lines)) < 0.5
    return first[unit]


def judge(mean, bundle, n_bundles, new, truth, alphas=ALPHAS, calibrate=None):
    """Rows of both rules for latents of new streamlines; -1 is a stranger.

    ``calibrate`` are latents, bundles and subjects for calibration, which is the only
    rule then.
    """
    classifier = fit_latent_classifier(mean, bundle, range(n_bundles))
    own = np.median(classifier.decisions.known)
    if calibrate is not None:
        known = np.isin(calibrate[1], bundle)
        classifier = classifier.calibrated(*(part[known] for part in calibrate))
    found = classifier.judge(new)
    factor = classifier.subject_factor(new)
    p, _ = classifier.p_values(found, factor.factor)
    right, strange = found.bundle == truth, truth < 0
    about = {"judged": len(new), "strangers": int(strange.sum())}
    numbers = {"factor": factor.factor, "auc": None}
    numbers["true_factor"] = float(np.exp(np.median(found.remoteness[right]) - own))
    if strange.any():
        both = right | strange
        numbers["auc"] = float(roc_auc_score(right[both], p[both]))
    rows = []
    for alpha in alphas:
        kept = p > alpha
        rows.append({"rule": f"p > {alpha:g}", **about, **numbers})
        rows[-1].update(outcome(right, strange, kept))
        predicted = classifier.decisions.labelled_strangers(alpha, factor.factor)
        rows[-1]["predicted"] = predicted
        further, _ = classifier.p_values(found, BESIDE * factor.factor)
        missed = ~kept & (further > alpha)
        alarms = alarming(found.bundle, kept, missed, n_bundles)
        rows[-1]["alarms"] = int(alarms.sum())
        strangers = np.bincount(found.bundle[missed & strange], minlength=n_bundles)
        most = strangers > 0.5 * np.bincount(found.bundle[missed], minlength=n_bundles)
        rows[-1]["right_alarms"] = int((alarms & most).sum())
    if calibrate is not None:
        return [{**row, "rule": f"{row['rule']}, calibrated"} for row in rows]
    taken, kept = OldRule(mean, bundle, n_bundles)(new)
    rows.append({"rule": "old rule", **about})
    rows[-1].update(outcome(taken == truth, strange, kept))
    return rows


def alarming(bundle, kept, missed, n_bundles):
    """Tell which bundles a warning names whose neighbours the atlas may miss."""
    within, beside = (
        np.bincount(bundle[rows], minlength=n_bundles) for rows in (kept, missed)
    )
    return (beside >= FEWEST_MISSED) & (beside >= FRACTION_MISSED * within)


def outcome(right, strange, kept):
    """Fractions that were rejected, labelled and wrong."""
    return {
        "rejected": float((~kept[right]).mean()) if right.any() else None,
        "labelled": float(kept[strange].mean()) if strange.any() else None,
        "wrong": float((kept & ~right).mean()),
    }


def of_folds(rows_of_folds):
    """Weighted means over folds, by the numbers of strangers or of streamlines."""
    mean = []
    for rows in zip(*rows_of_folds):
        row = {"rule": rows[0]["rule"]}
        row["judged"] = sum(r["judged"] for r in rows)
        row["strangers"] = sum(r["strangers"] for r in rows)
        for name in ("alarms", "right_alarms"):
            if name in rows[0]:
                row[name] = sum(r[name] for r in rows)
        for name in ("rejected", "labelled", "predicted", "auc", "factor", "wrong"):
            by = "strangers" if name in ("labelled", "predicted") else "judged"
            values = [(r.get(name), r[by]) for r in rows if r.get(name) is not None]
            if values:
                numbers, weights = zip(*values)
                row[name] = float(np.average(numbers, weights=weights))
        mean.append(row)
    return mean


def kept_rows(mean, codes, n_bundles, first):
    """Rows for the latents of a bundle that a model holds, and for all."""
    names = tuple(f"{code:04d}" for code in range(n_bundles))

    def classifier(chosen, per_bundle):
        known = mean[chosen], codes[chosen]
        if per_bundle is None:
            return fit_latent_classifier(*known, names)
        length = np.ones(len(known[0]), np.float32)  # Plays no part.
        latents = LabelledLatents(*known, names, length)
        return atlas_classifier(fit_atlas(latents, per_bundle=per_bundle))

    rows, new, labels = [], mean[~first], {}
    for per_bundle in (None, *PER_BUNDLE):
        found, predicted, strangers = {}, [], []
        for fold in range(-1, N_FOLDS):
            out = np.arange(n_bundles) % N_FOLDS == fold
            truth = np.where(out[codes[~first]], -1, codes[~first])
            judge = classifier(first & ~out[codes], per_bundle)
            judged = judge.judge(new)
            factor = judge.subject_factor(new).factor
            p, _ = judge.p_values(judged, factor)
            kept, right = p > 0.05, judged.bundle == truth
            if fold < 0:
                labels[per_bundle] = np.where(kept, judged.bundle, -1)
                found["rejected"] = float((~kept[right]).mean())
                found["wrong"] = float((kept & ~right).mean())
                found["factor"] = factor
                found["n_latents"] = len(judge.mean)
                same = labels[per_bundle] == labels[None]
                found["same"] = float(same.mean())
            else:
                strangers.append(kept[truth < 0])
                predicted.append(judge.decisions.labelled_strangers(0.05, factor))
        found["labelled"] = float(np.concatenate(strangers).mean())
        sizes = [len(some) for some in strangers]
        found["predicted"] = float(np.average(predicted, weights=sizes))
        what = "all" if per_bundle is None else f"up to {per_bundle} of a bundle"
        about = {"data": f"atlas in the model: {what}", "rule": "p > 0.05"}
        rows.append({**about, "judged": len(new), "strangers": sum(sizes), **found})
    return rows


def on_atlas(path, quick):
    """Rows for the halves of an atlas."""
    lines, bundle, names = read_atlas(path)
    rows = []
    for how in ("streamline", "cluster"):
        first = halves(lines, how)
        settings = {"latent_dim": 32, "seed": 0}
        if quick:
            settings["epochs"] = 0
        start = time.perf_counter()
        model = train(lines[np.flatnonzero(first)], **settings)
        print(f"trained in {time.perf_counter() - start:.0f} s")
        latents = encode(model, lines)
        mean, rows_of = latents.mean, latents.index
        codes, first = bundle[rows_of], first[rows_of]
        n_own = len(np.unique(codes[first]))
        data = f"atlas of {n_own} bundles, half and half by {how}"
        done = judge(mean[first], codes[first], len(names), mean[~first], codes[~first])
        rows += [{"data": data, **row} for row in done]
        rows += thirds(data, mean, codes, first, len(names))
        folds = []
        for fold in range(N_FOLDS):
            out = np.arange(len(names)) % N_FOLDS == fold
            kept = first & ~out[codes]
            truth = np.where(out[codes[~first]], -1, codes[~first])
            folds.append(
                judge(mean[kept], codes[kept], len(names), mean[~first], truth)
            )
        rows += [
            {"data": f"{data}, a quarter of the bundles left out", **row}
            for row in of_folds(folds)
        ]
        rows += filter_rows(mean[first], codes[first], mean[~first])
        if how == "streamline":
            rows += kept_rows(mean, codes, len(names), first)
    return rows


def thirds(data, mean, codes, first, n_bundles, seed=0):
    """Rows for a half of which one part calibrates the judging of the other."""
    others = np.flatnonzero(~first)
    for_calibration = np.random.default_rng(seed).random(len(others)) < 0.5
    other, new = others[for_calibration], others[~for_calibration]
    rows = []
    for calibrate in (None, (mean[other], codes[other])):
        rows += judge(
            mean[first],
            codes[first],
            n_bundles,
            mean[new],
            np.where(np.isin(codes[new], codes[first]), codes[new], -1),
            (0.05,),
            calibrate,
        )
    kept = [row for row in rows if row["rule"] != "old rule"]
    return [{"data": f"{data}, a part for calibration", **row} for row in kept]


def filter_rows(mean, codes, new):
    """Filter by a reference in one file, in many, and doubled."""
    rng = np.random.default_rng(0)
    orders = {
        "one file": np.arange(len(mean)),
        "a file per bundle": np.argsort(codes, kind="stable"),
        "ten random files": rng.permutation(len(mean)),
        "doubled": np.tile(np.arange(len(mean)), 2),
    }
    rows = []
    for name, order in orders.items():
        density = fit_reference_density(mean[order])
        _, remoteness = density.judge(new)
        factor = density.decisions.fit_factor(remoteness)
        p = density.p_values(remoteness, factor.factor)
        rows.append(
            {
                "data": f"filter, reference: {name}",
                "rule": "p > 0.05",
                "judged": len(new),
                "rejected": float((p <= 0.05).mean()),
                "factor": factor.factor,
            }
        )
    return rows


def on_subjects(quick):
    """Rows for DIPY's subjects, aligned, each left out."""
    sides = {name: bundles_without(name)["test"] for name in SUBJECTS}
    home = fit_alignment_reference(sides[SUBJECTS[0]][0])
    moved = {}
    for name, (lines, codes) in sides.items():
        alignment = fit_alignment(home, ArraySequence(lines))
        moved[name] = alignment.apply(ArraySequence(lines)), np.asarray(codes)
    rows = []
    for test in SUBJECTS[:2] if quick else SUBJECTS:
        others = [name for name in SUBJECTS if name != test]
        for atlas in (others, others[:1]):
            known = ArraySequence([line for n in atlas for line in moved[n][0]])
            codes = np.concatenate([moved[n][1] for n in atlas])
            epochs = {"epochs": 0} if quick else {}
            model = train(known, latent_dim=16, seed=0, **epochs)
            mean, new = encode(model, known), encode(model, moved[test][0])
            codes, truth = codes[mean.index], moved[test][1][new.index]
            data = f"{test} by {len(atlas)} of DIPY's subjects"
            done = judge(mean.mean, codes, 3, new.mean, truth, alphas=(0.05,))
            rows += [{"data": data, **row} for row in done]
            folds = []
            for out in range(3):
                kept = codes != out
                strange = np.where(truth == out, -1, truth)
                folds.append(
                    judge(mean.mean[kept], codes[kept], 3, new.mean, strange, (0.05,))
                )
            rows += [
                {"data": f"{data}, one bundle left out", **row}
                for row in of_folds(folds)
            ]
        rows += calibrated_subjects(test, others, moved, quick)
    return rows


def trained(atlas, moved, quick, models={}):  # noqa: B006
    """Train a model on subjects, once for all that are judged by it."""
    if atlas not in models:
        known = ArraySequence([line for n in atlas for line in moved[n][0]])
        epochs = {"epochs": 0} if quick else {}
        models[atlas] = train(known, latent_dim=16, seed=0, **epochs)
    return models[atlas]


def calibrated_subjects(test, others, moved, quick):
    """Rows for a subject judged by three others, or one, of which none calibrates."""
    rows = []
    for n_atlas, n_others in ((3, 1), (1, 1), (1, 3)):
        plain, calibrated = [], []
        for atlas in combinations(others, n_atlas):
            model = trained(atlas, moved, quick)
            latents = {name: encode(model, moved[name][0]) for name in moved}
            codes = {n: moved[n][1][latents[n].index] for n in moved}
            mean = np.concatenate([latents[n].mean for n in atlas])
            bundle = np.concatenate([codes[n] for n in atlas])
            for more in combinations([n for n in others if n not in atlas], n_others):
                extra = (
                    np.concatenate([latents[n].mean for n in more]),
                    np.concatenate([codes[n] for n in more]),
                    np.repeat(more, [len(codes[n]) for n in more]),
                )
                for out in range(3):
                    kept = bundle != out
                    strange = np.where(codes[test] == out, -1, codes[test])
                    given = (mean[kept], bundle[kept], 3, latents[test].mean, strange)
                    plain.append(judge(*given, (0.05,)))
                    calibrated.append(judge(*given, (0.05,), extra))
        data = f"{test} by {n_atlas} of DIPY's subjects"
        text = f"{data}, one bundle left out, {n_others} for calibration"
        done = [*of_folds(plain)[:1], *of_folds(calibrated)]
        rows += [{"data": text, **row} for row in done]
    return rows


def run(options):
    rows = on_atlas(options.hcp1065, options.quick) if options.hcp1065 else []
    rows += on_subjects(options.quick)
    write_results(
        rows,
        options.out_dir / "decisions",
        title="Decisions: what belongs to an atlas",
        about=ABOUT,
        columns=COLUMNS,
    )


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--hcp1065", help="TRX with a group per bundle"),
        out_dir=RESULTS,
        quick=True,
    )
