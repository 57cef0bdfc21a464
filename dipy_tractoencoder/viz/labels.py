"""Figures of labelled bundles: the bundles, and true against predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.viz.base import VIEWS, bundle_colours, equal_scales
from dipy_tractoencoder.viz.text import (
    MOST_LETTERS,
    add_legend,
    literal,
    name_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from nibabel.streamlines import ArraySequence

MOST_PER_BUNDLE = 100  # Streamlines drawn; more hide each other.
# Sizes in inches: figure and views; matrix, its cells, and a letter of the names.
WIDTH, VIEWS_HEIGHT = 15, 6
LARGEST, CELL, LETTER = 12, (1.2, 0.35), 0.09


def bundles_figure(
    streamlines: ArraySequence | Sequence[np.ndarray],
    members: dict[str, np.ndarray],
    *,
    what: str,
    confusion: Sequence[dict] = (),
    colours: dict | None = None,
    seed: int = 0,
) -> Figure:
    """Plot bundles in three views and, if known, true against predicted bundles.

    Parameters
    ----------
    streamlines : ArraySequence or sequence of ndarray
        Streamlines; RASMM, mm.
    members : dict of ndarray of int
        Indices of the streamlines of each bundle, by name; "unassigned" is grey.
    what : str
        Description of the streamlines, for the title.
    confusion : sequence of dict, optional
        Rows of `segment.label_metrics.confusion_table`.
    colours : dict of tuple, optional
        Colour of each bundle, by name; by default by the order of the names.
    seed : int, optional
        Seed of the choice of streamlines that are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `viz.base.save_figure`.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> line = np.linspace([0, 0, 0], [60, 20, 0], 32)
    >>> members = {"AF": [0], "UF": [1]}
    >>> figure = dte.bundles_figure([line, line + 5], members, what="Two")
    >>> print(figure.get_suptitle())
    Two: up to 100 streamlines of each bundle drawn
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if confusion:
        left, bottom, width, height = _matrix_place(confusion)
        heights = VIEWS_HEIGHT, bottom + height + 0.4
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        above, below = parts
        place = (left / WIDTH, bottom / heights[1], width / WIDTH, height / heights[1])
        draw_confusion(below.add_axes(place), confusion)
    else:
        above = figure = Figure(figsize=(WIDTH, VIEWS_HEIGHT), layout="constrained")
    *axes, key = above.subplots(1, 4)
    lines = as_sequence(streamlines)
    rng = np.random.default_rng(seed)
    colours = {**bundle_colours(members), **(colours or {})}
    handles, labels = [], []
    # Unassigned streamlines first, below the others.
    order = sorted(members, key=lambda name: name != "unassigned")
    for name in order:
        rows = np.asarray(members[name])
        colour = colours[name]
        handles.append(Line2D([], [], color=colour, lw=3))
        labels.append(f"{name}: {len(rows)}")
        drawn = lines[rng.permutation(rows)[:MOST_PER_BUNDLE]]
        for axis, (_, across, up, _, _) in zip(axes, VIEWS):
            flat = [line[:, [across, up]] for line in drawn if len(line) > 1]
            axis.add_collection(LineCollection(flat, colors=[colour], linewidths=0.5))
    for axis, (view, _, _, across_name, up_name) in zip(axes, VIEWS):
        axis.autoscale()
        equal_scales(axis)
        axis.set_title(view, fontsize="small")
        axis.set_xlabel(f"{across_name} (mm)", fontsize="small")
        axis.set_ylabel(f"{up_name} (mm)", fontsize="small")
    key.set_axis_off()
    columns = 1 + len(handles) // 25
    add_legend(key, handles, labels, loc="center", fontsize="small", ncols=columns)
    figure.suptitle(
        f"{literal(what)}: up to {MOST_PER_BUNDLE} streamlines of each bundle drawn"
    )
    return figure


def draw_confusion(axis: Axes, confusion: Sequence[dict]) -> None:
    """Plot the confusion matrix, with colours by the fraction of the true bundle.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes to draw in.
    confusion : sequence of dict
        Rows of `segment.label_metrics.confusion_table`.
    """
    columns = [name for name in confusion[0] if name != "true"]
    counts = np.array([[row[name] for name in columns] for row in confusion])
    fractions = counts / counts.sum(axis=1, keepdims=True)
    axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    below, beside = map(name_label, columns), (name_label(r["true"]) for r in confusion)
    axis.set_xticks(range(len(columns)), list(below), rotation=45, ha="right")
    axis.set_yticks(range(len(confusion)), list(beside))
    axis.set(xlabel="predicted", ylabel="true", title="Streamlines by bundle")
    if counts.size <= 400:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if fractions[row, column] > 0.5 else "black"
                axis.text(column, row, count, ha="center", va="center", color=colour)


def _matrix_place(confusion):
    """Return left, bottom, width and height of the matrix, inches."""
    names = LETTER * min(MOST_LETTERS, max(map(len, confusion[0])))
    left, bottom = 0.6 + names, 0.6 + 0.75 * names  # Names below are slanted.
    n_columns = len(confusion[0]) - 1  # One column is the true bundle.
    width = min(n_columns * CELL[0], LARGEST, WIDTH - left - 0.3)
    height = min(len(confusion) * CELL[1], LARGEST)
    return max(left, (WIDTH - width) / 2), bottom, width, height
