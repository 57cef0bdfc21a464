"""Checks of what new streamlines are sampled from."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.workflows.alignment_options import FITTED, known_transforms

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.generation.bundle_density import BundleDensity
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
            f"--align {align} needs the streamlines of --bundle_files; densities are "
            "in the space of the model. Give the transform of the subject that new "
            "streamlines are for with --transform."
        )
    return known_transforms(transform, [""]).get("")


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
