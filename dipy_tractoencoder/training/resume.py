"""Restore the state of a fit from a checkpoint, after checking that it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.training.checkpoint import (
    FitState,
    cannot_resume,
    variables_of,
)
from dipy_tractoencoder.training.checkpoint_checks import check_variables
from dipy_tractoencoder.training.coefficient_trainer import evaluate

if TYPE_CHECKING:
    import keras

    from dipy_tractoencoder.training.callbacks import KeepBest
    from dipy_tractoencoder.training.settings import TrainingSettings

# Relative and absolute (mm) difference of an error that is measured again.
TOLERANCE, SMALL_ERROR = 0.05, 1e-3


def check_end(
    state: FitState, settings: TrainingSettings, path: Path, *, stoppable: bool
) -> None:
    """Raise an error if a fit is said to be over, but nothing has stopped it.

    Parameters
    ----------
    state : FitState
        State of the fit.
    settings : TrainingSettings
        Settings of the fit.
    path : Path
        Checkpoint file of the state, for the message.
    stoppable : bool
        Whether callbacks of the user may have stopped it.

    Raises
    ------
    InputFileError
        If epochs are left, and there was no reason to stop.
    """
    if not state.done or stoppable or state.epoch == settings.epochs:
        return
    waited = state.epoch - state.best_epoch
    if state.best is None or not settings.patience or waited < settings.patience:
        raise cannot_resume(
            path,
            f"damaged (it says that the training was over after epoch {state.epoch} of "
            f"{settings.epochs})",
        )


def put_back(
    trainer: keras.Model,
    state: FitState,
    path: Path,
    *,
    counters: Sequence[keras.Variable] = (),
    steps_per_epoch: int = 1,
    rate: float | None = None,
) -> None:
    """Restore the variables of a compiled model from a state.

    Parameters
    ----------
    trainer : keras.Model
        Compiled model with the same settings.
    state : FitState
        State to restore.
    path : Path
        Checkpoint file of the state, for the message.
    counters : sequence of keras.Variable, optional
        Variables that count training steps, in addition to that of the optimiser.
    steps_per_epoch : int, optional
        Training steps per epoch.
    rate : float, optional
        Learning rate, if it is constant.

    Raises
    ------
    InputFileError
        If the state belongs to another model or another number of steps.
    """
    variables = variables_of(trainer)
    optimizer = trainer.optimizer
    try:
        check_variables(
            variables,
            state.variables,
            [optimizer.iterations, *counters],
            state.epoch * steps_per_epoch,
            None if rate is None else (optimizer.learning_rate, rate),
        )
        kept = [tuple(weight.shape) for weight in trainer.weights]
        if state.best_weights and kept != [a.shape for a in state.best_weights]:
            raise ValueError("its best weights are not those of this model")
    except ValueError as err:
        raise cannot_resume(path, f"of another model or training ({err})") from err
    for variable, array in zip(variables, state.variables):
        variable.assign(array)


def resume_fit(
    trainer: keras.Model,
    state: FitState,
    settings: TrainingSettings,
    path: Path,
    restore: Callable[[], None],
    keep_best: KeepBest | None,
    held_out: Any,
) -> None:
    """Restore a state, after measuring whether its weights have the errors it says.

    Parameters
    ----------
    trainer : keras.Model
        Compiled model with the same settings.
    state : FitState
        State to restore.
    settings : TrainingSettings
        Settings of the fit.
    path : Path
        Checkpoint file of the state, for messages.
    restore : callable
        Restores the variables of the trainer, see `put_back`.
    keep_best : KeepBest or None
        Callback that keeps the best weights; None without validation.
    held_out : ndarray or None
        Validation input of the trainer.

    Raises
    ------
    InputFileError
        If the state belongs to another training, or its weights have other errors.
    """
    if (keep_best is None) != (state.best is None):
        raise cannot_resume(path, "of a training with another validation")
    restore()
    if keep_best is None:
        return
    last = state.history[keep_best.monitor][-1]
    measured = [(evaluate(trainer, held_out, settings), last)]
    trainer.set_weights(state.best_weights)
    measured.append((evaluate(trainer, held_out, settings), state.best))
    if not state.best_epoch:
        measured.append((keep_best.best, state.best))
    for found, stored in measured:
        if not np.isclose(found, stored, rtol=TOLERANCE, atol=SMALL_ERROR):
            raise cannot_resume(
                path,
                f"damaged (its weights have an error of {found:.4g} mm, but it says "
                f"{stored:.4g} mm)",
            )
    restore()
    keep_best.resume(state)
