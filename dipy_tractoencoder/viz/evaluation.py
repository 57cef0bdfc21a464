"""Picture of a model's quality: errors, KL per dimension, latents."""

import numpy as np

from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.streamlines.metrics import curve_length, point_distance
from dipy_tractoencoder.viz.latent import draw_latent_map, map_axes

MOST_MAPPED = 2000  # streamlines on a map


def evaluation_figure(evaluation, *, method="pca"):
    """Draw errors per bundle beside PCA's, KL per dimension, and the latents.

    Parameters
    ----------
    evaluation : Evaluation
        From `evaluation.evaluate.evaluate_model`.
    method : {"pca", "tsne"}, optional
        Map of the latents, see `evaluation.projection.latent_map`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `viz.base.save_figure`.
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
        kl.set_title("What each latent dimension holds", fontsize="small")
    else:
        spread = np.sort(test.latent.std(axis=0))[::-1]
        kl.bar(np.arange(1, len(spread) + 1), spread)
        unit = evaluation.unit or "no unit"
        kl.set(xlabel="latent dimensions, by spread (rank)")
        kl.set_ylabel(f"standard deviation ({unit})")
        kl.set_title("Spread of the latents", fontsize="small")
    if len(test.latent) >= 3:
        shown = np.random.default_rng(0).permutation(len(test.latent))[:MOST_MAPPED]
        shown = test[shown]
        flat, share = latent_map(shown.latent, method)
        about = f"PCA, {share:.0%} of the variance" if method == "pca" else "t-SNE"
        names = dict(enumerate(evaluation.names))
        title = f"Latents by bundle ({about})"
        style = {"axes": map_axes(method, evaluation.unit)}
        draw_latent_map(
            by_bundle, flat, shown.labels, title=title, names=names, **style
        )
        lengths = curve_length(shown.points)
        title = f"Latents by length ({about})"
        style["label"] = "length (mm)"
        draw_latent_map(by_length, flat, lengths, title=title, **style)
    row = evaluation.rows[0]
    figure.suptitle(
        f"{len(test.points)} streamlines: error {row['error_mm']:.3g} mm, PCA with as "
        f"many dimensions {evaluation.rows[1]['error_mm']:.3g} mm"
    )
    return figure


def kl_figure(kl):
    """Draw the Kullback-Leibler divergence of each latent dimension.

    Parameters
    ----------
    kl : sequence of float
        Nats, in the order of the dimensions.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved with `viz.base.save_figure`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axis = figure.subplots()
    axis.bar(np.arange(len(kl)), kl)
    axis.set(xlabel="latent dimension z[k], k from 0", ylabel="KL (nats)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_errors(axis, names, test, by_pca):
    """Draw the spread of errors over the streamlines of each bundle.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where.
    names : sequence of str
        Bundles, in the order of the labels.
    test, by_pca : Encoded
        The model's reconstructions, and PCA's.
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
    axis.set_xticks(places, names, rotation=30, ha="right", fontsize="small")
    axis.set_ylabel("distance of points (mm)")
    axis.set_title("Error: median, quartiles, 5 to 95 %", fontsize="small")
