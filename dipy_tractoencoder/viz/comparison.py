"""Figure of a comparison: profiles on top of the band of the reference group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.viz.text import add_legend, name_label

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from dipy_tractoencoder.stats.comparison import Comparison

MOST_NAMES = 12  # In a legend.


def comparison_figure(comparison: Comparison) -> Figure:
    """Plot the profiles of each bundle on top of the band of the reference group.

    Parameters
    ----------
    comparison : Comparison
        From `stats.comparison.compare`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Per bundle: mean of the reference group plus and minus two standard deviations,
        the profiles of the subjects, and dots where they differ; for
        `viz.base.save_figure`.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> rng = np.random.default_rng(0)
    >>> line = np.linspace([0, 0, 0], [60, 20, 0], 32)
    >>> def bundle():
    ...     return [line + rng.normal(scale=3, size=3) for _ in range(20)]
    >>> reference = {f"control{i}": {"AF": bundle()} for i in range(5)}
    >>> subjects = {"patient": {"AF": bundle()}}
    >>> found = dte.compare(model, reference, subjects, n_segments=9)
    >>> [axis.get_title() for axis in dte.comparison_figure(found).axes]
    ['AF']
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    bundles = comparison.bundles
    names = sorted(
        {
            subject
            for bundle in bundles.values()
            for subject, known in zip(bundle.subjects, bundle.is_reference)
            if not known
        }
    )
    palette = colormaps["tab10" if len(names) <= 10 else "turbo"]
    places = range(len(names)) if len(names) <= 10 else np.linspace(0, 1, len(names))
    colours = dict(zip(names, map(palette, places)))
    n_columns = min(3, len(bundles))
    n_rows = -(-len(bundles) // n_columns)
    figure = Figure(figsize=(5 * n_columns, 3 * n_rows + 1), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    found = set()
    for axis, (name, bundle) in zip(axes, bundles.items()):
        p_fdr = comparison.p_fdr[name]
        found |= _draw_bundle(axis, bundle, p_fdr, comparison.alpha, colours)
        axis.set_title(name_label(name), fontsize="medium")
        axis.set_xlabel("segment")
        axis.set_ylabel(_measure_text(comparison.measure))
    for axis in axes[len(bundles) :]:
        axis.set_axis_off()
    _add_legend(figure, found, colours)
    figure.suptitle(
        f"{len(found)} of {len(names)} subjects differ from the reference group "
        f"(false discovery rate {comparison.alpha:g})"
    )
    return figure


def _draw_bundle(axis, bundle, p_fdr, alpha, colours):
    """Plot one panel; return the names of the subjects that differ."""
    disks = np.arange(1, bundle.profiles.shape[1] + 1)
    reference = bundle.profiles[bundle.is_reference]
    # Segments without points at the ends have no mean.
    known = np.isfinite(reference).sum(axis=0) > 1
    mean, std = np.full((2, len(disks)), np.nan)
    mean[known] = np.nanmean(reference[:, known], axis=0)
    std[known] = np.nanstd(reference[:, known], axis=0, ddof=1)
    low, high = np.maximum(mean - 2 * std, 0), mean + 2 * std
    axis.fill_between(disks, low, high, color="0.85", linewidth=0)
    axis.plot(disks, mean, color="0.4", linewidth=1)
    found = set()
    for i in np.flatnonzero(~bundle.is_reference):
        subject, profile = bundle.subjects[i], bundle.profiles[i]
        chosen = p_fdr[i] < alpha
        width, opacity = (1.6, 1.0) if chosen.any() else (0.6, 0.5)
        colour = colours[subject]
        axis.plot(disks, profile, color=colour, linewidth=width, alpha=opacity)
        if chosen.any():
            found.add(subject)
            axis.plot(disks[chosen], profile[chosen], "o", color=colour, markersize=4)
    axis.set_xlim(1, len(disks))
    axis.set_ylim(bottom=0)
    return found


def _add_legend(figure, found, colours):
    """Add the legend of the band and of the subjects that differ."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = sorted(found)[:MOST_NAMES]
    labels = ["reference group, mean and 2 SD", *shown]
    handles: list[Artist] = [Patch(color="0.85")]
    handles += [
        Line2D([], [], color=colours[name], marker="o", markersize=4) for name in shown
    ]
    if len(found) > MOST_NAMES:
        labels.append(f"and {len(found) - MOST_NAMES} more")
        handles.append(Line2D([], [], linewidth=0))
    columns = min(4, len(handles))
    place = {"loc": "outside lower center", "ncols": columns}
    add_legend(figure, handles, labels, **place, fontsize="small")


def _measure_text(measure):
    """Return the label of the vertical axis."""
    if measure == "error":
        return "error (mm)"
    return f"{measure.replace('_', ' ')}, from the mean (mm)"
