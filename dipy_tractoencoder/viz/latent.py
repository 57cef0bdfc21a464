"""Pictures of a latent space: maps coloured by bundle and by length."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.viz.base import bundle_colours


def map_axes(method="pca", unit=""):
    """Name the axes of a map.

    Parameters
    ----------
    method : {"pca", "tsne"}, optional
        Of `latent_map`.
    unit : str, optional
        Of the latents: "mm" with the linear skip, none without.

    Returns
    -------
    across, up : str
        With the unit; t-SNE has none.
    """
    if method == "tsne":
        return "t-SNE 1 (no unit)", "t-SNE 2 (no unit)"
    return tuple(f"principal component {k} ({unit or 'no unit'})" for k in (1, 2))


def draw_latent_map(
    axis, flat, colours, *, title, names=None, label=None, axes=("", "")
):
    """Draw one map, coloured by group or by a number.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    flat : ndarray, shape (n_streamlines, 2)
        Of `latent_map`.
    colours : ndarray, shape (n_streamlines,)
        Groups if ``names`` is given, else numbers.
    title : str
        Of the panel.
    names : dict of str, optional
        Group to its name in the legend.
    label : str, optional
        What the numbers are, with their unit.
    axes : tuple of str, optional
        Names of both axes, of `map_axes`; without, the axes are left blank.
    """
    style = {"s": 6, "linewidths": 0}
    if names is not None:
        own = bundle_colours(names.values())
        for group, name in names.items():
            chosen = flat[colours == group]
            axis.scatter(*chosen.T, color=own[name], label=name, **style)
        axis.legend(fontsize="x-small", markerscale=2, loc="best")
    else:
        points = axis.scatter(*flat.T, c=colours, cmap="viridis", **style)
        axis.figure.colorbar(points, ax=axis, label=label)
    axis.set_title(title, fontsize="small")
    if not any(axes):
        axis.set_xticks([])
        axis.set_yticks([])
    axis.set_xlabel(axes[0], fontsize="small")
    axis.set_ylabel(axes[1], fontsize="small")


def latent_figure(
    latent, *, labels=None, names=None, lengths=None, method="pca", unit=""
):
    """Draw a latent space, coloured by bundle and by length.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means.
    labels : ndarray, shape (n_streamlines,), optional
        Bundle of each streamline.
    names : dict of str, optional
        Label to the bundle's name; the labels themselves if not given.
    lengths : ndarray, shape (n_streamlines,), optional
        mm.
    method : {"pca", "tsne"}, optional
        See `latent_map`.
    unit : str, optional
        Of the latents: "mm" with the linear skip, none without.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `viz.base.save_figure`.

    Raises
    ------
    InvalidArgumentError
        If neither labels nor lengths are given, or their sizes differ.
    """
    from matplotlib.figure import Figure

    given = {"labels": labels, "lengths": lengths}
    given = {k: np.asarray(v) for k, v in given.items() if v is not None}
    if not given:
        raise InvalidArgumentError("Give `labels` or `lengths` to colour the map by.")
    for name, values in given.items():
        if len(values) != len(latent):
            raise InvalidArgumentError(
                f"Invalid value received for `{name}`. Expected one per streamline, "
                f"{len(latent)}. Received: {len(values)}."
            )
    flat, share = latent_map(latent, method)
    about = f"PCA, {share:.0%} of the variance" if method == "pca" else "t-SNE"
    figure = Figure(figsize=(5.5 * len(given), 5), layout="constrained")
    axes = figure.subplots(1, len(given), squeeze=False)[0]
    style = {"axes": map_axes(method, unit)}
    for axis, (name, values) in zip(axes, given.items()):
        if name == "labels":
            shown = names or {value: str(value) for value in np.unique(values)}
            title = f"by bundle ({about})"
            draw_latent_map(axis, flat, values, title=title, names=shown, **style)
        else:
            title = f"by length ({about})"
            style["label"] = "length (mm)"
            draw_latent_map(axis, flat, values, title=title, **style)
    return figure
