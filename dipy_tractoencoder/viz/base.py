"""Pictures of a training and of reconstructions, drawn without a display."""

import numpy as np

from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.utils.atomic_files import whole_file

MOST_STREAMLINES = 300  # per picture; more only paint over each other
MOST_STEPS = 64  # per streamline drawn; finer ones are not to be seen
LARGEST_LINEAR = 5  # times the least error; beyond, the axis is logarithmic
LARGEST_RATIO = 100  # of the sides of a view that is drawn to scale
VIEWS = (
    ("sagittal, from the right", 1, 2, "posterior - anterior", "inferior - superior"),
    ("coronal, from behind", 0, 2, "left - right", "inferior - superior"),
    ("axial, from above", 0, 1, "left - right", "posterior - anterior"),
)


def training_figure(
    history,
    original,
    reconstructed,
    *,
    pca_error,
    best_epoch,
    what,
    loss="likelihood",
):
    """Draw loss curves, and input against reconstruction in three views.

    Parameters
    ----------
    history : dict of list
        Quantities per epoch, of `TrainingRecord`; only the views are drawn without.
    original, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    pca_error : float
        Error in mm of PCA with as many dimensions, on the same streamlines.
    best_epoch : int
        Epoch whose weights were kept.
    what : str
        Which streamlines these are, for the title.
    loss : {"likelihood", "mse"}, optional
        Form of the loss, which says its unit.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `save_figure`.
    """
    from matplotlib.figure import Figure

    if not history.get("loss"):
        what = f"No epoch of training. {what}"
        return reconstruction_figure(original, reconstructed, what=what)
    figure = Figure(figsize=(12, 14), layout="constrained")
    curves, views = figure.subfigures(2, 1, height_ratios=(1, 3))
    _draw_curves(curves.subplots(1, 3), history, pca_error, best_epoch, loss)
    _draw_views(views, original, reconstructed, what)
    return figure


