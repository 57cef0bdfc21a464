"""Detection of locally displaced bundles, by measure, in synthetic phantom subjects.

    python benchmarks/comparison_study.py            # a quarter of an hour on two cores
    python benchmarks/comparison_study.py --quick    # a minute, for CI
    python benchmarks/comparison_study.py --smoothness_mm 10 --name comparison_rough

A subject is a set of synthetic FiberCup streamlines, transformed by a small random
affine and a smooth random warp of 1 mm. In tested subjects one bundle is displaced
sideways by a smooth bump over 20 to 30 % of its length. Each repetition has its own
reference group, on which its models are trained. Writes a CSV and an rst table.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from study_main import RESULTS, main, option

import dipy_tractoencoder as dte
from dipy_tractoencoder.nn.provenance import software_versions
from dipy_tractoencoder.sims.geometry import BUNDLES, centre_line
from dipy_tractoencoder.stats.group_distances import group_distances, surprise
from dipy_tractoencoder.stats.group_statistics import (
    correct_p_values,
    group_p,
    profile_p,
)
from dipy_tractoencoder.stats.profiles import (
    MEASURES,
    RECONSTRUCTING,
    bundle_profile,
    few_dimensional,
    fit_core,
)
from dipy_tractoencoder.utils.tables import save_table

ALPHA = 0.05
DISPLACEMENTS = (2.0, 4.0, 6.0)  # mm
FULL = {"repeats": 3, "n_reference": 20, "n_tested": 42, "n_streamlines": 350}
QUICK = {"repeats": 1, "n_reference": 8, "n_tested": 7, "n_streamlines": 150}
MIDDLE = np.array([90.0, 75.0, 3.0])  # mm, of the phantom
GRID = 3.0  # mm, of the warps

COLUMNS = {
    "found": "fraction of subjects whose displaced bundle was detected",
    "overlap": "the same, with a detected segment among the displaced ones",
    "inside": "fraction of detected segments that are displaced",
    "false": "fraction of wrong bundles among those detected, mean over subjects",
}


def random_deformation(rng, warp_mm, smoothness_mm):
    """Give a function that moves points (any, 3) as one subject differs from others."""
    angle = rng.normal(0, np.deg2rad(0.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.eye(3)
    linear[:2, :2] = turn * (1 + rng.normal(0, 0.005, 2))
    shift = rng.normal(0, (0.3, 0.3, 0.1))
    fields = []
    for _ in range(3):
        # A margin keeps the border's effect on the smoothing away.
        noise = rng.standard_normal((128, 128))
        field = gaussian_filter(noise, smoothness_mm / GRID, mode="wrap")
        fields.append(field / field.std() * warp_mm)
    fields[2] *= 0.3  # The phantom is flat.

    def deform(points):
        places = points[..., :2].reshape(-1, 2).T / GRID + 32
        warp = [map_coordinates(field, places, order=1) for field in fields]
        warp = np.stack(warp, axis=1).reshape(points.shape)
        return (points - MIDDLE) @ linear.T + MIDDLE + shift + warp

    return deform


def bump(bundle, points, centre, width):
    """Height (0 to 1) of a smooth bump at the place of points along a bundle."""
    line = centre_line(bundle)
    number = line.nearest(points[..., :2])[1]
    place = (line.along[number] / line.length - centre) / (width / 2)
    height = np.where(np.abs(place) < 1, (1 + np.cos(np.pi * place)) / 2, 0)
    return height, line.normals[number]


def make_subject(seed, n_streamlines, *, bend=None, warp_mm=1.0, smoothness_mm=20.0):
    """Make a subject's bundles: displacement in mm to bundle to streamlines.

    With ``bend`` ("bundle", "centre", "width" as shares of the length, "sign") for
    every displacement, else for 0 only.
    """
    rng = np.random.default_rng(seed)
    made = dte.make_fibercup(n_streamlines, 0.0, seed=rng)
    deform = random_deformation(rng, warp_mm, smoothness_mm)
    versions = {}
    for size in (0.0, *(DISPLACEMENTS if bend else ())):
        bundles = {name: [] for name in BUNDLES}
        for line, code in zip(made.streamlines, made.bundle):
            line, name = line.astype(np.float64), BUNDLES[code]
            if size and name == bend["bundle"]:
                height, normals = bump(name, line, bend["centre"], bend["width"])
                line[:, :2] += bend["sign"] * size * height[:, None] * normals
            bundles[name].append(deform(line).astype(np.float32))
        versions[size] = bundles
    return versions


def make_group(repeat, sizes, **options):
    """Make the reference group, the tested subjects, and where those are displaced."""
    n = sizes["n_streamlines"]
    reference = [
        make_subject((repeat, 0, i), n, **options)[0.0]
        for i in range(sizes["n_reference"])
    ]
    tested, bends = [], []
    for i in range(sizes["n_tested"]):
        rng = np.random.default_rng((repeat, 2, i))
        bend = {"bundle": BUNDLES[i % len(BUNDLES)], "centre": rng.uniform(0.25, 0.75)}
        bend |= {"width": rng.uniform(0.2, 0.3), "sign": rng.choice([-1, 1])}
        tested.append(make_subject((repeat, 1, i), n, bend=bend, **options))
        bends.append(bend)
    return reference, tested, bends


def reconstructions(model, small):
    """Name to a function from points to their reconstruction."""

    def first_latents(points):
        mean = dte.encode(model, dte.StreamlineArray.from_points(points)).mean
        mean[:, 6:] = 0
        return dte.decode(model, mean)

    few = {
        f"PCA {k}": lambda x, k=k: few_dimensional(model, x, k) for k in (4, 6, 8, 12)
    }
    return {
        **few,
        "first 6 of 32 latents": first_latents,
        "VAE 6": lambda x: few_dimensional(small, x, 0),
        "VAE 32": lambda x: few_dimensional(model, x, 0),
    }


def run_repeat(repeat, sizes, epochs, **options):
    """Train, measure and test one repetition.

    Gives row to displacement to a list over subjects of what was found (7 bundles,
    segments), and which segments of the displaced bundle are displaced, per subject.
    """
    reference, tested, bends = make_group(repeat, sizes, **options)
    training = [sum(bundles.values(), []) for bundles in reference]
    model = dte.train(training, epochs=epochs, seed=repeat)
    small = dte.train(training, epochs=epochs, seed=repeat, latent_dim=6)
    print(f"repeat {repeat}: models trained", flush=True)
    # The preprocessing of both models is the same.
    assert model.preprocessing == small.preprocessing
    makers = reconstructions(model, small)
    people = [(0.0, bundles) for bundles in reference]
    people += [item for versions in tested for item in versions.items()]
    is_reference = np.arange(len(people)) < len(reference)
    rows, p_values, displaced = {}, {}, [None] * len(bends)
    for name in BUNDLES:
        points = [model.preprocessing.array(b[name]).points for _, b in people]
        core = fit_core(points[: len(reference)])
        segments = [core.segments(x) for x in points]
        for i, bend in enumerate(bends):
            if bend["bundle"] == name:
                height = bump(name, core.points, bend["centre"], bend["width"])[0]
                displaced[i] = height > 0
        together = np.concatenate(points)
        cuts = np.cumsum([len(x) for x in points])[:-1]
        for maker, make in {**makers, "": None}.items():
            new = np.split(make(together), cuts) if make else [None] * len(points)
            for measure in MEASURES:
                if (measure in RECONSTRUCTING) != bool(make):
                    continue
                profiles = [
                    bundle_profile(x, core, measure, y, segments=known)
                    for x, y, known in zip(points, new, segments)
                ]
                row = measure.replace("_", " ") + (f", {maker}" if maker else "")
                p = profile_p(np.array(profiles), is_reference, measure)
                p_values.setdefault(row, []).append(p)
        means = np.split(
            dte.encode(model, dte.StreamlineArray.from_points(together)).mean, cuts
        )
        numbers = {"latent density": surprise(means, is_reference)}
        distances = group_distances(means, points, is_reference, seed=repeat)
        numbers["latent Wasserstein"] = np.log(distances["latent_distance"])
        numbers["bundle-minimum distance"] = np.log(distances["bmd"])
        for row, values in numbers.items():
            p = group_p(values, is_reference)[:, None]
            p_values.setdefault(row, []).append(p)
        print(f"repeat {repeat}: {name} measured", flush=True)
    for row, parts in p_values.items():
        rows[row] = {}
        for i in np.flatnonzero(~is_reference):
            p_fdr = correct_p_values([p[i] for p in parts])
            hits = np.array(p_fdr) < ALPHA
            rows[row].setdefault(people[i][0], []).append(hits)
    return rows, displaced


def figures(found, displaced):
    """Rates of one row over all subjects, with what is displaced by how much."""
    n_bundles = len(BUNDLES)
    healthy = np.array([hits.any(axis=1) for hits in found[0.0]])
    row = {
        "healthy bundles found": healthy.mean(),
        "healthy subjects with any": healthy.any(axis=1).mean(),
    }
    for size in DISPLACEMENTS:
        right, overlap, inside, false = [], [], [], []
        for i, (hits, where) in enumerate(zip(found[size], displaced)):
            own = hits[i % n_bundles]
            bundles = hits.any(axis=1)
            right.append(own.any())
            false.append((bundles.sum() - own.any()) / max(bundles.sum(), 1))
            if own.size == where.size:
                overlap.append((own & where).any())
                if own.any():
                    inside.append((own & where).sum() / own.sum())
        row[f"found, {size:g} mm"] = np.mean(right)
        if overlap:
            row[f"overlap, {size:g} mm"] = np.mean(overlap)
            row[f"inside, {size:g} mm"] = np.mean(inside) if inside else np.nan
        row[f"false, {size:g} mm"] = np.mean(false)
    return {key: float(value) for key, value in row.items()}


def rst_tables(rows, sizes, warp):
    """One table per displacement, and one of the healthy subjects."""
    lines = []
    for size in DISPLACEMENTS:
        names = {key: f"{key}, {size:g} mm" for key in COLUMNS}
        lines += [
            f"Displaced by {size:g} mm",
            "",
            ".. csv-table::",
            "   :header-rows: 1",
        ]
        lines += ["", "   measure," + ",".join(names)]
        for row in sorted(rows, key=lambda row: -row[names["found"]]):
            cells = [f"{row[n]:.2f}" if n in row else "" for n in names.values()]
            lines.append(f'   "{row["measure"]}",' + ",".join(cells))
        lines.append("")
    healthy = ("healthy bundles found", "healthy subjects with any")
    lines += ["Healthy subjects", "", ".. csv-table::", "   :header-rows: 1", ""]
    lines.append("   measure," + ",".join(healthy))
    for row in rows:
        cells = ",".join(f"{row[name]:.3f}" for name in healthy)
        lines.append(f'   "{row["measure"]}",{cells}')
    lines.append("")
    lines += [f"- {key}: {text}." for key, text in COLUMNS.items()]
    versions = ", ".join(f"{k} {v}" for k, v in software_versions().items())
    lines += [
        "",
        f"{sizes['repeats']} repetitions of {sizes['n_reference']} reference and "
        f"{sizes['n_tested']} tested subjects of {sizes['n_streamlines']} streamlines "
        f"in {len(BUNDLES)} bundles; corrected p below {ALPHA}; {warp}. The numbers in "
        "the names are dimensions of the reconstruction; PCA is fitted to the "
        "streamlines of the reference group; residual, PCA 12, is the default. Latent "
        f"densities and distances are those of the 32-dimensional VAE. {versions}.",
    ]
    return "\n".join(lines) + "\n"


def run(options):
    sizes = QUICK if options.quick else FULL
    out_dir = options.out_dir
    warp = {"warp_mm": options.warp_mm, "smoothness_mm": options.smoothness_mm}
    found, displaced = {}, []
    for repeat in range(sizes["repeats"]):
        new, where = run_repeat(repeat, sizes, 10 if options.quick else 100, **warp)
        displaced += where
        for row, by_size in new.items():
            for size, hits in by_size.items():
                found.setdefault(row, {}).setdefault(size, []).extend(hits)
    rows = [{"measure": name, **figures(f, displaced)} for name, f in found.items()]
    out_dir.mkdir(parents=True, exist_ok=True)
    save_table(rows, out_dir / f"{options.name}.csv")
    about = f"warp {options.warp_mm:g} mm, smoothed by {options.smoothness_mm:g} mm"
    text = rst_tables(rows, sizes, about)
    (out_dir / f"{options.name}.rst").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(
        run,
        __doc__,
        option("--name", default="comparison", help="of the tables"),
        option("--warp_mm", type=float, default=1.0),
        option("--smoothness_mm", type=float, default=20.0),
        out_dir=RESULTS,
        quick=True,
    )
