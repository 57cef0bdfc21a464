"""Checks of what new streamlines are sampled from."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.workflows.alignment_options import FITTED, known_transforms

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.generation.bundle_density import BundleDensity
    from dipy_tractoencoder.generation.sampling import Samples
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

logger = logging.getLogger(__name__)


def transform_of_densities(
    align: str, transform: str | Path | None
) -> Alignment | None:
    """Load the transform of the subject that new streamlines are written for.

    Parameters
    ----------
    align : str
        Kind of fit.
    transform : str, Path or None
        File of the transform of a subject to the model.

    Returns
    -------
    alignment : Alignment or None
        The transform; None if there is none.

    Raises
    ------
    InvalidArgumentError
        If a transform is to be fitted to densities, which are no streamlines.
    """
    if align in FITTED:
        raise InvalidArgumentError(
            f"--align {align} needs the streamlines of --bundle_files; densities, and "
            "bundles that a model holds, are in the space of the model. Give the "
            "transform of the subject that new streamlines are for with --transform."
        )
    return known_transforms(transform, [""]).get("")


def check_length(length: Sequence[str] | None) -> tuple[float, float] | None:
    """Return a wished range of lengths as numbers.

    Parameters
    ----------
    length : sequence of str, or None
        Shortest and longest streamlines, mm.

    Returns
    -------
    length : tuple of float, or None
        The numbers; None for any length.

    Raises
    ------
    InvalidArgumentError
        If there are not two numbers, the smaller first.
    """
    if not length:
        return None
    try:
        low, high = (float(word) for word in length)
    except ValueError:
        low = high = 0.0
    if not 0 < low < high < float("inf"):
        raise InvalidArgumentError(
            "Invalid value received for `length`. Expected two numbers of mm, the "
            f"smaller first. Received: {' '.join(str(word) for word in length)}."
        )
    return low, high


def restricted(
    model: StreamlineAutoencoder,
    bundles: list[BundleDensity],
    length: tuple[float, float] | None,
    like: str | Path | None,
    reference: Any = None,
) -> list[BundleDensity]:
    """Restrict densities to a wished length, and to the neighbourhood of streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.
    bundles : list of BundleDensity
        Densities.
    length : tuple of float, or None
        Shortest and longest streamlines, mm.
    like : str, Path or None
        Tractogram, in the space of the model.
    reference : optional
        Reference of tractograms without a header.

    Returns
    -------
    bundles : list of BundleDensity
        Densities to draw from.
    """
    from dipy_tractoencoder.generation.restricted import like_latents, of_length

    if like is not None:
        from dipy_tractoencoder.io.tractogram import load_tractogram
        from dipy_tractoencoder.latent.codec import encode

        latents = encode(model, load_tractogram(like, reference)).mean
        bundles = [like_latents(bundle, latents) for bundle in bundles]
    if length is not None:
        bundles = [of_length(bundle, *length) for bundle in bundles]
    return bundles


def refuse_latents(paths: Sequence[Path]) -> None:
    """Raise an error if a bundle is given as latents, which have no length.

    Parameters
    ----------
    paths : sequence of Path
        Files of bundles.

    Raises
    ------
    InputFileError
        If there are latents among them.
    """
    for path in paths:
        if file_format(path) in (".h5", ".hdf5"):
            raise InputFileError(
                f"{path} is no tractogram. Give densities of an earlier run with "
                "--density_file. Latents contain neither length nor curvature of "
                "streamlines: give their tractogram."
            )


def leave_out_small(real: dict[str, np.ndarray]) -> dict[str, int]:
    """Leave out bundles with too few streamlines for a density, with one warning.

    Parameters
    ----------
    real : dict of ndarray, shape (n_streamlines, n_points, 3)
        Streamlines of each bundle, by name; small bundles are removed, unless all are
        small.

    Returns
    -------
    left_out : dict of int
        Number of streamlines of each bundle that was removed, by name.
    """
    from dipy_tractoencoder.generation.density import FEWEST

    small = {name: len(p) for name, p in real.items() if len(p) < FEWEST}
    if not small or len(small) == len(real):
        return {}
    for name in small:
        del real[name]
    logger.warning(
        "No new streamlines of %d bundles with fewer than %d streamlines: %s. Give "
        "more streamlines of them.",
        len(small),
        FEWEST,
        ", ".join(f"{name} ({count})" for name, count in small.items()),
    )
    return small


def no_samples(model: StreamlineAutoencoder) -> Samples:
    """Return the new streamlines of a bundle that has none.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.

    Returns
    -------
    samples : Samples
        No streamlines.
    """
    from dipy_tractoencoder.generation.sampling import Samples

    points = np.empty((0, model.preprocessing.n_points, 3), np.float32)
    latents = np.empty((0, model.latent_dim), np.float32)
    return Samples(points, latents, np.empty(0), 0, {})


def empty_row(name: str, n_real: int, density: str) -> dict:
    """Summarise a bundle without new streamlines in a row of the table.

    Parameters
    ----------
    name : str
        Name of the bundle.
    n_real : int
        Number of its real streamlines.
    density : str
        Kind of density.

    Returns
    -------
    row : dict
        As of `generation.summary.summary_row`, with nothing accepted.
    """
    row = {"bundle": name, "density": density, "n_parts": 0, "n_real": n_real}
    return {**row, "tried": 0, "accepted": 0, "yield": 0.0}


def check_bundle_in_mask(
    model: StreamlineAutoencoder,
    bundle: BundleDensity,
    points: np.ndarray | None,
    options: dict,
) -> None:
    """Raise an error if no part of a bundle is inside the mask; warn if little is.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model to decode with, if there are no real streamlines.
    bundle : BundleDensity
        Density of the bundle.
    points : ndarray, shape (n_streamlines, n_points, 3), or None
        Real streamlines of the bundle in the space of the model, if available; RASMM,
        mm.
    options : dict
        "mask" and "min_inside".
    """
    from dipy_tractoencoder.generation.bundle_density import check_mask, fraction_inside
    from dipy_tractoencoder.latent.alignment import to_subject
    from dipy_tractoencoder.latent.codec import decode

    if points is None:
        rng = np.random.default_rng(0)
        points = decode(model, bundle.density.sample(200, rng))
    points = to_subject(points, bundle.alignment)
    check_mask(points, options["mask"], f"the bundle {bundle.name}")
    share = fraction_inside(points, *options["mask"]) >= options["min_inside"]
    if share.mean() < 0.5:
        logger.warning(
            "Only %.0f %% of the streamlines of %s have the fraction --min_inside of "
            "their points inside the mask; choose a smaller fraction or a larger mask.",
            100 * share.mean(),
            bundle.name,
        )
