"""Measurements that a report shows: latent use, batch statistics, errors by group."""

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.evaluation.encoded_bundles import encode_side
from dipy_tractoencoder.nn.likelihood import kl_per_dimension
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance

MOST_MEASURED = 2000  # streamlines that KL and statistics are measured on


def grouped_errors(points, reconstructed, pca_reconstructed, groups):
    """Measure errors of a model and of PCA, group by group.

    Parameters
    ----------
    points, reconstructed, pca_reconstructed : ndarray, shape (n, n_points, 3)
        Streamlines, and what model and PCA made of them; mm.
    groups : sequence of str, length n
        Name of each one's file or bundle.

    Returns
    -------
    errors : dict of str to (int, float, float)
        Name to the number of streamlines and both errors (root mean square, mm).
    """
    groups = np.asarray(groups)
    distances = [
        point_distance(points, side) for side in (reconstructed, pca_reconstructed)
    ]
    return {
        str(name): (
            int((groups == name).sum()),
            *(pooled_distance(distance[groups == name]) for distance in distances),
        )
        for name in dict.fromkeys(groups.tolist())
    }


def latent_use(model, points):
    """Measure what each latent dimension holds.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation; 2000 of them at most are used.

    Returns
    -------
    variance : ndarray, shape (latent_dim,)
        Of the posterior means, over the prior's.
    kl : ndarray, shape (latent_dim,), or None
        Nats, of a VAE.
    """
    points = sample(points)
    encoded = encode_side(model, points, np.zeros(len(points), dtype=int))
    variance = np.var(encoded.latent / model.latent_unit, axis=0)
    if not model.variational:
        return variance, None
    return variance, kl_per_dimension(model, encoded).mean(axis=0)


def batch_statistics_error(model, points):
    """Error of a model with batch normalisation as it ran in training.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model; it is left as it is.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation; 2000 of them at most are used.

    Returns
    -------
    errors : tuple of float, or None
        Error (mm) by the statistics kept, and by those of the batch; None without
        batch normalisation.
    """
    layers = [
        layer
        for layer in model.encoder_body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not layers:
        return None
    points = sample(points)
    normalised = ops.convert_to_tensor(model.preprocessing.normalise(points))
    momenta = [layer.momentum for layer in layers]
    found = []
    try:
        for layer in layers:
            layer.momentum = 1.0  # What is remembered stays as it is.
        for training in (False, True):
            mean = model.encode_tensors(normalised, training=training)["mean"]
            back = ops.convert_to_numpy(model.decode_tensors(mean))
            back = model.preprocessing.denormalise(back)
            found.append(pooled_distance(point_distance(points, back)))
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
    return tuple(found)


def sample(points, size=MOST_MEASURED):
    """Draw some rows, always the same ones.

    Parameters
    ----------
    points : ndarray
        Rows to choose from.
    size : int, optional
        Rows wanted, all if there are fewer.

    Returns
    -------
    points : ndarray
        In their order.
    """
    rows = np.random.default_rng(0).permutation(len(points))[:size]
    return points[np.sort(rows)]
