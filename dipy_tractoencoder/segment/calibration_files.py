"""Calibrate the bundle classifier by files of labelled streamlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.labelling import true_bundles
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier


def calibrate_by_files(
    model: StreamlineAutoencoder,
    classifier: BundleClassifier,
    paths: Sequence[str | Path],
    *,
    subjects: Sequence[str] | None = None,
    alignment_of: Callable | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> BundleClassifier:
    """Calibrate a classifier by files of labelled streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model of the classifier.
    classifier : BundleClassifier
        The classifier.
    paths : sequence of str or Path
        Tractograms with groups named like the bundles, where those outside of the
        groups belong to none; or named like one bundle, of which all are.
    subjects : sequence of str, optional
        Subject of each file; one subject by default.
    alignment_of : callable, optional
        Function of the path of a file that returns the `Alignment` of its subject.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.

    Returns
    -------
    classifier : BundleClassifier
        A new one, which decides by more streamlines.

    Raises
    ------
    InputFileError
        If a file cannot be read, or names no bundle.
    EmptyDataError
        If nothing of a subject belongs to a bundle.
    """
    means, bundles, of = [], [], []
    for path, subject in zip(paths, subjects or [""] * len(paths)):
        alignment = alignment_of(path) if alignment_of is not None else None
        with mapped_tractogram(path, reference) as source:
            truth = true_bundles(source, path, classifier.names)
            if truth is None:
                raise InputFileError(
                    f"{path}: neither its groups nor its name is a bundle "
                    f"({', '.join(classifier.names[:6])}, ...), so that it cannot be "
                    "used for validation. Name groups or file like the bundles."
                )
            for start in range(0, len(source), chunk_size):
                chunk = source.streamlines[start : start + chunk_size]
                array = model.preprocessing.array(aligned(chunk, alignment))
                means.append(encode(model, array).mean)
                bundles.append(truth[start + array.index])
                of += [subject] * len(array)
    if not of:
        raise EmptyDataError(
            f"{paths[0]}: no streamline for validation can be encoded."
        )
    return classifier.calibrated(
        np.concatenate(means), np.concatenate(bundles), np.array(of)
    )
