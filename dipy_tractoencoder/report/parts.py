"""Parts shared by the reports of several commands: settings, files, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.report.data_checks import REASONS
from dipy_tractoencoder.report.model_checks import COLLAPSED_KL
from dipy_tractoencoder.report.page import Table, picture
from dipy_tractoencoder.streamlines.array import merge_rejects
from dipy_tractoencoder.streamlines.metrics import (
    curve_length,
    paired_mdf,
    point_distance,
    pooled_distance,
)
from dipy_tractoencoder.viz.base import reconstruction_figure
from dipy_tractoencoder.viz.evaluation import kl_figure

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.report.page import Picture

MOST_DRAWN = 150  # Streamlines per picture.
LONG_TABLE = 15  # Tables with more rows are folded.


def settings_tables(settings: dict, defaults: dict) -> list[str | Table | Picture]:
    """Make tables of settings, those that differ from the defaults first.

    Parameters
    ----------
    settings : dict
        Value of each setting, by name.
    defaults : dict
        Default of each setting, by name.

    Returns
    -------
    parts : list of str or Table
        Parts of a section of a report.
    """
    changed = [
        (name, value, defaults.get(name))
        for name, value in settings.items()
        if name not in defaults or value != defaults[name]
    ]
    every = [(name, value, defaults.get(name)) for name, value in settings.items()]
    columns = ("setting", "value", "default")
    as_text = [tuple(map(_setting, row)) for row in every]
    parts = [Table(f"All {len(every)} settings", columns, as_text, folded=True)]
    if changed:
        rows = [tuple(map(_setting, row)) for row in changed]
        return [Table("Settings that differ from the defaults", columns, rows), *parts]
    return ["All settings are the defaults.", *parts]


def _setting(value):
    """Format the value of a setting, without rounding."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def files_tables(rows: list[dict], used: dict) -> list[Table]:
    """Make tables of files, with the numbers of streamlines read, used and rejected.

    Parameters
    ----------
    rows : list of dict
        Per file: "file", "n_read", "rejects", and the counts named in ``used``.
    used : dict of str
        Heading of each count, by its name.

    Returns
    -------
    tables : list of Table
        Table of files and, if there are rejects, table of rejects by reason.
    """
    n_rejects = [sum(row["rejects"].values()) for row in rows]
    body = [
        (row["file"], row["n_read"], *(row[key] for key in used), count)
        for row, count in zip(rows, n_rejects)
    ]
    columns = ("file", "read", *used.values(), "rejected as faulty or by length")
    if len(rows) > 1:
        sums = zip(*(line[1:] for line in body))
        body.append((f"all {len(rows)} files", *map(sum, sums)))
    tables = [
        Table("Streamlines of each file", columns, body, folded=len(rows) > LONG_TABLE)
    ]
    if tables[0].folded:
        tables.insert(0, Table("Streamlines", columns, body[-1:]))
    rejects = merge_rejects(row["rejects"] for row in rows)
    if rejects:
        total = sum(row["n_read"] for row in rows)
        lines = [
            (reason, count, 100 * count / total, f"they {REASONS.get(reason, reason)}")
            for reason, count in rejects.items()
        ]
        columns = ("reason", "streamlines", "fraction (%)", "meaning")
        tables.append(Table("Rejected streamlines, by reason", columns, lines))
    return tables


def origin_facts(
    model: StreamlineAutoencoder, fingerprint: str, versions: dict, **facts: Any
) -> list[tuple[str, object]]:
    """List the facts on the origin of results: model, versions, backend, seed.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    fingerprint : str
        Fingerprint of the model.
    versions : dict of str
        Software versions, from `nn.provenance.software_versions`.
    **facts
        Further facts, shown first.

    Returns
    -------
    facts : list of (str, object)
        Facts for a `report.page.Report`.
    """
    kind = "variational autoencoder" if model.variational else "autoencoder"
    packages = {k: v for k, v in versions.items() if k != "backend"}
    about = {
        **{name.replace("_", " "): value for name, value in facts.items()},
        "kind of model": f"{kind}, {model.latent_dim} latent dimensions, "
        f"{model.backbone} backbone, "
        f"{'with' if model.linear_skip else 'without'} linear skip",
        "fingerprint": fingerprint,
        "backend": versions.get("backend"),
        "versions": ", ".join(f"{name} {value}" for name, value in packages.items()),
    }
    return list(about.items())


