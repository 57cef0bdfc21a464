"""What watches the training: best weights, progress, values that are not finite."""

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.errors import TrainingDivergedError
from dipy_tractoencoder.training.checkpoint import FitState, variables_of

CHECK_EVERY = 50  # batches; reading a loss waits for the device


class KeepBest(keras.callbacks.Callback):
    """Stop early, and keep the best weights, the untrained ones included.

    With the linear skip the untrained model is PCA: where no epoch of training
    beats it on the validation streamlines, it is what is kept. Keras' own
    ``EarlyStopping`` cannot count the start as an epoch.

    Parameters
    ----------
    initial : float
        The monitored value before training.
    patience : int or None
        Epochs without improvement after which training stops; None never stops it.
    monitor : str, optional
        Quantity watched; less is better.

    Attributes
    ----------
    best_epoch : int
        Epochs of training behind the best weights.
    best_weights : list of ndarray
        Those weights; empty before training.
    """

    def __init__(self, initial, patience, monitor="val_error_mm"):
        super().__init__()
        self.best = initial
        self.patience = patience
        self.monitor = monitor
        self.best_epoch = 0
        self.best_weights = []

    def resume(self, state):
        """Take up what was known when a training stopped.

        Parameters
        ----------
        state : FitState
            Of it.
        """
        self.best, self.best_epoch = state.best, state.best_epoch
        self.best_weights = state.best_weights

    def on_train_begin(self, logs=None):
        """Keep the untrained weights, unless a training goes on."""
        if not self.best_weights:
            self.best_weights = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights if they are the best so far; stop if none were lately."""
        if logs[self.monitor] < self.best:
            self.best = logs[self.monitor]
            self.best_epoch = epoch + 1
            self.best_weights = self.model.get_weights()
        elif self.patience and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Put the best weights back, whether training was stopped early or not."""
        self.model.set_weights(self.best_weights)


class StopOnNonFinite(keras.callbacks.Callback):
    """End the training with an error once the loss is nan or infinite."""

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss now and then; ``batch`` may move in larger steps."""
        if batch >= self.next_check:
            self.next_check = batch + CHECK_EVERY
            self._check(logs, f"batch {batch + 1}")

    def on_epoch_begin(self, epoch, logs=None):
        """Remember the epoch for the message."""
        self.epoch, self.next_check = epoch, 0

    def on_epoch_end(self, epoch, logs=None):
        """Look at the loss, training and validation."""
        self._check(logs, "its end")

    def _check(self, logs, where):
        for name, value in (logs or {}).items():
            check_finite(f"{name} in epoch {self.epoch + 1} (at {where})", value)


def check_finite(what, value):
    """Raise if a training has gone astray.

    Parameters
    ----------
    what : str
        What is looked at, for the message.
    value : float
        Its value.

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
    """One bar over the epochs with errors in mm and nats; log lines off a terminal.

    Parameters
    ----------
    epochs : int
        Epochs to come.
    logger : logging.Logger
        Gets a line ten times per training where no bar is shown.
    initial : int, optional
        Epochs done before.
    """

    def __init__(self, epochs, logger, initial=0):
        super().__init__()
        self.epochs = epochs
        self.logger = logger
        self.initial = initial

    def on_train_begin(self, logs=None):
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

    def on_epoch_end(self, epoch, logs=None):
        """Move the bar; log a line now and then."""
        shown = {"train": f"{logs['error_mm']:.3f} mm"}
        if "val_error_mm" in logs:
            shown["validation"] = f"{logs['val_error_mm']:.3f} mm"
        if "kl_nats" in logs:
            shown["KL"] = f"{logs['kl_nats']:.1f} nats"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()
        if self.bar.disable and (epoch + 1) % max(1, self.epochs // 10) == 0:
            text = ", ".join(f"{name} {value}" for name, value in shown.items())
            self.logger.info("Epoch %d of %d: %s", epoch + 1, self.epochs, text)

    def on_train_end(self, logs=None):
        """Close the bar."""
        self.bar.close()


class LogLearningRate(keras.callbacks.Callback):
    """Put the learning rate at the end of each epoch into the history.

    Parameters
    ----------
    rate : float or keras.optimizers.schedules.LearningRateSchedule
        Rate, or its schedule over the steps.
    steps_per_epoch : int
        Steps of an epoch.
    """

    def __init__(self, rate, steps_per_epoch):
        super().__init__()
        self.rate = rate
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch, logs=None):
        """Add the rate to the epoch's values."""
        rate = self.rate
        if callable(rate):
            rate = rate((epoch + 1) * self.steps_per_epoch)
        logs["learning_rate"] = float(rate)


class KeepState(keras.callbacks.Callback):
    """Hand the state of the training to a checkpoint now and then.

    Called after all others, so that what they know of the epoch is in it.

    Parameters
    ----------
    checkpoint : Checkpoint
        Takes it.
    phase : str
        Name of this fit.
    epochs : int
        Epochs of the whole fit.
    keep_best : KeepBest or None
        Knows the best weights.
    history : dict of list of float
        Quantities of the epochs done before.
    """

    def __init__(self, checkpoint, phase, epochs, keep_best, history):
        super().__init__()
        self.checkpoint = checkpoint
        self.phase = phase
        self.epochs = epochs
        self.keep_best = keep_best
        self.history = {name: list(values) for name, values in history.items()}

    def on_epoch_end(self, epoch, logs=None):
        """Note the epoch; copy everything if the last copy is old or this the end."""
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
            best=best and float(best.best),
            best_epoch=best.best_epoch if best else 0,
            # Copies: the backend may use the memory again.
            variables=[
                np.array(ops.convert_to_numpy(variable))
                for variable in variables_of(self.model)
            ],
            best_weights=best.best_weights if best else [],
        )
        self.checkpoint.keep(self.phase, state)
