"""Result of filtering a tractogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dipy_tractoencoder.segment.decisions import ALPHA, SubjectFactor
from dipy_tractoencoder.segment.thresholds import filter_metrics
from dipy_tractoencoder.utils.short_repr import short_repr


@dataclass(frozen=True)
class Filtered:
    """Result of filtering one file.

    Attributes
    ----------
    scores : ndarray, shape (n_streamlines,), float64
        Scores; nan for streamlines that cannot be encoded.
    n_kept : int
        Number of streamlines classified as plausible.
    rejects : dict of str to int
        Number of streamlines that cannot be encoded, by reason.
    truth : ndarray, shape (n_streamlines,), bool, or None
        Ground truth labels (True is plausible), if the file has them.
    p : ndarray, shape (n_streamlines,), float64, or None
        p-values of belonging to the reference, nan for streamlines that cannot be
        encoded; None for scores without.
    factor : SubjectFactor or None
        How much further the subject lies from the reference than the reference itself.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made.tractogram(), "all.trk")
    >>> scorer = dte.fit_plausibility_scorer(model, ["all.trk"])
    >>> outputs = ("kept.trk", "removed.trk")
    >>> result = dte.filter_file(scorer, "all.trk", 5.0, *outputs)
    >>> result.n_kept, result.scores.shape, result.truth.sum().item()
    (43, (43,), 30)
    """

    scores: np.ndarray
    n_kept: int
    rejects: dict
    truth: np.ndarray | None
    p: np.ndarray | None = None
    factor: SubjectFactor | None = None

    __repr__ = short_repr

    def kept(self, threshold: float | None, alpha: float = ALPHA) -> np.ndarray:
        """Return which streamlines were kept.

        Parameters
        ----------
        threshold : float or None
            As given to `filter_file`.
        alpha : float, optional
            As given to `filter_file`.

        Returns
        -------
        kept : ndarray, shape (n_streamlines,), bool
            True for streamlines classified as plausible.
        """
        if threshold is None and self.p is not None:
            return self.p > alpha
        limit: Any = threshold
        return self.scores <= limit

    def metrics(self, threshold: float | None, alpha: float = ALPHA) -> dict:
        """Measure accuracies by the ground truth of the file.

        Parameters
        ----------
        threshold : float or None
            As given to `filter_file`.
        alpha : float, optional
            As given to `filter_file`.

        Returns
        -------
        metrics : dict of float
            See `filter_metrics`.
        """
        truth: Any = self.truth
        limit: Any = threshold
        if threshold is not None or self.p is None:
            return filter_metrics(self.scores, truth, limit)
        # Scores are small for plausible streamlines; p-values are large, and not kept
        # if they are equal to alpha.
        return filter_metrics(-self.p, truth, np.nextafter(-alpha, -1))
