"""Pictures of the FiberCup study."""

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
import numpy as np
from study_rows import DIMENSIONS, EPOCHS, HEADLINE
from study_tables import collect, find

from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.sims.geometry import BUNDLES
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.viz.base import bundle_colours, save_figure
from dipy_tractoencoder.viz.latent import draw_latent_map

NAMES = dict(enumerate(BUNDLES))


def write_figures(work_dir, examples_dir, out_dir, *, method="pca"):
    """Draw what there are runs for.

    Parameters
    ----------
    work_dir, examples_dir : Path
        Folders of the runs' files and of held-out streamlines with their latents.
    out_dir : Path
        Where the pictures go.
    method : {"pca", "tsne"}, optional
        Of the latent maps.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    rows, runs = collect(work_dir)
    examples = {}
    for run in runs:
        settings = run["settings"]
        if (run["section"], run["data"]) == ("headline", "phantom"):
            name = f"headline-phantom-{run['row']}-epochs={settings['epochs']}-seed=0"
            path = examples_dir / f"{name.replace(' ', '_')}.npz"
            if settings["seed"] == 0 and path.exists():
                examples[run["row"], settings["epochs"]] = dict(np.load(path))
    figures = {}
    if examples:
        figures["reconstruction"] = reconstruction_figure(examples)
        figures[f"latent_{method}"] = maps_figure(examples, method)
    figures["kl_per_dimension"] = kl_figure(runs)
    figures["annealing"] = annealing_figure(runs)
    figures["dimensions"] = dimensions_figure(rows)
    for name, figure in figures.items():
        if figure is not None:
            save_figure(figure, out_dir / f"fibercup_{name}.png")


def draw_streamlines(axis, points, labels):
    """Streamlines from above, coloured by bundle."""
    colours = bundle_colours(BUNDLES)
    lines = LineCollection(
        points[:, ::4, :2],
        linewidths=0.4,
        colors=[colours[BUNDLES[label]] for label in labels],
    )
    axis.add_collection(lines)
    axis.set(xlim=(20, 165), ylim=(10, 160), aspect="equal", xticks=[], yticks=[])


def reconstruction_figure(examples):
    """Held-out input against reconstruction, after 50 and 120 epochs."""
    lengths = sorted({epochs for _, epochs in examples})
    shown = [row for row in HEADLINE if any(name == row for name, _ in examples)]
    n_columns = len(shown) + 1
    figure = Figure(figsize=(2.6 * n_columns, 2.9 * len(lengths)), layout="constrained")
    axes = figure.subplots(len(lengths), n_columns, squeeze=False)
    for line, epochs in zip(axes, lengths):
        for axis, row in zip(line[1:], shown):
            axis.set_axis_off()
            if (row, epochs) not in examples:
                continue
            example = examples[row, epochs]
            draw_streamlines(axis, example["reconstructed"], example["labels"])
            if not line[0].collections:
                draw_streamlines(line[0], example["points"], example["labels"])
            error = pooled_distance(
                point_distance(example["points"], example["reconstructed"])
            )
            axis.set_title(f"{row}, {epochs} epochs\n{error:.2g} mm", fontsize="small")
        line[0].set_axis_off()
        n_lines = len(line[0].collections) and len(example["points"])
        line[0].set_title(f"input, {n_lines} held-out\nstreamlines", fontsize="small")
    return figure


def maps_figure(examples, method):
    """Latent maps of each model, by bundle and by length."""
    shown = [row for row in HEADLINE if any(name == row for name, _ in examples)]
    figure = Figure(figsize=(3.4 * len(shown), 6.4), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, row in zip(axes.T, shown):
        epochs = max(e for name, e in examples if name == row)
        example = examples[row, epochs]
        flat, share = latent_map(example["latent"], method)
        title = f"{row}, {epochs} epochs"
        title += "" if share is None else f" ({share:.0%} of the variance)"
        draw_latent_map(column[0], flat, example["labels"], title=title, names=NAMES)
        draw_latent_map(
            column[1], flat, example["length"], title=title, label="length (mm)"
        )
    return figure


def kl_figure(runs):
    """KL of each latent dimension, largest first."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    drawn = False
    for number, row in enumerate(HEADLINE):
        for run in runs:
            settings, kl = run["settings"], run["figures"].get("kl_per_dimension")
            headline = (run["section"], run["data"]) == ("headline", "phantom")
            if not (headline and run["row"] == row and settings["seed"] == 0 and kl):
                continue
            drawn = True
            style = {EPOCHS[0]: "--", EPOCHS[-1]: "-"}.get(settings["epochs"], ":")
            axis.plot(
                np.arange(1, len(kl) + 1),
                np.maximum(kl, 1e-4),
                style,
                color=f"C{number}",
                label=f"{row}, {settings['epochs']} epochs",
            )
    axis.set_yscale("log")
    axis.set(
        xlabel="latent dimension, by KL",
        ylabel="KL (nats)",
        title="KL per latent dimension, held-out streamlines",
    )
    axis.legend(fontsize="small")
    return figure if drawn else None


