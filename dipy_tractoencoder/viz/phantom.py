"""Picture of the phantom: bundles, and each kind of fault, from above."""

import numpy as np

from dipy_tractoencoder.sims.geometry import (
    BUNDLES,
    VOXEL_SIZE,
    white_matter_mask,
)
from dipy_tractoencoder.sims.labels import FAULTS
from dipy_tractoencoder.viz.base import bundle_colours

MOST_PLAUSIBLE = 700  # drawn; more only paint over each other
MOST_FAULTY = 60  # per kind of fault
VIEW = ((18, 168), (8, 158))  # mm


def phantom_figure(labelled, *, what, seed=0):
    """Draw plausible streamlines by bundle, and implausible ones by kind of fault.

    Parameters
    ----------
    labelled : LabelledStreamlines
        Streamlines of the phantom.
    what : str
        Which they are, for the title.
    seed : int, optional
        Of the choice of streamlines that are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        White matter of the middle slice (grey) seen from above, in mm; to be saved with
        `viz.base.save_figure`.
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
    figure.suptitle(f"{what}: {labelled.summary()}")
    return figure


def _draw(axis, labelled, *, linewidth):
    """White matter of the middle slice, and streamlines in their bundles' colours."""
    from matplotlib.collections import LineCollection

    colours = bundle_colours(BUNDLES)
    mask = white_matter_mask()[:, :, 1]
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
