"""Parts that reports of different commands share: settings, files, origins, errors."""

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

MOST_DRAWN = 150  # streamlines per picture
LONG_TABLE = 15  # rows from which a table is folded


def settings_tables(settings, defaults):
    """List settings, those that are not the defaults first.

    Parameters
    ----------
    settings : dict
        Name to value.
    defaults : dict
        Name to the value it has if nothing is said.

    Returns
    -------
    parts : list of str or Table
        For a section of a report.
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
    """Write a setting as it is given, unrounded."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def files_tables(rows, used):
    """List files with what was read of them and used, and rejects by reason.

    Parameters
    ----------
    rows : list of dict
        "file", "n_read", "rejects", and the counts that ``used`` names.
    used : dict of str to str
        Name of a count to its heading.

    Returns
    -------
    tables : list of Table
        Of files, and of rejects by reason where there are any.
    """
    n_rejects = [sum(row["rejects"].values()) for row in rows]
    body = [
        (row["file"], row["n_read"], *(row[key] for key in used), count)
        for row, count in zip(rows, n_rejects)
    ]
    columns = ("file", "read", *used.values(), "left out as faulty or by length")
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
        columns = ("reason", "streamlines", "share (%)", "meaning")
        tables.append(Table("Streamlines left out, by reason", columns, lines))
    return tables


def origin_facts(model, fingerprint, versions, **facts):
    """Say where results come from: model, fingerprint, versions, backend, seed.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    fingerprint : str
        The model's.
    versions : dict of str
        As from `nn.provenance.software_versions`.
    **facts
        More of them, shown first.

    Returns
    -------
    facts : list of (str, object)
        For a `report.page.Report`.
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


def error_table(points, reconstructed, pca_reconstructed, caption):
    """Measure reconstructions of a model and of PCA in several ways.

    Parameters
    ----------
    points, reconstructed, pca_reconstructed : ndarray, shape (n, n_points, 3)
        Streamlines, and what model and PCA made of them; mm.
    caption : str
        Of the table.

    Returns
    -------
    table : Table
        In mm.
    """
    sides = (reconstructed, pca_reconstructed)
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
        "minimum average direct-flip distance. PCA has as many dimensions and the same "
        "training streamlines."
    )
    columns = ("error", "model (mm)", "PCA (mm)")
    return Table(caption, columns, rows, note=note)


def views(points, reconstructed, what):
    """Draw input, reconstruction and error in three views.

    Parameters
    ----------
    points, reconstructed : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    what : str
        Which streamlines these are.

    Returns
    -------
    picture : Picture
        For a report.
    """
    alt = (
        f"{what}: three rows of three pictures. Rows: input, reconstruction, error; "
        "columns: sagittal, coronal and axial view."
    )
    caption = (
        "Colours of the first two rows: direction (red left to right, green front to "
        "back, blue up and down). Third row: how far each point is from where it was, "
        "in mm; the scale ends at the 98th percentile."
    )
    figure = reconstruction_figure(points, reconstructed, what=what, most=MOST_DRAWN)
    return picture(figure, alt, caption)


def latent_parts(model, variance, kl):
    """Show what `latent_use` found.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    variance, kl : ndarray, shape (latent_dim,)
        From `latent_use`.

    Returns
    -------
    parts : list of str, Table or Picture
        For a section of a report.
    """
    unit = "mm" if model.linear_skip else "no unit"
    spread = np.sqrt(variance) * model.latent_unit
    names = [f"z[{number}]" for number in range(model.latent_dim)]
    rows = list(zip(names, kl.tolist(), spread.tolist()))
    table = Table(
        "Each latent dimension",
        ("dimension", "KL (nats)", f"standard deviation of the latents ({unit})"),
        rows,
        folded=True,
    )
    least = int(kl.argmin())
    alt = (
        f"Bars: KL of the {len(kl)} latent dimensions, {kl.max():.3g} nats at most, "
        f"{kl[least]:.3g} at least (z[{least}])."
    )
    text = (
        "The Kullback-Leibler divergence (KL) of a dimension says how much it tells of "
        f"a streamline: {kl.sum():.1f} nats in all. One below {COLLAPSED_KL} nats "
        "tells nothing."
    )
    return [text, picture(kl_figure(kl), alt, vector=True), table]
