"""Recompute the statistics of batch normalisation for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from dipy_tractoencoder.nn.keras_settings import standard_keras
from dipy_tractoencoder.utils.reservoir import sample_rows

if TYPE_CHECKING:
    import numpy as np

    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

STATISTICS_SAMPLE = 8192  # streamlines used to recompute the statistics


def settle_statistics(
    model: StreamlineAutoencoder, points: np.ndarray, batch_size: int
) -> None:
    """Set the statistics of batch normalisation to their mean over training batches.

    Moving averages lag behind the weights, in particular after few steps; inference
    would then differ from training. Weights restored from an earlier epoch need the
    same treatment.

    Parameters
    ----------
    model : StreamlineAutoencoder
        Model whose statistics are replaced.
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Normalised training streamlines; for the dense backbone also their whitened
        principal coefficients, shape (n_streamlines, n_components).
    batch_size : int
        Number of streamlines per training batch.
    """
    normalisations = _normalisations(model)
    if not normalisations:
        return
    rows = sample_rows(len(points), 0, STATISTICS_SAMPLE)
    batches = [
        rows[start : start + batch_size] for start in range(0, len(rows), batch_size)
    ]
    if len(batches) > 1 and len(batches[-1]) < batch_size:
        batches.pop()  # A short batch would count as much as a full one.
    momenta = [layer.momentum for layer in normalisations]
    for number, batch in enumerate(batches):
        for layer in normalisations:
            layer.momentum = number / (number + 1)
        batch = ops.convert_to_tensor(points[batch])
        if points.ndim == 2:
            model._heads(None, batch, training=True)
            continue
        model.encode_tensors(model.oriented(batch, training=True), training=True)
    for layer, momentum in zip(normalisations, momenta):
        layer.momentum = momentum


@standard_keras()
def reconstruct_by_statistics(
    model: StreamlineAutoencoder, points: np.ndarray
) -> list[np.ndarray]:
    """Reconstruct points with stored and with batch statistics of batch normalisation.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; it is not changed.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM, mm, in the model's orientation.

    Returns
    -------
    sides : list of ndarray, shape (n_streamlines, n_points, 3)
        Reconstructions with the stored statistics, as in inference, and with those of
        the batch, as in training; none for a model without batch normalisation.
    """
    layers = _normalisations(model)
    if not layers:
        return []
    normalised = ops.convert_to_tensor(model.preprocessing.normalise(points))
    momenta = [layer.momentum for layer in layers]
    found = []
    try:
        for layer in layers:
            layer.momentum = 1.0  # The stored statistics are not updated.
        for training in (False, True):
            mean = model.encode_tensors(normalised, training=training)["mean"]
            back = ops.convert_to_numpy(model.decode_tensors(mean))
            found.append(model.preprocessing.denormalise(back))
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
    return found


def _normalisations(model):
    """Return the layers of batch normalisation."""
    return [
        layer
        for layer in model.encoder_body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
