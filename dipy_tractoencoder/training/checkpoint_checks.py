"""Check the content of a checkpoint before a training is resumed from it.

A checkpoint decides what is trained: an epoch number beyond the last one would end the
training, a step number the learning rate, and so on. What contradicts the settings or
itself is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
import zipfile

import numpy as np

from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.io.zip_arrays import ZipArrays

if TYPE_CHECKING:
    import keras

PHASES = ("training", "refit")
PARTS = ("variables", "best_weights")
VALUES = {"epoch", "done", "history", "best", "best_epoch"}
# Quantities of every training; their values are finite, or it would have stopped.
OWN = {"loss", "error_mm", "learning_rate"}
MONITORED = "val_error_mm"


@dataclass(frozen=True)
class FitState:
    """Full state of a fit after a whole number of epochs.

    Attributes
    ----------
    epoch : int
        Number of epochs done.
    done : bool
        Whether the fit is over: all epochs are done, or it was stopped early.
    history : dict of list of float
        Values of each quantity, one per epoch.
    best : float or None
        Lowest monitored value; None without validation.
    best_epoch : int
        Epoch with the lowest monitored value.
    variables : list of ndarray
        Weights, seeds of random layers and variables of the optimiser.
    best_weights : list of ndarray
        Weights of the best epoch; empty without validation.
    """

    epoch: int = 0
    done: bool = False
    history: dict = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    variables: list = field(default_factory=list)
    best_weights: list = field(default_factory=list)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of an uncompressed NPZ file.

    `numpy.load` would allocate what the header of each array claims.

    Parameters
    ----------
    path : str or Path
        File written by `numpy.savez`.

    Returns
    -------
    arrays : dict of ndarray
        Numbers and texts by name; together they are not larger than the file.

    Raises
    ------
    InputFileError, ValueError, OSError, zipfile.BadZipFile
        If the file is damaged, compressed, or has arrays of other types.
    """
    arrays = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = ZipArrays(path, file, archive).members  # Checks positions and sizes.
        for name, info in members.items():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its part {short(name)} is compressed")
            arrays[name.removesuffix(".npy")] = _array(archive.read(name), name)
    return arrays


def _array(content, name):
    """Return the array that an NPY file contains, without a copy."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"its part {short(name)} has the format {version}")
    shape, in_columns, dtype = readers[version](file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "biufU" or size != len(content) - file.tell():
        raise ValueError(f"its part {short(name)} is not an array {dtype}{shape}")
    values = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if in_columns else "C")


def check_phases(
    phases: Any, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Raise an error unless the states of a checkpoint fit the settings.

    Parameters
    ----------
    phases : dict of dict
        Values of `FitState` but its arrays, by name of the fit, as read from JSON.
    arrays : dict of ndarray
        Arrays of all states, as read by `read_arrays`.
    settings : dict
        Settings of the training, which are trusted.

    Returns
    -------
    states : dict of dict
        Arguments of `FitState` by name of the fit, in the order of the fits.

    Raises
    ------
    ValueError
        If a value is missing, of another type, or contradicts another.
    """
    if not isinstance(phases, dict) or not phases or not phases.keys() <= {*PHASES}:
        raise ValueError("it has no state of a training")
    states: dict[str, dict[str, Any]] = {}
    left = set(arrays)
    n_epochs = settings["epochs"]
    for phase in sorted(phases, key=PHASES.index):
        values = phases[phase]
        if phase == "refit":
            first = states.get("training")
            if not (settings["refit"] and first and first["done"]):
                raise ValueError("it has a second fit, but no end of the first")
            n_epochs = first["best_epoch"]
        parts = {}
        for part in PARTS:
            names = sorted(n for n in left if n.startswith(f"{phase}/{part}/"))
            if names != [f"{phase}/{part}/{i:05d}" for i in range(len(names))]:
                raise ValueError(f"some of the {part} of its {phase} are missing")
            left -= set(names)
            parts[part] = [arrays[name] for name in names]
        _check_state(values, parts, n_epochs)
        states[phase] = {**values, **parts}
    if left:
        raise ValueError(f"it has an unknown array {short(min(left))}")
    return states


