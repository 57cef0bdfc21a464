"""Figure of real and new streamlines of bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.viz.base import VIEWS, bundle_colours, equal_scales
from dipy_tractoencoder.viz.text import add_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PER_BUNDLE = 100  # Streamlines drawn; more hide each other.


def samples_figure(
    new: dict[str, np.ndarray],
    real: dict[str, np.ndarray] | None = None,
    *,
    seed: int = 0,
) -> Figure:
    """Plot real streamlines above new ones, in three views.

    Parameters
    ----------
    new : dict of ndarray, shape (n_streamlines, n_points, 3)
        New streamlines of each bundle, by name; RASMM, mm.
    real : dict of ndarray, shape (n_streamlines, n_points, 3), optional
        Real streamlines; without them only the new ones are drawn.
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
    >>> points = np.linspace([0, 0, 0], [60, 20, 0], 32)[None]
    >>> figure = dte.samples_figure({"AF": points + 1}, {"AF": points})
    >>> len(figure.axes)
    6
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = {"real": real, "new": new} if real else {"new": new}
    colours = bundle_colours([*new, *(real or ())])
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(14, 1 + 5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    handles = []
    for line, (kind, bundles) in zip(axes, rows.items()):
        for name, points in bundles.items():
            colour = colours[name]
            drawn = points[rng.permutation(len(points))[:MOST_PER_BUNDLE]]
            for axis, (_, across, up, _, _) in zip(line, VIEWS):
                flat = list(drawn[..., [across, up]])
                axis.add_collection(LineCollection(flat, colors=[colour], lw=0.5))
            if bundles is new:
                handles.append(Line2D([], [], color=colour, lw=3))
        for axis, (view, _, _, across_name, up_name) in zip(line, VIEWS):
            axis.set_title(f"{kind}, {view}", fontsize="small")
            axis.set_xlabel(f"{across_name} (mm)", fontsize="small")
            axis.set_ylabel(f"{up_name} (mm)", fontsize="small")
    everything = [points for bundles in rows.values() for points in bundles.values()]
    low = np.min([points.min(axis=(0, 1)) for points in everything], axis=0)
    high = np.max([points.max(axis=(0, 1)) for points in everything], axis=0)
    for line in axes:
        for axis, (_, across, up, _, _) in zip(line, VIEWS):
            axis.set_xlim(low[across] - 3, high[across] + 3)
            axis.set_ylim(low[up] - 3, high[up] + 3)
            equal_scales(axis)
    columns = 1 + len(handles) // 40
    place = {"loc": "outside right upper", "ncols": columns}
    add_legend(figure, handles, new, **place, fontsize="small")
    figure.suptitle(f"Up to {MOST_PER_BUNDLE} streamlines of each bundle drawn")
    return figure
