"""The state of a training on disk, from which it goes on as if never stopped.

Keras' ``BackupAndRestore`` keeps weights and the optimiser, but not what its callbacks
know (best epoch and its weights, history) nor the seeds of random layers, and it writes
in place; here all of that is one file of named arrays, written whole or not at all.
"""

from dataclasses import dataclass, field
import hashlib
import json
import logging
from pathlib import Path
import time
import zipfile

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    OutputFileError,
    TrainingDivergedError,
)
from dipy_tractoencoder.utils.atomic_files import whole_file

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
EXTENSION = ".checkpoint.npz"
SECONDS_BETWEEN_WRITES = 5.0
SECONDS_AFTER_FAILURE = 60.0
WRITING_SHARE = 0.02  # of the time, at most
SECONDS_BETWEEN_COPIES = 1.0  # in memory, written when the training is stopped
ABOUT = "about"
PARTS = ("variables", "best_weights")
ANEW = "start anew without `resume` (--force instead of --resume)"


@dataclass(frozen=True)
class FitState:
    """Everything that a fit knows after a whole number of epochs.

    Attributes
    ----------
    epoch : int
        Epochs done.
    done : bool
        Whether the fit is over: all epochs are done, or it was stopped early.
    history : dict of list of float
        Quantities per epoch.
    best : float or None
        Lowest monitored value; None without validation.
    best_epoch : int
        Epoch it belongs to.
    variables : list of ndarray
        Weights, seeds and the optimiser's variables.
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


def checkpoint_path(model_path):
    """Name the file that a training is kept in until its model is written.

    Parameters
    ----------
    model_path : str or Path
        Model file to come.

    Returns
    -------
    path : Path
        Beside it.
    """
    model_path = Path(model_path)
    return model_path.with_name(model_path.stem + EXTENSION)


class Checkpoint:
    """File with the state of a training; a context that writes it when left by error.

    Parameters
    ----------
    path : str or Path
        The file.
    settings : TrainingSettings
        Of the training.
    versions : dict of str
        As `nn.provenance.software_versions` gives.
    resume : bool, optional
        Go on from the file, if there is one; otherwise it will be replaced.

    Raises
    ------
    InputFileError
        If the file is damaged, or of a training with other settings or backend.
    """

    def __init__(self, path, settings, versions, *, resume=False):
        self.path = Path(path)
        self.about = {
            "format_version": FORMAT_VERSION,
            "settings": settings.to_dict(),
            "versions": versions,
            "data": None,
        }
        self.states = {}
        self.resumed_data = None
        self._written = True
        self._kept_at = self._written_at = time.monotonic()
        self._pause = SECONDS_BETWEEN_WRITES
        if resume and self.path.is_file():
            self._read()
        elif resume:
            logger.info(
                "No stopped training in %s: starting from the beginning.", self.path
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
        if self.states and self.path.is_file():
            logger.warning(
                "The training is kept in %s, %s. The same once more with resume=True "
                "or --resume goes on from there.",
                self.path,
                self._where(),
            )

    def bind(self, points, held_out, preprocessing):
        """Tie the checkpoint to the streamlines it is made on.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            All streamlines, normalised.
        held_out : ndarray, shape (n_streamlines,), bool
            Which of them are for validation.
        preprocessing : Preprocessing
            What they went through.

        Raises
        ------
        InputFileError
            If the training to go on with was on other streamlines.
        """
        digest = hashlib.sha256(json.dumps(preprocessing.to_dict()).encode())
        for array in (points, held_out):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
        self.about["data"] = digest.hexdigest()
        if self.states and self.resumed_data != self.about["data"]:
            raise self._refusal("of a training on other streamlines")
        if self.states:
            logger.info("Going on from %s, %s.", self.path, self._where())

    def wants_state(self):
        """Tell whether it is time to look at the state again; see `keep`."""
        return time.monotonic() - self._kept_at >= SECONDS_BETWEEN_COPIES

    def keep(self, phase, state):
        """Take the state of a fit; write it unless that was done a moment ago.

        Parameters
        ----------
        phase : str
            Name of the fit.
        state : FitState
            Of it; its arrays must not be changed afterwards.
        """
        self.states[phase] = state
        self._written = False
        self._kept_at = time.monotonic()
        if self._kept_at - self._written_at >= self._pause:
            self._try_to_write()

    def write(self):
        """Write all states, whole or not at all."""
        start = time.monotonic()
        arrays, phases = {}, {}
        for phase, state in self.states.items():
            values = dict(vars(state))
            for part in PARTS:
                for number, array in enumerate(values.pop(part)):
                    arrays[f"{phase}/{part}/{number:05d}"] = array
            phases[phase] = values
        about = json.dumps({**self.about, "phases": phases})
        with whole_file(self.path) as partial, open(partial, "wb") as file:
            np.savez(file, **{ABOUT: np.array(about)}, **arrays)
        self._written = True
        self._written_at = time.monotonic()
        took = self._written_at - start
        self._pause = max(SECONDS_BETWEEN_WRITES, took / WRITING_SHARE)

    def _try_to_write(self):
        """Write, but let no full disk end the training; there may be room later."""
        try:
            self.write()
        except OutputFileError as err:
            self._written_at = time.monotonic()
            self._pause = SECONDS_AFTER_FAILURE
            logger.warning("%s The training goes on without it.", err)

    def remove(self):
        """Delete the file, once its model has been written."""
        self.path.unlink(missing_ok=True)

    def _where(self):
        phase, state = list(self.states.items())[-1]
        return f"{phase}, after epoch {state.epoch}"

    def _read(self):
        try:
            with np.load(self.path, allow_pickle=False) as file:
                about = json.loads(str(file[ABOUT]))
                version = about["format_version"]
                if version == FORMAT_VERSION:
                    self._check(about)
                    self.states = {
                        phase: FitState(**values, **_parts_of(file, phase))
                        for phase, values in about["phases"].items()
                    }
        except InputFileError:
            raise
        # A damaged archive leads its readers to all kinds.
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            zipfile.BadZipFile,
            zipfile.zlib.error,
            NotImplementedError,
        ) as err:
            raise self._refusal(f"damaged ({type(err).__name__}: {err})") from err
        if version != FORMAT_VERSION:
            raise self._refusal(f"of version {version}, not {FORMAT_VERSION}")
        self.resumed_data = about["data"]

    def _check(self, about):
        """Raise unless the training to go on with was this one."""
        here = self.about["settings"]
        other = {
            name: (about["settings"].get(name), here.get(name))
            for name in sorted({*about["settings"], *here})
            if about["settings"].get(name) != here.get(name)
        }
        if other:
            text = ", ".join(
                f"{name}={was!r} not {now!r}" for name, (was, now) in other.items()
            )
            raise self._refusal(f"of a training with other settings ({text})")
        was, now = about["versions"], self.about["versions"]
        if was["backend"] != now["backend"]:
            raise self._refusal(
                f"of the {was['backend']} backend (set KERAS_BACKEND to go on with it)"
            )
        changed = [name for name in now if was.get(name) != now[name]]
        if changed:
            logger.warning(
                "%s was made with other versions of %s: the result may differ in its "
                "last digits.",
                self.path,
                ", ".join(changed),
            )

    def _refusal(self, what):
        return InputFileError(
            f"Cannot resume from {self.path}: it is {what}. Give the options and files "
            f"it was started with, or {ANEW}."
        )


def _parts_of(file, phase):
    """Gather the lists of arrays of one phase."""
    names = sorted(name for name in file.files if name.startswith(f"{phase}/"))
    return {
        part: [file[name] for name in names if name.split("/")[1] == part]
        for part in PARTS
    }


def variables_of(trainer):
    """List everything that the steps of a compiled model change.

    Parameters
    ----------
    trainer : keras.Model
        Compiled, with weights.

    Returns
    -------
    variables : list of keras.Variable
        Weights, seeds and the optimiser's variables, in a fixed order.
    """
    trainer.optimizer.build(trainer.trainable_variables)
    return [*trainer.variables, *trainer.optimizer.variables]


def put_back(trainer, state, path):
    """Give a compiled model the variables it had.

    Parameters
    ----------
    trainer : keras.Model
        Compiled, of the same settings.
    state : FitState
        What to put back.
    path : Path
        Where the state comes from, for the message.

    Raises
    ------
    InputFileError
        If the state belongs to another model.
    """
    variables = variables_of(trainer)
    wanted = [tuple(variable.shape) for variable in variables]
    if wanted != [array.shape for array in state.variables]:
        raise InputFileError(
            f"Cannot resume from {path}: its arrays are not those of this model. Give "
            f"the options it was started with, or {ANEW}."
        )
    for variable, array in zip(variables, state.variables):
        variable.assign(array)
