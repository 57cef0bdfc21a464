"""Reports of an evaluation of a model, and of the reconstruction of a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.evaluation.diagnostics import batch_statistics_error
from dipy_tractoencoder.nn.likelihood import kl_per_dimension
from dipy_tractoencoder.nn.provenance import (
    fingerprint as fingerprint_of,
    software_versions,
)
from dipy_tractoencoder.report.data_checks import (
    applicable,
    few_per_bundle,
    few_streamlines,
    rejects,
    trained_on,
)
from dipy_tractoencoder.report.model_checks import (
    collapse,
    overfitting,
    pca_kept,
    statistics,
    unfamiliar,
    worse_than_pca,
)
from dipy_tractoencoder.report.page import (
    Report,
    Section,
    Table,
    format_cell,
    picture,
    picture_of_file,
)
from dipy_tractoencoder.report.parts import (
    LONG_TABLE,
    error_table,
    files_tables,
    latent_parts,
    origin_facts,
    settings_tables,
    views,
)
from dipy_tractoencoder.report.training import curve_parts
from dipy_tractoencoder.streamlines.array import merge_rejects
from dipy_tractoencoder.training.settings import TrainingSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.evaluation.evaluate import Evaluation
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.report.data_checks import Check

# Metrics of the tables: description, unit, and which direction is better.
METRICS = {
    "error_mm": ("reconstruction error, root mean square", "mm", "lower"),
    "train_error_mm": ("the same on the reference streamlines", "mm", ""),
    "mdf_mm": ("MDF of input and reconstruction, mean", "mm", "lower"),
    "spearman": ("latent distance with MDF, Spearman", "correlation", "higher"),
    "pearson": ("the same, Pearson", "correlation", "higher"),
    "mantel_r": ("distances between bundles, Mantel test", "correlation", "higher"),
    "mantel_p": ("its p-value", "probability", "lower"),
    "accuracy": ("bundle labels by nearest neighbour: accuracy", "0 to 1", "higher"),
    "macro_f1": ("the same, F1 averaged over bundles", "0 to 1", "higher"),
    "length_r2": ("length R2: regression on the latents", "up to 1", "higher"),
    "length_rmse_mm": ("the same, root mean square error", "mm", "lower"),
    "length_r2_squares": (
        "length R2, quadratic: regression on latents and their squares",
        "up to 1",
        "higher",
    ),
    "length_r2_reconstructed": (
        "length R2: length of the reconstruction",
        "up to 1",
        "higher",
    ),
    "new_mdf_mm": (
        "new streamlines to the nearest reference streamline, MDF",
        "mm",
        "as below",
    ),
    "held_out_mdf_mm": (
        "test streamlines to the nearest reference streamline, MDF",
        "mm",
        "",
    ),
    "active_dimensions": ("active latent dimensions", "of all", ""),
    "kl_nats": ("KL of the posterior from the prior", "nats", ""),
    "log_likelihood_nats": ("log-likelihood of a streamline", "nats", "higher"),
}
BUNDLE_METRICS = {
    "error_mm": "error (mm)",
    "mdf_mm": "MDF (mm)",
    "bundle_adjacency": "bundle adjacency (0 to 1)",
    "shape_similarity": "BUAN similarity (0 to 1)",
}


def evaluation_report(
    model: StreamlineAutoencoder,
    evaluation: Evaluation,
    *,
    name: str = "a model",
    figure: Figure,
    files: list[dict],
    settings: dict,
    defaults: dict,
    command: str | None = None,
    fingerprint: str | None = None,
    facts: dict[str, str] | None = None,
) -> Report:
    """Make the report of an evaluation of a model, next to PCA.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    evaluation : Evaluation
        From `evaluation.evaluate.evaluate_model`.
    name : str, optional
        Name of the model: its file.
    figure : matplotlib.figure.Figure
        From `viz.evaluation.evaluation_figure`.
    files : list of dict
        Per file read: "file", "n_read", "rejects", and "use", what it was used for.
    settings, defaults : dict
        Settings as given, and their defaults.
    command : str, optional
        Command line.
    fingerprint : str, optional
        Fingerprint of the model, if known.
    facts : dict of str, optional
        Further facts on the origin of the results, by name.

    Returns
    -------
    report : Report
        Report, for `report.page.save_report`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> points = model.preprocessing.array(made.streamlines).points
    >>> bundles = {"first": points[:20], "second": points[20:]}
    >>> evaluation = dte.evaluate_model(model, bundles)
    >>> report = dte.evaluation_report(
    ...     model,
    ...     evaluation,
    ...     name="vae.keras",
    ...     figure=dte.evaluation_figure(evaluation),
    ...     files=[{"file": "a.trk", "use": "Test", "n_read": 43, "rejects": {}}],
    ...     settings={},
    ...     defaults={},
    ... )
    >>> report.title
    'Evaluation of vae.keras'
    """
    row, pca_row = evaluation.rows
    test, by_pca = evaluation.test, evaluation.test_by_pca
    kl, variance = None, np.var(test.latent / model.latent_unit, axis=0)
    if model.variational:
        kl = kl_per_dimension(model, test).mean(axis=0)
    by_batch = batch_statistics_error(model, test.points)
    bundles = _bundles(evaluation)
    errors = {name: (own["error_mm"], pca["error_mm"]) for name, own, pca in bundles}
    counts = {name: own["n_streamlines"] for name, own, _ in bundles}
    known = row["train_error_mm"] if row["known"] == "training" else None
    checks = applicable(
        worse_than_pca(
            {"all": (row["error_mm"], pca_row["error_mm"]), **errors},
            model.linear_skip,
        ),
        collapse(variance, kl),
        statistics(*by_batch) if by_batch else None,
        trained_on(model.record, files),
        unfamiliar(row["error_mm"], known),
        few_per_bundle(counts),
        rejects(
            sum(file["n_read"] for file in files),
            merge_rejects(file["rejects"] for file in files),
        ),
        *_checks_of_training(model.record, model.latent_dim),
    )
    alt = (
        f"Four panels: errors of {len(evaluation.names)} bundles next to those of PCA, "
        "KL of each latent dimension, and maps of the latents by bundle and by length."
    )
    sections = [
        Section("Quality", (_quality(evaluation),)),
        Section(
            "Errors",
            (
                error_table(
                    test.points,
                    test.reconstructed,
                    by_pca.reconstructed,
                    f"{len(test.points):,} test streamlines",
                ),
                _bundle_table(bundles),
            ),
        ),
        Section("Bundles and latents", (picture(figure, alt),)),
    ]
    if kl is not None:
        parts = latent_parts(model, variance, kl)
        sections.append(Section("Use of the latent dimensions", tuple(parts)))
    views_of_test = views(test.points, test.reconstructed, "Test streamlines")
    sections += [
        Section("Pictures", (views_of_test,)),
        Section("Data", tuple(_data(files, row))),
        Section("Settings", tuple(settings_tables(settings, defaults))),
    ]
    if _is_described(model.record):
        parts = _training(model.record)
        sections.append(Section("Training of the model", tuple(parts)))
    learned = "half of the input; the other half is the test set"
    if row["known"] == "training":
        learned = "the training files"
    error, pca_error = (format_cell(side["error_mm"]) for side in evaluation.rows)
    return Report(
        title=f"Evaluation of {name}",
        summary=(
            f"Error on {len(test.points):,} streamlines: {error} mm; PCA with "
            f"{model.latent_dim} dimensions: {pca_error} mm. Neighbours, length "
            f"regression and density are fitted to {learned}.",
        ),
        checks=checks,
        command=command,
        facts=origin_facts(
            model,
            fingerprint or fingerprint_of(model),
            software_versions(),
            model_file=name,
            **(facts or {}),
        ),
        sections=tuple(sections),
    )


def reconstruction_sections(
    rows: list[dict], pictures: dict, heading: str, *, linear_skip: bool = True
) -> tuple[list[Section], tuple[Check, ...]]:
    """Make the sections of a report on the reconstruction of new files.

    Parameters
    ----------
    rows : list of dict
        Per file: "file", and the errors from `latent.reconstruction.ErrorTotals`.
    pictures : dict of str to Path
        Picture of the reconstruction of each file, by name.
    heading : str
        Heading, which describes the files.
    linear_skip : bool, optional
        Whether training started from PCA.

    Returns
    -------
    sections : list of Section
        Errors, and pictures in formats that browsers show.
    checks : tuple of Check
        Results of the checks of these files.
    """
    columns = {
        "n_reconstructed": "streamlines",
        "error_mm": "error (mm)",
        "pca_error_mm": "PCA error (mm)",
        "error_95th_mm": "95th percentile (mm)",
        "mdf_mm": "MDF (mm)",
        "pca_mdf_mm": "PCA MDF (mm)",
        "shape_similarity": "BUAN similarity (0 to 1)",
    }
    table = Table(
        "Errors of each file",
        ("file", *columns.values()),
        [(row["file"], *(row[key] for key in columns)) for row in rows],
        note="Root mean squared distances of points of input and reconstruction, and "
        "DIPY's bundle metrics.",
    )
    shown = [
        picture_of_file(
            path, f"{name}: input, reconstruction and error in three views each.", name
        )
        for name, path in pictures.items()
    ]
    errors = {row["file"]: (row["error_mm"], row["pca_error_mm"]) for row in rows}
    counts = {row["file"]: row["n_reconstructed"] for row in rows}
    sections = [Section(heading, (table, *filter(None, shown)))]
    return sections, applicable(
        worse_than_pca(errors, linear_skip), few_per_bundle(counts)
    )


def _bundles(evaluation):
    """Return the name and the metrics of the model and of PCA, per bundle."""
    sides = {"model": {}, "PCA": {}}
    for row in evaluation.bundles:
        sides[row["latents"]][row["bundle"]] = row
    return [(name, own, sides["PCA"][name]) for name, own in sides["model"].items()]


def _bundle_table(bundles):
    """Make a table of the metrics of each bundle, of the model and of PCA."""
    columns = ["bundle", "streamlines"]
    for heading in BUNDLE_METRICS.values():
        columns += [heading, f"PCA: {heading}"]
    rows = [
        (
            name,
            own["n_streamlines"],
            *(side[key] for key in BUNDLE_METRICS for side in (own, pca)),
        )
        for name, own, pca in bundles
    ]
    caption = "Bundles: input and reconstruction"
    return Table(caption, tuple(columns), rows, folded=len(rows) > LONG_TABLE)


def _quality(evaluation):
    """Make a table of all metrics of the model and of PCA."""
    own, pca = evaluation.rows
    rows = [
        (what, own.get(key), pca.get(key), unit, better)
        for key, (what, unit, better) in METRICS.items()
        if key in own or key in pca
    ]
    return Table(
        "The model, and PCA with the same number of dimensions",
        ("metric", "model", "PCA", "unit", "better is"),
        rows,
    )


def _data(files, row):
    """Make tables of the test files and of the reference files."""
    parts = []
    for use in dict.fromkeys(file["use"] for file in files):
        parts += [f"{use}:", *files_tables([f for f in files if f["use"] == use], {})]
    parts.append(
        f"{row['n_streamlines']:,} test streamlines and {row['n_known']:,} reference "
        "streamlines were used (max_streamlines is the limit per bundle)."
    )
    return parts


def _checks_of_training(record, latent_dim):
    """Run the checks of a training on the record of a model."""
    if not _is_described(record):
        return ()
    own, data = record.settings, record.data
    return (
        overfitting(record.history),
        pca_kept(record.best_epoch, own["epochs"], own["linear_skip"], own["refit"]),
        few_streamlines(data["n_training"], latent_dim),
    )


def _is_described(record):
    """Return whether a record has what `train` writes, or was made by hand."""
    return (
        record is not None
        and {"epochs", "linear_skip", "loss", "refit", "seed"} <= {*record.settings}
        and {"n_training", "n_validation", "n_read", "rejects"} <= {*record.data}
    )


def _training(record):
    """Make the parts of a report on the training of a model."""
    data = record.data
    names = list(dict.fromkeys(data.get("files", ())))
    about = [
        ("training streamlines", data["n_training"]),
        ("held out", data["n_validation"]),
        ("read", data["n_read"]),
        ("rejected", sum(data["rejects"].values())),
        ("names of files", ", ".join(names)),
        ("seed", str(record.settings["seed"])),
        ("backend", record.versions.get("backend")),
        ("dipy_tractoencoder", record.versions.get("dipy_tractoencoder")),
    ]
    parts = [Table("Training", ("what", "value"), about)]
    parts += settings_tables(record.settings, TrainingSettings().to_dict())
    drawn = {"loss", "error_mm", "learning_rate"}
    if drawn <= {name for name, values in record.history.items() if values}:
        parts += curve_parts(record)
    return parts
