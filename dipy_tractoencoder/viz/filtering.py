"""Figure of a filter: scores and threshold, and the characteristic of labelled data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.viz.base import use_logarithm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BINS = 60


def filter_figure(
    scores: np.ndarray,
    own: np.ndarray,
    threshold: float | None,
    *,
    unit: str,
    kept: np.ndarray | None = None,
    truth: tuple[np.ndarray, ...] | None = None,
) -> Figure:
    """Plot the distribution of scores and, with labels, the operating characteristic.

    Parameters
    ----------
    scores : ndarray, shape (n_streamlines,)
        Scores of the filtered streamlines; nan is left out.
    own : ndarray, shape (n_reference,)
        Scores of the plausible reference streamlines.
    threshold : float or None
        Largest score that is kept; None where p-values decided.
    unit : str
        Unit of the scores.
    kept : ndarray, shape (n_streamlines,), bool, optional
        Which streamlines were kept, where there is no threshold.
    truth : tuple of ndarray, shape (n_labelled,), optional
        Scores of labelled streamlines, and whether each is plausible; without it only
        the scores are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure, for `viz.base.save_figure`.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> scores = np.array([1.0, 2.0, 9.0])
    >>> figure = dte.filter_figure(scores, scores[:2], 2.0, unit="mm")
    >>> figure.axes[0].get_xlabel()
    'score (mm)'
    """
    from matplotlib.figure import Figure

    n_panels = 1 if truth is None or threshold is None else 2
    figure = Figure(figsize=(6 * n_panels, 5), layout="constrained")
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    left = axes[0]
    finite = np.isfinite(scores)
    kept = scores <= threshold if threshold is not None else np.asarray(kept)
    parts = {"reference": own, "kept": scores[kept & finite]}
    parts["removed"] = scores[~kept & finite]
    scores = scores[finite]
    values = np.concatenate([own, scores])
    positive = values[values > 0]
    # Distances range over decades; log-likelihoods have both signs.
    logarithmic = len(positive) == len(values[values != 0]) and len(positive) > 0
    if logarithmic:
        edges = np.geomspace(positive.min(), positive.max() * 1.001, MOST_BINS)
        use_logarithm(left, "x")
    else:
        edges = np.linspace(values.min(), values.max() + 1e-9, MOST_BINS)
    for name, color in zip(parts, ("tab:gray", "tab:blue", "tab:red")):
        label = f"{name}: {len(parts[name])}"
        left.hist(parts[name], edges, histtype="step", color=color, label=label)
    if threshold is not None:
        left.axvline(threshold, color="black", linestyle="--", label="threshold")
    left.set_xlabel(f"score ({unit})")
    left.set_ylabel("streamlines")
    left.set_title("Scores")
    left.legend()
    if truth is not None and threshold is not None:
        labelled, plausible = truth
        draw_characteristic(axes[1], labelled, plausible, threshold)
    return figure


def draw_characteristic(
    axis: Axes, scores: np.ndarray, plausible: np.ndarray, threshold: float
) -> None:
    """Plot the receiver operating characteristic of a score.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Axes to draw in.
    scores : ndarray, shape (n_labelled,)
        Scores; nan is left out.
    plausible : ndarray, shape (n_labelled,), bool
        True for plausible streamlines.
    threshold : float
        Threshold to mark.
    """
    from sklearn.metrics import roc_curve

    from dipy_tractoencoder.segment.thresholds import filter_metrics

    finite = np.isfinite(scores)
    false_rate, true_rate, _ = roc_curve(plausible[finite], -scores[finite])
    metrics = filter_metrics(scores, plausible, threshold)
    axis.plot(false_rate, true_rate, label=f"area {metrics['auc']:.4f}")
    axis.plot(
        1 - metrics["specificity"],
        metrics["sensitivity"],
        "ko",
        label=f"threshold: accuracy {metrics['accuracy']:.3f}",
    )
    axis.plot([0, 1], [1, 0], color="tab:gray", linestyle=":")
    axis.set_xlabel("implausible kept (1 - specificity)")
    axis.set_ylabel("plausible kept (sensitivity)")
    axis.set_title("Labelled streamlines")
    axis.legend(loc="lower right")
