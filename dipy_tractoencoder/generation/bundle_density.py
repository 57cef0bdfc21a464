"""What is plausible for a bundle: how likely, how long, how bent, and where."""

from dataclasses import dataclass, field

import nibabel as nib
from nibabel.affines import apply_affine
import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.generation.density import (
    DEFAULT_DENSITY,
    MOST_PARTS,
    Density,
    fit_with_held_out,
)
from dipy_tractoencoder.streamlines.metrics import curve_length
from dipy_tractoencoder.utils.atomic_files import check_readable
from dipy_tractoencoder.utils.short_repr import short_repr

TAIL = 0.01  # share of the bundle's own streamlines on each side of its central range
LENGTH_MARGIN = 0.05
CURVATURE_MARGIN = 0.1
CURVATURE_POINTS = 32
MIN_INSIDE = 0.95

# In the order of the tests; a streamline counts for the first one that it fails.
REASONS = ("unlikely", "too_short", "too_long", "too_curved", "outside_mask")
PLAUSIBLE = len(REASONS)


@dataclass(frozen=True)
class BundleDensity:
    """What new streamlines of a bundle are drawn from and judged by.

    Attributes
    ----------
    name : str
        Of the bundle.
    density : Density
        Of its latents.
    min_log_density : float
        Draws of less are left out.
    min_length, max_length : float
        mm; range of plausible lengths.
    max_curvature : float
        1/mm; of the sharpest bend, see `sharpest_bend`.
    n_streamlines : int
        Streamlines that it was fitted to.
    space : dict
        Image space of their tractogram, see `io.space.tractogram_space`.
    """

    name: str
    density: Density
    min_log_density: float
    min_length: float
    max_length: float
    max_curvature: float
    n_streamlines: int
    space: dict = field(default_factory=dict)

    __repr__ = short_repr

    def judge(self, points, log_density=None, mask=None, min_inside=MIN_INSIDE):
        """Tell which decoded streamlines are plausible, and why others are not.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            RASMM, mm.
        log_density : ndarray, shape (n_streamlines,), optional
            Of their latents.
        mask : tuple of ndarray, optional
            Boolean image and its affine.
        min_inside : float, optional
            Smallest share of a streamline's points that lie inside of the mask.

        Returns
        -------
        code : ndarray, shape (n_streamlines,), int64
            Position in ``REASONS`` of the first test failed; ``PLAUSIBLE`` for none.
        """
        length = curve_length(points)
        tests = [
            ("too_curved", sharpest_bend(points) > self.max_curvature),
            ("too_long", length > self.max_length),
            ("too_short", length < self.min_length),
        ]
        if log_density is not None:
            tests.append(("unlikely", log_density < self.min_log_density))
        code = np.full(len(points), PLAUSIBLE)
        for reason, failed in tests:
            code[failed] = REASONS.index(reason)
        if mask is not None:
            rest = np.flatnonzero(code == PLAUSIBLE)
            outside = share_inside(points[rest], *mask) < min_inside
            code[rest[outside]] = REASONS.index("outside_mask")
        return code


def describe_bundle(
    latents,
    points,
    density=DEFAULT_DENSITY,
    *,
    unit=None,
    max_parts=MOST_PARTS,
    name="",
    space=None,
):
    """Find what new streamlines of a bundle are drawn from and judged by.

    Plausible lengths are those of the central 98 % of the bundle's streamlines, and
    5 % more on either side; curvatures up to that of the 99th percentile and 10 %
    more; log densities down to the first percentile of the streamlines' own, each
    found without it.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        Of the bundle.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Its streamlines, mm.
    density, unit, max_parts
        As ``kind``, ``unit`` and ``max_parts`` of `fit_density`.
    name : str, optional
        Of the bundle.
    space : dict, optional
        Image space, kept for the new streamlines' tractogram.

    Returns
    -------
    bundle : BundleDensity
        To be given to `generation.sampling.draw_plausible`.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range.
    """
    try:
        fitted, own = fit_with_held_out(
            latents, density, unit=unit, max_parts=max_parts
        )
    except EmptyDataError as err:
        raise EmptyDataError(f"Bundle {name}: {err}") from err
    shortest, longest = np.quantile(curve_length(points), [TAIL, 1 - TAIL])
    return BundleDensity(
        name=name,
        density=fitted,
        min_log_density=float(np.quantile(own, TAIL)),
        min_length=float(shortest * (1 - LENGTH_MARGIN)),
        max_length=float(longest * (1 + LENGTH_MARGIN)),
        max_curvature=float(
            np.quantile(sharpest_bend(points), 1 - TAIL) * (1 + CURVATURE_MARGIN)
        ),
        n_streamlines=len(points),
        space=space or {},
    )


