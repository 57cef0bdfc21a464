"""Draw only streamlines of a wished length, or like given ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.generation.local_density import LocalDensity

if TYPE_CHECKING:
    import numpy as np

    from dipy_tractoencoder.generation.bundle_density import BundleDensity


def of_length(bundle: BundleDensity, low: float, high: float) -> BundleDensity:
    """Return a density that draws streamlines of a range of lengths.

    Parameters
    ----------
    bundle : BundleDensity
        Bundle with a local density.
    low, high : float
        Range, mm in the space of the model.

    Returns
    -------
    bundle : BundleDensity
        Density of streamlines of that length; others are not plausible.

    Raises
    ------
    EmptyDataError
        If too few known streamlines have such a length.
    InvalidArgumentError
        If the density is not local, or the range is empty.
    """
    try:
        density = _local(bundle, "length").of_length(low, high)
    except EmptyDataError as err:
        raise EmptyDataError(f"Bundle {bundle.name}: {err}") from err
    return replace(
        bundle, density=density, min_length=float(low), max_length=float(high)
    )


def like_latents(bundle: BundleDensity, latents: np.ndarray) -> BundleDensity:
    """Return a density that draws in the neighbourhood of given streamlines.

    Parameters
    ----------
    bundle : BundleDensity
        Bundle with a local density.
    latents : ndarray, shape (n, latent_dim)
        Latents of the given streamlines.

    Returns
    -------
    bundle : BundleDensity
        Density around the known streamlines that are nearest to them.

    Raises
    ------
    InvalidArgumentError
        If the density is not local.
    """
    return replace(bundle, density=_local(bundle, "like").like(latents))


def _local(bundle, what):
    """Return the density; raise an error if it cannot be restricted."""
    if isinstance(bundle.density, LocalDensity):
        return bundle.density
    raise InvalidArgumentError(
        f"`{what}` needs a local density; that of the bundle {bundle.name} is a "
        f"{bundle.density.kind}. Fit one with `density` local."
    )
