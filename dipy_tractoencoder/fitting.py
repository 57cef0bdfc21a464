"""What a fit needs besides Keras' own: the model, order, schedule, statistics."""

from contextlib import contextmanager
import math

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.vae import StreamlineVAE

WARMUP_SHARE = 0.05
STEPS_AT_ONCE = 25  # of small networks, for which the call costs as much as the step
STATISTICS_SAMPLE = 8192  # streamlines that batch normalisation is settled on


def build_model(preprocessing, settings):
    """Make an untrained model.

    Parameters
    ----------
    preprocessing : Preprocessing
        How streamlines become the network's points.
    settings : TrainingSettings
        All choices.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        With random weights.
    """
    common = {
        "latent_dim": settings.latent_dim,
        "backbone": settings.backbone,
        "linear_skip": settings.linear_skip,
        "upsampling": settings.upsampling,
        "loss": settings.loss,
        "seed": settings.seed,
    }
    if settings.model == "ae":
        return StreamlineAutoencoder(preprocessing, **common)
    return StreamlineVAE(
        preprocessing,
        kl_weight=settings.kl_weight,
        kl_annealing=settings.kl_annealing,
        epsilon_std=settings.epsilon_std,
        **common,
    )


class ShuffledRows(keras.utils.PyDataset):
    """Batches of rows of an array, in an order that seed and epoch decide.

    Keras' own shuffling cannot be taken up in the middle of a training; on TensorFlow,
    once a seed is set, it also gives every epoch the same order.

    Parameters
    ----------
    inputs : ndarray, shape (n_rows, ...)
        What to go through.
    batch_size : int
        Rows per batch; the last one may have fewer.
    seed : int
        Of the orders.
    """

    def __init__(self, inputs, batch_size, seed):
        super().__init__()
        self.inputs = inputs
        self.batch_size = batch_size
        self.seed = seed
        self.order = np.arange(len(inputs))

    def shuffle(self, epoch):
        """Take the order of an epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.
        """
        rng = np.random.default_rng([self.seed, epoch])
        self.order = rng.permutation(len(self.inputs))

    def callback(self):
        """Give what shuffles at the beginning of each epoch.

        Returns
        -------
        callback : keras.callbacks.Callback
            For ``fit``; hooks of the data set itself do not know the epoch.
        """
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.shuffle(epoch)
        )

    @property
    def num_batches(self):
        """Batches of an epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def __getitem__(self, number):
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return (self.inputs[self.order[rows]],)


@contextmanager
def dtype_policy(name):
    """Make layers of a Keras dtype policy inside the context.

    Parameters
    ----------
    name : str
        Of the policy.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def steps_at_once(settings, steps_per_epoch):
    """Choose how many steps the backend runs for one call from Python.

    Parameters
    ----------
    settings : TrainingSettings
        Its backbone is used.
    steps_per_epoch : int
        Steps of an epoch.

    Returns
    -------
    steps : int
        For ``compile``.
    """
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    # Convolutions take long beside the call; older versions of Keras unrolled steps.
    if settings.backbone != "dense" or version < (3, 15):
        return 1
    return max(1, min(STEPS_AT_ONCE, steps_per_epoch))


def learning_rate(settings, total_steps):
    """Rate of the optimiser, constant or warmed up and then falling by a cosine.

    Parameters
    ----------
    settings : TrainingSettings
        Its ``highest_rate`` and ``rate_schedule`` are used.
    total_steps : int
        Steps of the whole training.

    Returns
    -------
    rate : float or keras.optimizers.schedules.CosineDecay
        For a Keras optimiser.
    """
    highest = settings.highest_rate
    if not settings.rate_schedule:
        return highest
    warmup_steps = max(1, int(WARMUP_SHARE * total_steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=highest / 100,
        warmup_target=highest,
        warmup_steps=warmup_steps,
        decay_steps=max(1, total_steps - warmup_steps),
    )


def evaluate(trainer, inputs, settings):
    """Reconstruction error, from the posterior mean.

    Parameters
    ----------
    trainer : keras.Model
        Compiled; a model, or its form on coefficients.
    inputs : ndarray, float32
        What it takes.
    settings : TrainingSettings
        Its batch size is used.

    Returns
    -------
    error : float
        Root mean squared point distance, mm.
    """
    values = trainer.evaluate(
        inputs,
        batch_size=max(settings.batch_size, 512),
        verbose=0,
        return_dict=True,
    )
    return float(values["error_mm"])


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
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(points))[:STATISTICS_SAMPLE]
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