def load_mask(path):
    """Read a mask.

    Parameters
    ----------
    path : str or Path
        Three-dimensional image.

    Returns
    -------
    mask : ndarray of bool
        Voxels above 0.
    affine : ndarray, shape (4, 4)
        From voxels to mm.

    Raises
    ------
    InputFileError
        If the file is missing, no such image, or empty.
    """
    check_readable(path)
    try:
        image = nib.load(path)
        mask = np.asarray(image.dataobj) > 0
    # Readers of many formats raise whatever a broken file leads them to.
    except Exception as err:
        raise InputFileError(
            f"Cannot read the mask {path}: {type(err).__name__}: {err}. Give an image, "
            "as a .nii.gz."
        ) from err
    while mask.ndim > 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 3 or not mask.any():
        raise InputFileError(
            f"Cannot use the mask {path}: expected three dimensions and voxels above "
            f"0. Received: shape={mask.shape}, {int(mask.sum())} voxels."
        )
    return mask, image.affine


def check_mask(points, mask, what):
    """Raise unless some points lie inside of a mask.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    mask : tuple of ndarray
        Boolean image and its affine.
    what : str
        Which streamlines these are, for the message.

    Raises
    ------
    InvalidArgumentError
        If none do: the mask is of another brain or space.
    """
    if share_inside(points, *mask).any():
        return
    corners = apply_affine(mask[1], [np.zeros(3), np.array(mask[0].shape) - 1])
    box, image = (
        np.round([p.min(axis=0), p.max(axis=0)]).astype(int).tolist()
        for p in (points.reshape(-1, 3), corners)
    )
    raise InvalidArgumentError(
        f"No point of {what} lies inside of the mask. They reach from {box[0]} to "
        f"{box[1]} mm, the mask's image from {image[0]} to {image[1]} mm. Give a mask "
        "in the same space (RASMM, mm)."
    )


def sharpest_bend(points):
    """Curvature of each streamline where it bends most.

    Measured on about 32 of its points, so that the unevenness from one tracking step
    to the next does not count: the angle between neighbouring segments over their
    mean length.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        mm.

    Returns
    -------
    curvature : ndarray, shape (n_streamlines,), float64
        1/mm.
    """
    coarse = points[:, :: max(points.shape[1] // CURVATURE_POINTS, 1)]
    steps = np.diff(coarse, axis=1).astype(np.float64)
    lengths = np.linalg.norm(steps, axis=2)
    products = lengths[:, 1:] * lengths[:, :-1]
    cosines = np.ones_like(products)  # Points that coincide do not bend.
    dots = np.einsum("ijk,ijk->ij", steps[:, 1:], steps[:, :-1])
    np.divide(dots, products, out=cosines, where=products > 0)
    angles = np.arccos(np.clip(cosines, -1, 1))
    bends = 2 * angles / np.maximum(lengths[:, 1:] + lengths[:, :-1], 1e-9)
    return bends.max(axis=1, initial=0.0)


def share_inside(points, mask, affine):
    """Share of each streamline's points that lie inside of a mask.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm.
    mask : ndarray, shape (any, any, any), bool
        Image; its space may be another than the tractogram's.
    affine : ndarray, shape (4, 4)
        From its voxels to mm.

    Returns
    -------
    share : ndarray, shape (n_streamlines,), float64
        0 to 1; points outside of the image lie outside of the mask.
    """
    voxels = apply_affine(np.linalg.inv(affine), points.reshape(-1, 3))
    voxels = np.floor(voxels + 0.5)
    fits = np.all((voxels >= 0) & (voxels < mask.shape), axis=1)
    inside = np.zeros(len(voxels), dtype=bool)
    inside[fits] = mask[tuple(voxels[fits].astype(np.int64).T)]
    return inside.reshape(points.shape[:2]).mean(axis=1)