def _check_state(values, parts, n_epochs):
    """Raise an error unless the values of a state fit each other."""
    if not isinstance(values, dict) or values.keys() != VALUES:
        raise ValueError("its state does not have the values of one")
    epoch, done, best_epoch = (values[name] for name in ("epoch", "done", "best_epoch"))
    if type(epoch) is not int or not 1 <= epoch <= n_epochs:
        raise ValueError(f"it says that epoch {epoch!r} of {n_epochs} is done")
    if type(done) is not bool or (epoch == n_epochs and not done):
        raise ValueError(f"after epoch {epoch} of {n_epochs}, `done` is {done!r}")
    if type(best_epoch) is not int or not 0 <= best_epoch <= epoch:
        raise ValueError(f"its best epoch is {best_epoch!r} of {epoch}")
    history = values["history"]
    _check_history(history, epoch)
    for part in PARTS:
        for array in parts[part]:
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                raise ValueError(f"some of its {part} are not finite numbers")
    best = values["best"]
    has_validation = MONITORED in history
    if (best is not None, bool(parts["best_weights"])) != (has_validation,) * 2:
        raise ValueError("it has only a part of the state of a validation")
    if not has_validation:
        if best_epoch:
            raise ValueError("it has a best epoch, but no validation")
        return
    errors = history[MONITORED]
    lowest = errors[best_epoch - 1] if best_epoch else best
    if not _is_finite(best) or not 0 <= best == lowest <= min(errors):
        raise ValueError(f"its lowest error {best!r} is not that of epoch {best_epoch}")


def _check_history(history, epoch):
    """Raise an error unless a history has one number per epoch."""
    if not isinstance(history, dict) or not history.keys() >= OWN:
        raise ValueError("its history does not have the quantities of a training")
    for name, values in history.items():
        own = name.removeprefix("val_") in OWN
        # Callbacks of the user may have added others.
        check = _is_finite if own else _is_number
        if not isinstance(values, list) or len(values) != epoch:
            raise ValueError(
                f"the history of {short(name)} is not one of {epoch} epochs"
            )
        if not all(map(check, values)):
            raise ValueError(
                f"the history of {short(name)} has values that no error has"
            )


def _is_number(value):
    return type(value) in (int, float)


def _is_finite(value):
    return _is_number(value) and abs(value) < math.inf


def check_variables(
    variables: list[keras.Variable],
    arrays: list[np.ndarray],
    counters: list[keras.Variable],
    n_steps: int,
    rate: tuple[keras.Variable, float] | None = None,
) -> None:
    """Raise an error unless arrays can be the values of the variables of a training.

    Parameters
    ----------
    variables : list of keras.Variable
        Variables of the compiled model.
    arrays : list of ndarray
        A value for each of them.
    counters : list of keras.Variable
        Those of ``variables`` that count the training steps.
    n_steps : int
        Number of training steps done.
    rate : tuple of keras.Variable and float, optional
        A constant learning rate, and its value.

    Raises
    ------
    ValueError
        If a shape, a type, a counter or the learning rate is another.
    """
    wanted = [tuple(variable.shape) for variable in variables]
    if wanted != [array.shape for array in arrays]:
        raise ValueError("its arrays are not those of this model")
    for variable, array in zip(variables, arrays):
        if ("float" in str(variable.dtype)) != (array.dtype.kind == "f"):
            raise ValueError(f"its {variable.path} has the type {array.dtype}")
        if any(variable is counter for counter in counters) and array != n_steps:
            raise ValueError(
                f"its {variable.path} counts {array} training steps, not {n_steps}"
            )
        if rate is not None and variable is rate[0] and array != np.float32(rate[1]):
            raise ValueError(f"its learning rate is {array}, not {rate[1]:g}")
        if variable.path.endswith("moving_variance") and (array < 0).any():
            raise ValueError(f"its {variable.path} has negative variances")
