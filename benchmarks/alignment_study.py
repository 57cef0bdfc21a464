"""Align subjects in any pose to a model's space, and say whether to believe it.

    python benchmarks/alignment_study.py --hcp1065 hcp1065.trx

The halves of a population average, whole, scaled, sheared and in parts, by names and
without; DIPY's five subjects to each other and to the average; data that no constant
was chosen on; and what must not be accepted. Each is put into a random pose (0 to 180
degrees, up to 100 mm). Labels are those of five nearest neighbours by MDF, everything
assigned. Writes ``doc/results/alignment.{csv,rst}``.

HCP1065: the tractography atlas of DSI Studio (Yeh 2022), a TRX group per bundle.
The others are public, too: a whole brain and arcuates of niivue, the corpus callosum of
reebundle in three sessions, whole brains of whitematteranalysis.
"""

from functools import cache, partial
from pathlib import Path
import tempfile
import time

from dipy.data.fetcher import extract_example_tracts
from labelling_study import by_mdf
from nibabel.streamlines import ArraySequence
import numpy as np
from result_tables import write_results
from scipy.spatial.transform import Rotation
from study_main import RESULTS, main, option

from dipy_tractoencoder import (
    check_alignment,
    fit_alignment,
    fit_alignment_reference,
    load_tractogram,
)
from dipy_tractoencoder.io.trx import open_trx
from dipy_tractoencoder.streamlines.array import as_sequence, to_array
from dipy_tractoencoder.workflows.demo import BUNDLES

FAR, MANY = 100.0, 50  # mm; streamlines of a bundle in each half
N_LABELLED = 1000  # streamlines, at most, of an accuracy
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
HCP_NAMES = (
    "Association_ArcuateFasciculusL",
    "ProjectionBrainstem_CorticospinalTractR",
    "Commissure_CorpusCallosum_ForcepsMajor",
)
QUALITY = ("ratio", "gap", "mirrored", "size", "scale", "rotation")


def moved(lines, matrix):
    """Apply a transform to streamlines, or to a dictionary of them."""
    if isinstance(lines, dict):
        return {name: moved(own, matrix) for name, own in lines.items()}
    lines = as_sequence(lines).copy()
    lines._data = lines._data @ matrix[:3, :3].T + matrix[:3, 3]
    return lines


def joined(bundles):
    """Join bundles, and number them."""
    lines = as_sequence([line for own in bundles.values() for line in own])
    return lines, np.repeat(np.arange(len(bundles)), list(map(len, bundles.values())))


def random_pose(rng):
    """Draw a rigid transform."""
    pose, step = np.eye(4), rng.normal(size=3)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = step / np.linalg.norm(step) * rng.uniform(0, FAR)
    return pose


def diagonal(*values):
    """Make a scaling."""
    return np.diag([*values, 1.0])


class Study:
    """Runs fits in random poses, and keeps a row of each."""

    def __init__(self):
        self.rng, self.rows = np.random.default_rng(0), []

    def fit(self, part, name, reference, lines, *, change=None, truth=None, **options):
        """Fit once; ``change`` distorts before the pose, ``truth`` undoes both."""
        change = np.eye(4) if change is None else change
        pose = random_pose(self.rng) @ change
        subject = moved(lines, pose)
        start, cpu = time.perf_counter(), time.process_time()
        found = fit_alignment(reference, subject, **options)
        row = {"part": part, "name": name, "verdict": found.verdict}
        row["seconds"] = time.perf_counter() - start
        row["cpu_seconds"] = time.process_time() - cpu
        row["left_right"] = found.left_right
        row |= {key: found.quality.get(key) for key in QUALITY}
        plain = joined(lines)[0] if isinstance(lines, dict) else lines
        points = to_array(plain, 20, orientation="as_is").points.astype(float)
        back = found.matrix @ pose
        if truth is not False:
            goal = np.eye(4) if truth is None else truth
            step = points @ (back - goal)[:3, :3].T + (back - goal)[:3, 3]
            row["error_mm"] = float(np.linalg.norm(step, axis=-1).mean())
        round_trip = found.inverse().apply(found.apply(points))
        row["round_trip_mm"] = float(np.abs(round_trip - points).max())
        self.rows.append(row)
        print({k: v for k, v in row.items() if k != "part"}, flush=True)
        return moved(lines, back), row


