"""Pictures of a latent space: maps coloured by bundle and by length."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice
from dipy_tractoencoder.plotting import bundle_colours

PROJECTIONS = ("pca", "tsne")


def latent_map(latent, method="pca", *, seed=0):
    """Two numbers per streamline, to draw a latent space flat.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Posterior means.
    method : {"pca", "tsne"}, optional
        Principal components, which keep distances as far as two numbers can, or t-SNE
        :footcite:p:`vanderMaaten2008`, which keeps neighbours together but no
        distances.
    seed : int, optional
        Of t-SNE.

    Returns
    -------
    map : ndarray, shape (n_streamlines, 2)
        In the latents' unit for "pca", without unit for "tsne".
    share : float or None
        Part of the variance that the principal components hold.

    Raises
    ------
    InvalidArgumentError
        If the method is unknown or there are fewer than three streamlines.
    """
    check_choice("method", method, PROJECTIONS)
    latent = np.asarray(latent, dtype=np.float64)
    if len(latent) < 3:
        raise InvalidArgumentError(
            f"A latent map needs three streamlines or more. Received: {len(latent)}."
        )
    if method == "pca":
        from sklearn.decomposition import PCA

        pca = PCA(min(2, latent.shape[1]))
        flat = pca.fit_transform(latent)
        if flat.shape[1] == 1:  # One latent dimension: a line.
            flat = np.column_stack([flat, np.zeros(len(flat))])
        return flat, float(pca.explained_variance_ratio_.sum())
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(latent) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="random", random_state=seed)
    return tsne.fit_transform(latent), None


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
        To be saved with `plotting.save_figure`.

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
