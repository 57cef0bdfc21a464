"""Summarise the sampling of a bundle in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.generation.bundle_density import REASONS
from dipy_tractoencoder.generation.sampling import sampled_nearest_mdf

if TYPE_CHECKING:
    from dipy_tractoencoder.generation.bundle_density import BundleDensity
    from dipy_tractoencoder.generation.sampling import Samples


def summary_row(
    bundle: BundleDensity, samples: Samples, real: np.ndarray | None = None
) -> dict[str, Any]:
    """Summarise the sampling of a bundle in a row of a table.

    Parameters
    ----------
    bundle : BundleDensity
        Density of the bundle.
    samples : Samples
        New streamlines.
    real : ndarray, shape (n_streamlines, n_points, 3), optional
        Real streamlines in the space of the model, mm.

    Returns
    -------
    row : dict
        Numbers of draws, accepted and rejected ones by reason, and with ``real`` the
        median distance of new streamlines to the nearest real one, and of real ones to
        the nearest other one, mm in the space of the model.
    """
    row = {
        "bundle": bundle.name,
        "density": bundle.density.kind,
        "n_parts": bundle.density.n_parts,
        "n_real": bundle.n_streamlines,
        "tried": samples.n_tried,
        "accepted": len(samples),
        "yield": samples.acceptance,
    }
    for reason in REASONS:
        row[f"rejected_{reason}"] = samples.rejects.get(reason, 0)
    if real is not None:
        points = model_space_points(bundle, samples)
        row["nearest_mm"] = float(np.median(sampled_nearest_mdf(points, real)))
        row["real_nearest_mm"] = float(np.median(sampled_nearest_mdf(real)))
    return row


def model_space_points(bundle: BundleDensity, samples: Samples) -> np.ndarray:
    """Return new streamlines in the space of the model.

    Parameters
    ----------
    bundle : BundleDensity
        Density that they were drawn from.
    samples : Samples
        New streamlines, in the space of the subject if the bundle was aligned.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, RASMM of the model, mm.
    """
    if bundle.alignment is None:
        return samples.points
    return bundle.alignment.apply(samples.points)
