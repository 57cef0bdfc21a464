"""The report of a measurement of a model, and of the reconstruction of a subject."""

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

# Figure of the tables: what it is, its unit, and which way is better.
FIGURES = {
    "error_mm": ("reconstruction error, root mean square", "mm", "less"),
    "train_error_mm": ("the same on the streamlines learned from", "mm", ""),
    "mdf_mm": ("MDF of input and reconstruction, mean", "mm", "less"),
    "spearman": ("order: latent distance with MDF, Spearman", "correlation", "more"),
    "pearson": ("the same, Pearson", "correlation", "more"),
    "mantel_r": ("distances between bundles, Mantel test", "correlation", "more"),
    "mantel_p": ("its p-value", "probability", "less"),
    "accuracy": ("bundle labels by the nearest neighbour: accuracy", "share", "more"),
    "macro_f1": ("the same, F1 averaged over bundles", "share", "more"),
    "length_r2": ("length R2: read off the latents", "share", "more"),
    "length_rmse_mm": ("the same, error", "mm", "less"),
    "length_r2_squares": (
        "length R2 (squares too): read off latents and their squares",
        "share",
        "more",
    ),
    "length_r2_reconstructed": ("length of the reconstruction: R2", "share", "more"),
    "new_mdf_mm": ("new streamlines to the nearest known one, MDF", "mm", "as below"),
    "held_out_mdf_mm": ("real ones to the nearest known one, MDF", "mm", ""),
    "active_dimensions": ("latent dimensions in use", "of all", ""),
    "kl_nats": ("KL of the posterior from the prior", "nats", ""),
    "log_likelihood_nats": ("log-likelihood of a streamline", "nats", "more"),
}
BUNDLE_FIGURES = {
    "error_mm": "error (mm)",
    "mdf_mm": "MDF (mm)",
    "bundle_adjacency": "bundle adjacency (0 to 1)",
    "shape_similarity": "BUAN similarity (0 to 1)",
}


def evaluation_report(
    model,
    evaluation,
    *,
    name="a model",
    figure,
    files,
    settings,
    defaults,
    command=None,
    fingerprint=None,
    **facts,
):
    """Report how good a model is on some streamlines, with PCA beside.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    evaluation : Evaluation
        From `evaluation.evaluate.evaluate_model`.
    name : str, optional
        Of the model: its file.
    figure : matplotlib.figure.Figure
        From `viz.evaluation.evaluation_figure`.
    files : list of dict
        "file", "n_read" and "rejects" of each file read, and "use", what for.
    settings, defaults : dict
        Settings as they were given, and their defaults.
    command : str, optional
        Command line that did it.
    fingerprint : str, optional
        The model's, if it is known.
    **facts
        More to say of where it comes from: name to value.

    Returns
    -------
    report : report.Report
        To be written by `report.page.save_report`.
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
        f"Four panels: errors of {len(evaluation.names)} bundles beside PCA's, what "
        "each latent dimension holds, and maps of the latents by bundle and by length."
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
                    f"{len(test.points):,} streamlines measured on",
                ),
                _bundle_table(bundles),
            ),
        ),
        Section("Bundles and latents", (picture(figure, alt),)),
    ]
    if kl is not None:
        parts = latent_parts(model, variance, kl)
        sections.append(Section("What the latents hold", tuple(parts)))
    sections += [
        Section("Pictures", (views(test.points, test.reconstructed, "Measured on"),)),
        Section("Data", tuple(_data(files, row))),
        Section("Settings", tuple(settings_tables(settings, defaults))),
    ]
    if model.record is not None:
        parts = _training(model.record)
        sections.append(Section("How the model was trained", tuple(parts)))
    learned = "half of the input; the other half is measured on"
    if row["known"] == "training":
        learned = "the training files"
    error, pca_error = (format_cell(side["error_mm"]) for side in evaluation.rows)
    return Report(
        title=f"Evaluation of {name}",
        summary=(
            f"Error on {len(test.points):,} streamlines: {error} mm; PCA with as many "
            f"dimensions ({model.latent_dim}): {pca_error} mm. Neighbours, lengths and "
            f"density are learned from {learned}.",
        ),
        checks=checks,
        command=command,
        facts=origin_facts(
            model,
            fingerprint or fingerprint_of(model),
            software_versions(),
            model_file=name,
            **facts,
        ),
        sections=tuple(sections),
    )


def reconstruction_sections(rows, pictures, heading, *, linear_skip=True):
    """Report the reconstruction of files that took no part in a training.

    Parameters
    ----------
    rows : list of dict
        "file" and what `latent.reconstruction.ErrorTotals` gives, per file.
    pictures : dict of str to Path
        Name of a file to the picture of its reconstruction.
    heading : str
        Which files these are.
    linear_skip : bool, optional
        Whether the model started from PCA.

    Returns
    -------
    sections : list of Section
        Errors, and pictures where their format can be shown.
    checks : tuple of Check
        What was looked for in them.
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
    """Name, figures of the model and of PCA, per bundle."""
    sides = {"model": {}, "PCA": {}}
    for row in evaluation.bundles:
        sides[row["latents"]][row["bundle"]] = row
    return [(name, own, sides["PCA"][name]) for name, own in sides["model"].items()]