def error_table(
    points: np.ndarray,
    reconstructed: np.ndarray,
    pca_reconstructed: np.ndarray,
    caption: str,
    distances: Sequence[np.ndarray] | None = None,
) -> Table:
    """Make a table of reconstruction errors of a model and of PCA.

    Parameters
    ----------
    points, reconstructed, pca_reconstructed : ndarray, shape (n, n_points, 3)
        Streamlines, and their reconstructions by the model and by PCA, mm.
    caption : str
        Caption of the table.
    distances : sequence of two ndarray, shape (n_all,), optional
        Distances (mm) of all streamlines, of which ``points`` are a sample, from their
        reconstructions by the model and by PCA.

    Returns
    -------
    table : Table
        Errors, mm.
    """
    sides = (reconstructed, pca_reconstructed)
    if distances is None:
        distances = [point_distance(points, side) for side in sides]
    mdf = [paired_mdf(points, side) for side in sides]
    length = curve_length(points)
    longer = [curve_length(side) - length for side in sides]
    measures = (
        ("root mean square", [pooled_distance(d) for d in distances]),
        ("median streamline", [float(np.median(d)) for d in distances]),
        ("95th percentile", [float(np.percentile(d, 95)) for d in distances]),
        ("worst streamline", [float(d.max()) for d in distances]),
        ("MDF, mean", [float(m.mean()) for m in mdf]),
        ("length, mean change", [float(change.mean()) for change in longer]),
    )
    rows = [(name, *pair) for name, pair in measures]
    note = (
        "Distances of corresponding points of input and reconstruction; MDF is the "
        "minimum average direct-flip distance. PCA has the same number of dimensions "
        "and is fitted to the same training streamlines."
    )
    if len(points) < len(distances[0]):
        note += f" MDF and length are those of a sample of {len(points):,}."
    columns = ("error", "model (mm)", "PCA (mm)")
    return Table(caption, columns, rows, note=note)


def views(points: np.ndarray, reconstructed: np.ndarray, what: str) -> Picture:
    """Make a picture of input, reconstruction and error in three views.

    Parameters
    ----------
    points, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines and their reconstructions; RASMM, mm.
    what : str
        Description of the streamlines.

    Returns
    -------
    picture : Picture
        Picture for a report.
    """
    alt = (
        f"{what}: three rows of three pictures. Rows: input, reconstruction, error; "
        "columns: sagittal, coronal and axial view."
    )
    caption = (
        "Colours of the first two rows: direction (red left to right, green front to "
        "back, blue up and down). Third row: distance of each point from its "
        "reconstruction, in mm; the scale ends at the 98th percentile."
    )
    figure = reconstruction_figure(points, reconstructed, what=what, most=MOST_DRAWN)
    return picture(figure, alt, caption)


def latent_parts(
    model: StreamlineAutoencoder, variance: np.ndarray, kl: np.ndarray
) -> list[str | Table | Picture]:
    """Make the parts of a report on the use of latent dimensions.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    variance, kl : ndarray, shape (latent_dim,)
        From `evaluation.diagnostics.latent_use`.

    Returns
    -------
    parts : list of str, Table or Picture
        Parts of a section of a report.
    """
    unit = "mm" if model.linear_skip else "no unit"
    std = np.sqrt(variance) * model.latent_unit
    names = [f"z[{number}]" for number in range(model.latent_dim)]
    rows = list(zip(names, kl.tolist(), std.tolist()))
    table = Table(
        "Each latent dimension",
        ("dimension", "KL (nats)", f"standard deviation of the latents ({unit})"),
        rows,
        folded=True,
    )
    least = int(kl.argmin())
    alt = (
        f"Bars: KL of the {len(kl)} latent dimensions, from {kl[least]:.3g} nats "
        f"(z[{least}]) to {kl.max():.3g} nats."
    )
    text = (
        "The Kullback-Leibler divergence (KL) of a latent dimension measures how much "
        f"information it holds about a streamline; the sum is {kl.sum():.1f} nats. A "
        f"dimension below {COLLAPSED_KL} nats holds none."
    )
    return [text, picture(kl_figure(kl), alt, vector=True), table]
