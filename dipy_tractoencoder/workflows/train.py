"""The command that trains a model on tractograms."""

import logging
from pathlib import Path
import shlex

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    OutputFileError,
    check_choice,
)
from dipy_tractoencoder.report.page import check_report_extension, save_report
from dipy_tractoencoder.training.checkpoint import checkpoint_path
from dipy_tractoencoder.training.settings import TrainingSettings as Defaults
from dipy_tractoencoder.utils.atomic_files import check_writable
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    check_figure_extension,
    chosen_options,
    found_files,
    load_backend,
    shared_files,
)
from dipy_tractoencoder.workflows.progress import chunked

logger = logging.getLogger(__name__)

VALIDATION_BY = ("streamline", "file", "folder")


class TrainVAEFlow(TractoWorkflow):
    """Train a variational autoencoder, or an autoencoder, on tractograms."""

    @classmethod
    def get_short_name(cls):
        """Prefix of this flow's options in a combined workflow."""
        return "train"

    def run(
        self,
        input_files,
        model=Defaults.model,
        backbone=Defaults.backbone,
        no_linear_skip=False,
        upsampling=Defaults.upsampling,
        n_points=Defaults.n_points,
        latent_dim=Defaults.latent_dim,
        epochs=Defaults.epochs,
        batch_size=Defaults.batch_size,
        learning_rate=Defaults.learning_rate,
        no_rate_schedule=False,
        clip_norm=Defaults.clip_norm,
        loss=Defaults.loss,
        kl_weight=Defaults.kl_weight,
        kl_annealing=Defaults.kl_annealing,
        epsilon_std=Defaults.epsilon_std,
        orientation=Defaults.orientation,
        no_normalization=False,
        min_length=Defaults.min_length,
        max_length=Defaults.max_length,
        validation_fraction=Defaults.validation_fraction,
        validation_by="streamline",
        validation_files=None,
        patience=Defaults.patience,
        refit=False,
        resume=False,
        max_streamlines=Defaults.max_streamlines,
        precision=Defaults.precision,
        xla=Defaults.xla,
        reference=None,
        seed=Defaults.seed,
        tensorboard=None,
        out_dir="",
        out_model="vae.keras",
        out_history="history.csv",
        out_figure="training.png",
        out_report="report.html",
    ):
        """Train a variational autoencoder on the streamlines of tractograms.

        The model file holds everything that dipy_encode_vae, dipy_decode_vae and
        dipy_reconstruct_vae need. Errors are root mean squared distances of points in
        mm, on streamlines held out, beside those of PCA with as many dimensions.

        Example: dipy_train_vae sub-*/whole_brain.trx --latent_dim 16 --out_dir model

        Parameters
        ----------
        input_files : variable string or Path
            Tractograms to learn from (trk, tck, trx, vtk, vtp, fib, dpy). Wildcards
            can be used.
        model : string, optional
            What to train: vae or ae, the autoencoder with the same settings.
        backbone : string, optional
            Networks of the model: dense, compact or finta.
        no_linear_skip : bool, optional
            Learn everything, instead of starting from principal components. With
            finta this is the model of the GSoC 2024 project.
        upsampling : string, optional
            How finta and compact double their points: nearest or linear.
        n_points : int, optional
            Points that streamlines are resampled to. finta takes multiples of 32 from
            64, compact from 32, dense any from 2.
        latent_dim : int, optional
            Size of the latent.
        epochs : int, optional
            Passes over the streamlines, at most.
        batch_size : int, optional
            Streamlines per training step.
        learning_rate : float, optional
            Highest rate of the Adam optimiser; by default 0.002 for dense and 0.0005
            for compact and finta.
        no_rate_schedule : bool, optional
            Keep the learning rate constant, instead of warming it up and letting it
            fall by a cosine.
        clip_norm : float, optional
            Largest norm of the gradient; 0 leaves it unclipped.
        loss : string, optional
            likelihood (Gaussian, noise at its optimum, nats) or mse (mean squared
            error in mm^2 plus weighted KL).
        kl_weight : float, optional
            Factor on the Kullback-Leibler term.
        kl_annealing : string, optional
            Course of that factor: constant, warmup, cyclical or rise_and_fall.
        epsilon_std : float, optional
            Spread of the noise in the reparametrisation trick.
        orientation : string, optional
            canonical (a streamline and its reverse are the same), augment (turned at
            random in training) or as_is.
        no_normalization : bool, optional
            Train on coordinates in mm, instead of centred and scaled ones.
        min_length : float, optional
            Shortest streamline to use, in mm.
        max_length : float, optional
            Longest streamline to use, in mm.
        validation_fraction : float, optional
            Share held out to choose the best epoch; 0 for none.
        validation_by : string, optional
            What is held out together: streamline, file or folder (a subject, where
            each has a folder).
        validation_files : variable string or Path, optional
            Tractograms to hold out, instead of a share of the input files.
        patience : int, optional
            Epochs without improvement after which training stops; by default it runs
            to the end. The best epoch is kept in any case.
        refit : bool, optional
            Train once more on everything, for as many epochs as validation chose.
        resume : bool, optional
            Go on with a training that was stopped, given with the same files and
            options; the model is the same as without the stop. The training is kept
            in a file beside the model, <name>.checkpoint.npz, until it is done.
        max_streamlines : int, optional
            Train on a random subset of this many; memory is bounded by it.
        precision : string, optional
            Number format of the networks' products: float32, or mixed_bfloat16 for
            devices that are faster with it.
        xla : string, optional
            Compile training steps by XLA: auto, on or off.
        reference : string or Path, optional
            Image (or trk) whose space files without one are in.
        seed : int, optional
            Seed of everything random.
        tensorboard : string or Path, optional
            Folder for TensorBoard logs.
        out_dir : string or Path, optional
            Output directory.
        out_model : string, optional
            Name of the model file, ending in .keras.
        out_history : string, optional
            Name of the table of losses per epoch.
        out_figure : string, optional
            Name of the figure of loss curves and reconstructions.
        out_report : string, optional
            Name of the report, one HTML file: what was done, warnings in plain words,
            errors, curves and pictures.
        """
        io_it = self.get_io_iterator()
        chosen, defaults = chosen_options(self.run, locals())
        check_report_extension(out_report)
        check_choice("validation_by", validation_by, VALIDATION_BY)
        check_figure_extension(out_figure)
        outputs = ("out_model", "out_history", "out_figure", "out_report")
        validation_paths = found_files(validation_files)
        read = (reference, *(validation_paths or ()))
        model_path = Path(io_it.outputs[0][io_it.out_keys.index("out_model")])
        kept = checkpoint_path(model_path)
        if kept.is_file() and resume:
            self._force_overwrite = True  # What the stopped training may have written.
        elif kept.is_file() and not self._force_overwrite:
            raise OutputFileError(
                f"A training that was stopped is kept in {kept}. Nothing was done. Add "
                "--resume to go on with it, or --force to start anew."
            )
        rows = self.plan(io_it, inputs=0, gathered=outputs, read=read)
        paths = [path for path, _ in rows]
        target = rows[0][1]
        settings = Defaults(
            model=model,
            backbone=backbone,
            linear_skip=not no_linear_skip,
            upsampling=upsampling,
            n_points=n_points,
            latent_dim=latent_dim,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            rate_schedule=not no_rate_schedule,
            clip_norm=clip_norm,
            loss=loss,
            kl_weight=kl_weight,
            kl_annealing=kl_annealing,
            epsilon_std=epsilon_std,
            orientation=orientation,
            normalise=not no_normalization,
            min_length=min_length,
            max_length=max_length,
            validation_fraction=validation_fraction,
            patience=patience,
            refit=refit,
            max_streamlines=max_streamlines,
            precision=precision,
            xla=xla,
            seed=seed,
        )
        self.report = train_files(
            paths,
            settings,
            target["out_model"],
            target["out_history"],
            target["out_figure"],
            target["out_report"],
            about={"settings": chosen, "defaults": defaults, "command": self.command},
            reference=reference,
            validation_paths=validation_paths,
            groups=validation_groups(paths, validation_by),
            tensorboard=tensorboard,
            resume=resume,
        )


