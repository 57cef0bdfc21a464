"""Batches of training streamlines, in an order given by seed and epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    from dipy_tractoencoder.training.settings import TrainingSettings

# For small networks, where calling a step costs as much as the step itself.
STEPS_AT_ONCE = 25


class ShuffledRows(keras.utils.PyDataset):
    """Batches of the rows of an array, shuffled anew in each epoch.

    The order depends on seed and epoch only, so that a resumed training sees the same
    batches. Keras' own shuffling cannot be resumed in the middle of a training; on
    TensorFlow, once a seed is set, it also gives every epoch the same order.

    Parameters
    ----------
    inputs : ndarray, shape (n_rows, ...)
        Array to take batches from.
    batch_size : int
        Rows per batch; the last batch may have fewer.
    seed : int
        Seed of the orders.
    """

    def __init__(self, inputs: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.batch_size = batch_size
        self.seed = seed
        self.order = np.arange(len(inputs), dtype=np.int32)

    def shuffle(self, epoch: int) -> None:
        """Set the order of an epoch.

        Parameters
        ----------
        epoch : int
            Index of the epoch, from 0.
        """
        self.order = np.arange(len(self.inputs), dtype=np.int32)
        np.random.default_rng([self.seed, epoch]).shuffle(self.order)

    def callback(self) -> keras.callbacks.Callback:
        """Return a callback that shuffles at the beginning of each epoch.

        Returns
        -------
        callback : keras.callbacks.Callback
            For ``fit``; the hooks of a Keras data set do not know the epoch.
        """
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.shuffle(epoch)
        )

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def __getitem__(self, number):
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return (self.inputs[self.order[rows]],)


def steps_at_once(settings: TrainingSettings, steps_per_epoch: int) -> int:
    """Choose how many training steps one call from Python runs.

    Parameters
    ----------
    settings : TrainingSettings
        Its backbone is used.
    steps_per_epoch : int
        Training steps per epoch.

    Returns
    -------
    steps : int
        Value of ``steps_per_execution`` for ``compile``.
    """
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    # With convolutions the call hardly counts; older versions of Keras unrolled steps.
    if settings.backbone != "dense" or version < (3, 15):
        return 1
    return max(1, min(STEPS_AT_ONCE, steps_per_epoch))