def curves_figure(history, *, pca_error, best_epoch, loss="likelihood"):
    """Draw the errors, the terms of the loss, learning rate and KL weight by epoch.

    Parameters
    ----------
    history : dict of list
        Quantities per epoch, of `TrainingRecord`.
    pca_error : float or None
        Error in mm of PCA with as many dimensions, on the validation streamlines, if
        it is known.
    best_epoch : int
        Epoch whose weights were kept.
    loss : {"likelihood", "mse"}, optional
        Form of the loss, which says its unit.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `save_figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    _draw_curves(figure.subplots(1, 3), history, pca_error, best_epoch, loss)
    return figure


def reconstruction_figure(original, reconstructed, *, what, most=MOST_STREAMLINES):
    """Draw input, reconstruction and error in three anatomical views.

    Parameters
    ----------
    original, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    what : str
        Which streamlines these are, for the title.
    most : int, optional
        Streamlines drawn, at random if there are more.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `save_figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 11), layout="constrained")
    _draw_views(figure, original, reconstructed, what, most)
    return figure


def bundle_colours(names):
    """Colours of bundles, by the position of their names among the sorted ones.

    Parameters
    ----------
    names : iterable of str
        All bundles of a figure, in any order.

    Returns
    -------
    colours : dict of str to tuple
        Strong colours for the first ten, as in the explorer, pale ones for the next
        ten, and so on; "unassigned" is grey.
    """
    from matplotlib import colormaps

    pairs = colormaps["tab20"].colors  # Each strong one before its pale one.
    palette = [*pairs[::2], *pairs[1::2]]
    bundles = sorted({*names} - {"unassigned"})
    colours = {name: palette[k % len(palette)] for k, name in enumerate(bundles)}
    return {**colours, "unassigned": (0.75, 0.75, 0.75)}


def equal_scales(axis):
    """Give both axes of a view one scale, unless that would leave a line of it.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        With its limits set.
    """
    extents = [abs(high - low) for low, high in (axis.get_xlim(), axis.get_ylim())]
    # One streamline far out, in a damaged file, is enough for that.
    if max(extents) <= LARGEST_RATIO * min(extents):
        axis.set_aspect("equal")


def use_logarithm(axis, which="y"):
    """Make an axis of a plot logarithmic, and label it within decades too.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Plot of positive numbers.
    which : {"x", "y"}, optional
        Which axis of it.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set(**{f"{which}scale": "log"})
    ticks = {"x": axis.xaxis, "y": axis.yaxis}[which]
    # A range of less than a decade may hold no power of ten.
    ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ticks.set_minor_locator(NullLocator())
    ticks.set_major_formatter("{x:g}")


def save_figure(figure, path):
    """Write a figure, whole or not at all; the extension chooses the format.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : str or Path
        File to write (.png, .pdf, .svg, ...).
    """
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)


def _draw_curves(axes, history, pca_error, best_epoch, loss):
    """Three panels: error in mm, the terms of the loss, rate and KL weight."""
    epochs = np.arange(1, len(history.get("loss", ())) + 1)
    error, terms, schedules = axes
    for name, label in (("error_mm", "training"), ("val_error_mm", "validation")):
        if name in history:
            error.plot(epochs, history[name], label=label)
    if pca_error is not None:
        error.axhline(pca_error, color="0.4", ls="--", label="PCA, same dimensions")
    low, high = error.dataLim.intervaly
    if low > 0 and high / low > LARGEST_LINEAR:
        use_logarithm(error)
    error.axvline(best_epoch, color="0.7", lw=1, label=f"kept: epoch {best_epoch}")
    error.set(title="Reconstruction error", ylabel="error (mm)")
    terms.plot(epochs, history.get("loss", ()), label="loss, training")
    if "val_loss" in history:
        terms.plot(epochs, history["val_loss"], label="loss, validation")
    if "kl_nats" in history:
        terms.plot(epochs, history["kl_nats"], label="KL")
    unit = "nats per streamline"
    if loss == "mse":
        unit = "mm$^2$, KL in nats" if "kl_nats" in history else "mm$^2$"
    terms.set(title="Loss", ylabel=f"loss ({unit})")
    rate = history.get("learning_rate", ())
    schedules.plot(epochs, rate, color="C2", label="learning rate")
    schedules.set(title="Schedules", ylabel="learning rate")
    handles, top = schedules.get_lines(), schedules
    if "kl_weight" in history:
        top = schedules.twinx()
        top.plot(epochs, history["kl_weight"], color="C3", label="KL weight")
        top.set_ylim(bottom=0)
        top.set_ylabel("KL weight")
        handles = handles + top.get_lines()
    for axis in axes:
        axis.set_xlabel("epoch")
    error.legend(fontsize="small")
    terms.legend(fontsize="small")
    top.legend(handles=handles, fontsize="small", loc="lower left")


def _draw_views(figure, original, reconstructed, what, most=MOST_STREAMLINES):
    """Rows: input, reconstruction, error; columns: the three views."""
    from matplotlib.collections import LineCollection

    rng = np.random.default_rng(0)
    distance = point_distance(original, reconstructed)
    chosen = rng.permutation(len(original))[:most]
    n_points = original.shape[1]
    places = np.linspace(0, n_points - 1, min(n_points, MOST_STEPS + 1)).round()
    shown = np.ix_(chosen, places.astype(int))
    original, reconstructed = original[shown], reconstructed[shown]
    local = np.linalg.norm(original - reconstructed, axis=2)
    local = (local[:, 1:] + local[:, :-1]) / 2
    # Segments in the colours of their direction, as DIPY's viewers: |x|, |y|, |z|.
    steps = np.diff(original, axis=1)
    sizes = np.maximum(np.linalg.norm(steps, axis=2, keepdims=True), 1e-9)
    colours = np.abs(steps / sizes).reshape(-1, 3)
    axes = figure.subplots(3, 3, squeeze=False)
    rows = (("input", original), ("reconstruction", reconstructed), ("error", original))
    limits = [(original[..., k].min(), original[..., k].max()) for k in range(3)]
    upper = float(np.percentile(local, 98)) or 1.0
    for row, (title, points) in zip(axes, rows):
        for axis, (view, across, up, across_name, up_name) in zip(row, VIEWS):
            flat = points[..., [across, up]]
            segments = np.stack([flat[:, :-1], flat[:, 1:]], axis=2).reshape(-1, 2, 2)
            lines = LineCollection(segments, linewidths=0.6)
            if title == "error":
                lines.set(array=local.ravel(), clim=(0, upper), cmap="viridis")
            else:
                lines.set_color(colours)
            axis.add_collection(lines)
            for k, set_limit in ((across, axis.set_xlim), (up, axis.set_ylim)):
                margin = 0.05 * (limits[k][1] - limits[k][0]) + 1
                set_limit(limits[k][0] - margin, limits[k][1] + margin)
            axis.set_title(f"{title}, {view}", fontsize="small")
            equal_scales(axis)
            axis.set_xlabel(f"{across_name} (mm)", fontsize="small")
            axis.set_ylabel(f"{up_name} (mm)", fontsize="small")
    figure.colorbar(lines, ax=list(axes[2]), label="distance of points (mm)")
    figure.suptitle(
        f"{what}: error {pooled_distance(distance):.2f} mm over {len(distance)} "
        f"streamlines, {len(chosen)} drawn"
    )
