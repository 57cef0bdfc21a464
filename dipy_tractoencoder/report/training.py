"""The report of a training."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.evaluation.diagnostics import (
    batch_statistics_error,
    grouped_errors,
    latent_use,
)
from dipy_tractoencoder.nn.alignment import alignment_reference
from dipy_tractoencoder.nn.atlas import describe_atlas, model_atlas
from dipy_tractoencoder.nn.provenance import fingerprint as fingerprint_of
from dipy_tractoencoder.report.data_checks import (
    applicable,
    few_held_out,
    few_per_bundle,
    few_streamlines,
    rejects,
)
from dipy_tractoencoder.report.model_checks import (
    collapse,
    overfitting,
    pca_kept,
    statistics,
    unsettled,
    worse_than_pca,
)
from dipy_tractoencoder.report.page import Report, Section, Table, format_cell, picture
from dipy_tractoencoder.report.parts import (
    LONG_TABLE,
    error_table,
    files_tables,
    latent_parts,
    origin_facts,
    settings_tables,
    views,
)
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.viz.base import curves_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.nn.provenance import TrainingRecord
    from dipy_tractoencoder.report.page import Picture
    from dipy_tractoencoder.training.run import TrainingRun

USED = {"n_training": "training", "n_validation": "held out"}


def training_report(
    run: TrainingRun,
    *,
    name: str = "a model",
    files: Sequence[str] | None = None,
    settings: dict | None = None,
    defaults: dict | None = None,
    command: str | None = None,
    fingerprint: str | None = None,
    facts: dict[str, str] | None = None,
    alignments: dict[str, Figure] | None = None,
) -> Report:
    """Make the report of a training: data, settings, errors, loss curves and pictures.

    Parameters
    ----------
    run : TrainingRun
        From `training.train.run_training`.
    name : str, optional
        Name of the model: its file.
    files : sequence of str, optional
        Names of the training tractograms, followed by those of the validation
        tractograms; numbers by default.
    settings, defaults : dict, optional
        Settings as given, and their defaults; by default those of the model's record
        and of `TrainingSettings`.
    command : str, optional
        Command line.
    fingerprint : str, optional
        Fingerprint of the model, if known.
    facts : dict of str, optional
        Further facts on the origin of the results, by name.
    alignments : dict of Figure, optional
        Picture of the alignment of each subject, by its name; see `alignment_figure`.

    Returns
    -------
    report : Report
        Report, for `report.page.save_report`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> run = dte.run_training(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> report = dte.training_report(run, name="vae.keras")
    >>> report.title
    'Training of vae.keras'
    """
    model, record = run.model, run.model.record
    history, given = record.history, record.settings
    counts = record.data["tractograms"]
    files = list(files or (f"tractogram {n}" for n in range(1, len(counts) + 1)))
    rows = [{"file": str(file), **count} for file, count in zip(files, counts)]
    what, errors = run.what, run.errors()
    error, pca_error = errors["error_mm"], errors["pca_error_mm"]
    variance, kl = latent_use(model, run.points)
    by_batch = batch_statistics_error(model, run.points)
    n_training = record.data["n_training"]
    n_steps = given["epochs"] * math.ceil(n_training / given["batch_size"])
    per_file = {row["file"]: row["n_training"] + row["n_validation"] for row in rows}
    checks = applicable(
        worse_than_pca({f"all {what}": (error, pca_error)}, given["linear_skip"]),
        pca_kept(
            record.best_epoch,
            given["epochs"],
            given["linear_skip"],
            given["refit"] and run.held_out,
        ),
        collapse(variance, kl),
        overfitting(history),
        unsettled(history, record.best_epoch, given["epochs"], n_steps),
        statistics(*by_batch) if by_batch else None,
        few_streamlines(n_training, model.latent_dim),
        few_held_out(record.data["n_validation"]),
        few_per_bundle(per_file, "file"),
        rejects(record.data["n_read"], record.data["rejects"]),
    )
    sections = [
        Section("Data", (*files_tables(rows, USED), *_not_drawn(record.data))),
        *_subjects(record.data.get("subjects"), alignments or {}),
        Section(
            "Settings",
            tuple(
                settings_tables(
                    settings or given, defaults or TrainingSettings().to_dict()
                )
            ),
        ),
        Section("Errors", tuple(_errors(run, files, what))),
    ]
    if history.get("loss"):
        curves = curve_parts(record, pca_error=pca_error)
        sections.append(Section("Course of the training", tuple(curves)))
    if kl is not None:
        parts = latent_parts(model, variance, kl)
        sections.append(Section("Use of the latent dimensions", tuple(parts)))
    sections.append(
        Section("Pictures", (views(run.points, run.reconstructed, what.capitalize()),))
    )
    summary = [
        f"Error on {len(run.distance):,} {what}: {format_cell(error)} mm; PCA with "
        f"{model.latent_dim} dimensions: {format_cell(pca_error)} mm."
    ]
    if given["refit"] and run.held_out:
        summary.append(
            "The model was then trained a second time on all streamlines (refit); "
            "errors and pictures are those of the model before, which was not trained "
            "on the held-out streamlines."
        )
    reference = alignment_reference(model)
    if reference is not None and reference.holds_streamlines:
        summary.append(
            f"The model file stores {len(reference.sample):,} of the training "
            "streamlines (20 points each), for aligning subjects. Whoever has the file "
            "can read them."
        )
    if (atlas := model_atlas(model)) is not None:
        summary.append(describe_atlas(atlas))
    return Report(
        title=f"Training of {name}",
        summary=tuple(summary),
        checks=checks,
        command=command,
        facts=origin_facts(
            model,
            fingerprint or fingerprint_of(model),
            record.versions,
            model_file=name,
            **(facts or {}),
            seed=str(given["seed"]),
            epoch_kept=f"{record.best_epoch} of {given['epochs']}",
        ),
        sections=tuple(sections),
    )


def curve_parts(
    record: TrainingRecord, *, pca_error: float | None = None
) -> list[str | Table | Picture]:
    """Make the parts of a report on the course of a training.

    Parameters
    ----------
    record : TrainingRecord
        Record of the training, with a history.
    pca_error : float, optional
        Error of PCA on the held-out streamlines, mm.

    Returns
    -------
    parts : list of str or Picture
        Parts of a section of a report.
    """
    history, best = record.history, record.best_epoch
    loss = record.settings["loss"]
    figure = curves_figure(history, pca_error=pca_error, best_epoch=best, loss=loss)
    ends = [
        f"{label} error from {history[key][0]:.3g} to {history[key][-1]:.3g} mm"
        for key, label in (("error_mm", "training"), ("val_error_mm", "validation"))
        if key in history
    ]
    alt = (
        f"Three curves over {len(history['loss'])} epochs: errors ({'; '.join(ends)}), "
        "terms of the loss, learning rate and KL weight."
    )
    kept = f"The weights kept are those of epoch {best}."
    if best == 0:
        kept = "The weights kept are the untrained ones, before the first epoch."
    about = (
        "Training errors are measured during the epoch, for a VAE with sampling noise; "
        "validation errors at its end, without noise. A validation error that rises "
        "while the training error falls shows overfitting."
    )
    return [kept, picture(figure, alt, about, vector=True)]


def _errors(run, files, what):
    """Make tables of the errors of all streamlines, and of each file."""
    sides = (run.points, run.reconstructed, run.pca_reconstructed)
    distances = (run.distance, run.pca_distance)
    parts = [error_table(*sides, f"{len(run.distance):,} {what}", distances)]
    names = np.array([str(file) for file in files])[run.source]
    by_file = grouped_errors(*distances, names)
    if len(by_file) > 1:
        parts.append(
            Table(
                "Error of each file, root mean square",
                ("file", "streamlines", "model (mm)", "PCA (mm)"),
                [(name, *values) for name, values in by_file.items()],
                folded=len(by_file) > LONG_TABLE,
            )
        )
    return parts


def _subjects(rows, figures):
    """Make a section on what was moved by how much, if subjects were aligned."""
    if not rows:
        return []
    shown = [
        (
            row["subject"],
            row["n_files"],
            row["transform"],
            row["verdict"],
            row["left_right"],
            row["moved_mm"],
            row.get("ratio", ""),
            row.get("gap", ""),
        )
        for row in rows
    ]
    columns = ("subject", "files", "transform", "verdict", "left and right")
    about = (
        "The ratio is the distance to what subjects were aligned to, over that of its "
        "two halves; the gap is the distance of the best other pose over this one. The "
        "model is in the space that subjects were moved to; its training files are not "
        "changed."
    )
    table = Table(
        "Subjects moved to one space",
        (*columns, "moved by (mm)", "ratio", "gap"),
        shown,
        folded=len(shown) > LONG_TABLE,
    )
    pictures = [
        picture(
            figure,
            f"{subject} before and after its alignment, in three views each, over what "
            "it was aligned to.",
            f"{subject}. Grey: centroids of what subjects are aligned to.",
        )
        for subject, figure in figures.items()
    ]
    return [Section("Alignment of the subjects", (table, about, *pictures))]


def _not_drawn(data):
    """Return the number of streamlines that max_streamlines left out, as a sentence."""
    used = data["n_training"] + data["n_validation"]
    rest = data["n_read"] - used - sum(data["rejects"].values())
    if not rest:
        return ()
    return (f"{rest:,} more streamlines were not used (max_streamlines).",)