@cache
def halves(path):
    """Load HCP1065: all bundles by name, those of each half, and all of each half."""
    trx = open_trx(path)
    lines = trx.some(0, len(trx))
    order = np.random.default_rng(1).permutation(len(lines))
    sides = [np.sort(order[i::2]) for i in (0, 1)]
    named = [
        {name: lines[np.intersect1d(rows, side)] for name, rows in trx.groups.items()}
        for side in sides
    ]
    named = [{n: own for n, own in side.items() if len(own)} for side in named]
    whole = {n: lines[np.asarray(rows, int)] for n, rows in trx.groups.items()}
    return whole, named, [lines[side] for side in sides]


def by_bundle(lines, path):
    """Take the streamlines of the second half by bundle."""
    trx = open_trx(path)
    order = np.random.default_rng(1).permutation(len(trx))
    side = np.sort(order[1::2])
    found = {name: np.isin(side, rows) for name, rows in trx.groups.items()}
    return {name: lines[rows] for name, rows in found.items() if rows.any()}


def accuracy(train, test):
    """Label by MDF; both are dictionaries of bundles."""
    lines, labels = joined(train)
    names = list(train)
    own, _ = joined(test)
    codes = [names.index(n) if n in names else -1 for n in test]
    truth = np.repeat(codes, [len(v) for v in test.values()])
    rows = np.random.default_rng(0).permutation(len(own))[:N_LABELLED]
    return float((by_mdf((lines, labels), own[rows]) == truth[rows]).mean())


