"""Compare found bundles with true ones."""

from collections.abc import Sequence

import numpy as np

from dipy_tractoencoder.segment.votes import UNASSIGNED

UNASSIGNED_NAME = "unassigned"


def confusion_table(
    names: Sequence[str], truth: np.ndarray, bundle: np.ndarray
) -> list[dict]:
    """Count streamlines by true and by predicted bundle.

    Parameters
    ----------
    names : sequence of str
        Names of the bundles.
    truth, bundle : ndarray, shape (n_streamlines,), int
        True and predicted index in ``names``, -1 for no bundle.

    Returns
    -------
    rows : list of dict
        Per true bundle: "true", its name, and the number of streamlines assigned to
        each bundle and to "unassigned".

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> truth, bundle = np.array([0, 0, 1]), np.array([0, -1, 1])
    >>> for row in dte.confusion_table(["AF", "UF"], truth, bundle):
    ...     print(row)
    {'true': 'AF', 'AF': 1, 'UF': 0, 'unassigned': 1}
    {'true': 'UF', 'AF': 0, 'UF': 1, 'unassigned': 0}
    """
    columns = [*names, UNASSIGNED_NAME]
    codes = [*range(len(names)), UNASSIGNED]
    rows = []
    for true_name, true_code in zip(columns, codes):
        found = bundle[truth == true_code]
        if len(found):
            counts = {n: int((found == c).sum()) for n, c in zip(columns, codes)}
            rows.append({"true": true_name, **counts})
    return rows


def label_metrics(truth: np.ndarray, bundle: np.ndarray) -> dict:
    """Measure how well labels agree with the ground truth.

    Parameters
    ----------
    truth, bundle : ndarray, shape (n_streamlines,), int
        Index of the true and of the predicted bundle, -1 for no bundle.

    Returns
    -------
    metrics : dict of float
        "accuracy" over streamlines that belong to a bundle, "macro_f1" over bundles,
        and, if some belong to none, "outsiders_left_out", the fraction of these that
        are unassigned.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> metrics = dte.label_metrics(np.array([0, 0, 1, -1]), np.array([0, 1, 1, -1]))
    >>> round(metrics["accuracy"], 3), metrics["outsiders_left_out"]
    (0.667, 1.0)
    """
    from sklearn.metrics import f1_score

    inside = truth != UNASSIGNED
    metrics = {}
    if inside.any():
        metrics["accuracy"] = float((truth == bundle)[inside].mean())
        metrics["macro_f1"] = float(
            f1_score(truth, bundle, labels=np.unique(truth[inside]), average="macro")
        )
    if not inside.all():
        metrics["outsiders_left_out"] = float((bundle[~inside] == UNASSIGNED).mean())
    return metrics
