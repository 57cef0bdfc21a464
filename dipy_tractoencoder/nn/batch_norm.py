"""Batch normalisation statistics that inference can rely on."""

import keras
from keras import ops

from dipy_tractoencoder.utils.reservoir import sample_rows

STATISTICS_SAMPLE = 8192  # streamlines that batch normalisation is settled on


def settle_statistics(model, points, batch_size):
    """Set batch normalisation's statistics to their mean over training batches.

    Moving averages lag behind the weights, more so after few steps; inference would
    then disagree with training. Weights restored from an earlier epoch are treated
    the same way.

    Parameters
    ----------
    model : StreamlineAutoencoder
        Model whose statistics are replaced.
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Normalised training streamlines.
    batch_size : int
        Size of a training batch.
    """
    normalisations = [
        layer
        for layer in model.encoder_body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not normalisations:
        return
    rows = sample_rows(len(points), 0, STATISTICS_SAMPLE)
    batches = [
        rows[start : start + batch_size] for start in range(0, len(rows), batch_size)
    ]
    if len(batches) > 1 and len(batches[-1]) < batch_size:
        batches.pop()  # A short batch would weigh as much as a full one.
    momenta = [layer.momentum for layer in normalisations]
    for number, batch in enumerate(batches):
        for layer in normalisations:
            layer.momentum = number / (number + 1)
        batch = model.oriented(ops.convert_to_tensor(points[batch]), training=True)
        model.encode_tensors(batch, training=True)
    for layer, momentum in zip(normalisations, momenta):
        layer.momentum = momentum
