"""Pictures of labelled bundles: the bundles, and what was found for each true one."""

import numpy as np

from dipy_tractoencoder.viz.base import VIEWS, bundle_colours, equal_scales

MOST_PER_BUNDLE = 100  # drawn; more only paint over each other
# Inches: the figure and its views; a matrix, its cells, a letter of names beside it.
WIDTH, VIEWS_HEIGHT = 15, 6
LARGEST, CELL, LETTER = 12, (1.2, 0.35), 0.09


def bundles_figure(streamlines, members, *, what, confusion=(), seed=0):
    """Draw bundles in three views and, if it is known, found against true bundles.

    Parameters
    ----------
    streamlines : ArraySequence or sequence of ndarray
        RASMM, mm.
    members : dict of ndarray of int
        Bundle to numbers of its streamlines; "unassigned" is drawn in grey.
    what : str
        Which streamlines these are, for the title.
    confusion : sequence of dict, optional
        Rows of `segment.labelling.confusion_table`.
    seed : int, optional
        Of the choice of streamlines that are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `viz.base.save_figure`.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if confusion:
        left, bottom, width, height = _matrix_place(confusion)
        heights = VIEWS_HEIGHT, bottom + height + 0.4
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=heights)
        place = (left / WIDTH, bottom / heights[1], width / WIDTH, height / heights[1])
        draw_confusion(below.add_axes(place), confusion)
    else:
        above = figure = Figure(figsize=(WIDTH, VIEWS_HEIGHT), layout="constrained")
    *axes, key = above.subplots(1, 4)
    rng = np.random.default_rng(seed)
    colours = bundle_colours(members)
    handles = []
    # Those of no bundle first, below the others.
    order = sorted(members, key=lambda name: name != "unassigned")
    for name in order:
        rows = np.asarray(members[name])
        colour = colours[name]
        label = f"{name}: {len(rows)}"
        handles.append(Line2D([], [], color=colour, lw=3, label=label))
        drawn = [
            np.asarray(streamlines[row])
            for row in rng.permutation(rows)[:MOST_PER_BUNDLE]
        ]
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
    key.legend(handles=handles, loc="center", fontsize="small", ncols=columns)
    figure.suptitle(f"{what}: up to {MOST_PER_BUNDLE} streamlines of each bundle drawn")
    return figure


def draw_confusion(axis, confusion):
    """Draw found against true bundles, as shares of the true ones.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where.
    confusion : sequence of dict
        Rows of `segment.labelling.confusion_table`.
    """
    columns = [name for name in confusion[0] if name != "true"]
    counts = np.array([[row[name] for name in columns] for row in confusion])
    shares = counts / counts.sum(axis=1, keepdims=True)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axis.set_yticks(range(len(confusion)), [row["true"] for row in confusion])
    axis.set(xlabel="found", ylabel="true", title="Streamlines by bundle")
    if counts.size <= 400:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, count, ha="center", va="center", color=colour)


def _matrix_place(confusion):
    """Left, bottom, width and height of the matrix, inches; cells have one size."""
    names = LETTER * max(map(len, confusion[0]))
    left, bottom = 0.6 + names, 0.6 + 0.75 * names  # Those below are slanted.
    n_columns = len(confusion[0]) - 1  # One says the true bundle.
    width = min(n_columns * CELL[0], LARGEST, WIDTH - left - 0.3)
    height = min(len(confusion) * CELL[1], LARGEST)
    return max(left, (WIDTH - width) / 2), bottom, width, height
