"""Result of a training: the model, and the streamlines to judge it by."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    points : ndarray, shape (n_shown, n_points, 3), float32
        Validation streamlines, or training streamlines if none were held out; RASMM,
        mm, in the model's orientation. Of more than 2,000 a random sample.
    reconstructed : ndarray, shape (n_shown, n_points, 3), float32
        Reconstruction of ``points`` by the model, mm. With ``refit``, by the model
        before the refit, which was not trained on them.
    pca_reconstructed : ndarray, shape (n_shown, n_points, 3), float32
        PCA reconstruction with the same number of components, fitted to the same
        training streamlines, mm.
    held_out : bool
        Whether ``points`` were held out of the training.
    source : ndarray, shape (n_streamlines,), int
        Index of the tractogram of each streamline that ``points`` were sampled from:
        training tractograms first, then validation tractograms.
    distance, pca_distance : ndarray, shape (n_streamlines,), float64
        Root mean squared point distance of each of these streamlines from its
        reconstruction by the model, and by PCA, mm; by default those of ``points``.

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
    distance: np.ndarray = field(default_factory=lambda: np.empty(0))
    pca_distance: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if len(self.distance) == 0:
            sides = (self.reconstructed, self.pca_reconstructed)
            for name, side in zip(("distance", "pca_distance"), sides):
                object.__setattr__(self, name, point_distance(self.points, side))

    __repr__ = short_repr

    @property
    def what(self) -> str:
        """Description of ``points`` for messages, figures and reports."""
        return "held-out streamlines" if self.held_out else "training streamlines"

    def errors(self) -> dict:
        """Measure the reconstruction errors of all streamlines that were measured.

        Returns
        -------
        errors : dict
            "n_streamlines", and root mean square point distances over all of them:
            "error_mm" of the model, "pca_error_mm" of PCA with the same number of
            dimensions.
        """
        return {
            "n_streamlines": len(self.distance),
            "error_mm": pooled_distance(self.distance),
            "pca_error_mm": pooled_distance(self.pca_distance),
        }
