"""Figure of the phantom from above: bundles, and each kind of fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.sims.geometry import (
    BUNDLES,
    VOXEL_SIZE,
    fibercup_mask,
)
from dipy_tractoencoder.sims.labels import FAULTS
from dipy_tractoencoder.viz.base import bundle_colours
from dipy_tractoencoder.viz.text import literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.sims.labels import LabelledStreamlines

MOST_PLAUSIBLE = 700  # Streamlines drawn; more hide each other.
MOST_FAULTY = 60  # Streamlines drawn per kind of fault.
VIEW = ((18, 168), (8, 158))  # Limits of x and y, mm.


def phantom_figure(
    labelled: LabelledStreamlines, *, what: str, seed: int = 0
) -> Figure:
    """Plot plausible streamlines by bundle, and implausible ones by kind of fault.

    Parameters
    ----------
    labelled : LabelledStreamlines
        Streamlines of the phantom.
    what : str
        Description of the streamlines, for the title.
    seed : int, optional
        Seed of the choice of streamlines that are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure with the white matter of the middle slice in grey, seen from above, mm;
        for `viz.base.save_figure`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> figure = dte.phantom_figure(made, what="Synthetic FiberCup")
    >>> figure.axes[0].get_title()
    'plausible: 30, 30 drawn'
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(15, 10.5), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for code, (axis, name) in enumerate(zip(panels, FAULTS)):
        members = np.flatnonzero(labelled.fault == code)
        title = "plausible" if name == "none" else name.replace("_", " ")
        most = MOST_FAULTY if code else MOST_PLAUSIBLE
        chosen = rng.permutation(members)[:most]
        _draw(axis, labelled[chosen], linewidth=0.8 if code else 0.4)
        axis.set_title(f"{title}: {len(members)}, {len(chosen)} drawn")
    key = panels[-1]
    key.set_axis_off()
    right = labelled.plausible == 1
    counts = np.bincount(labelled.bundle[right], minlength=len(BUNDLES))
    colours = bundle_colours(BUNDLES)
    handles = [
        Line2D(
            [], [], color=colours[bundle], lw=3, label=f"{bundle}: {count} plausible"
        )
        for bundle, count in zip(BUNDLES, counts)
    ]
    key.legend(handles=handles, loc="center", title="Bundle", fontsize="large")
    figure.suptitle(f"{literal(what)}: {labelled.summary()}")
    return figure


def _draw(axis, labelled, *, linewidth):
    """Plot the white matter of the middle slice, and streamlines coloured by bundle."""
    from matplotlib.collections import LineCollection

    colours = bundle_colours(BUNDLES)
    mask = fibercup_mask()[:, :, 1]
    edges = [size * VOXEL_SIZE - VOXEL_SIZE / 2 for size in mask.shape]
    start = -VOXEL_SIZE / 2
    axis.imshow(
        mask.T,
        origin="lower",
        extent=(start, edges[0], start, edges[1]),
        cmap="Greys",
        vmax=5,
    )
    axis.add_collection(
        LineCollection(
            [line[:, :2] for line in labelled.streamlines],
            colors=[colours[BUNDLES[code]] for code in labelled.bundle],
            linewidths=linewidth,
        )
    )
    axis.set(xlim=VIEW[0], ylim=VIEW[1], aspect="equal", xlabel="x (mm)")
    axis.set_ylabel("y (mm)")
