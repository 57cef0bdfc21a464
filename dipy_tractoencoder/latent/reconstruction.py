"""Encode and decode in one go, with the errors beside PCA's."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.io.space import tractogram_like, tractogram_space
from dipy_tractoencoder.latent.codec import decode, encode
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


@dataclass(frozen=True)
class Reconstruction:
    """Streamlines, what a model makes of them, and what PCA does.

    Attributes
    ----------
    array : StreamlineArray
        The resampled input, in the model's orientation.
    original : ndarray, shape (n_kept, n_points, 3), float32
        The resampled input, RASMM, mm, running as in the tractogram.
    points : ndarray, shape (n_kept, n_points, 3), float32
        The model's reconstruction, likewise.
    pca_points : ndarray, shape (n_kept, n_points, 3), float32
        That of as many principal components of the training streamlines as the model
        has latent dimensions.
    space : dict
        Space of the tractogram, empty if it came without.
    """

    array: StreamlineArray
    original: np.ndarray
    points: np.ndarray
    pca_points: np.ndarray
    space: dict

    __repr__ = short_repr

    def tractogram(self):
        """Give the reconstruction as a StatefulTractogram in the input's space.

        Returns
        -------
        tractogram : StatefulTractogram
            RASMM, mm.

        Raises
        ------
        InvalidArgumentError
            If the input came without a space.
        """
        return tractogram_like(self.points, self.space)

    def errors(self, *, seed=0):
        """Measure errors and bundle metrics, each over all streamlines kept.

        Parameters
        ----------
        seed : int, optional
            Of the bundle metrics' sample and clustering.

        Returns
        -------
        errors : dict
            Counts; "error_mm" (root mean squared point distance), its median and 95th
            percentile over streamlines, "mdf_mm" (mean), the same of PCA, and
            `bundle_metrics`.

        Raises
        ------
        EmptyDataError
            If no streamline was kept.
        """
        errors = ErrorTotals(seed=seed)
        errors.add(self.original, self.points, self.pca_points)
        return {"n_streamlines": self.array.n_streamlines, **errors.result()}


class ErrorTotals:
    """Errors of reconstructions that come some streamlines at a time.

    Parameters
    ----------
    seed : int, optional
        Of the sample that stands for the whole in bundle metrics, and of their
        clustering.

    Attributes
    ----------
    sample : UniformSample
        Input and reconstruction of 1000 streamlines at most, mm.
    """

    def __init__(self, *, seed=0):
        self.seed = seed
        self.columns = []
        self.sample = UniformSample(LARGEST_BUNDLE, seed)

    def add(self, original, points, pca_points):
        """Take in some streamlines.

        Parameters
        ----------
        original, points, pca_points : ndarray, shape (n_streamlines, n_points, 3)
            Input, reconstruction, and that of PCA; mm, running the same way.
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

    def result(self):
        """Give the errors over all streamlines taken in.

        Returns
        -------
        errors : dict
            See `Reconstruction.errors`.

        Raises
        ------
        EmptyDataError
            If there were none.
        """
        if not self.columns:
            raise EmptyDataError("No streamline is left to compare.")
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


def reconstruct(model, streamlines):
    """Encode and decode streamlines, with PCA's reconstruction beside.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    streamlines : StatefulTractogram, or sequence of ndarray
        RASMM, mm.

    Returns
    -------
    reconstruction : Reconstruction
        Input and reconstructions, mm.
    """
    array = model.preprocessing.array(streamlines)
    latents = encode(model, array)
    pca_points = model.pca_baseline().reconstruct(array.points)
    return Reconstruction(
        array=array,
        original=array.tractogram_order(),
        points=decode(model, latents),
        pca_points=array.tractogram_order(pca_points),
        space=tractogram_space(streamlines),
    )


def reconstruct_points(model, points):
    """Encode and decode points that are oriented and resampled already.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        RASMM, mm.
    """
    return decode(model, encode(model, StreamlineArray.from_points(points)))
