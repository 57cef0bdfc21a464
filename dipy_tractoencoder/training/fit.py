"""Train a model on tractograms with Keras' ``fit``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
import gc
from importlib.util import find_spec
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    format_received,
)
from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.batch_norm import STATISTICS_SAMPLE, settle_statistics
from dipy_tractoencoder.nn.build import build_model, dtype_policy
from dipy_tractoencoder.nn.keras_settings import standard_keras
from dipy_tractoencoder.nn.provenance import TrainingRecord, software_versions
from dipy_tractoencoder.streamlines.metrics import length_range
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.batches import ShuffledRows, steps_at_once
from dipy_tractoencoder.training.callbacks import (
    KeepBest,
    KeepState,
    LogLearningRate,
    Progress,
    StopOnNonFinite,
    check_finite,
)
from dipy_tractoencoder.training.checkpoint import Checkpoint, FitState
from dipy_tractoencoder.training.coefficient_trainer import (
    Coefficients,
    evaluate,
    inputs_of,
    on_coefficients,
    trainer_of,
)
from dipy_tractoencoder.training.dataset import TrainingData, counts_of
from dipy_tractoencoder.training.measure import measured_run
from dipy_tractoencoder.training.reading import read_training_data, sides_of
from dipy_tractoencoder.training.reference import store_training_reference
from dipy_tractoencoder.training.resume import check_end, put_back, resume_fit
from dipy_tractoencoder.training.schedule import learning_rate
from dipy_tractoencoder.training.settings import TrainingSettings

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.training.coefficient_data import CoefficientData
    from dipy_tractoencoder.training.run import TrainingRun

logger = logging.getLogger(__name__)

# Folding linear layers pays for batches larger than this multiple of latent_dim.
FOLD_FACTOR = 2


def train_with_settings(
    tractograms: Any,
    settings: TrainingSettings,
    *,
    validation: Any = None,
    groups: Sequence[Any] | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    bundles: Sequence[str] | None = None,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> TrainingRun:
    """Train a model with settings in one record, and return the held-out streamlines.

    Parameters
    ----------
    tractograms : StatefulTractogram, or iterable of them or of sequences of ndarray
        Training tractograms, RASMM, mm; one item per file, for example. An array of
        shape (n_streamlines, n_points, 3) is one tractogram. An iterator can be read
        only once: resampled points are kept, 12 bytes times ``n_points`` per
        streamline. Otherwise a dense model keeps 260 bytes per streamline and reads
        three times.
    settings : TrainingSettings
        Settings of the training.
    validation : StatefulTractogram, or iterable as ``tractograms``, optional
        Validation tractograms, RASMM, mm, to choose the best epoch on; by default
        ``validation_fraction`` of the training streamlines is held out.
    groups : sequence, optional
        Label of each tractogram, such as its subject; tractograms with the same label
        are held out together.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space, for subjects in their own spaces;
        of the training tractograms, then of the validation tractograms.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram, so that subjects with the same bundles
        can be aligned by them.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    callbacks : sequence of keras.callbacks.Callback, optional
        Additional callbacks, called after those of this package. Their own state is
        not kept in the checkpoint.
    checkpoint : str or Path, optional
        File that stores the full training state every few seconds and when the
        training is interrupted. It stays when the training ends, and can be deleted
        once the model is saved.
    resume : bool, optional
        Resume the training from the checkpoint, if it exists. Given the same data,
        settings, backend and machine, the model is the same, bit for bit, as without
        the interruption.

    Returns
    -------
    run : TrainingRun
        Trained model with the weights of the best validation epoch, and the held-out
        streamlines with their reconstructions.

    Raises
    ------
    InvalidArgumentError
        If a setting is out of range, or something given is not a tractogram.
    EmptyDataError
        If no streamline is left to train on.
    TrainingDivergedError
        If the loss stops being finite.
    InputFileError
        If the checkpoint is damaged, or of another training.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> settings = dte.TrainingSettings(n_points=32, latent_dim=2, epochs=1)
    >>> run = dte.train_with_settings(made.tractogram(), settings)
    >>> run.model.record.settings["latent_dim"]
    2
    """
    if not isinstance(settings, TrainingSettings):
        raise InvalidArgumentError(
            "Invalid value received for `settings`. Expected `TrainingSettings`. "
            f"Received: {format_received(settings)}."
        )
    if tensorboard is not None and find_spec("tensorboard") is None:
        raise InvalidArgumentError(
            "Cannot write TensorBoard logs: TensorBoard is not installed. Install it "
            'with pip install "dipy_tractoencoder[tensorboard]".'
        )
    preprocessing = Preprocessing(
        n_points=settings.n_points,
        orientation=settings.orientation,
        min_length=settings.min_length,
        max_length=settings.max_length,
    )
    with standard_keras():  # Raises for wrong settings before reading.
        empty = build_model(preprocessing, settings)
    n_components = empty.principal.n_components
    keeper = None
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, settings, software_versions(), resume=resume)
    data, held_out = read_training_data(
        tractograms,
        preprocessing,
        settings,
        as_coefficients=on_coefficients(empty),
        validation=validation,
        groups=groups,
        alignments=alignments,
        bundles=bundles,
    )
    if isinstance(data, TrainingData):
        if keeper:
            keeper.bind(data.points, held_out, data.preprocessing)
    elif keeper:
        keeper.bind(data.identity, held_out, preprocessing)
    with keeper or nullcontext():
        sides = sides_of(data, held_out, n_components)
        model, history, best_epoch = fit(
            *sides,
            data.preprocessing,
            settings,
            tensorboard=tensorboard,
            callbacks=callbacks,
            checkpoint=keeper,
        )
        training, inputs = sides
        if isinstance(training, Coefficients) and not held_out.any():
            inputs = training.inputs
        run = measured_run(model, data, held_out, inputs, settings.seed)
        del sides, training, inputs  # Before others of the same size are made.
        gc.collect()  # Trainer and callbacks, which hold them, refer to each other.
        if settings.refit and held_out.any():
            model = refit(data, settings, best_epoch, n_components, keeper)
            run = replace(run, model=model)
    store_training_reference(model, data, held_out, settings, bundles)
    model.record = TrainingRecord(
        settings=settings.to_dict(),
        data={
            "n_training": int((~held_out).sum()),
            "n_validation": int(held_out.sum()),
            "n_read": data.n_read,
            "rejects": data.rejects,
            "tractograms": counts_of(data, held_out),
            "length_mm": length_range(run.points),
            "errors": {"held_out": run.held_out, **run.errors()},
        },
        history=history,
        best_epoch=best_epoch,
        versions=software_versions(),
    )
    return run


def refit(
    data: TrainingData | CoefficientData,
    settings: TrainingSettings,
    epochs: int,
    n_components: int,
    checkpoint: Checkpoint | None = None,
) -> StreamlineAutoencoder:
    """Train a new model on all streamlines, for as many epochs as validation chose.

    Parameters
    ----------
    data : TrainingData
        Training and validation streamlines.
    settings : TrainingSettings
        All other settings.
    epochs : int
        Epochs to train for; 0 gives PCA.
    n_components : int
        Number of principal directions of the model.
    checkpoint : Checkpoint, optional
        Checkpoint that stores the state.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    """
    if epochs:
        logger.info("Training again on all streamlines, for %d epochs.", epochs)
    else:
        logger.info(
            "No epoch had a lower error than PCA: refitting PCA to all streamlines."
        )
    shorter = replace(settings, epochs=epochs)
    model, _, _ = fit(
        *sides_of(data, None, n_components),
        data.preprocessing,
        shorter,
        checkpoint=checkpoint,
        phase="refit",
    )
    return model


@standard_keras()
def fit(
    points: np.ndarray | Coefficients,
    validation: np.ndarray | None,
    preprocessing: Preprocessing,
    settings: TrainingSettings,
    *,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: Checkpoint | None = None,
    phase: str = "training",
) -> tuple[StreamlineAutoencoder, dict, int]:
    """Fit a new model to arrays of normalised streamlines.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3), float32, or Coefficients
        Normalised training streamlines, or for a dense model their coefficients.
    validation : ndarray, shape (n_validation, n_points, 3), float32, or None
        Normalised streamlines to choose the best epoch on, or the inputs made of them
        if ``points`` are coefficients; None or empty for none.
    preprocessing : Preprocessing
        Preprocessing of the streamlines.
    settings : TrainingSettings
        Settings of the training.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    callbacks : sequence of keras.callbacks.Callback, optional
        Additional callbacks, called after those of this package.
    checkpoint : Checkpoint, optional
        Checkpoint that stores the state. If it holds a state of this phase, the fit
        resumes from there.
    phase : str, optional
        Name of this fit in the checkpoint.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    history : dict of list of float
        Values of each quantity, one per epoch.
    best_epoch : int
        Number of epochs that the kept weights were trained for; 0 is the untrained
        model.
    """
    if len(points) == 0:
        raise EmptyDataError("No streamline is left to train on after the split.")
    keras.utils.set_random_seed(settings.seed)
    with dtype_policy(settings.precision):
        model = build_model(preprocessing, settings)
        model.ensure_built()
    model.fold = settings.batch_size > FOLD_FACTOR * (settings.latent_dim + 1)
    principal = None
    if isinstance(points, Coefficients):
        principal, points = points.principal, points.inputs
    model.set_principal(
        principal
        or fit_principal(
            points,
            model.principal.n_components,
            both_directions=settings.orientation == "augment",
        )
    )
    steps_per_epoch = math.ceil(len(points) / settings.batch_size)
    model.total_steps = max(1, settings.epochs * steps_per_epoch)
    rate = learning_rate(settings, model.total_steps)
    trainer = trainer_of(model)
    trainer.compile(
        optimizer=keras.optimizers.Adam(
            rate, global_clipnorm=settings.clip_norm or None
        ),
        steps_per_execution=steps_at_once(settings, steps_per_epoch),
        jit_compile={"auto": "auto", "on": True, "off": False}[settings.xla],
    )
    state = checkpoint.states.get(phase, FitState()) if checkpoint else FitState()
    watchers = [StopOnNonFinite(), LogLearningRate(rate, steps_per_epoch)]
    watchers.append(Progress(settings.epochs, logger, state.epoch))
    if tensorboard is not None:
        watchers.append(keras.callbacks.TensorBoard(log_dir=str(tensorboard)))
    keep_best = held_out = None
    inputs = points if principal else inputs_of(trainer, points)
    if validation is not None and len(validation):
        held_out = validation if principal else inputs_of(trainer, validation)
        keep_best = KeepBest(evaluate(trainer, held_out, settings), settings.patience)
        watchers.append(keep_best)
    if checkpoint and state.epoch:
        restore = partial(
            put_back,
            trainer,
            state,
            checkpoint.path,
            counters=[model.step] if model.variational else [],
            steps_per_epoch=steps_per_epoch,
            # Callbacks may have changed a constant rate.
            rate=rate if isinstance(rate, float) and not callbacks else None,
        )
        check_end(state, settings, checkpoint.path, stoppable=bool(callbacks))
        resume_fit(
            trainer, state, settings, checkpoint.path, restore, keep_best, held_out
        )
    watchers.extend(callbacks)
    if checkpoint:
        watchers.append(
            KeepState(checkpoint, phase, settings.epochs, keep_best, state.history)
        )
    history = state.history
    if settings.epochs and not state.done:
        # Otherwise TensorFlow traces each step twice: to create these, and to use them.
        trainer.optimizer.build(trainer.trainable_variables)
        rows = ShuffledRows(inputs, settings.batch_size, settings.seed)
        new = trainer.fit(
            rows,
            epochs=settings.epochs,
            initial_epoch=state.epoch,
            validation_data=(held_out,) if keep_best else None,
            validation_batch_size=max(settings.batch_size, 512),
            callbacks=[rows.callback(), *watchers],
            shuffle=False,  # ShuffledRows does it; Keras would shuffle batches again.
            verbose=0,
        ).history
        history = {k: [*history.get(k, ()), *values] for k, values in new.items()}
    elif keep_best and settings.epochs:
        trainer.set_weights(keep_best.best_weights)
    model.fold = False
    seen = inputs if trainer is model else inputs[:, :-1]
    settle_statistics(model, seen, settings.batch_size)
    if keep_best is None:
        # The weights were updated once more after the last check of the loss.
        error = evaluate(trainer, inputs[:STATISTICS_SAMPLE], settings)
        check_finite("the error after the last step", error)
    best_epoch = settings.epochs
    if keep_best is not None and settings.epochs:
        best_epoch = keep_best.best_epoch
    return model, history, best_epoch
