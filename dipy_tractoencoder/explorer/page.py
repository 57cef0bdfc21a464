"""Interactive web page of a latent space, its streamlines, and walks through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number
from dipy_tractoencoder.evaluation.projection import PROJECTIONS, latent_map
from dipy_tractoencoder.explorer.data import explorer_data, fair_share
from dipy_tractoencoder.explorer.decoder_export import (
    export_decoder,
    packed,
    packed_operations,
)
from dipy_tractoencoder.nn.provenance import fingerprint, software_versions
from dipy_tractoencoder.segment.neighbors import reference_distances
from dipy_tractoencoder.utils.atomic_files import check_free, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.explorer.data import ExplorerData
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

SCRIPTS = ("decoder", "explorer_content", "explorer_map", "explorer_view", "explorer")
PAGE_POINTS = 64  # Per streamline of the page; decoded ones have the model's number.
N_CONTEXT = 150  # Streamlines shown faintly behind the selected one.
MOST_STREAMLINES = 10_000  # That a browser draws without delay.


def explore(
    model: StreamlineAutoencoder,
    bundles: dict,
    path: str | Path = "explorer.html",
    *,
    model_name: str = "",
    max_streamlines: int = 2000,
    projection: str = "pca",
    groups: Sequence[str] | None = None,
    reference: str | Path | None = None,
    seed: int = 0,
    progress: Callable | None = None,
    alignment_of: Callable | None = None,
    overwrite: bool = False,
) -> dict:
    """Write an interactive web page of a latent space, which decodes in the browser.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    bundles : dict, or sequence of str or Path
        Streamlines of each bundle, by name (StatefulTractogram, or sequence of ndarray;
        RASMM, mm); or tractograms, of which each, or each group of a TRX file, is a
        bundle, and folders of them.
    path : str or Path, optional
        Page to write, completely or not at all.
    model_name : str, optional
        Name of the model on the page.
    max_streamlines : int, optional
        Largest number of streamlines, spread evenly over the bundles.
    projection : {"pca", "tsne"}, optional
        Map shown first: PCA of the latents, which every page has, or t-SNE; see
        `evaluation.projection.latent_map`.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    seed : int, optional
        Seed of the random choice and of t-SNE.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    alignment_of : callable, optional
        Function called with the path of each tractogram, or the name of each bundle of
        a dict, which returns the `Alignment` of its subject to the model, or None; by
        default nothing is moved. Streamlines are shown in the space of the model.
    overwrite : bool, optional
        Replace an existing page.

    Returns
    -------
    about : dict of object
        "path", "n_shown" and "n_streamlines", "n_bundles", "megabytes" of the page.

    Raises
    ------
    InvalidArgumentError
        If plotly is not installed, or an argument is out of range.
    InputFileError, OutputFileError
        If a file cannot be read or written, or the page exists and ``overwrite`` is
        False.
    EmptyDataError
        If there are too few streamlines to show.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> about = dte.explore(model, {"all": made.streamlines}, "explorer.html")
    >>> about["n_shown"], about["n_bundles"]
    (43, 1)
    """
    check_plotly()
    check_free(path, overwrite)
    check_choice("projection", projection, PROJECTIONS)
    check_max_streamlines(max_streamlines)
    data = explorer_data(
        model,
        bundles,
        groups=groups,
        max_streamlines=max_streamlines,
        reference=reference,
        seed=seed,
        progress=progress,
        alignment_of=alignment_of,
    )
    page = explorer_page(
        model, data, model_name=model_name, projection=projection, seed=seed
    )
    path = Path(path)
    with whole_file(path) as partial:
        # Names of files may hold bytes that are not UTF-8.
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")
    return {
        "path": path,
        "n_shown": len(data.points),
        "n_streamlines": sum(data.totals),
        "n_bundles": len(data.names),
        "megabytes": path.stat().st_size / 1e6,
    }


def check_plotly() -> None:
    """Raise an error unless plotly, whose JavaScript the page needs, is installed.

    Raises
    ------
    InvalidArgumentError
        If plotly is not installed.
    """
    if find_spec("plotly") is None:
        raise InvalidArgumentError(
            "The explorer needs plotly, which is not installed. Install it with "
            'pip install "dipy_tractoencoder[explore]".'
        )


def check_max_streamlines(max_streamlines: int) -> None:
    """Raise an error unless a page can show a number of streamlines.

    Parameters
    ----------
    max_streamlines : int
        Number of streamlines.

    Raises
    ------
    InvalidArgumentError
        If it is out of range.
    """
    check_number(
        "max_streamlines",
        max_streamlines,
        low=3,
        high=MOST_STREAMLINES,
        integer=True,
    )


def explorer_page(
    model: StreamlineAutoencoder,
    data: ExplorerData,
    *,
    model_name: str = "",
    projection: str = "pca",
    seed: int = 0,
) -> str:
    """Render the explorer's page.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    data : ExplorerData
        Streamlines to show.
    model_name : str, optional
        Name of the model on the page.
    projection : {"pca", "tsne"}, optional
        Map shown first.
    seed : int, optional
        Seed of t-SNE, and of the random choice as stated on the page.

    Returns
    -------
    page : str
        HTML that contains all JavaScript and data; no other files are loaded.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    templates = resources.files("dipy_tractoencoder.explorer") / "templates"
    scripts = [(templates / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    style = (templates / "explorer.css").read_text("utf-8")
    # HTML would end the script here; to JavaScript the backslash is no change.
    scripts = [
        Markup(text.replace("</script", "<\\/script"))
        for text in (get_plotlyjs(), *scripts)
    ]
    environment = Environment(
        loader=PackageLoader("dipy_tractoencoder.explorer"), autoescape=True
    )
    trained = getattr(model.record, "versions", None) or {}
    return environment.get_template("explorer.html").render(
        content=page_content(model, data, projection=projection, seed=seed),
        scripts=scripts,
        style=Markup(style),
        model=model,
        model_name=model_name or "the model",
        fingerprint=fingerprint(model),
        trained_with=_version_text(trained),
        made_with=_version_text(software_versions()),
        n_shown=len(data.points),
        n_streamlines=sum(data.totals),
        n_bundles=len(data.names),
        seed=seed,
        page_points=min(PAGE_POINTS, model.preprocessing.n_points),
    )


def page_content(
    model: StreamlineAutoencoder,
    data: ExplorerData,
    *,
    projection: str = "pca",
    seed: int = 0,
) -> dict[str, Any]:
    """Collect the data that the scripts of the page read, as plain values.

    Parameters
    ----------
    model, data, projection, seed : object
        As for `explorer_page`.

    Returns
    -------
    content : dict of object
        Values for JSON; arrays as base64 text, streamlines in 16 bits per coordinate.
    """
    n_points = data.points.shape[1]
    shown = np.linspace(0, n_points - 1, min(PAGE_POINTS, n_points)).round().astype(int)
    points = data.points[:, shown].astype(np.float64)
    origin = points.min(axis=(0, 1))
    step = np.maximum(np.ptp(points, axis=(0, 1)) / 65535, 1e-9)
    numbers = {
        "latent": data.latent,
        "pca_latent": data.pca_latent,
        "length": data.length,
        "error": data.error,
        "pca_error": data.pca_error,
    }
    arrays = {name: packed(values, "float32") for name, values in numbers.items()}
    arrays["points"] = packed(((points - origin) / step).round(), "uint16")
    for name in ("bundle", "source", "number"):
        arrays[name] = packed(getattr(data, name), "int32")
    latent = data.latent.astype(np.float64)
    flat, share = latent_map(latent)
    maps = [{"name": "PCA", "share": share, "points": packed(flat, "float32")}]
    if projection == "tsne":
        flat_tsne, _ = latent_map(latent, "tsne", seed=seed)
        maps.insert(0, {"name": "t-SNE", "points": packed(flat_tsne, "float32")})
    mean, std = latent.mean(axis=0), latent.std(axis=0)
    # The map is linear in the latents, so least squares give its directions exactly.
    directions = np.linalg.lstsq(latent - mean, flat, rcond=None)[0]
    return {
        "names": data.names,
        "totals": data.totals,
        "files": data.files,
        "unit": "mm" if model.linear_skip else "",
        "quantised": {"origin": origin.tolist(), "step": step.tolist()},
        "arrays": arrays,
        "maps": maps,
        "directions": directions.tolist(),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "dimensions": np.argsort(-std, kind="stable").tolist(),
        "nearest_99": float(np.percentile(reference_distances(latent), 99)),
        "context": _context(data),
        "decoder": packed_operations(export_decoder(model)),
        "pca_decoder": packed_operations(_pca_operations(model, shown)),
    }


def _pca_operations(model, shown):
    """List the operations of PCA's decoder, as `export_decoder` does."""
    decoder = model.pca_baseline().decode
    bias = decoder(np.zeros((1, model.latent_dim)))[:, shown]
    kernel = (decoder(np.eye(model.latent_dim))[:, shown] - bias).reshape(
        model.latent_dim, -1
    )
    dense = {"kernel": kernel, "bias": bias.ravel(), "activation": "linear"}
    return [
        {"kind": "dense", **dense, "inputs": [0]},
        {"kind": "reshape", "shape": [len(shown), 3], "inputs": [1]},
    ]


def _context(data):
    """Choose the rows to show in the background, evenly over the bundles."""
    sizes = np.bincount(data.bundle)
    share = max(1, fair_share(sizes.tolist(), N_CONTEXT))
    # The rows of a bundle are in the order of the files: take evenly spaced ones.
    rows = [
        np.flatnonzero(data.bundle == code)[
            np.linspace(0, size - 1, min(size, share)).round().astype(int)
        ]
        for code, size in enumerate(sizes)
    ]
    return np.concatenate(rows).tolist()


def _version_text(versions):
    """Format packages and versions."""
    return ", ".join(f"{name} {value}" for name, value in versions.items())
