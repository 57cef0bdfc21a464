"""Figure of a subject's streamlines before and after their alignment."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.utils.reservoir import sample_rows
from dipy_tractoencoder.viz.base import (
    MOST_STEPS,
    MOST_STREAMLINES,
    VIEWS,
    equal_scales,
)
from dipy_tractoencoder.viz.text import literal, name_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.align.reference import AlignmentReference

GREY = "0.5"
BEFORE, AFTER = "tab:orange", "tab:blue"
# Letters of the ends of each axis of RASMM.
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
VERDICTS = {"accepted": "tab:green", "uncertain": "darkorange", "refused": "tab:red"}
# Names of numbers in `Alignment.quality`, in the order in which they are shown.
NUMBERS = {
    "distance": ("distance", "{:.2f} mm"),
    "distance_before": ("distance before", "{:.2f} mm"),
    "ratio": ("ratio to the reference's own", "{:.2f}"),
    "gap": ("next best pose", "{:.2f} times as far"),
    "mirrored": ("mirrored", "{:.2f} times as far"),
    "check_distance": ("nearest streamline", "{:.2f} mm"),
    "check_ratio": ("ratio to the reference's own", "{:.2f}"),
    "size": ("size of the model over its own", "{:.2f}"),
    "n_streamlines": ("streamlines aligned", "{:.0f}"),
    "moved": ("moved", "{:.1f} mm"),
}
OF_THE_MATRIX = ("scale", "rotation")  # These are shown of every alignment.


def alignment_figure(
    reference: AlignmentReference,
    streamlines: Any,
    alignment: Alignment,
    *,
    name: str = "",
    seed: int = 0,
) -> Figure:
    """Plot a subject over the centroids of a model, before and after its alignment.

    Parameters
    ----------
    reference : AlignmentReference
        What the subject was aligned to; its centroids are drawn grey.
    streamlines : StatefulTractogram, sequence of ndarray, or ndarray of points
        Streamlines of the subject where they are in its files; RASMM, mm.
    alignment : Alignment
        Transform from the subject's space to the model's.
    name : str, optional
        Name of the subject, for the title.
    seed : int, optional
        Seed of the choice of the 300 streamlines that are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `save_figure`: before and after (rows) in three views (columns),
        with the numbers of the alignment beside them.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> reference = dte.fit_alignment_reference(made.streamlines)
    >>> matrix = np.eye(4)
    >>> matrix[:3, 3] = 10, 0, 0
    >>> alignment = dte.Alignment(matrix)
    >>> figure = dte.alignment_figure(reference, made.streamlines, alignment)
    >>> [len(axis.collections) for axis in figure.axes[:6]]
    [2, 2, 2, 2, 2, 2]
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    drawn = _drawn(streamlines, seed)
    rows = (
        ("before", BEFORE, drawn),
        ("after", AFTER, [alignment.apply(line) for line in drawn]),
    )
    known = list(reference.centroids)
    figure = Figure(figsize=(16, 9), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 0.72))
    for row, (when, colour, lines) in enumerate(rows):
        limits = _limits([*known, *lines])
        for column, (view, across, up, across_name, up_name) in enumerate(VIEWS):
            axis = figure.add_subplot(grid[row, column])
            for group, tint, width, above in (
                (lines, colour, 0.4, 1),
                (known, GREY, 0.7, 2),
            ):
                flat = [line[:, [across, up]] for line in group]
                axis.add_collection(
                    LineCollection(flat, colors=[tint], lw=width, zorder=above)
                )
            axis.set(xlim=limits[across], ylim=limits[up])
            axis.set_title(f"{when}, {view}", fontsize="small")
            axis.set_xlabel(f"{across_name} (mm)", fontsize="small")
            axis.set_ylabel(f"{up_name} (mm)", fontsize="small")
            equal_scales(axis)
            _add_letters(axis, ENDS[across], ENDS[up])
    beside = figure.add_subplot(grid[:, 3])
    _write_numbers(beside, alignment)
    title = f"{name_label(name)}: " if name else ""
    moved = _displacement(*(lines for _, _, lines in rows))
    figure.suptitle(
        f"{title}{len(drawn)} streamlines drawn over {len(known)} centroids of the "
        f"model (grey); moved by {moved:.1f} mm in the mean"
    )
    return figure


