"""Write the tables of the FiberCup study from the files of its runs."""

import csv
import json
from statistics import mean, stdev

from dipy_tractoencoder.utils.atomic_files import whole_file
from dipy_tractoencoder.utils.tables import save_table

COLUMNS = {
    "error_mm": "error (mm)",
    "mdf_mm": "MDF (mm)",
    "kl_nats": "KL (nats)",
    "active_dimensions": "active dimensions",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "mantel_r": "Mantel r",
    "accuracy": "label accuracy",
    "macro_f1": "macro F1",
    "length_r2": "length R2",
    "length_rmse_mm": "length RMSE (mm)",
    "length_r2_squares": "length R2 (squares too)",
    "new_mdf_mm": "new (mm)",
    "held_out_mdf_mm": "held out (mm)",
    "log_likelihood_nats": "log p (nats)",
    "seconds_per_epoch": "s/epoch",
}
TITLES = {
    "headline": "Headline: 32 dimensions",
    "latent_dim": "Number of latent dimensions",
    "kl_annealing": "Schedule of the KL weight (default model, 6 dimensions)",
    "seed kl_annealing": "Schedule of the KL weight (the seed's model, 32 dimensions)",
    "orientation": "Orientation policy (6 dimensions)",
    "backbone": "Backbones with and without the linear skip (6 dimensions)",
    "loss": "Form of the loss (6 dimensions)",
    "epsilon_std": "Standard deviation of the sampling noise (6 dimensions)",
    "remedies": "Variations that aim at a third of PCA's error (6 dimensions)",
    "baselines": "Without training",
}
DATA = {
    "phantom": "Synthetic FiberCup: 3,112 training, 1,000 held-out streamlines",
    "bundles": "DIPY's bundles, one subject left out",
}


