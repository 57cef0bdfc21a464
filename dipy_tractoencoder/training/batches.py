"""What a fit needs besides Keras' own: the model, order, schedule, statistics."""

import math

import keras
import numpy as np

STEPS_AT_ONCE = 25  # of small networks, for which the call costs as much as the step


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
