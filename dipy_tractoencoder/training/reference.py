"""Make the reference for alignment that a trained model carries."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.align.fit import N_SAMPLE, fit_alignment_reference
from dipy_tractoencoder.errors import EmptyDataError, TractoencoderError
from dipy_tractoencoder.nn.alignment import store_alignment_reference

if TYPE_CHECKING:
    from dipy_tractoencoder.align.reference import AlignmentReference
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.training.coefficient_data import CoefficientData
    from dipy_tractoencoder.training.dataset import TrainingData
    from dipy_tractoencoder.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

FEWEST = 20  # streamlines; of fewer, two halves have too little in common


def store_training_reference(
    model: StreamlineAutoencoder,
    data: TrainingData | CoefficientData,
    held_out: np.ndarray,
    settings: TrainingSettings,
    bundles: Sequence[str] | None = None,
) -> None:
    """Store a reference for alignment in a trained model, or log why there is none.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model, changed in place.
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines, which are left out.
    settings : TrainingSettings
        Settings: "alignment_sample" and "seed" are used.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram.
    """
    try:
        reference = training_reference(
            data,
            held_out,
            keep_sample=settings.alignment_sample,
            bundles=bundles,
            seed=settings.seed,
        )
        store_alignment_reference(model, reference)
    except TractoencoderError as err:
        logger.info("No reference for alignment is stored in the model. %s", err)


def reference_rows(held_out: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw the training streamlines that are summarised.

    Parameters
    ----------
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines, which are left out.
    seed : int, optional
        Seed of the draw.

    Returns
    -------
    rows : ndarray of int
        Their rows, sorted.
    """
    rows = np.flatnonzero(~held_out)
    if len(rows) > N_SAMPLE:
        rows = np.random.default_rng(seed).choice(rows, N_SAMPLE, replace=False)
        rows.sort()
    return rows


def training_reference(
    data: TrainingData | CoefficientData,
    held_out: np.ndarray,
    *,
    keep_sample: bool = True,
    bundles: Sequence[str] | None = None,
    seed: int = 0,
) -> AlignmentReference:
    """Summarise training streamlines so that subjects can be aligned to them.

    Parameters
    ----------
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines, which are left out.
    keep_sample : bool, optional
        Store real streamlines besides centroids.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram.
    seed : int, optional
        Seed of the sample and the clustering.

    Returns
    -------
    reference : AlignmentReference
        The reference, in mm.

    Raises
    ------
    EmptyDataError
        If there are too few training streamlines.
    InvalidArgumentError
        If they lie too far away.
    """
    rows = reference_rows(held_out, seed)
    if len(rows) < FEWEST:
        raise EmptyDataError(f"{len(rows)} training streamlines are too few.")
    points = data.some(rows)
    if bundles is None:
        return fit_alignment_reference(points, keep_sample=keep_sample, seed=seed)
    of = np.array(bundles)[data.source[rows]]
    named = {name: points[of == name] for name in np.unique(of).tolist()}
    return fit_alignment_reference(named, keep_sample=keep_sample, seed=seed)
