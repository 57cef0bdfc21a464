"""The harder phantom: simulate its diffusion signal, and track on that.

Streamlines come out of DIPY's tracking then, with the errors that tracking makes at
crossings, forks and borders, and are labelled by `score_phantom`. The acquisition
is the FiberCup's :footcite:p:`Fillard2011`: 64 directions, b = 1500 s/mm^2, and a b0.
Coordinates are RASMM, in mm.
"""

import logging
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
    white_matter_mask,
)
from dipy_tractoencoder.sims.labels import (
    join,
    random_generator,
    score_phantom,
)

logger = logging.getLogger(__name__)

ALGORITHMS = ("deterministic", "probabilistic")

N_DIRECTIONS = 64
B_VALUE = 1500.0  # s/mm^2
S0 = 1000.0
FIBRE_EVALS = (1.5e-3, 0.3e-3, 0.3e-3)  # mm^2/s, along and across
FREE_DIFFUSIVITY = 2.0e-3  # mm^2/s, of the water around
SNR = 20.0

SH_ORDER = 8
MAX_ANGLE = 30.0  # degrees per step
STEP_SIZE = 1.0  # mm
MIN_LENGTH = 10.0  # mm
MAX_LENGTH = 300.0  # mm
# With a smaller share of plausible streamlines tracking is given up.
LEAST_YIELD = 0.01

_SUBSAMPLES = 4  # places per voxel and axis, for partial volumes
_SMALLEST_BATCH = 200


def gradient_scheme(*, seed=0):
    """Spread gradient directions evenly, after one b0.

    Parameters
    ----------
    seed : int or numpy.random.Generator, optional
        Of the directions that electrostatic repulsion starts from.

    Returns
    -------
    gtab : dipy.core.gradients.GradientTable
        65 measurements, along the voxel axes, which are the world's.
    """
    from dipy.core.gradients import generate_bvecs, gradient_table

    directions = generate_bvecs(N_DIRECTIONS, iters=1000, rng=random_generator(seed))
    bvals = np.concatenate([[0.0], np.full(N_DIRECTIONS, B_VALUE)])
    return gradient_table(bvals, bvecs=np.concatenate([np.zeros((1, 3)), directions]))


def fibre_populations():
    """Volume and direction of each bundle's fibres in each voxel of a slice.

    Returns
    -------
    fractions : ndarray, shape (64, 64, 7)
        Share of the voxel's volume, adding up to 1 where only fibres are. Where bundles
        cross they share the volume; E1, E2 and E3 count as one in their common trunk.
    directions : ndarray, shape (64, 64, 7, 3)
        Mean unit vectors; zero where a bundle is absent.
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


def simulate_signal(gtab, *, snr=SNR, seed=0):
    """Simulate the diffusion signal with a tensor per fibre population, and noise.

    Parameters
    ----------
    gtab : dipy.core.gradients.GradientTable
        Measurements.
    snr : float or None, optional
        The b0 of a voxel over the noise's standard deviation; the noise is Rician.
        None for no noise.
    seed : int or numpy.random.Generator, optional
        Of the noise.

    Returns
    -------
    signal : ndarray, shape (64, 64, 3, n_measurements), float32
        The b0 is about 1000.

    Raises
    ------
    InvalidArgumentError
        If ``snr`` is not above 0.
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


def track(signal, gtab, n_plausible, *, algorithm="probabilistic", seed=0):
    """Reconstruct fibre orientations, track, and score, until enough is plausible.

    Constrained spherical deconvolution :footcite:p:`Tournier2007` with the response of
    the simulated fibres; seeds are drawn all over the white matter, which also is where
    tracking stops. Streamlines under 10 mm are left out.

    Parameters
    ----------
    signal : ndarray, shape (64, 64, 3, n_measurements)
        As from `simulate_signal`.
    gtab : dipy.core.gradients.GradientTable
        Its measurements.
    n_plausible : int
        Plausible streamlines wanted.
    algorithm : {"deterministic", "probabilistic"}
        How a streamline chooses among directions.
    seed : int or numpy.random.Generator, optional
        Of the seeds and of probabilistic tracking.

    Returns
    -------
    tracked : LabelledStreamlines
        ``n_plausible`` plausible streamlines, and all implausible ones met on the way.

    Raises
    ------
    InvalidArgumentError
        If the number or the algorithm is not allowed.
    EmptyDataError
        If hardly anything that is tracked is plausible.
    """
    from dipy.reconst.csdeconv import ConstrainedSphericalDeconvModel

    check_number("n_plausible", n_plausible, low=1, integer=True)
    check_choice("algorithm", algorithm, ALGORITHMS)
    rng = random_generator(seed)
    model = ConstrainedSphericalDeconvModel(
        gtab, (np.array(FIBRE_EVALS), S0), sh_order_max=SH_ORDER
    )
    with warnings.catch_warnings():
        # In single voxels; the last iteration serves as well.
        warnings.filterwarnings("ignore", "maximum number of iterations exceeded")
        coefficients = model.fit(signal, mask=white_matter_mask()).shm_coeff
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
                f"Tracking from {n_tracked} seeds gave {n_right} plausible "
                "streamlines, too few to go on. Raise snr."
            )
    tracked = join(batches)
    return tracked[: np.flatnonzero(tracked.plausible)[n_plausible - 1] + 1]


def _track_batch(coefficients, n_seeds, algorithm, rng):
    """Streamlines (ArraySequence, RASMM, mm) from random places in white matter."""
    from dipy.data import default_sphere
    from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
    from dipy.tracking.tracker import deterministic_tracking, probabilistic_tracking
    from dipy.tracking.utils import length

    mask = white_matter_mask()
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
