"""Read what a training needs: points of streamlines, or their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.io.chunks import as_tractogram_list
from dipy_tractoencoder.training.coefficient_data import CoefficientData
from dipy_tractoencoder.training.dataset import (
    TrainingData,
    add_held_out,
    check_count,
    gather,
    split,
)
from dipy_tractoencoder.training.measure import shown_rows
from dipy_tractoencoder.training.reader import RepeatedReader
from dipy_tractoencoder.training.reference import reference_rows

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
    from dipy_tractoencoder.training.coefficient_trainer import Coefficients
    from dipy_tractoencoder.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def read_training_data(
    tractograms: Any,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    *,
    as_coefficients: bool,
    validation: Any = None,
    groups: Sequence[Any] | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    bundles: Sequence[str] | None = None,
) -> tuple[TrainingData | CoefficientData, np.ndarray]:
    """Read tractograms, and choose the validation streamlines.

    Parameters
    ----------
    tractograms : tractogram, or iterable of them
        Training tractograms, RASMM, mm.
    preprocessing : Preprocessing
        Its ``n_points``, ``orientation`` and length limits are used.
    settings : TrainingSettings
        Settings of subset, validation and normalisation.
    as_coefficients : bool
        Do not keep points.
    validation : tractogram, or iterable of them, optional
        Validation tractograms, instead of a fraction of the training streamlines.
    groups : sequence, optional
        Label of each tractogram; those with the same label are held out together.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram; only their number is checked.

    Returns
    -------
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines.
    """
    limit, seed = settings.max_streamlines, settings.seed
    data: TrainingData | CoefficientData
    validating = None if validation is None else as_tractogram_list(validation)
    if as_coefficients:
        training = RepeatedReader(
            as_tractogram_list(tractograms),
            preprocessing,
            max_streamlines=limit,
            seed=seed,
            alignments=alignments,
        )
        n_training = len(training)
        check_count("bundles", bundles, len(training.reads))
        reader = None
        if n_training and validating is not None:
            reader = RepeatedReader(
                validating,
                preprocessing,
                alignments=alignments,
                first=len(training.reads),
            )
        data = CoefficientData(
            training, preprocessing, validation=reader, normalise=settings.normalise
        )
    else:
        data = gather(
            as_tractogram_list(tractograms),
            preprocessing,
            max_streamlines=limit,
            normalise=settings.normalise,
            seed=seed,
            alignments=alignments,
        )
        n_training = len(data)
        check_count("bundles", bundles, len(data.reads))
        if validating is not None:
            data, _ = add_held_out(data, validating, alignments=alignments)
    if validating is None:
        fraction = settings.validation_fraction
        held_out = split(data.source, fraction, groups=groups, seed=seed)
    else:
        held_out = np.arange(len(data)) >= n_training
    logger.info(
        "Training on %d streamlines, %d held out for validation; %d of %d read were "
        "rejected%s.",
        len(data) - held_out.sum(),
        held_out.sum(),
        sum(data.rejects.values()),
        data.n_read,
        "".join(f", {n} {reason}" for reason, n in data.rejects.items()),
    )
    check_count("alignments", alignments, len(data.reads))
    if isinstance(data, CoefficientData):
        keep = [shown_rows(held_out, seed), reference_rows(held_out, seed)]
        data.survey(held_out, np.concatenate(keep))
    return data, held_out


def sides_of(
    data: TrainingData | CoefficientData,
    held_out: np.ndarray | None,
    n_components: int,
) -> tuple[np.ndarray | Coefficients, np.ndarray | None]:
    """Return what to train and to validate on, as `fit` takes it.

    Parameters
    ----------
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool, or None
        True for validation streamlines; None to train on all.
    n_components : int
        Number of principal directions of the model.

    Returns
    -------
    training : ndarray or Coefficients
        Normalised points, or their coefficients.
    validation : ndarray or None
        The same of the validation streamlines.
    """
    if isinstance(data, TrainingData):
        if held_out is None:
            return data.points, None
        return data.points[~held_out], data.points[held_out]
    training, validation = data.coefficients(held_out, n_components)
    return training, validation if held_out is not None else None
