"""Result of a training: the model, and the streamlines to judge it by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.utils.short_repr import short_repr


@dataclass(frozen=True)
class TrainingRun:
    """Trained model, with the streamlines to assess it on.

    Attributes
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model with its ``record``.
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Validation streamlines, or training streamlines if none were held out; RASMM,
        mm, in the model's orientation.
    reconstructed : ndarray, shape (n_streamlines, n_points, 3), float32
        Reconstruction of ``points`` by the model, mm. With ``refit``, by the model
        before the refit, which was not trained on them.
    pca_reconstructed : ndarray, shape (n_streamlines, n_points, 3), float32
        PCA reconstruction with the same number of components, fitted to the same
        training streamlines, mm.
    held_out : bool
        Whether ``points`` were held out of the training.
    source : ndarray, shape (n_streamlines,), int
        Index of the tractogram of each of ``points``: training tractograms first, then
        validation tractograms.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> run = dte.run_training(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> run.points.shape == run.reconstructed.shape == run.pca_reconstructed.shape
    True
    >>> run.held_out
    True
    """

    model: StreamlineAutoencoder
    points: np.ndarray
    reconstructed: np.ndarray
    pca_reconstructed: np.ndarray
    held_out: bool
    source: np.ndarray

    __repr__ = short_repr

    @property
    def what(self) -> str:
        """Description of ``points`` for messages, figures and reports."""
        return "held-out streamlines" if self.held_out else "training streamlines"

    def errors(self) -> dict:
        """Measure the reconstruction errors of ``points``.

        Returns
        -------
        errors : dict
            "n_streamlines", and root mean square point distances over all of them:
            "error_mm" of the model, "pca_error_mm" of PCA with the same number of
            dimensions.
        """
        error, pca_error = (
            pooled_distance(point_distance(self.points, points))
            for points in (self.reconstructed, self.pca_reconstructed)
        )
        return {
            "n_streamlines": len(self.points),
            "error_mm": error,
            "pca_error_mm": pca_error,
        }