def validation_groups(paths, validation_by):
    """Label each file with what is held out together with it.

    Parameters
    ----------
    paths : list of Path
        Training files.
    validation_by : {"streamline", "file", "folder"}
        What is held out together.

    Returns
    -------
    groups : list of Path or None
        A label per file; None to hold out single streamlines.
    """
    labels = {
        "streamline": None,
        "file": [path.resolve() for path in paths],
        "folder": [path.resolve().parent for path in paths],
    }
    return labels[validation_by]


def train_files(
    paths,
    settings,
    model_path,
    history_path,
    figure_path,
    report_path,
    *,
    about,
    reference=None,
    validation_paths=None,
    groups=None,
    tensorboard=None,
    resume=False,
):
    """Train on files, and write model, history, figure and report.

    The training is kept in a checkpoint beside the model until all is written.

    Parameters
    ----------
    paths : list of Path
        Tractograms.
    settings : TrainingSettings
        All choices.
    model_path, history_path, figure_path, report_path : Path
        Files to write.
    about : dict
        "settings" as given, their "defaults", and the "command", for the report.
    reference : str or Path, optional
        Space of files without one.
    validation_paths : list of Path, optional
        Tractograms to hold out, instead of a share of ``paths``.
    groups : list, optional
        A label per file; those of one label are held out together.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    resume : bool, optional
        Go on from the checkpoint, if there is one.

    Returns
    -------
    report : report.Report
        As written.
    """
    from dipy_tractoencoder.io.tractogram import check_tractogram_path
    from dipy_tractoencoder.nn.model_file import check_model_extension, save_model
    from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
    from dipy_tractoencoder.utils.tables import history_rows, save_table
    from dipy_tractoencoder.viz.base import save_figure, training_figure

    check_model_extension(model_path)
    if both := shared_files(paths, validation_paths or ()):
        raise InputFileError(
            f"{both[0]} is among the files to train on and to validate on. What is "
            "held out must not be trained on: leave it out of one of the two."
        )
    for path in (*paths, *(validation_paths or ())):
        check_tractogram_path(path, reference)
    if tensorboard is not None:
        check_writable(Path(tensorboard) / "events")
    load_backend()
    from dipy_tractoencoder.training.fit import run_training

    try:
        run = run_training(
            chunked(paths, "Reading", reference=reference),
            settings,
            validation=validation_paths
            and chunked(validation_paths, "Reading", reference=reference),
            groups=groups,
            tensorboard=tensorboard,
            checkpoint=checkpoint_path(model_path),
            resume=resume,
        )
    except EmptyDataError as err:
        names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        raise EmptyDataError(f"{names}: {err}") from err
    model, record = run.model, run.model.record
    record.data["files"] = [Path(path).name for path in paths]
    error, pca_error = (
        pooled_distance(point_distance(run.points, points))
        for points in (run.reconstructed, run.pca_reconstructed)
    )
    what = "held-out streamlines" if run.held_out else "training streamlines"
    figure = training_figure(
        record.history,
        run.points,
        run.reconstructed,
        pca_error=pca_error,
        best_epoch=record.best_epoch,
        what=what.capitalize(),
        loss=settings.loss,
    )
    save_figure(figure, figure_path)
    save_table(history_rows(record.history), history_path)
    mark = save_model(model, model_path, overwrite=True)
    from dipy_tractoencoder.report.training import training_report

    files = [str(path) for path in (*paths, *(validation_paths or ()))]
    report = training_report(
        run,
        name=str(model_path),
        files=files,
        fingerprint=mark,
        folder=str(Path.cwd()),
        **about,
    )
    save_report(report, report_path)
    checkpoint_path(model_path).unlink(missing_ok=True)
    logger.info(
        "Error on %d %s: %.3f mm; PCA with %d dimensions: %.3f mm.",
        len(run.points),
        what,
        error,
        model.latent_dim,
        pca_error,
    )
    if record.best_epoch:
        logger.info("Kept: epoch %d.", record.best_epoch)
    else:
        logger.info("Kept: the weights before the first epoch.")
    logger.info("Model: %s", model_path)
    logger.info("History: %s", history_path)
    logger.info("Figure: %s", figure_path)
    for check in report.findings:
        logger.warning("%s: %s", check.name, check.found)
    logger.info("Report: %s", report_path)
    logger.info("Next: dipy_encode_vae %s FILES", shlex.quote(str(model_path)))
    return report
