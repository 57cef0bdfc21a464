"""Keras callbacks: keep the best weights, show progress, stop on non-finite values."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.errors import TrainingDivergedError
from dipy_tractoencoder.training.checkpoint import FitState, variables_of

if TYPE_CHECKING:
    from dipy_tractoencoder.training.checkpoint import Checkpoint

CHECK_EVERY = 50  # Batches; reading the loss waits for the device.


class KeepBest(keras.callbacks.Callback):
    """Keep the weights of the best epoch, the untrained ones included; stop early.

    With the linear skip the untrained model is PCA: if no epoch has a lower validation
    error, PCA is kept. Keras' own ``EarlyStopping`` does not consider the weights
    before training.

    Parameters
    ----------
    initial : float
        Monitored value before training.
    patience : int or None
        Epochs without improvement after which training stops; None never stops early.
    monitor : str, optional
        Name of the monitored quantity; lower is better.

    Attributes
    ----------
    best_epoch : int
        Number of epochs after which the best weights were reached.
    best_weights : list of ndarray
        The best weights; empty before training.
    """

    def __init__(
        self, initial: float, patience: int | None, monitor: str = "val_error_mm"
    ) -> None:
        super().__init__()
        self.best = initial
        self.patience = patience
        self.monitor = monitor
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] = []

    def resume(self, state: FitState) -> None:
        """Restore the best weights of an interrupted training.

        Parameters
        ----------
        state : FitState
            State of the interrupted training.
        """
        if state.best is not None:
            self.best = state.best
        self.best_epoch = state.best_epoch
        self.best_weights = state.best_weights

    def on_train_begin(self, logs: Any = None) -> None:
        """Keep the untrained weights, unless a training is resumed."""
        if not self.best_weights:
            self.best_weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the weights if they are the best so far; stop if patience is over."""
        if logs[self.monitor] < self.best:
            self.best = logs[self.monitor]
            self.best_epoch = epoch + 1
            self.best_weights = self.model.get_weights()
        elif self.patience and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Restore the best weights, whether training was stopped early or not."""
        self.model.set_weights(self.best_weights)


class StopOnNonFinite(keras.callbacks.Callback):
    """Stop the training with an error when the loss is nan or infinite."""

    epoch = next_check = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check the loss every 50 batches; ``batch`` may advance by more than 1."""
        if batch >= self.next_check:
            self.next_check = batch + CHECK_EVERY
            self._check(logs, f"batch {batch + 1}")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Store the epoch for the error message."""
        self.epoch, self.next_check = epoch, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check training and validation loss."""
        self._check(logs, "its end")

    def _check(self, logs, where):
        for name, value in (logs or {}).items():
            check_finite(f"{name} in epoch {self.epoch + 1} (at {where})", value)


def check_finite(what: str, value: float) -> None:
    """Raise an error if a quantity of the training is not finite.

    Parameters
    ----------
    what : str
        Name of the quantity, for the message.
    value : float
        Value to check.

    Raises
    ------
    TrainingDivergedError
        If the value is nan or infinite.
    """
    if not np.isfinite(float(value)):
        raise TrainingDivergedError(
            f"Training stopped: {what} is {float(value)}. Lower the learning rate, "
            "keep gradient clipping and normalisation on, and look for extreme "
            "coordinates in the data."
        )


class Progress(keras.callbacks.Callback):
    """Show a progress bar over the epochs, or log lines where there is no terminal.

    Parameters
    ----------
    epochs : int
        Epochs of the whole training.
    logger : logging.Logger
        Receives about ten lines per training where no bar is shown.
    initial : int, optional
        Epochs done before, in a resumed training.
    """

    def __init__(self, epochs: int, logger: logging.Logger, initial: int = 0) -> None:
        super().__init__()
        self.epochs = epochs
        self.logger = logger
        self.initial = initial

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm

        self.bar = tqdm(
            total=self.epochs,
            initial=self.initial,
            desc="Training",
            unit="epoch",
            disable=None,
            leave=False,
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Advance the bar, or log a line after every tenth of the epochs."""
        metrics = {"train": f"{logs['error_mm']:.3f} mm"}
        if "val_error_mm" in logs:
            metrics["validation"] = f"{logs['val_error_mm']:.3f} mm"
        if "kl_nats" in logs:
            metrics["KL"] = f"{logs['kl_nats']:.1f} nats"
        self.bar.set_postfix(metrics, refresh=False)
        self.bar.update()
        if self.bar.disable and (epoch + 1) % max(1, self.epochs // 10) == 0:
            text = ", ".join(f"{name} {value}" for name, value in metrics.items())
            self.logger.info("Epoch %d of %d: %s", epoch + 1, self.epochs, text)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self.bar.close()


class LogLearningRate(keras.callbacks.Callback):
    """Record the learning rate at the end of each epoch in the history.

    Parameters
    ----------
    rate : float or keras.optimizers.schedules.LearningRateSchedule
        Learning rate, or its schedule over the steps.
    steps_per_epoch : int
        Training steps per epoch.
    """

    def __init__(
        self,
        rate: float | keras.optimizers.schedules.LearningRateSchedule,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the learning rate to the epoch's values."""
        rate = self.rate
        if callable(rate):
            rate = rate((epoch + 1) * self.steps_per_epoch)
        logs["learning_rate"] = float(rate)


class KeepState(keras.callbacks.Callback):
    """Pass the state of the training to a checkpoint after an epoch.

    It has to be the last callback, so that the state includes that of all others.

    Parameters
    ----------
    checkpoint : Checkpoint
        Checkpoint that stores the state.
    phase : str
        Name of this fit in the checkpoint.
    epochs : int
        Epochs of the whole fit.
    keep_best : KeepBest or None
        Callback that holds the best weights; None without validation.
    history : dict of list of float
        Quantities of the epochs done before.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        phase: str,
        epochs: int,
        keep_best: KeepBest | None,
        history: dict,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.phase = phase
        self.epochs = epochs
        self.keep_best = keep_best
        self.history = {name: list(values) for name, values in history.items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch; copy the state if it is due, or if the fit is over."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        done = self.model.stop_training or epoch + 1 == self.epochs
        if not (done or self.checkpoint.wants_state()):
            return
        best = self.keep_best
        state = FitState(
            epoch=epoch + 1,
            done=bool(done),
            history={name: list(values) for name, values in self.history.items()},
            best=float(best.best) if best else None,
            best_epoch=best.best_epoch if best else 0,
            # Copies: the backend may reuse the memory.
            variables=[
                np.array(ops.convert_to_numpy(variable))
                for variable in variables_of(self.model)
            ],
            best_weights=best.best_weights if best else [],
        )
        self.checkpoint.keep(self.phase, state)
