"""Figures of a training and of reconstructions, drawn without a display."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.utils.atomic_files import whole_file
from dipy_tractoencoder.utils.reservoir import sample_rows
from dipy_tractoencoder.viz.text import draw_figure, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_STREAMLINES = 300  # Per figure; more hide each other.
MOST_STEPS = 64  # Per streamline drawn; finer ones are not visible.
LARGEST_LINEAR = 5  # Ratio of errors above which their axis is logarithmic.
LARGEST_RATIO = 100  # Of the sides of a view with equal scales.
VIEWS = (
    ("sagittal, from the right", 1, 2, "posterior - anterior", "inferior - superior"),
    ("coronal, from behind", 0, 2, "left - right", "inferior - superior"),
    ("axial, from above", 0, 1, "left - right", "posterior - anterior"),
)


def training_figure(
    history: dict,
    original: np.ndarray,
    reconstructed: np.ndarray,
    *,
    pca_error: float,
    best_epoch: int,
    what: str,
    loss: str = "likelihood",
) -> Figure:
    """Plot loss curves, and input and reconstruction in three views.

    Parameters
    ----------
    history : dict of list
        Values of each quantity per epoch, from `TrainingRecord`; without epochs only
        the views are drawn.
    original, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines and their reconstructions; RASMM, mm.
    pca_error : float
        Error of PCA with the same number of dimensions, on the same streamlines, mm.
    best_epoch : int
        Epoch whose weights were kept.
    what : str
        Description of the streamlines, for the title.
    loss : {"likelihood", "mse"}, optional
        Reconstruction term of the loss, which determines its unit.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `save_figure`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> points = model.preprocessing.array(made.streamlines).points
    >>> history = {"loss": [9.0, 8.0], "error_mm": [5.0, 4.0]}
    >>> history["learning_rate"] = [2e-3, 1e-3]
    >>> figure = dte.training_figure(
    ...     history, points, points, pca_error=4.5, best_epoch=2, what="Training"
    ... )
    >>> len(figure.axes)
    13
    """
    from matplotlib.figure import Figure

    if not history.get("loss"):
        what = f"No epoch of training. {what}"
        return reconstruction_figure(original, reconstructed, what=what)
    figure = Figure(figsize=(12, 14), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 3))
    curves, views = parts
    _draw_curves(curves.subplots(1, 3), history, pca_error, best_epoch, loss)
    _draw_views(views, original, reconstructed, what)
    return figure


def curves_figure(
    history: dict, *, pca_error: float | None, best_epoch: int, loss: str = "likelihood"
) -> Figure:
    """Plot errors, terms of the loss, learning rate and KL weight by epoch.

    Parameters
    ----------
    history : dict of list
        Values of each quantity per epoch, from `TrainingRecord`.
    pca_error : float or None
        Error of PCA with the same number of dimensions on the validation streamlines,
        mm, if known.
    best_epoch : int
        Epoch whose weights were kept.
    loss : {"likelihood", "mse"}, optional
        Reconstruction term of the loss, which determines its unit.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `save_figure`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> history = {"loss": [9.0, 8.0], "error_mm": [5.0, 4.0]}
    >>> history["learning_rate"] = [2e-3, 1e-3]
    >>> figure = dte.curves_figure(history, pca_error=4.5, best_epoch=2)
    >>> [axis.get_title() for axis in figure.axes]
    ['Reconstruction error', 'Loss', 'Schedules']
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    _draw_curves(figure.subplots(1, 3), history, pca_error, best_epoch, loss)
    return figure


def reconstruction_figure(
    original: np.ndarray,
    reconstructed: np.ndarray,
    *,
    what: str,
    most: int = MOST_STREAMLINES,
) -> Figure:
    """Plot input, reconstruction and error in three anatomical views.

    Parameters
    ----------
    original, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines and their reconstructions; RASMM, mm.
    what : str
        Description of the streamlines, for the title.
    most : int, optional
        Largest number of streamlines drawn, chosen at random.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `save_figure`.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> points = np.linspace([0, 0, 0], [60, 20, 0], 32)[None]
    >>> figure = dte.reconstruction_figure(points, points + [0, 0, 1], what="A line")
    >>> print(figure.get_suptitle())
    A line: error 1.00 mm over 1 streamlines, 1 drawn
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 11), layout="constrained")
    _draw_views(figure, original, reconstructed, what, most)
    return figure


def bundle_colours(names: Iterable[str]) -> dict:
    """Return the colours of bundles, by the order of their names.

    Parameters
    ----------
    names : iterable of str
        Names of all bundles of a figure, in any order.

    Returns
    -------
    colours : dict of str to tuple
        Colour of each bundle: strong colours for the first ten, as in the explorer,
        pale ones for the next ten, and so on; "unassigned" is grey.
    """
    from matplotlib import colormaps

    tab20: Any = colormaps["tab20"]
    pairs = tab20.colors  # Each strong colour before its pale one.
    palette = [*pairs[::2], *pairs[1::2]]
    bundles = sorted({*names} - {"unassigned"})
    colours = {name: palette[k % len(palette)] for k, name in enumerate(bundles)}
    return {**colours, "unassigned": (0.75, 0.75, 0.75)}


def equal_scales(axis: Axes) -> None:
    """Give both axes of a view the same scale, unless one is far shorter.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes whose limits are set.
    """
    extents = [abs(high - low) for low, high in (axis.get_xlim(), axis.get_ylim())]
    # One outlying streamline, in a damaged file, can make a view a line.
    if max(extents) <= LARGEST_RATIO * min(extents):
        axis.set_aspect("equal")


def use_logarithm(axis: Axes, which: str = "y") -> None:
    """Make an axis logarithmic, with labels within decades.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes with positive values.
    which : {"x", "y"}, optional
        Axis to change.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set(**{f"{which}scale": "log"})
    ticks = {"x": axis.xaxis, "y": axis.yaxis}[which]
    # A range of less than a decade may hold no power of ten.
    ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ticks.set_minor_locator(NullLocator())
    ticks.set_major_formatter("{x:g}")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure, completely or not at all; the extension chooses the format.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure to save.
    path : str or Path
        File to write (.png, .pdf, .svg, ...).

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> history = {"loss": [9.0, 8.0], "error_mm": [5.0, 4.0]}
    >>> history["learning_rate"] = [2e-3, 1e-3]
    >>> figure = dte.curves_figure(history, pca_error=4.5, best_epoch=2)
    >>> dte.save_figure(figure, "curves.png")
    """
    with whole_file(path) as partial:
        draw_figure(figure, partial, dpi=110)


def _draw_curves(axes, history, pca_error, best_epoch, loss):
    """Plot three panels: error in mm, terms of the loss, and schedules."""
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
    """Plot input, reconstruction and error (rows) in the three views (columns)."""
    from matplotlib.collections import LineCollection

    distance = point_distance(original, reconstructed)
    chosen = sample_rows(len(original), 0, most)
    n_points = original.shape[1]
    places = np.linspace(0, n_points - 1, min(n_points, MOST_STEPS + 1)).round()
    shown = np.ix_(chosen, places.astype(int))
    original, reconstructed = original[shown], reconstructed[shown]
    local = np.linalg.norm(original - reconstructed, axis=2)
    local = (local[:, 1:] + local[:, :-1]) / 2
    # Segments have the colour of their direction, as in DIPY: |x|, |y|, |z|.
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
        f"{literal(what)}: error {pooled_distance(distance):.2f} mm over "
        f"{len(distance)} streamlines, {len(chosen)} drawn"
    )
