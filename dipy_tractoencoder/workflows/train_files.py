"""Train on files, and write model, tables, figures and report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.report.page import save_report
from dipy_tractoencoder.training.checkpoint import checkpoint_path
from dipy_tractoencoder.utils.atomic_files import check_writable
from dipy_tractoencoder.workflows.base import load_backend, shared_files
from dipy_tractoencoder.workflows.progress import chunked
from dipy_tractoencoder.workflows.reference_bundles import (
    check_unassigned,
    store_bundles,
)

if TYPE_CHECKING:
    from dipy_tractoencoder.report.page import Report
    from dipy_tractoencoder.training.settings import TrainingSettings
    from dipy_tractoencoder.workflows.training_subjects import TrainingSubjects

logger = logging.getLogger(__name__)


def train_files(
    paths: list[Path],
    settings: TrainingSettings,
    model_path: Path,
    history_path: Path,
    figure_path: Path,
    report_path: Path,
    *,
    about: dict,
    reference: str | Path | None = None,
    validation_paths: list[Path] | None = None,
    groups: list | None = None,
    subjects: TrainingSubjects | None = None,
    bundles: list[str] | None = None,
    tensorboard: str | Path | None = None,
    resume: bool = False,
    per_bundle: int | None = None,
) -> Report:
    """Train on files, and write model, history, figure and report.

    Until everything is written, the state of the training is in a checkpoint in the
    folder of the model.

    Parameters
    ----------
    paths : list of Path
        Tractograms.
    settings : TrainingSettings
        Settings of the training.
    model_path, history_path, figure_path, report_path : Path
        Files to write.
    about : dict
        "settings" as given, their "defaults", and the "command", for the report.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    validation_paths : list of Path, optional
        Validation tractograms, instead of a fraction of ``paths``.
    groups : list, optional
        A label per file; files with the same label are held out together.
    subjects : TrainingSubjects, optional
        Subjects of ``paths`` and ``validation_paths``, to be moved to one space.
    bundles : list of str, optional
        The bundle in each file.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    resume : bool, optional
        Resume from the checkpoint, if there is one.
    per_bundle : int, optional
        Store up to so many latents of each bundle of ``paths`` in the model.

    Returns
    -------
    report : report.page.Report
        The report that was written.
    """
    from dipy_tractoencoder.io.open_file import check_common_space
    from dipy_tractoencoder.io.tractogram import check_tractogram_path
    from dipy_tractoencoder.nn.model_file import check_model_extension, save_model
    from dipy_tractoencoder.segment.bundle_names import bundle_names
    from dipy_tractoencoder.utils.tables import history_rows, save_table
    from dipy_tractoencoder.viz.base import save_figure, training_figure

    check_model_extension(model_path)
    if both := shared_files(paths, validation_paths or ()):
        raise InputFileError(
            f"{both[0]} is both a training and a validation file. Remove it from one "
            "of the two."
        )
    for path in (*paths, *(validation_paths or ())):
        check_tractogram_path(path, reference)
    check_common_space((*paths, *(validation_paths or ())), reference)
    if per_bundle is not None:
        check_unassigned(bundle_names(paths))
    if tensorboard is not None:
        check_writable(Path(tensorboard) / "events")
    alignments = None if subjects is None else subjects.alignments()
    load_backend()
    from dipy_tractoencoder.training.fit import train_with_settings

    try:
        run = train_with_settings(
            chunked(paths, "Reading", reference=reference),
            settings,
            validation=validation_paths
            and chunked(validation_paths, "Reading", reference=reference),
            groups=groups,
            alignments=alignments,
            bundles=bundles,
            tensorboard=tensorboard,
            checkpoint=checkpoint_path(model_path),
            resume=resume,
        )
    except EmptyDataError as err:
        names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        raise EmptyDataError(f"{names}: {err}") from err
    model, record = run.model, run.model.record
    record.data["files"] = [Path(path).name for path in paths]
    if alignments is not None and subjects is not None:
        record.data["subjects"] = subjects.rows
    if per_bundle is not None:
        moved = {} if alignments is None else dict(zip(paths, alignments))
        store_bundles(
            model,
            paths,
            per_bundle=per_bundle,
            reference=reference,
            seed=settings.seed,
            alignment_of=moved.get,
        )
    what, errors = run.what, run.errors()
    pca_error = errors["pca_error_mm"]
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
        facts={"folder": str(Path.cwd())},
        alignments=None if subjects is None else subjects.figures(),
        **about,
    )
    save_report(report, report_path)
    checkpoint_path(model_path).unlink(missing_ok=True)
    logger.info(
        "Error on %d %s: %.3f mm; PCA with %d dimensions: %.3f mm.",
        errors["n_streamlines"],
        what,
        errors["error_mm"],
        model.latent_dim,
        pca_error,
    )
    if record.best_epoch:
        logger.info("Best epoch, whose weights are kept: %d.", record.best_epoch)
    else:
        logger.info("No epoch had a lower error: the untrained weights are kept.")
    logger.info("Model: %s", model_path)
    logger.info("History: %s", history_path)
    logger.info("Figure: %s", figure_path)
    for check in report.findings:
        logger.warning("%s: %s", check.name, check.found)
    logger.info("Report: %s", report_path)
    return report
