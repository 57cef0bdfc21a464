"""Density of a bundle's latents, with the limits that plausible streamlines meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from dipy_tractoencoder.generation.local_density import RANGE, LocalDensity
from dipy_tractoencoder.streamlines.metrics import curve_length
from dipy_tractoencoder.utils.atomic_files import check_readable
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment

TAIL = 0.01  # Fraction of the bundle's streamlines on each side of its central range.
LENGTH_MARGIN = 0.05
CURVATURE_MARGIN = 0.1
CURVATURE_POINTS = 32
MIN_INSIDE = 0.95

# In the order of the tests; a streamline is counted for the first test that it fails.
REASONS = (
    "unlikely",
    "too_near",
    "too_short",
    "too_long",
    "too_curved",
    "outside_mask",
)
PLAUSIBLE = len(REASONS)


@dataclass(frozen=True)
class BundleDensity:
    """Density of a bundle, and the limits that its new streamlines have to meet.

    Attributes
    ----------
    name : str
        Name of the bundle.
    density : Density or LocalDensity
        Density of its latents.
    min_log_density : float
        Smallest log density of a plausible streamline, nats.
    min_length, max_length : float
        Range of plausible lengths, mm.
    max_curvature : float
        Largest plausible curvature, 1/mm; see `sharpest_bend`.
    n_streamlines : int
        Number of streamlines that it was fitted to.
    space : dict
        Image space of their tractogram; see `io.space.tractogram_space`.
    alignment : Alignment or None
        Transform from the space of the subject, to which new streamlines are moved
        back, to that of the model; None if they stay in the model's.
    max_log_density : float
        Largest log density of a plausible streamline, nats: with a local density, what
        is nearer to a known streamline than those are to each other is a copy.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, name="all")
    >>> bundle.name, bundle.n_streamlines, bundle.min_length < bundle.max_length
    ('all', 43, True)
    """

    name: str
    density: Density | LocalDensity
    min_log_density: float
    min_length: float
    max_length: float
    max_curvature: float
    n_streamlines: int
    space: dict = field(default_factory=dict)
    alignment: Alignment | None = None
    max_log_density: float = float("inf")

    __repr__ = short_repr

    def judge(
        self,
        points: np.ndarray,
        log_density: np.ndarray | None = None,
        mask: tuple[np.ndarray, ...] | None = None,
        min_inside: float = MIN_INSIDE,
    ) -> np.ndarray:
        """Test which decoded streamlines are plausible, and why others are not.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines; RASMM, mm.
        log_density : ndarray, shape (n_streamlines,), optional
            Log density of their latents, nats.
        mask : tuple of ndarray, optional
            Boolean image and its affine.
        min_inside : float, optional
            Smallest fraction of the points of a streamline that lie inside the mask.

        Returns
        -------
        code : ndarray, shape (n_streamlines,), int64
            Index in ``REASONS`` of the first test that failed; ``PLAUSIBLE`` if none
            did.
        """
        length = curve_length(points)
        tests = [
            ("too_curved", sharpest_bend(points) > self.max_curvature),
            ("too_long", length > self.max_length),
            ("too_short", length < self.min_length),
        ]
        if log_density is not None:
            tests.append(("too_near", log_density > self.max_log_density))
            tests.append(("unlikely", log_density < self.min_log_density))
        code = np.full(len(points), PLAUSIBLE)
        for reason, failed in tests:
            code[failed] = REASONS.index(reason)
        if mask is not None:
            rest = np.flatnonzero(code == PLAUSIBLE)
            outside = fraction_inside(points[rest], *mask) < min_inside
            code[rest[outside]] = REASONS.index("outside_mask")
        return code


def describe_bundle(
    latents: np.ndarray,
    points: np.ndarray,
    density: str = DEFAULT_DENSITY,
    *,
    unit: np.ndarray | None = None,
    max_parts: int = MOST_PARTS,
    name: str = "",
    space: dict | None = None,
    alignment: Alignment | None = None,
) -> BundleDensity:
    """Fit the density and the plausibility limits of a bundle.

    Plausible lengths are those of the central 98 % of the bundle's streamlines,
    extended by 5 % on either side; plausible curvatures go up to 110 % of the 99th
    percentile; plausible log densities start at the first percentile of the held-out
    log densities of the streamlines. With a local density they end at the 95th, so that
    copies are left out.

    Parameters
    ----------
    latents : ndarray, shape (n_streamlines, latent_dim)
        Latents of the bundle.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines of the latents in the model's space, mm.
    density : {"local", "mixture", "kernel", "prior"}, optional
        Kind of density; see `fit_density`.
    unit : ndarray, shape (latent_dim,), optional
        As for `fit_density`.
    max_parts : int, optional
        As for `fit_density`.
    name : str, optional
        Name of the bundle.
    space : dict, optional
        Image space, stored for the tractogram of new streamlines.
    alignment : Alignment, optional
        Transform by which ``points`` were moved to the model's space.

    Returns
    -------
    bundle : BundleDensity
        Density and limits, for `generation.sampling.draw_plausible`.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range.
    """
    length = curve_length(points)
    try:
        fitted, own = fit_with_held_out(
            latents, density, unit=unit, max_parts=max_parts, length=length
        )
    except EmptyDataError as err:
        raise EmptyDataError(f"Bundle {name}: {err}") from err
    shortest, longest = np.quantile(length, [TAIL, 1 - TAIL])
    most = np.inf
    if isinstance(fitted, LocalDensity):
        most = float(np.quantile(own, 1 - RANGE[0]))
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
        alignment=alignment if alignment is not None and alignment.moves else None,
        max_log_density=most,
    )


def load_mask(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Load a mask image.

    Parameters
    ----------
    path : str or Path
        Three-dimensional image.

    Returns
    -------
    mask : ndarray of bool
        True for voxels above 0.
    affine : ndarray, shape (4, 4)
        Affine from voxels to RASMM, mm.

    Raises
    ------
    InputFileError
        If the file is missing, not such an image, or empty.

    Examples
    --------
    >>> import nibabel as nib
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> image = nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), np.eye(4))
    >>> nib.save(image, "mask.nii.gz")
    >>> mask, affine = dte.load_mask("mask.nii.gz")
    >>> mask.shape, mask.dtype
    ((4, 5, 6), dtype('bool'))
    """
    check_readable(path)
    try:
        image: Any = nib.load(path)
        mask = np.asarray(image.dataobj) > 0
    # For damaged files nibabel's readers raise errors of many kinds.
    except Exception as err:
        raise InputFileError(
            f"Cannot read the mask {path}: {type(err).__name__}: {err}. Give an image, "
            "for example .nii.gz."
        ) from err
    while mask.ndim > 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 3 or not mask.any():
        raise InputFileError(
            f"Cannot use the mask {path}: expected three dimensions and voxels above "
            f"0. Received: shape={mask.shape}, {int(mask.sum())} voxels."
        )
    return mask, image.affine