def annealing_figure(runs):
    """Error, KL and weight over the epochs, for each course of the weight."""
    found = {}
    for run in runs:
        name = run["settings"].get("kl_annealing", "constant")
        if run["data"] != "phantom":
            continue
        if run["section"] == "kl_annealing":
            found["default model, 6 dimensions", name] = run
        if run["section"] == "seed kl_annealing" or (
            run["section"] == "headline"
            and run["row"] == "seed VAE"
            and (run["settings"]["epochs"], run["settings"]["seed"]) == (50, 0)
        ):
            found["the seed's model, 32 dimensions", name] = run
    if not found:
        return None
    models = list(dict.fromkeys(model for model, _ in found))
    names = ("constant", "warmup", "cyclical", "rise_and_fall")
    figure = Figure(figsize=(15, 3.6 * len(models)), layout="constrained")
    axes = figure.subplots(len(models), len(names), squeeze=False)
    for line, model in zip(axes, models):
        for axis, name in zip(line, names):
            if (model, name) not in found:
                axis.set_axis_off()
                continue
            history = found[model, name]["history"]
            epochs = np.arange(1, len(history["loss"]) + 1)
            axis.plot(epochs, history["error_mm"], label="error, training (mm)")
            axis.plot(epochs, history["val_error_mm"], label="error, validation (mm)")
            axis.plot(epochs, history["kl_nats"], label="KL (nats)")
            axis.set_yscale("log")
            twin = axis.twinx()
            twin.plot(epochs, history["kl_weight"], color="0.5", ls=":")
            twin.set_ylim(0, 1.05)
            twin.set_ylabel("KL weight (dotted)", fontsize="small")
            axis.set_title(f"{model}: {name}", fontsize="small")
            axis.set_xlabel("epoch")
    first = next(axis for axis in axes.flat if axis.get_lines())
    first.legend(fontsize="x-small")
    return figure


def dimensions_figure(rows):
    """Error by number of latent dimensions, of networks and PCA."""
    panels = {
        "phantom": "synthetic FiberCup",
        "bundles": "DIPY's bundles, subject left out",
    }
    series = {
        "PCA": ("baselines", "PCA, latent_dim={}", "0.3", "s--"),
        "PCA of each bundle": ("baselines", "PCA of each bundle, latent_dim={}")
        + ("0.7", "s:"),
        "VAE (default)": ("latent_dim", "latent_dim={}", "C0", "o-"),
        "AE": ("latent_dim", "latent_dim={}, model=ae", "C1", "^-"),
    }
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots(1, 2)
    drawn = False
    for axis, (data, title) in zip(axes, panels.items()):
        for label, (section, pattern, colour, style) in series.items():
            values = [find(rows, data, section, pattern.format(d)) for d in DIMENSIONS]
            known = [(d, v["error_mm"]) for d, v in zip(DIMENSIONS, values) if v]
            if known:
                drawn = True
                axis.plot(*zip(*known), style, color=colour, label=label)
        axis.set(xscale="log", yscale="log", title=title, xlabel="latent dimensions")
        axis.set_ylabel("error of held-out streamlines (mm)")
        axis.set_xticks(DIMENSIONS)
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.minorticks_off()
        if axis.get_lines():
            axis.legend(fontsize="small")
    return figure if drawn else None