def of_halves(study, options):
    """Half to half: whole, scaled, sheared, parts."""
    few = options.quick
    _, named, sides = halves(options.hcp1065)
    reference, by_name = map(fit_alignment_reference, (sides[0], named[0]))
    unmoved = accuracy(named[0], named[1])
    fit = partial(study.fit, reference=reference, lines=sides[1])
    for number in range(2 if few else 50):
        home, row = fit("half to half", "rigid")
        if number < (1 if few else 5):
            home = by_bundle(home, options.hcp1065)
            row["accuracy"], row["unmoved"] = accuracy(named[0], home), unmoved
    for size in (0.7,) if few else (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
        fit(
            "scaled",
            f"{size:g}",
            change=diagonal(size, size, size),
            transform="similarity",
        )
    for shear in (0.15,) if few else (0.05, 0.1, 0.15, 0.2):
        change = diagonal(1, 1.1, 1)
        change[0, 1], change[1, 2] = shear, -shear / 2
        fit("sheared", f"{shear:g}", change=change, transform="affine")
    large = [n for n in named[0] if min(len(s.get(n, ())) for s in named) >= MANY]
    for size, count in ((1, 35), (3, 12), (8, 8)):
        for number in range(2 if few else count):
            one = [large[number % len(large)]]
            names = one if size == 1 else study.rng.choice(large, size, replace=False)
            bundles = {name: named[1][name] for name in names}
            text = names[0] if size == 1 else f"{size} bundles"
            study.fit(f"{size} by name", text, by_name, bundles)
            study.fit(f"{size} without names", text, reference, joined(bundles)[0])
    return sides, named, reference, by_name


def of_five(study, options):
    """DIPY's five subjects to each other and to HCP1065."""
    subjects = {}
    with tempfile.TemporaryDirectory() as folder:
        extract_example_tracts(folder)
        for path in sorted(Path(folder).iterdir()):
            own = [
                as_sequence(load_tractogram(path / f"{b}.trk").streamlines)
                for b in BUNDLES
            ]
            subjects[path.name] = dict(zip(HCP_NAMES, own))
    whole, _, _ = halves(options.hcp1065)
    cut = {name: whole[name] for name in HCP_NAMES}
    known = {name: fit_alignment_reference(own) for name, own in subjects.items()}
    goals = {"HCP1065, 3 bundles": cut, "HCP1065, all": whole}
    known |= {name: fit_alignment_reference(own) for name, own in goals.items()}
    for name, bundles in list(subjects.items())[: 1 if options.quick else None]:
        others = {other: own for other, own in subjects.items() if other != name}
        others = dict(list(others.items())[: 1 if options.quick else None])
        for other, train in {**others, **goals}.items():
            reference = known[other]
            ways = ("by name", "without names")
            for way in ways:
                lines = bundles
                if way == "without names":
                    lines = {f"{n}?": own for n, own in bundles.items()}
                home, row = study.fit(
                    f"five to {'each other' if len(other) < 8 else other}, {way}",
                    f"{name} to {other}",
                    reference,
                    lines,
                    truth=False,
                )
                home = dict(zip(bundles, home.values()))
                row["accuracy"] = accuracy(train, home)
                check = check_alignment(reference, joined(home)[0])
                row["check_ratio"] = check.quality["check_ratio"]
                native = check_alignment(reference, joined(bundles)[0])
                row["check_ratio_native"] = native.quality["check_ratio"]


def of_untouched(study, options, reference):
    """Align data on which no constant was chosen; the files' pose counts as true."""
    real = options.real
    known = {"HCP1065": (reference, None)}

    def subject(name, path):
        lines = as_sequence(load_tractogram(real / path).streamlines)
        known[name] = fit_alignment_reference(lines), lines
        return lines

    for number in (1, 3, 4):
        subject(f"callosum {number}", f"crash_cc_session{number}.trk.gz")
    for number in (1, 2):
        subject(f"wma {number}", f"wma/brain_000{number}.trk")
    trx = open_trx(real / "arcuate_pyafq.trx")
    lines = trx.some(0, len(trx))
    study.fit("untouched", "arcuates to HCP1065", reference, lines)
    whole, _, _ = halves(options.hcp1065)
    arcs = {f"arcuate {s}": whole[f"Association_ArcuateFasciculus{s}"] for s in "LR"}
    own = {f"arcuate {s}": lines[trx.groups[f"ARC_{s}"]] for s in "LR"}
    both = fit_alignment_reference(arcs)
    home, row = study.fit("untouched", "arcuates to arcuates, by name", both, own)
    row["accuracy"] = accuracy(arcs, home)
    for name, (_, lines) in known.items():
        same = [other for other in known if other[:3] in (name[:3], "HCP")]
        for other in same if lines is not None else ():
            if other != name:
                truth = False if other == "HCP1065" else None
                _, row = study.fit(
                    "untouched",
                    f"{name} to {other}",
                    known[other][0],
                    lines,
                    truth=truth,
                )
                found = check_alignment(known[other][0], lines)
                row["check_ratio_native"] = found.quality["check_ratio"]
    lines = as_sequence(load_tractogram(real / "whole_brain_stroke.trk.gz").streamlines)
    study.fit("untouched", "whole brain, stroke, to HCP1065", reference, lines)


def of_refusals(study, sides, named, reference, by_name):
    """Align what must not be accepted in silence."""
    rng = np.random.default_rng(2)
    walks = [rng.normal(0, 2, (40, 3)).cumsum(0) for _ in range(3000)]
    noise = as_sequence([w + rng.uniform(-60, 60, 3) for w in walks])
    scrambled = sides[1].copy()
    scrambled._data = rng.permutation(scrambled._data)
    fit = partial(study.fit, "must not be accepted", reference=reference)
    for kind in ("rigid", "similarity", "affine"):
        fit(f"noise, {kind}", lines=noise, truth=False, transform=kind)
        if kind == "rigid":
            fit("scrambled points, rigid", lines=scrambled, truth=False)
        change = diagonal(0.2, 0.2, 0.2)
        fit(
            f"fifth, {kind}", lines=sides[1], change=change, truth=False, transform=kind
        )
        fit(
            f"mirrored, {kind}",
            lines=sides[1],
            change=MIRROR,
            truth=False,
            transform=kind,
        )
    large = [n for n in named[0] if min(len(s.get(n, ())) for s in named) >= MANY]
    for size in (1, 1, 1, 3, 3, 8, 8, len(large)):
        names = rng.choice(large, size, replace=False)
        bundles = {name: named[1][name] for name in names}
        study.fit(
            "must not be accepted",
            f"{size} mirrored bundles by name",
            by_name,
            bundles,
            change=MIRROR,
            truth=False,
        )


def of_times(study, sides, named, reference):
    """Time of a check, and of 100,000 streamlines."""
    bundle = max(named[1].values(), key=len)
    best = min(timed(check_alignment, reference, bundle) for _ in range(5))
    study.rows.append({"part": "time", "name": "check a bundle", "seconds": best})
    data, lengths = sides[1]._data, sides[1]._lengths
    many = ArraySequence()
    times = int(np.ceil(100_000 / len(sides[1])))
    many._data = np.tile(data, (times, 1))
    many._lengths = np.tile(lengths, times)
    many._offsets = np.cumsum(many._lengths) - many._lengths
    many = many[:100_000]
    start, cpu = time.perf_counter(), time.process_time()
    found = fit_alignment(reference, many)
    row = {"part": "time", "name": "fit, 100,000 streamlines"}
    row |= {"seconds": time.perf_counter() - start}
    row |= {"cpu_seconds": time.process_time() - cpu}
    study.rows.append(row)
    seconds = timed(found.apply, many)
    study.rows.append({"part": "time", "name": "apply, 100,000", "seconds": seconds})


def timed(function, *values):
    """Return the seconds of a call."""
    start = time.perf_counter()
    function(*values)
    return time.perf_counter() - start


def summaries(rows):
    """Sum up each part in one row."""
    found = []
    for part in dict.fromkeys(row["part"] for row in rows if row["part"] != "time"):
        own = [row for row in rows if row["part"] == part]
        errors = [row["error_mm"] for row in own if "error_mm" in row]
        right = [row["accuracy"] for row in own if "accuracy" in row]
        summary = {"part": part, "n": len(own)}
        if errors:
            summary["median_mm"] = float(np.median(errors))
            summary["largest_mm"] = max(errors)
            summary["over_2_mm"] = sum(error > 2 for error in errors)
        if right:
            summary["mean_accuracy"] = float(np.mean(right))
            summary["least_accuracy"] = min(right)
        for verdict in ("accepted", "uncertain", "refused"):
            summary[verdict] = sum(row["verdict"] == verdict for row in own)
        told = [row["left_right"] == "confirmed" for row in own]
        summary["left_right_confirmed"] = sum(told)
        summary["cpu_seconds"] = float(np.median([row["cpu_seconds"] for row in own]))
        found.append(summary)
    times = [row for row in rows if row["part"] == "time"]
    return found + [
        {
            "part": f"time: {row['name']}",
            "cpu_seconds": row.get("cpu_seconds", row["seconds"]),
        }
        for row in times
    ]


def run(options):
    if not options.hcp1065.exists():
        options.refuse(f"--hcp1065: there is no {options.hcp1065}.")
    study = Study()
    sides, named, reference, by_name = of_halves(study, options)
    of_times(study, sides, named, reference)
    study.rng = np.random.default_rng(1)
    of_refusals(study, sides, named, reference, by_name)
    if options.real is not None:
        of_untouched(study, options, reference)
    study.rng = np.random.default_rng(2)
    of_five(study, options)
    write(study, options)


def write(study, options):
    """Write all fits, and the sum of each part."""
    worst = max(row.get("round_trip_mm", 0) for row in study.rows)
    rows = summaries(study.rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_results(
        rows,
        options.out_dir / "alignment",
        title="Alignment",
        about=(
            "Subjects in random poses (0 to 180 degrees, up to 100 mm) aligned by "
            "`fit_alignment`; errors are mean displacements from the true place, in "
            "mm. Labels are those of five nearest neighbours by MDF, everything "
            "assigned; unmoved, "
            f"{max(row.get('unmoved', 0) for row in study.rows):.4f} of the halves' "
            "are right. Parts without a true place have accuracies alone. Of "
            "untouched data the pose of the files counts as true: no constant of the "
            "search was chosen on them, but a small gap alone no longer refuses since "
            "the callosums were seen, and the limit of the check was set with these "
            "data in view. Seconds are CPU time of one thread. Points through a "
            "transform and back differ by at most "
            f"{worst:.1e} mm. Each fit is in alignment_fits.csv. Script: ``python "
            "benchmarks/alignment_study.py``"
        ),
        columns={name: name for name in columns},
    )
    from dipy_tractoencoder.utils.tables import save_table

    save_table(study.rows, options.out_dir / "alignment_fits.csv")


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--hcp1065", type=Path, required=True, help="TRX with named groups"),
        option(
            "--real",
            type=Path,
            help="folder with arcuate_pyafq.trx, crash_cc_session*.trk.gz, wma, "
            "whole_brain_stroke.trk.gz; left out by default",
        ),
        out_dir=RESULTS,
        quick=True,
    )