def check_mask(points: np.ndarray, mask: tuple[np.ndarray, ...], what: str) -> None:
    """Raise an error unless some points lie inside a mask.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines; RASMM, mm.
    mask : tuple of ndarray
        Boolean image and its affine.
    what : str
        Description of the streamlines, for the message.

    Raises
    ------
    InvalidArgumentError
        If no point lies inside: the mask is of another brain or space.
    """
    if fraction_inside(points, *mask).any():
        return
    corners = apply_affine(mask[1], [np.zeros(3), np.array(mask[0].shape) - 1])
    box, image = (
        np.round([p.min(axis=0), p.max(axis=0)]).astype(int).tolist()
        for p in (points.reshape(-1, 3), corners)
    )
    raise InvalidArgumentError(
        f"No point of {what} lies inside the mask. They reach from {box[0]} to "
        f"{box[1]} mm, the mask's image from {image[0]} to {image[1]} mm. Give a mask "
        "in the same space (RASMM, mm)."
    )


def sharpest_bend(points: np.ndarray) -> np.ndarray:
    """Compute the largest curvature along each streamline.

    Curvature is the angle between neighbouring segments divided by their mean length.
    It is measured on about 32 points of a streamline, so that the irregularities of
    single tracking steps do not count.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    curvature : ndarray, shape (n_streamlines,), float64
        Largest curvature, 1/mm.
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


def fraction_inside(
    points: np.ndarray, mask: np.ndarray, affine: np.ndarray
) -> np.ndarray:
    """Compute the fraction of each streamline's points that lie inside a mask.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines; RASMM, mm.
    mask : ndarray, shape (any, any, any), bool
        Mask image; its space may differ from that of the tractogram.
    affine : ndarray, shape (4, 4)
        Affine from its voxels to RASMM, mm.

    Returns
    -------
    fraction : ndarray, shape (n_streamlines,), float64
        Fractions, 0 to 1; points outside the image count as outside the mask.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> line = np.linspace([0, 0, 0], [7, 0, 0], 8)
    >>> dte.fraction_inside(line[None], np.ones((4, 1, 1), bool), np.eye(4))
    array([0.5])
    """
    voxels = apply_affine(np.linalg.inv(affine), points.reshape(-1, 3))
    voxels = np.floor(voxels + 0.5)
    fits = np.all((voxels >= 0) & (voxels < mask.shape), axis=1)
    inside = np.zeros(len(voxels), dtype=bool)
    inside[fits] = mask[tuple(voxels[fits].astype(np.int64).T)]
    return inside.reshape(points.shape[:2]).mean(axis=1)
