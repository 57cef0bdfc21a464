"""Measure how well a trained model reconstructs the streamlines held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.latent.reconstruction import reconstruct_points
from dipy_tractoencoder.streamlines.metrics import point_distance
from dipy_tractoencoder.training.coefficient_trainer import coefficient_distances
from dipy_tractoencoder.training.dataset import TrainingData
from dipy_tractoencoder.training.run import TrainingRun

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.training.coefficient_data import CoefficientData

MOST_SHOWN = 2000  # streamlines whose points are kept, for pictures and some tables
ROWS_AT_A_TIME = 8192


def measured_rows(held_out: np.ndarray) -> np.ndarray:
    """Return the rows of the streamlines that errors are measured on.

    Parameters
    ----------
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines.

    Returns
    -------
    rows : ndarray of int
        Validation streamlines, or all if there are none.
    """
    return np.flatnonzero(held_out if held_out.any() else ~held_out)


def shown_rows(held_out: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw the streamlines whose points are kept.

    Parameters
    ----------
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines.
    seed : int, optional
        Seed of the draw.

    Returns
    -------
    rows : ndarray of int
        Up to 2,000 of `measured_rows`, sorted.
    """
    rows = measured_rows(held_out)
    if len(rows) > MOST_SHOWN:
        rows = np.random.default_rng(seed).choice(rows, MOST_SHOWN, replace=False)
        rows.sort()
    return rows


def measured_run(
    model: StreamlineAutoencoder,
    data: TrainingData | CoefficientData,
    held_out: np.ndarray,
    inputs: Any = None,
    seed: int = 0,
) -> TrainingRun:
    """Reconstruct the streamlines to judge a model by, and measure the errors.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines.
    inputs : ndarray, shape (n_measured, n_components + 1), optional
        Coefficients of `measured_rows`, if ``data`` has no points of all streamlines.
    seed : int, optional
        Seed of the draw of streamlines that are shown.

    Returns
    -------
    run : TrainingRun
        The model, streamlines with reconstructions, and errors.
    """
    rows, shown = measured_rows(held_out), shown_rows(held_out, seed)
    baseline = model.pca_baseline()
    if isinstance(data, TrainingData):
        parts = []
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            points = data.some(rows[start : start + ROWS_AT_A_TIME])
            sides = (reconstruct_points(model, points), baseline.reconstruct(points))
            parts.append([point_distance(points, side) for side in sides])
        distance, pca_distance = np.concatenate(parts, axis=1)
    else:
        distance, pca_distance = coefficient_distances(model, inputs)
    points = data.some(shown)
    return TrainingRun(
        model=model,
        points=points,
        reconstructed=reconstruct_points(model, points),
        pca_reconstructed=baseline.reconstruct(points),
        held_out=bool(held_out.any()),
        source=data.source[rows],
        distance=distance,
        pca_distance=pca_distance,
    )