def _bundle_table(bundles):
    """Figures of each bundle, the model's and PCA's beside each other."""
    columns = ["bundle", "streamlines"]
    for heading in BUNDLE_FIGURES.values():
        columns += [heading, f"PCA: {heading}"]
    rows = [
        (
            name,
            own["n_streamlines"],
            *(side[key] for key in BUNDLE_FIGURES for side in (own, pca)),
        )
        for name, own, pca in bundles
    ]
    caption = "Bundles: input and reconstruction"
    return Table(caption, tuple(columns), rows, folded=len(rows) > LONG_TABLE)


def _quality(evaluation):
    """All figures of the model and of PCA."""
    own, pca = evaluation.rows
    rows = [
        (what, own.get(key), pca.get(key), unit, better)
        for key, (what, unit, better) in FIGURES.items()
        if key in own or key in pca
    ]
    return Table(
        "The model, and PCA with as many dimensions",
        ("what", "model", "PCA", "unit", "better is"),
        rows,
    )


def _data(files, row):
    """Tables of files, those measured on and those learned from."""
    parts = []
    for use in dict.fromkeys(file["use"] for file in files):
        parts += [f"{use}:", *files_tables([f for f in files if f["use"] == use], {})]
    parts.append(
        f"{row['n_streamlines']:,} streamlines were measured on, and "
        f"{row['n_known']:,} learned from (of each bundle, max_streamlines at most)."
    )
    return parts


def _checks_of_training(record, latent_dim):
    """Look at the training that a model's record tells of."""
    if record is None:
        return ()
    own, data = record.settings, record.data
    return (
        overfitting(record.history),
        pca_kept(record.best_epoch, own["epochs"], own["linear_skip"], own["refit"]),
        few_streamlines(data["n_training"], latent_dim),
    )


def _training(record):
    """Show how a model came about."""
    data = record.data
    names = list(dict.fromkeys(data.get("files", ())))
    about = [
        ("streamlines trained on", data["n_training"]),
        ("held out", data["n_validation"]),
        ("read", data["n_read"]),
        ("left out", sum(data["rejects"].values())),
        ("names of files", ", ".join(names)),
        ("seed", str(record.settings["seed"])),
        ("backend", record.versions.get("backend")),
        ("dipy_tractoencoder", record.versions.get("dipy_tractoencoder")),
    ]
    parts = [Table("Training", ("what", "value"), about)]
    parts += settings_tables(record.settings, TrainingSettings().to_dict())
    if record.history.get("loss"):
        parts += curve_parts(record)
    return parts
