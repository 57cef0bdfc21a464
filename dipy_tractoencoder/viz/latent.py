"""Figures of a latent space: maps coloured by bundle and by length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.viz.base import bundle_colours
from dipy_tractoencoder.viz.text import add_legend, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def map_axes(method: str = "pca", unit: str = "") -> tuple[str, ...]:
    """Return the labels of the axes of a map.

    Parameters
    ----------
    method : {"pca", "tsne"}, optional
        Projection; see `latent_map`.
    unit : str, optional
        Unit of the latents: "mm" with the linear skip, empty without.

    Returns
    -------
    labels : tuple of str
        Labels of the horizontal and the vertical axis, with units.
    """
    if method == "tsne":
        return "t-SNE 1 (no unit)", "t-SNE 2 (no unit)"
    return tuple(f"principal component {k} ({unit or 'no unit'})" for k in (1, 2))


def draw_latent_map(
    axis: Axes,
    flat: np.ndarray,
    colours: np.ndarray,
    *,
    title: str,
    names: dict | None = None,
    label: str | None = None,
    axes: tuple[str, ...] = ("", ""),
) -> None:
    """Plot a map, coloured by group or by a number.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes to draw in.
    flat : ndarray, shape (n_streamlines, 2)
        Coordinates from `latent_map`.
    colours : ndarray, shape (n_streamlines,)
        Group of each streamline if ``names`` is given, otherwise a number.
    title : str
        Title of the panel.
    names : dict of object
        Name of each group, for the legend.
    label : str, optional
        Description of the numbers, with their unit.
    axes : tuple of str, optional
        Labels of both axes, from `map_axes`; by default the axes have no labels.
    """
    style: dict[str, Any] = {"s": 6, "linewidths": 0}
    if names is not None:
        own = bundle_colours(names.values())
        dots = []
        for group, name in names.items():
            chosen = flat[colours == group]
            dots.append(axis.scatter(*chosen.T, color=own[name], **style))
        look = {"fontsize": "x-small", "markerscale": 2, "loc": "best"}
        add_legend(axis, dots, names.values(), **look)
    else:
        points = axis.scatter(
            flat[:, 0], flat[:, 1], c=colours, cmap="viridis", **style
        )
        axis.figure.colorbar(points, ax=axis, label=label)
    axis.set_title(literal(title), fontsize="small")
    if not any(axes):
        axis.set_xticks([])
        axis.set_yticks([])
    axis.set_xlabel(axes[0], fontsize="small")
    axis.set_ylabel(axes[1], fontsize="small")


def latent_figure(
    latent: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    names: dict | None = None,
    lengths: np.ndarray | None = None,
    method: str = "pca",
    unit: str = "",
) -> Figure:
    """Plot a latent space, coloured by bundle and by length.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means.
    labels : ndarray, shape (n_streamlines,), optional
        Bundle of each streamline.
    names : dict of object
        Name of the bundle of each label; by default the labels themselves.
    lengths : ndarray, shape (n_streamlines,), optional
        Length of each streamline, mm.
    method : {"pca", "tsne"}, optional
        Projection; see `latent_map`.
    unit : str, optional
        Unit of the latents: "mm" with the linear skip, empty without.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `viz.base.save_figure`.

    Raises
    ------
    InvalidArgumentError
        If neither labels nor lengths are given, or their sizes differ.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> latent = np.random.default_rng(0).normal(size=(20, 3))
    >>> names = {0: "AF", 1: "UF"}
    >>> figure = dte.latent_figure(latent, labels=np.arange(20) % 2, names=names)
    >>> figure.axes[0].get_xlabel()
    'principal component 1 (no unit)'
    """
    from matplotlib.figure import Figure

    both = {"labels": labels, "lengths": lengths}
    given = {k: np.asarray(v) for k, v in both.items() if v is not None}
    if not given:
        raise InvalidArgumentError("Give `labels` or `lengths` to colour the map by.")
    for name, values in given.items():
        if len(values) != len(latent):
            raise InvalidArgumentError(
                f"Invalid value received for `{name}`. Expected one per streamline, "
                f"{len(latent)}. Received: {len(values)}."
            )
    flat, explained = latent_map(latent, method)
    about = "t-SNE"
    if explained is not None:
        about = f"PCA, {explained:.0%} of the variance"
    figure = Figure(figsize=(5.5 * len(given), 5), layout="constrained")
    axes = figure.subplots(1, len(given), squeeze=False)[0]
    style: dict[str, Any] = {"axes": map_axes(method, unit)}
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
