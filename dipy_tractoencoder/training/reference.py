"""Make the reference for alignment that a trained model carries."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.align.fit import N_SAMPLE, fit_alignment_reference
from dipy_tractoencoder.errors import TractoencoderError

if TYPE_CHECKING:
    from dipy_tractoencoder.align.reference import AlignmentReference
    from dipy_tractoencoder.training.dataset import TrainingData

logger = logging.getLogger(__name__)

FEWEST = 20  # streamlines; of fewer, two halves have too little in common


def training_reference(
    data: TrainingData,
    held_out: np.ndarray,
    *,
    keep_sample: bool = True,
    bundles: Sequence[str] | None = None,
    seed: int = 0,
) -> AlignmentReference | None:
    """Summarise training streamlines so that subjects can be aligned to them.

    Parameters
    ----------
    data : TrainingData
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
    reference : AlignmentReference or None
        The reference, in mm; None, with a line in the log, if there are too few
        streamlines or they lie too far away.
    """
    rows = np.flatnonzero(~held_out)
    if len(rows) < FEWEST:
        logger.info(
            "No reference for alignment is stored in the model: %d training "
            "streamlines are too few.",
            len(rows),
        )
        return None
    if len(rows) > N_SAMPLE:
        rows = np.random.default_rng(seed).choice(rows, N_SAMPLE, replace=False)
        rows.sort()
    points = data.preprocessing.denormalise(data.points[rows])
    streamlines = points
    if bundles is not None:
        of = np.array(bundles)[data.source[rows]]
        streamlines = {name: points[of == name] for name in np.unique(of).tolist()}
    try:
        return fit_alignment_reference(streamlines, keep_sample=keep_sample, seed=seed)
    except TractoencoderError as err:
        logger.info("No reference for alignment is stored in the model. %s", err)
        return None
