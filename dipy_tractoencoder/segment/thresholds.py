"""Thresholds that separate plausible streamlines from implausible ones."""

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError


def balanced_threshold(scores: np.ndarray, plausible: np.ndarray) -> float:
    """Find the threshold at which sensitivity equals specificity.

    The method is that of :footcite:p:`Legarreta2021`; the threshold lies half way to
    the next larger score.

    Parameters
    ----------
    scores : ndarray, shape (n_streamlines,)
        Score of each streamline, small for plausible ones; scores that are not finite
        are left out.
    plausible : ndarray, shape (n_streamlines,), bool
        True for plausible streamlines.

    Returns
    -------
    threshold : float
        Streamlines with a score up to this are classified as plausible.

    Raises
    ------
    InvalidArgumentError
        If all streamlines are plausible, or none.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> dte.balanced_threshold([1.0, 2.0, 3.0, 9.0], [True, True, False, False])
    2.5
    """
    from sklearn.metrics import roc_curve

    scores, plausible = _labelled(scores, plausible)
    false_rate, true_rate, thresholds = roc_curve(
        plausible, -scores, drop_intermediate=False
    )
    best = np.abs(true_rate - (1 - false_rate)).argmin()
    threshold = -thresholds[best]
    if not np.isfinite(threshold):  # No streamline is accepted.
        threshold = scores.min()
    above = scores[scores > threshold]
    return float((threshold + above.min()) / 2 if len(above) else threshold)


def filter_metrics(scores: np.ndarray, plausible: np.ndarray, threshold: float) -> dict:
    """Measure how well a threshold separates plausible from implausible streamlines.

    Parameters
    ----------
    scores, plausible : ndarray, shape (n_streamlines,)
        As for `balanced_threshold`.
    threshold : float
        Streamlines with a score up to this are kept.

    Returns
    -------
    metrics : dict of float
        "accuracy", "sensitivity" (fraction of plausible streamlines that are kept),
        "specificity", "precision", "f1" and "auc" (area under the receiver operating
        characteristic).

    Raises
    ------
    InvalidArgumentError
        If all streamlines are plausible, or none.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> scores = [1.0, 2.0, 3.0, 9.0]
    >>> metrics = dte.filter_metrics(scores, [True, True, False, False], threshold=3.0)
    >>> metrics["sensitivity"], metrics["specificity"]
    (1.0, 0.5)
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
    """Return scores and labels of the streamlines with a finite score."""
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