def collect(work_dir):
    """Rows of means and standard deviations over seeds or left-out subjects.

    Parameters
    ----------
    work_dir : Path
        Folder of the runs' files.

    Returns
    -------
    rows : list of dict
        "data", "section", "row", "epochs", "n", and for each figure a list of values.
    runs : list of dict
        What the files hold.
    """
    runs = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(work_dir.glob("*.json"))
    ]
    groups = {}
    for run in runs:
        data = "phantom" if run["data"] == "phantom" else "bundles"
        epochs = run["settings"].get("epochs", "")
        key = (data, run["section"], run["row"], epochs)
        groups.setdefault(key, []).append(run)
    rows = []
    for (data, section, row, epochs), members in groups.items():
        item = {"data": data, "section": section, "row": row, "epochs": epochs}
        dims = {r["settings"].get("latent_dim", 32) for r in members}
        if section == "baselines" and "latent_dim=" in row:
            dims = {int(row.split("=")[1])}
        item["latent_dim"] = dims.pop()
        item["n"] = len(members)
        item["figures"] = {
            name: [m["figures"][name] for m in members if name in m["figures"]]
            for name, value in members[0]["figures"].items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        item["diverged"] = sum("diverged" in m["figures"] for m in members)
        rows.append(item)
    return rows, runs


def find(rows, data, section, row, epochs=None):
    """One row's means by figure, or None where it has not run."""
    for item in rows:
        if (item["data"], item["section"], item["row"]) == (data, section, row) and (
            epochs in (None, item["epochs"])
        ):
            return {"n": item["n"]} | {k: mean(v) for k, v in item["figures"].items()}
    return None


def write_tables(work_dir, out_dir, n_left=0):
    """Write ``fibercup_study.csv`` and ``.rst`` of all runs that are there.

    Parameters
    ----------
    work_dir, out_dir : Path
        Folders of the runs' files, and for the tables.
    n_left : int, optional
        Number of runs that have not finished, which the table states.
    """
    rows, runs = collect(work_dir)
    flat = []
    for item in rows:
        row = {k: item[k] for k in ("data", "section", "row", "epochs", "n")}
        for name, values in item["figures"].items():
            row[name] = mean(values)
            if len(values) > 1:
                row[f"{name}_sd"] = stdev(values)
        flat.append(row)
    save_table(flat, out_dir / "fibercup_study.csv")
    lines = [context(runs), ""]
    if n_left:
        lines += [f"**The study is not complete: {n_left} runs are missing.**", ""]
    for data, title in DATA.items():
        lines += [title, "~" * len(title), ""]
        for section, heading in TITLES.items():
            lines += section_table(rows, data, section, heading)
    lines += ["Goals", "~" * 5, "", *bars_table(rows, runs, out_dir)]
    with whole_file(out_dir / "fibercup_study.rst") as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")


# What the names of rows and columns mean.
WORDS = (
    "*VAE* and *AE* are the default model and the same model as an autoencoder; "
    "*seed*: the networks of the Google Summer of Code (GSoC) 2024 project, trained "
    "with our defaults; *GSoC*: the same networks with that project's own settings. "
    "*Error*: root mean squared distance of points; *MDF*: minimum average "
    "direct-flip distance to the reconstruction; *Spearman*, *Pearson*, *Mantel*: "
    "correlation of latent distances with MDF; *label*: the bundle of the nearest "
    "training latent; *length*: predicted from the latents by ridge regression; "
    "*new*: median MDF from streamlines sampled from a mixture of the latents to the "
    "nearest training streamline; *held out*: the same for held-out streamlines; "
    "*log p*: importance-sampled log-likelihood."
)


def context(runs):
    """Describe how the values were measured."""
    versions = {}
    for run in runs:
        for name, version in run.get("versions", {}).items():
            versions.setdefault(name, set()).add(version)
    text = ", ".join(f"{k} {' and '.join(sorted(v))}" for k, v in versions.items())
    return (
        "Means over held-out streamlines; ± is the standard deviation over n seeds, or "
        "over the n left-out subjects. Seconds per epoch: median, on cores shared with "
        f"other work. {text}.\n\n{WORDS}"
    )


def section_table(rows, data, section, heading):
    """Write one table in rst, with PCA and the GSoC settings for comparison."""
    members = [r for r in rows if (r["data"], r["section"]) == (data, section)]
    if not members:
        return []
    dims = {item["latent_dim"] for item in members}
    if section != "baselines":
        names = {item["row"] for item in members}
        others = [
            item
            for item in rows
            if item["data"] == data
            and item["latent_dim"] in dims
            and item["row"] not in names
            and (
                (item["section"] == "baselines" and item["row"].startswith("PCA, "))
                or (item["row"].startswith("GSoC") and item["epochs"] != 120)
            )
        ]
        members = members + others
    shown = [c for c in COLUMNS if any(c in item["figures"] for item in members)]
    lines = [f".. csv-table:: {heading}", "   :header-rows: 1", ""]
    lines.append("   model,epochs,n," + ",".join(COLUMNS[c] for c in shown))
    members.sort(key=lambda r: (r["latent_dim"], r["epochs"] or 0))
    for item in members:
        name = item["row"] + (" (diverged)" if item["diverged"] else "")
        cells = [name, str(item["epochs"]), str(item["n"])]
        cells += [cell(item["figures"].get(column, [])) for column in shown]
        lines.append("   " + ",".join(f'"{c}"' for c in cells))
    return [*lines, ""]


def cell(values):
    """Mean, and standard deviation of more than one value."""
    if not values:
        return ""
    text = f"{mean(values):.3g}"
    return f"{text} ± {stdev(values):.2g}" if len(values) > 1 else text


def time_bars(path):
    """Compare the times of training measured by ``training_time.py``, if any."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        seconds = {
            row["model"]: float(row["120 epochs (s)"]) for row in csv.DictReader(file)
        }
    plain = min(s for name, s in seconds.items() if name.startswith("plain"))
    bars = []
    for name, most in (("default model", 1 / 50), ("seed's model", 1 / 3)):
        share = min(s for n, s in seconds.items() if n.startswith(name)) / plain
        what = f"time of 120 epochs, {name} to the GSoC model in plain Keras"
        bars.append((what, f"at most {most:.3g}", share, share <= most))
    return bars


def bars_table(rows, runs, out_dir):
    """Compare the results with the goals of the study."""
    bars = []

    def ratio(what, first, second, name, most):
        if first and second:
            value = first[name] / second[name]
            bars.append((what, f"at most {most:.3g}", value, value <= most + 1e-3))

    def pick(row, epochs=None, data="phantom", section="headline"):
        return find(rows, data, section, row, epochs)

    def pca(dims, data="phantom"):
        return pick(f"PCA, latent_dim={dims}", "", data, "baselines")

    def default(dims, data="phantom"):
        return pick(f"latent_dim={dims}", None, data, "latent_dim")

    for epochs in (50, 120):
        vae, gsoc = pick("VAE", epochs), pick("GSoC VAE", epochs)
        seed_vae, seed_ae = pick("seed VAE", epochs), pick("seed AE", epochs)
        after = f", {epochs} epochs"
        ratio(f"error, VAE-32 to PCA-32{after}", vae, pca(32), "error_mm", 1)
        ratio(f"error, VAE-32 to GSoC{after}", vae, gsoc, "error_mm", 0.1)
        ratio(f"error, seed VAE to GSoC{after}", seed_vae, gsoc, "error_mm", 0.25)
        ratio(f"error, seed VAE to seed AE{after}", seed_vae, seed_ae, "error_mm", 1.3)
    ratio("error, VAE-6 to PCA-6", default(6), pca(6), "error_mm", 1 / 3)
    for dims in (6, 32):
        sides = default(dims, "bundles"), pca(dims, "bundles")
        if all(sides) and sides[0]["n"] == sides[1]["n"]:  # The same subjects.
            ratio(f"error, VAE-{dims} to PCA-{dims}, bundles", *sides, "error_mm", 1)
    for dims in (6, 32):
        model, linear = default(dims), pca(dims)
        if not (model and linear):
            continue
        lost = linear["spearman"] - model["spearman"]
        bars.append(
            (f"Spearman below PCA's, {dims}", "at most 0.01", lost, lost <= 0.01)
        )
        for name, least in (("accuracy", 0.99), ("length_r2", 0.98)):
            value = model[name]
            what = f"{COLUMNS[name]}, VAE-{dims}"
            bars.append((what, f"at least {least}", value, value >= least))
        value = model["new_mdf_mm"] / model["held_out_mdf_mm"]
        what = f"MDF of new to held-out streamlines, VAE-{dims}"
        bars.append((what, "at most 1.1", value, value <= 1.1))
    trained = [run for run in runs if "finite" in run["figures"]]
    ours = [run for run in trained if not run["row"].startswith("GSoC")]
    for what, some in (("ours", ours), ("all", trained)):
        broken = sum(not run["figures"]["finite"] for run in some)
        what = f"trainings with a non-finite value, {what}, of {len(some)}"
        bars.append((what, "0", broken, not broken))
    gaps = [
        run["figures"]["train_error_mm"] / run["figures"]["training_mode_error_mm"] - 1
        for run in ours
    ]
    if gaps:
        # It is lower where batch statistics add noise in training mode: no harm.
        what = "inference error above training-mode error, worst of ours"
        bars.append((what, "at most 0.05", max(gaps), max(gaps) <= 0.05))
        what = "inference error below training-mode error, largest difference"
        bars.append((what, "at most 0.05", -min(gaps), -min(gaps) <= 0.05))
    bars += time_bars(out_dir / "training_time.csv")
    lines = [".. csv-table::", '   :header: "", "goal", "measured", "reached"', ""]
    for what, asked, value, reached in bars:
        answer = "yes" if reached else "**no**"
        lines.append(f'   "{what}","{asked}","{value:.3g}","{answer}"')
    return [*lines, ""]