def _drawn(streamlines, seed):
    """Return some streamlines with few points each, leaving out unusable ones."""
    if not (isinstance(streamlines, np.ndarray) and streamlines.dtype != object):
        streamlines = as_sequence(streamlines)
    drawn = []
    for row in np.sort(sample_rows(len(streamlines), seed, MOST_STREAMLINES)):
        line = np.asarray(streamlines[int(row)], dtype=np.float64)
        n_points = len(line)
        steps = np.linspace(0, n_points - 1, min(n_points, MOST_STEPS + 1)).round()
        line = line[steps.astype(int)]
        if n_points and np.isfinite(line).all():
            drawn.append(line)
    return drawn


def _limits(lines):
    """Return the range of each axis that shows all lines."""
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * (high - low) + 1
    return list(zip(low - margin, high + margin))


def _add_letters(axis, across, up):
    """Write the letters of the directions at the edges of a view."""
    for x, y, letter, ha, va in (
        (0.02, 0.5, across[0], "left", "center"),
        (0.98, 0.5, across[1], "right", "center"),
        (0.5, 0.02, up[0], "center", "bottom"),
        (0.5, 0.98, up[1], "center", "top"),
    ):
        style = {"weight": "bold", "color": "0.25", "zorder": 3}
        axis.text(x, y, letter, ha=ha, va=va, transform=axis.transAxes, **style)


def _displacement(before, after):
    """Mean displacement of the points drawn, mm."""
    if not before:
        return 0.0
    steps = np.concatenate(after) - np.concatenate(before)
    return float(np.linalg.norm(steps, axis=1).mean())


def _write_numbers(axis, alignment):
    """Write verdict, numbers, transform and reasons beside the views."""
    axis.set_axis_off()
    put = {"transform": axis.transAxes, "va": "top"}
    colour = VERDICTS.get(alignment.verdict, "0.35")
    axis.text(0, 1, alignment.verdict, size=20, weight="bold", color=colour, **put)
    rows = [("transform", alignment.transform)]
    for key, (label, form) in NUMBERS.items():
        if key in alignment.quality:
            rows.append((label, form.format(alignment.quality[key])))
    rows += [
        (key.replace("_", " "), f"{value:.4g}")
        for key, value in alignment.quality.items()
        if key not in NUMBERS and key not in OF_THE_MATRIX
    ]
    rows += [
        ("scale", " ".join(f"{value:.3f}" for value in _scales(alignment.matrix))),
        ("rotation", f"{_angle(alignment.matrix):.1f} degrees"),
        ("translation", _translation(alignment.matrix)),
        ("left and right", _left_right(alignment)),
    ]
    for row, (label, value) in enumerate(rows):
        y = 0.93 - 0.035 * row
        axis.text(0, y, label, size=9, color="0.35", **put)
        axis.text(1, y, value, size=9, ha="right", **put)
    reasons = "\n\n".join(map(_wrapped, alignment.reasons))
    axis.text(0, 0.9 - 0.035 * len(rows), reasons, size=9, **put)


def _wrapped(text):
    """Break a sentence into lines of the width of the column."""
    return "\n".join(map(literal, textwrap.wrap(text, 46)))


def _scales(matrix):
    """Return the factors along three axes, largest first; one if they are alike."""
    values = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    return values[:1] if np.ptp(values) < 1e-3 * values[0] else values


def _angle(matrix):
    """Angle of the rotation that is nearest to the linear part, degrees."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rotation = left @ right
    rotation = rotation * np.sign(np.linalg.det(rotation))
    return np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _translation(matrix):
    """Write the last column."""
    return " ".join(f"{value:.1f}" for value in matrix[:3, 3] + 0.0) + " mm"


def _left_right(alignment):
    """Say what is known about left and right."""
    if alignment.mirrors:
        return "exchanged"
    return alignment.left_right or "not examined"
