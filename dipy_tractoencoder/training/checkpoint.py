"""Save the full training state so that an interrupted training resumes exactly.

Keras' ``BackupAndRestore`` saves weights and optimiser, but neither the state of the
callbacks (best epoch and its weights, history) nor the seeds of random layers, and it
overwrites its file in place. Here all of that is one file of named arrays, which is
written completely or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    OutputFileError,
    TrainingDivergedError,
    format_received,
)
from dipy_tractoencoder.io.checks import DAMAGE
from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.training.checkpoint_checks import (
    PARTS,
    FitState,
    check_phases,
    read_arrays,
)
from dipy_tractoencoder.utils.atomic_files import whole_file

if TYPE_CHECKING:
    import keras

    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
    from dipy_tractoencoder.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2  # 1 named the data by all points.
EXTENSION = ".checkpoint.npz"
SECONDS_BETWEEN_WRITES = 5.0
SECONDS_AFTER_FAILURE = 60.0
WRITING_FRACTION = 0.02  # Of the training time, at most.
SECONDS_BETWEEN_COPIES = 1.0  # In memory; written when the training is interrupted.
ABOUT = "about"
MOST_NAMED = 10  # Settings in a message.
ANEW = "start anew without `resume`"


def checkpoint_path(model_path: str | Path) -> Path:
    """Return the path of the checkpoint that belongs to a model file.

    Parameters
    ----------
    model_path : str or Path
        Model file that the training will write.

    Returns
    -------
    path : Path
        Checkpoint in the same folder.
    """
    model_path = Path(model_path)
    return model_path.with_name(model_path.stem + EXTENSION)


class Checkpoint:
    """Checkpoint file of a training.

    As a context manager it writes the latest state when the training is interrupted or
    fails.

    Parameters
    ----------
    path : str or Path
        Checkpoint file.
    settings : TrainingSettings
        Settings of the training.
    versions : dict of str
        Software versions, from `nn.provenance.software_versions`.
    resume : bool, optional
        Resume from the file if it exists; otherwise it will be replaced.

    Raises
    ------
    InputFileError
        If the file is damaged, or belongs to a training with other settings or another
        backend.
    """

    def __init__(
        self,
        path: str | Path,
        settings: TrainingSettings,
        versions: dict,
        *,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.about = {
            "format_version": FORMAT_VERSION,
            "settings": settings.to_dict(),
            "versions": versions,
            "data": None,
        }
        self.states: dict[str, FitState] = {}
        self.resumed_data = None
        self._written = True
        self._kept_at = self._written_at = time.monotonic()
        self._pause = SECONDS_BETWEEN_WRITES
        if resume and self.path.is_file():
            self._read()
        elif resume:
            logger.info(
                "No interrupted training in %s: starting from the beginning.", self.path
            )

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            return
        if issubclass(kind, TrainingDivergedError):
            self.remove()  # It would only diverge again.
            return
        if not self._written:
            self._try_to_write()
        elif issubclass(kind, InputFileError):
            return  # It cannot be resumed.
        if self.states and self.path.is_file():
            logger.warning(
                "The state of the training is saved in %s (%s). To resume, repeat the "
                "training with `resume`.",
                self.path,
                self._where(),
            )

    def bind(
        self, points: np.ndarray, held_out: np.ndarray, preprocessing: Preprocessing
    ) -> None:
        """Bind the checkpoint to the streamlines of the training.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            All streamlines, normalised.
        held_out : ndarray, shape (n_streamlines,), bool
            True for validation streamlines.
        preprocessing : Preprocessing
            Preprocessing of the streamlines.

        Raises
        ------
        InputFileError
            If the training to resume used other streamlines.
        """
        digest = hashlib.sha256(json.dumps(preprocessing.to_dict()).encode())
        for array in (points, held_out):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        self.about["data"] = digest.hexdigest()
        if self.states and self.resumed_data != self.about["data"]:
            raise self._refusal("of a training on other streamlines")
        if self.states:
            logger.info("Resuming from %s (%s).", self.path, self._where())

    def wants_state(self) -> bool:
        """Return whether a new copy of the state is due; see `keep`."""
        return time.monotonic() - self._kept_at >= SECONDS_BETWEEN_COPIES

    def keep(self, phase: str, state: FitState) -> None:
        """Store the state of a fit, and write it unless the last write was recent.

        Parameters
        ----------
        phase : str
            Name of the fit.
        state : FitState
            State of the fit; its arrays must not be changed afterwards.
        """
        self.states[phase] = state
        self._written = False
        self._kept_at = time.monotonic()
        if self._kept_at - self._written_at >= self._pause:
            self._try_to_write()

    def write(self) -> None:
        """Write all states to the file, completely or not at all."""
        start = time.monotonic()
        arrays = {}
        phases = {}
        for phase, state in self.states.items():
            values = dict(vars(state))
            for part in PARTS:
                for number, array in enumerate(values.pop(part)):
                    arrays[f"{phase}/{part}/{number:05d}"] = array
            phases[phase] = values
        about = json.dumps({**self.about, "phases": phases})
        contents: dict[str, Any] = {ABOUT: np.array(about), **arrays}
        with whole_file(self.path) as partial, open(partial, "wb") as file:
            np.savez(file, **contents)
        self._written = True
        self._written_at = time.monotonic()
        took = self._written_at - start
        self._pause = max(SECONDS_BETWEEN_WRITES, took / WRITING_FRACTION)

    def _try_to_write(self):
        """Write the file; a full disk gives a warning, not an error."""
        try:
            self.write()
        except OutputFileError as err:
            self._written_at = time.monotonic()
            self._pause = SECONDS_AFTER_FAILURE
            logger.warning("%s The training continues without a checkpoint.", err)

    def remove(self) -> None:
        """Delete the file, once its model has been written."""
        self.path.unlink(missing_ok=True)

    def _where(self):
        phase, state = list(self.states.items())[-1]
        return f"{phase}, after epoch {state.epoch}"

    def _read(self):
        try:
            arrays = read_arrays(self.path)
            about = json.loads(str(arrays.pop(ABOUT)))
            version = about["format_version"]
            if version == FORMAT_VERSION:
                self._check(about)
                states = check_phases(about["phases"], arrays, self.about["settings"])
                self.states = {
                    name: FitState(**state) for name, state in states.items()
                }
        except (*DAMAGE, AttributeError) as err:
            if isinstance(err, InputFileError) and ANEW in str(err):
                raise
            text = " ".join(str(err).split())
            raise self._refusal(f"damaged ({type(err).__name__}: {text})") from err
        if version != FORMAT_VERSION:
            raise self._refusal(
                f"of version {format_received(version)}, not {FORMAT_VERSION}"
            )
        self.resumed_data = about["data"]

    def _check(self, about):
        """Raise an error unless the checkpoint is of a training with these settings."""
        here = self.about["settings"]
        other = {
            name: (about["settings"].get(name), here.get(name))
            for name in sorted({*about["settings"], *here})
            if about["settings"].get(name) != here.get(name)
        }
        if other:
            text = ", ".join(
                f"{short(name)}={format_received(was)} not {now!r}"
                for name, (was, now) in list(other.items())[:MOST_NAMED]
            )
            raise self._refusal(f"of a training with other settings ({text})")
        was, now = about["versions"], self.about["versions"]
        if was["backend"] != now["backend"]:
            raise self._refusal(
                f"of the {format_received(was['backend'])} backend (set KERAS_BACKEND "
                "to resume it)"
            )
        changed = [name for name in now if was.get(name) != now[name]]
        if changed:
            logger.warning(
                "%s was written with other versions of %s: the result may differ in "
                "its last digits.",
                self.path,
                ", ".join(changed),
            )

    def _refusal(self, what):
        return cannot_resume(self.path, what)


def cannot_resume(path: str | Path, what: str) -> InputFileError:
    """Create the error for a checkpoint that cannot be used.

    Parameters
    ----------
    path : str or Path
        Checkpoint file.
    what : str
        What it is instead.

    Returns
    -------
    error : InputFileError
        The error, to be raised.
    """
    return InputFileError(
        f"Cannot resume from {path}: it is {what}. Give the options and files it was "
        f"started with, or {ANEW}."
    )


def variables_of(trainer: keras.Model) -> list[keras.Variable]:
    """Return all variables of a compiled model that training changes.

    Parameters
    ----------
    trainer : keras.Model
        Compiled model whose weights exist.

    Returns
    -------
    variables : list of keras.Variable
        Weights, seeds of random layers and variables of the optimiser, in a fixed
        order.
    """
    trainer.optimizer.build(trainer.trainable_variables)
    return [*trainer.variables, *trainer.optimizer.variables]
