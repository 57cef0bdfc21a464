"""Thresholds that separate plausible streamlines from implausible ones."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError


def balanced_threshold(scores, plausible):
    """Score at which as large a share of either kind is judged rightly.

    :footcite:p:`Legarreta2021`: where sensitivity equals specificity, taken half way
    to the next larger score.

    Parameters
    ----------
    scores : ndarray, shape (n_streamlines,)
        Small for plausible streamlines; those that are not finite are left out.
    plausible : ndarray, shape (n_streamlines,), bool
        What they are.

    Returns
    -------
    threshold : float
        Streamlines whose score is at most this are judged plausible.

    Raises
    ------
    InvalidArgumentError
        If streamlines of one kind are missing.
    """
    from sklearn.metrics import roc_curve

    scores, plausible = _labelled(scores, plausible)
    false_rate, true_rate, thresholds = roc_curve(
        plausible, -scores, drop_intermediate=False
    )
    best = np.abs(true_rate - (1 - false_rate)).argmin()
    threshold = -thresholds[best]
    if not np.isfinite(threshold):  # Nothing is accepted.
        threshold = scores.min()
    above = scores[scores > threshold]
    return float((threshold + above.min()) / 2 if len(above) else threshold)


def filter_metrics(scores, plausible, threshold):
    """How well a threshold tells plausible streamlines from others.

    Parameters
    ----------
    scores, plausible : ndarray, shape (n_streamlines,)
        As for `balanced_threshold`.
    threshold : float
        Streamlines whose score is at most this are kept.

    Returns
    -------
    figures : dict of float
        "accuracy", "sensitivity" (share of the plausible that is kept), "specificity",
        "precision", "f1", "auc" (area under the receiver operating characteristic).

    Raises
    ------
    InvalidArgumentError
        If streamlines of one kind are missing.
    """
    from sklearn.metrics import roc_auc_score

    scores, plausible = _labelled(scores, plausible)
    kept = scores <= threshold
    right = (kept & plausible).sum()
    return {
        "accuracy": float((kept == plausible).mean()),
        "sensitivity": float(right / plausible.sum()),
        "specificity": float((~kept & ~plausible).sum() / (~plausible).sum()),
        "precision": float(right / kept.sum()) if kept.any() else 0.0,
        "f1": float(2 * right / (kept.sum() + plausible.sum())),
        "auc": float(roc_auc_score(plausible, -scores)),
    }


def _labelled(scores, plausible):
    """Scores and kinds of streamlines that have a score."""
    scores, plausible = np.asarray(scores, np.float64), np.asarray(plausible, bool)
    finite = np.isfinite(scores)
    scores, plausible = scores[finite], plausible[finite]
    if plausible.all() or not plausible.any():
        raise InvalidArgumentError(
            "Invalid value received for `plausible`. Expected streamlines of both "
            f"kinds. Received: {int(plausible.sum())} plausible, "
            f"{int((~plausible).sum())} not."
        )
    return scores, plausible
