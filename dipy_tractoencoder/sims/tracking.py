"""Tractography of the phantom: simulate its diffusion signal, and track on it.

The streamlines have the errors that DIPY's tracking makes at crossings, forks and
borders; `score_phantom` labels them. The acquisition is that of the FiberCup
:footcite:p:`Fillard2011`: 64 directions with b = 1500 s/mm^2, and one b0. Coordinates
are RASMM, in mm.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
import warnings

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, check_choice, check_number
from dipy_tractoencoder.sims.geometry import (
    AFFINE,
    BUNDLES,
    DIMENSIONS,
    TRUNK,
    VOXEL_SIZE,
    bundles_at,
    centre_line,
    fibercup_mask,
)
from dipy_tractoencoder.sims.labels import (
    LabelledStreamlines,
    join,
    random_generator,
    score_phantom,
)

if TYPE_CHECKING:
    from dipy.core.gradients import GradientTable

logger = logging.getLogger(__name__)

ALGORITHMS = ("deterministic", "probabilistic")

N_DIRECTIONS = 64
B_VALUE = 1500.0  # s/mm^2
S0 = 1000.0
FIBRE_EVALS = (1.5e-3, 0.3e-3, 0.3e-3)  # mm^2/s, along and across
FREE_DIFFUSIVITY = 2.0e-3  # mm^2/s, of the surrounding water
SNR = 20.0

SH_ORDER = 8
MAX_ANGLE = 30.0  # degrees per step
STEP_SIZE = 1.0  # mm
MIN_LENGTH = 10.0  # mm
MAX_LENGTH = 300.0  # mm
# Tracking ends with an error at a smaller fraction of plausible streamlines.
LEAST_YIELD = 0.01

_SUBSAMPLES = 4  # sampling points per voxel and axis, for partial volumes
_SMALLEST_BATCH = 200


def gradient_scheme(*, seed: int | np.random.Generator = 0) -> GradientTable:
    """Generate a gradient table: one b0 and 64 evenly distributed directions.

    Parameters
    ----------
    seed : int or numpy.random.Generator, optional
        Seed of the initial directions of the electrostatic repulsion.

    Returns
    -------
    gtab : dipy.core.gradients.GradientTable
        65 measurements; the directions are in RAS, as the voxel axes are.

    Examples
    --------
    >>> from dipy_tractoencoder.sims.tracking import gradient_scheme
    >>> gtab = gradient_scheme()
    >>> len(gtab.bvals), float(gtab.bvals.max())
    (65, 1500.0)
    """
    from dipy.core.gradients import generate_bvecs, gradient_table

    directions = generate_bvecs(N_DIRECTIONS, iters=1000, rng=random_generator(seed))
    bvals = np.concatenate([[0.0], np.full(N_DIRECTIONS, B_VALUE)])
    return gradient_table(bvals, bvecs=np.concatenate([np.zeros((1, 3)), directions]))


def fibre_populations() -> tuple[np.ndarray, np.ndarray]:
    """Compute volume fraction and direction of each bundle's fibres in each voxel.

    Returns
    -------
    fractions : ndarray, shape (64, 64, 7)
        Fraction of the voxel's volume, with a sum of 1 in voxels without free water.
        Crossing bundles share the volume equally; E1, E2 and E3 count as one in their
        common trunk.
    directions : ndarray, shape (64, 64, 7, 3)
        Mean unit vectors in RAS; zero where a bundle is absent.
    """
    places = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    grid = np.indices(DIMENSIONS[:2])
    x = grid[0][..., None, None] + places[:, None]
    y = grid[1][..., None, None] + places
    points = np.stack(np.broadcast_arrays(x, y), axis=-1) * VOXEL_SIZE
    covered = bundles_at(points)
    names = ["trunk" if name in TRUNK else name for name in BUNDLES]
    families = np.unique(names, return_inverse=True)[1]
    members = np.stack(
        [
            covered[..., families == family].sum(-1)
            for family in range(families.max() + 1)
        ],
        axis=-1,
    )
    sharers = members[..., families] * np.count_nonzero(members, axis=-1)[..., None]
    weights = np.divide(covered, sharers, where=covered, out=np.zeros(covered.shape))
    directions = np.zeros((*DIMENSIONS[:2], len(BUNDLES), 3))
    for code, name in enumerate(BUNDLES):
        line = centre_line(name)
        tangents = line.tangents[line.nearest(points)[1]]
        total = np.einsum("...ij,...ijk->...k", weights[..., code], tangents)
        size = np.linalg.norm(total, axis=-1, keepdims=True)
        directions[..., code, :2] = np.divide(
            total, size, where=size > 0, out=np.zeros_like(total)
        )
    return weights.mean(axis=(2, 3)), directions


def simulate_signal(
    gtab: GradientTable,
    *,
    snr: float | None = SNR,
    seed: int | np.random.Generator = 0,
) -> np.ndarray:
    """Simulate the diffusion signal of the phantom, a tensor per fibre population.

    Parameters
    ----------
    gtab : dipy.core.gradients.GradientTable
        Gradient table.
    snr : float or None, optional
        Signal-to-noise ratio of the b0; the noise is Rician. None for no noise.
    seed : int or numpy.random.Generator, optional
        Seed of the noise.

    Returns
    -------
    signal : ndarray, shape (64, 64, 3, n_measurements), float32
        Signal, about 1000 in the b0.

    Raises
    ------
    InvalidArgumentError
        If ``snr`` is not above 0.

    Examples
    --------
    >>> from dipy_tractoencoder.sims.tracking import gradient_scheme, simulate_signal
    >>> simulate_signal(gradient_scheme()).shape
    (64, 64, 3, 65)
    """
    from dipy.sims.voxel import add_noise, multi_tensor

    if snr is not None:
        check_number("snr", snr, above=0)
    rng = random_generator(seed)
    fractions, directions = fibre_populations()
    water = np.exp(-gtab.bvals * FREE_DIFFUSIVITY) * S0
    plane = np.tile(water, (*DIMENSIONS[:2], 1))
    for place in zip(*np.nonzero(fractions.sum(axis=2))):
        present = np.flatnonzero(fractions[place])
        shares = 100 * fractions[place][present]
        plane[place], _ = multi_tensor(
            gtab,
            np.array([FIBRE_EVALS] * len(present) + [(FREE_DIFFUSIVITY,) * 3]),
            S0=S0,
            angles=np.concatenate([directions[place][present], [[1.0, 0.0, 0.0]]]),
            fractions=[*shares, 100 - shares.sum()],
            snr=None,
        )
    signal = np.repeat(plane[:, :, None], DIMENSIONS[2], axis=2)
    return add_noise(signal, snr, S0, rng=rng).astype(np.float32)


def track_fibercup(
    signal: np.ndarray,
    gtab: GradientTable,
    n_plausible: int,
    *,
    algorithm: str = "probabilistic",
    seed: int | np.random.Generator = 0,
) -> LabelledStreamlines:
    """Track streamlines on the phantom's signal until enough are plausible.

    Fibre orientations are estimated by constrained spherical deconvolution
    :footcite:p:`Tournier2007` with the response of the simulated fibres. Seeds are
    distributed uniformly in the white matter; tracking stops where it ends. Streamlines
    shorter than 10 mm are left out.

    Parameters
    ----------
    signal : ndarray, shape (64, 64, 3, n_measurements)
        Signal returned by `simulate_signal`.
    gtab : dipy.core.gradients.GradientTable
        Gradient table of the signal.
    n_plausible : int
        Number of plausible streamlines to track.
    algorithm : {"deterministic", "probabilistic"}
        Tracking algorithm.
    seed : int or numpy.random.Generator, optional
        Seed of the seed points and of probabilistic tracking.

    Returns
    -------
    tracked : LabelledStreamlines
        ``n_plausible`` plausible streamlines, and the implausible ones tracked with
        them, RASMM, mm.

    Raises
    ------
    InvalidArgumentError
        If ``n_plausible`` or ``algorithm`` is invalid.
    EmptyDataError
        If less than 1 % of the seeds give plausible streamlines.

    Examples
    --------
    >>> from dipy_tractoencoder.sims import tracking
    >>> gtab = tracking.gradient_scheme()
    >>> signal = tracking.simulate_signal(gtab)
    >>> tracked = tracking.track_fibercup(signal, gtab, 5, algorithm="deterministic")
    >>> int(tracked.plausible.sum())
    5
    """
    from dipy.reconst.csdeconv import ConstrainedSphericalDeconvModel

    check_number("n_plausible", n_plausible, low=1, integer=True)
    check_choice("algorithm", algorithm, ALGORITHMS)
    rng = random_generator(seed)
    model = ConstrainedSphericalDeconvModel(
        gtab, (np.array(FIBRE_EVALS), S0), sh_order_max=SH_ORDER
    )
    with warnings.catch_warnings():
        # Only in single voxels, where the last iteration is good enough.
        warnings.filterwarnings("ignore", "maximum number of iterations exceeded")
        coefficients = model.fit(signal, mask=fibercup_mask()).shm_coeff
    batches, n_right, n_tracked = [], 0, 0
    while n_right < n_plausible:
        n_seeds = max(_SMALLEST_BATCH, 2 * (n_plausible - n_right))
        streamlines = _track_batch(coefficients, n_seeds, algorithm, rng)
        scored = score_phantom(streamlines)
        n_tracked += n_seeds
        n_right += int(scored.plausible.sum())
        batches.append(scored)
        logger.debug("%d of %d seeds are plausible.", n_right, n_tracked)
        if n_right < LEAST_YIELD * n_tracked:
            raise EmptyDataError(
                f"Tracking from {n_tracked} seeds gave only {n_right} plausible "
                "streamlines, too few to continue. Increase `snr`."
            )
    tracked = join(batches)
    return tracked[: np.flatnonzero(tracked.plausible)[n_plausible - 1] + 1]


def _track_batch(coefficients, n_seeds, algorithm, rng):
    """Track streamlines (ArraySequence, RASMM, mm) from random seeds."""
    from dipy.data import default_sphere
    from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
    from dipy.tracking.tracker import deterministic_tracking, probabilistic_tracking
    from dipy.tracking.utils import length

    mask = fibercup_mask()
    voxels = np.argwhere(mask)
    chosen = voxels[rng.integers(len(voxels), size=n_seeds)]
    seeds = (chosen + rng.uniform(-0.5, 0.5, chosen.shape)) * VOXEL_SIZE
    tracking = {
        "deterministic": deterministic_tracking,
        "probabilistic": probabilistic_tracking,
    }[algorithm]
    lines = tracking(
        seeds,
        BinaryStoppingCriterion(mask),
        AFFINE,
        sh=coefficients,
        sphere=default_sphere,
        max_angle=MAX_ANGLE,
        step_size=STEP_SIZE,
        min_len=MIN_LENGTH,
        max_len=MAX_LENGTH,
        random_seed=int(rng.integers(1, 2**31 - 1)),
    )
    lines = ArraySequence(line.astype(np.float32) for line in lines)
    sizes = np.fromiter(length(lines), float, len(lines))
    return lines[sizes >= MIN_LENGTH]
