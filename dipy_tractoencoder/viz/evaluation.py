"""Picture of a model's quality: errors, KL per dimension, latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.streamlines.metrics import curve_length, point_distance
from dipy_tractoencoder.utils.reservoir import sample_rows
from dipy_tractoencoder.viz.latent import draw_latent_map, map_axes
from dipy_tractoencoder.viz.text import name_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dipy_tractoencoder.evaluation.encoded_bundles import Encoded
    from dipy_tractoencoder.evaluation.evaluate import Evaluation

MOST_MAPPED = 2000  # Streamlines on a map.


def evaluation_figure(evaluation: Evaluation, *, method: str = "pca") -> Figure:
    """Plot errors per bundle next to those of PCA, KL per dimension, and latents.

    Parameters
    ----------
    evaluation : Evaluation
        From `evaluation.evaluate.evaluate_model`.
    method : {"pca", "tsne"}, optional
        Projection of the latents; see `evaluation.projection.latent_map`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `viz.base.save_figure`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> points = model.preprocessing.array(made.streamlines).points
    >>> bundles = {"first": points[:20], "second": points[20:]}
    >>> evaluation = dte.evaluate_model(model, bundles)
    >>> figure = dte.evaluation_figure(evaluation)
    >>> figure.axes[0].get_title()
    'Error: median, quartiles, 5 to 95 %'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    (errors, kl), (by_bundle, by_length) = figure.subplots(2, 2)
    test, by_pca = evaluation.test, evaluation.test_by_pca
    draw_errors(errors, evaluation.names, test, by_pca)
    values = evaluation.rows[0].get("kl_per_dimension")
    if values:
        kl.bar(np.arange(1, len(values) + 1), values)
        kl.set(xlabel="latent dimensions, by KL (rank)", ylabel="KL (nats)")
        kl.set_title("KL of each latent dimension", fontsize="small")
    else:
        std = np.sort(test.latent.std(axis=0))[::-1]
        kl.bar(np.arange(1, len(std) + 1), std)
        unit = evaluation.unit or "no unit"
        kl.set(xlabel="latent dimensions, by standard deviation (rank)")
        kl.set_ylabel(f"standard deviation ({unit})")
        kl.set_title("Standard deviation of the latents", fontsize="small")
    if len(test.latent) >= 3:
        shown = sample_rows(len(test.latent), 0, MOST_MAPPED)
        shown = test[shown]
        flat, explained = latent_map(shown.latent, method)
        about = "t-SNE"
        if explained is not None:
            about = f"PCA, {explained:.0%} of the variance"
        names = dict(enumerate(evaluation.names))
        title = f"Latents by bundle ({about})"
        style: dict[str, Any] = {"axes": map_axes(method, evaluation.unit)}
        draw_latent_map(
            by_bundle, flat, shown.labels, title=title, names=names, **style
        )
        lengths = curve_length(shown.points)
        title = f"Latents by length ({about})"
        style["label"] = "length (mm)"
        draw_latent_map(by_length, flat, lengths, title=title, **style)
    row = evaluation.rows[0]
    figure.suptitle(
        f"{len(test.points)} streamlines: error {row['error_mm']:.3g} mm, PCA with the "
        f"same number of dimensions {evaluation.rows[1]['error_mm']:.3g} mm"
    )
    return figure


def kl_figure(kl: np.ndarray | Sequence[float]) -> Figure:
    """Plot the Kullback-Leibler divergence of each latent dimension.

    Parameters
    ----------
    kl : ndarray or sequence of float
        KL of each dimension, nats.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `viz.base.save_figure`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> figure = dte.kl_figure([3.0, 0.5])
    >>> figure.axes[0].get_ylabel()
    'KL (nats)'
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axis = figure.subplots()
    axis.bar(np.arange(len(kl)), kl)
    axis.set(xlabel="latent dimension z[k], k from 0", ylabel="KL (nats)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_errors(
    axis: Axes, names: Sequence[str], test: Encoded, by_pca: Encoded
) -> None:
    """Plot the distribution of errors over the streamlines of each bundle.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes to draw in.
    names : sequence of str
        Names of the bundles, in the order of the labels.
    test, by_pca : Encoded
        Test streamlines, reconstructed by the model and by PCA.
    """
    places = np.arange(len(names), dtype=float)
    handles = []
    for side, shift, colour in ((test, -0.2, "C0"), (by_pca, 0.2, "0.6")):
        distance = point_distance(side.points, side.reconstructed)
        boxes = axis.boxplot(
            [distance[side.labels == code] for code in range(len(names))],
            positions=places + shift,
            widths=0.35,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour},
            medianprops={"color": "black"},
        )
        handles.append(boxes["boxes"][0])
    axis.legend(handles, ["model", "PCA"], fontsize="small")
    labels = list(map(name_label, names))
    axis.set_xticks(places, labels, rotation=30, ha="right", fontsize="small")
    axis.set_ylabel("distance of points (mm)")
    axis.set_title("Error: median, quartiles, 5 to 95 %", fontsize="small")
