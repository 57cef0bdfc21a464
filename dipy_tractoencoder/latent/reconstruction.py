"""Reconstruct streamlines, and compute errors of the model and of the PCA baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.io.space import tractogram_like, tractogram_space
from dipy_tractoencoder.latent.codec import aligned, decode, encode, to_subject
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.streamlines.metrics import (
    LARGEST_BUNDLE,
    bundle_metrics,
    curve_length,
    paired_mdf,
    point_distance,
    pooled_distance,
)
from dipy_tractoencoder.utils.reservoir import UniformSample
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class Reconstruction:
    """Streamlines, and their reconstructions by a model and by PCA.

    If the subject was aligned, all points and errors are in the space of the model, and
    `tractogram` is in that of the subject.

    Attributes
    ----------
    array : StreamlineArray
        Resampled input in the model's orientation.
    original : ndarray, shape (n_kept, n_points, 3), float32
        Resampled input in the direction of the tractogram, RASMM, mm.
    points : ndarray, shape (n_kept, n_points, 3), float32
        Reconstruction by the model, corresponding to ``original``.
    pca_points : ndarray, shape (n_kept, n_points, 3), float32
        PCA reconstruction with as many components as the model has latent dimensions,
        fitted to the same training streamlines.
    space : dict
        Image space of the tractogram; empty if it has none.
    alignment : Alignment or None
        Transform from the subject's space to the model's.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> reconstruction = dte.reconstruct(model, made.tractogram())
    >>> errors = reconstruction.errors()
    >>> errors["n_reconstructed"], errors["error_mm"] > 0
    (43, True)
    >>> dte.save_tractogram(reconstruction.tractogram(), "reconstructed.trk")
    """

    array: StreamlineArray
    original: np.ndarray
    points: np.ndarray
    pca_points: np.ndarray
    space: dict
    alignment: Alignment | None = None

    __repr__ = short_repr

    def tractogram(self) -> StatefulTractogram:
        """Return the reconstruction as a tractogram in the image space of the input.

        Returns
        -------
        tractogram : StatefulTractogram
            Reconstructed streamlines in the space of the subject, RASMM, mm.

        Raises
        ------
        InvalidArgumentError
            If the input has no image space.
        """
        points = to_subject(self.points, self.alignment)
        return tractogram_like(points, self.space)

    def errors(self, *, seed: int = 0) -> dict[str, Any]:
        """Compute reconstruction errors and bundle metrics over all streamlines.

        Parameters
        ----------
        seed : int, optional
            Seed of the sample and the clustering for the bundle metrics.

        Returns
        -------
        errors : dict
            Counts; "error_mm" (root mean squared point distance), its median and 95th
            percentile over streamlines, "mdf_mm" (mean), the same of PCA, and the
            result of `bundle_metrics`.

        Raises
        ------
        EmptyDataError
            If all streamlines were rejected.
        """
        errors = ErrorTotals(seed=seed)
        errors.add(self.original, self.points, self.pca_points)
        return {"n_streamlines": self.array.n_streamlines, **errors.result()}


class ErrorTotals:
    """Accumulate reconstruction errors chunk by chunk.

    Parameters
    ----------
    seed : int, optional
        Seed of the sample and the clustering for the bundle metrics.

    Attributes
    ----------
    sample : UniformSample
        Input and reconstruction of at most 1000 streamlines, mm.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.columns: list[tuple] = []
        self.sample = UniformSample(LARGEST_BUNDLE, seed)

    def add(
        self, original: np.ndarray, points: np.ndarray, pca_points: np.ndarray
    ) -> None:
        """Add streamlines.

        Parameters
        ----------
        original, points, pca_points : ndarray, shape (n_streamlines, n_points, 3)
            Input, reconstruction and PCA reconstruction in the same direction, mm.
        """
        if len(original) == 0:
            return
        self.columns.append(
            (
                point_distance(original, points),
                point_distance(original, pca_points),
                paired_mdf(original, points),
                paired_mdf(original, pca_points),
                curve_length(original),
                curve_length(points),
            )
        )
        self.sample.add(original, points)

    def result(self) -> dict[str, Any]:
        """Compute the errors over all streamlines added.

        Returns
        -------
        errors : dict
            Errors as described in `Reconstruction.errors`.

        Raises
        ------
        EmptyDataError
            If no streamlines were added.
        """
        if not self.columns:
            raise EmptyDataError("No streamlines are left to compare.")
        distance, pca_distance, mdf, pca_mdf, length, new_length = (
            np.concatenate(parts) for parts in zip(*self.columns)
        )
        return {
            "n_reconstructed": len(distance),
            "error_mm": pooled_distance(distance),
            "pca_error_mm": pooled_distance(pca_distance),
            "error_median_mm": float(np.median(distance)),
            "error_95th_mm": float(np.percentile(distance, 95)),
            "mdf_mm": float(mdf.mean()),
            "pca_mdf_mm": float(pca_mdf.mean()),
            **bundle_metrics(*self.sample.columns(), seed=self.seed),
            "length_mm": float(length.mean()),
            "reconstructed_length_mm": float(new_length.mean()),
            "length_difference_mm": float((new_length - length).mean()),
        }


def reconstruct(
    model: StreamlineAutoencoder,
    streamlines: Any,
    *,
    alignment: Alignment | None = None,
) -> Reconstruction:
    """Encode and decode streamlines, with a model and with PCA.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    streamlines : StatefulTractogram, or sequence of ndarray
        Streamlines, RASMM, mm.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model, of
        `fit_alignment` for example.

    Returns
    -------
    reconstruction : Reconstruction
        Input and reconstructions in the space of the model, mm.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.reconstruct(model, made.streamlines).points.shape
    (43, 32, 3)
    """
    array = model.preprocessing.array(aligned(streamlines, alignment))
    latents = encode(model, array)
    pca_points = model.pca_baseline().reconstruct(array.points)
    return Reconstruction(
        array=array,
        original=array.tractogram_order(),
        points=decode(model, latents),
        pca_points=array.tractogram_order(pca_points),
        space=tractogram_space(streamlines),
        alignment=alignment,
    )


def reconstruct_points(model: StreamlineAutoencoder, points: np.ndarray) -> np.ndarray:
    """Encode and decode resampled points.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Resampled streamlines in the model's orientation, RASMM, mm.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Reconstructed streamlines, RASMM, mm.
    """
    return decode(model, encode(model, StreamlineArray.from_points(points)))
