"""Synthetic streamlines of the FiberCup phantom, plausible and implausible.

The shape of the phantom is defined in `sims.geometry`, the codes of the labels in
`sims.labels`. Coordinates are RASMM, in mm.
"""

from __future__ import annotations

from nibabel.streamlines import ArraySequence
import numpy as np
from scipy.ndimage import gaussian_filter1d

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.sims.geometry import (
    BUNDLES,
    HALF_WIDTH,
    JUNCTIONS,
    MID_HEIGHT,
    VOXEL_SIZE,
    centre_line,
    evenly,
    in_white_matter,
    lengths_along,
)
from dipy_tractoencoder.sims.labels import (
    FAULTS,
    LabelledStreamlines,
    apportion,
    check_fraction,
    random_generator,
)

BUNDLE_SIZES = (341, 592, 296, 256, 511, 448, 668)  # as in a published training set
N_STREAMLINES = sum(BUNDLE_SIZES)

# Fractions of the kinds of synthetic implausible streamlines.
FAULT_SHARES = {"early_stop": 0.4, "wrong_turn": 0.35, "u_turn": 0.15, "loop": 0.1}

LARGEST_GAP = 6.0  # largest distance (mm) of a streamline's end from its bundle's end
# Smallest distance (mm) of early stops, turns and loops from the ends of the bundle.
END_DISTANCE = 15.0

_BETA = 1.15  # of the beta distribution over the cross-section: nearly uniform
_PATH_STEP = 0.5  # mm between points of a streamline under construction
_MOST_TRIES = 10_000


def make_fibercup(
    n_plausible: int = N_STREAMLINES,
    implausible_fraction: float = 0.3,
    *,
    seed: int | np.random.Generator = 0,
) -> LabelledStreamlines:
    """Generate synthetic streamlines of the FiberCup phantom.

    Parameters
    ----------
    n_plausible : int, optional
        Number of plausible streamlines, distributed over the bundles in proportion to
        ``BUNDLE_SIZES``.
    implausible_fraction : float, optional
        Fraction of implausible streamlines among all, in [0, 1), distributed over the
        kinds of fault as in ``FAULT_SHARES``.
    seed : int or numpy.random.Generator, optional
        Seed, or random number generator.

    Returns
    -------
    made : LabelledStreamlines
        Streamlines in random order and direction, RASMM, mm; all points lie in the
        white-matter mask.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> made.summary()
    '30 plausible, 13 implausible (5 early_stop, 5 wrong_turn, 2 u_turn, 1 loop)'
    """
    check_number("n_plausible", n_plausible, low=1, integer=True)
    check_fraction("implausible_fraction", implausible_fraction)
    rng = random_generator(seed)
    n_wrong = round(n_plausible * implausible_fraction / (1 - implausible_fraction))
    orders = [(0, path) for path in _shared_out(n_plausible, "none")]
    shares = apportion(n_wrong, list(FAULT_SHARES.values()))
    for fault, count in zip(FAULT_SHARES, shares):
        orders += [(FAULTS.index(fault), path) for path in _shared_out(count, fault)]
    orders = [orders[number] for number in rng.permutation(len(orders))]
    lines, bundles = zip(*(_make_streamline(rng, *path) for _, path in orders))
    faults = np.array([fault for fault, _ in orders], dtype=np.uint8)
    return LabelledStreamlines(
        ArraySequence(lines),
        np.array([BUNDLES.index(bundle) for bundle in bundles], dtype=np.uint8),
        (faults == 0).astype(np.uint8),
        faults,
    )


def wrong_turns() -> list[tuple]:
    """List the wrong turns that occur among the synthetic streamlines.

    Returns
    -------
    turns : list of tuple
        First and second bundle, the place where they meet (voxel x, y), and the arm
        of each that is followed: 0 towards its first waypoint, 1 towards its last.
    """
    return [
        (first, second, place, arms)
        for first, second, place, pairs in JUNCTIONS
        for arms in pairs
    ]


def _shared_out(count, fault):
    """Distribute ``count`` streamlines of a kind; function and arguments of each."""
    if fault == "wrong_turn":
        makers, weights = [(_turn, *turn) for turn in wrong_turns()], None
    else:
        maker = {
            "none": _whole,
            "early_stop": _stop,
            "u_turn": _u_turn,
            "loop": _loop,
        }[fault]
        makers, weights = [(maker, bundle) for bundle in BUNDLES], BUNDLE_SIZES
    shares = apportion(count, weights or [1] * len(makers))
    return [maker for maker, share in zip(makers, shares) for _ in range(share)]


def _make_streamline(rng, maker, *arguments):
    """Draw until a streamline lies in the mask; return it and its bundle."""
    for _ in range(_MOST_TRIES):
        path, bundle = maker(rng, *arguments)
        height = MID_HEIGHT + 1.5 * VOXEL_SIZE * (2 * rng.beta(_BETA, _BETA) - 1)
        path = np.column_stack([path, np.full(len(path), height)])
        path = gaussian_filter1d(evenly(path, _PATH_STEP), 2, axis=0, mode="nearest")
        # Near the border only small waves fit into the mask.
        for calm in (1.0, 0.6, 0.3, 0.1):
            wavy = path + calm * _waves(rng, lengths_along(path))
            step = np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
            line = evenly(wavy, step)[:: rng.choice([-1, 1])].astype(np.float32)
            if in_white_matter(wavy).all() and in_white_matter(line).all():
                return line, bundle
    raise RuntimeError(f"No streamline lies in the mask: {maker} {arguments}.")


def _waves(rng, along):
    """Draw smooth deviations (n_points, 3), mm, at positions along a path, mm."""
    # Wavelengths of 15 to 120 mm, amplitudes in proportion: slopes of a few degrees.
    waves = np.exp(rng.uniform(np.log(15), np.log(120), (4, 3)))
    heights = waves * rng.normal(scale=0.007, size=(4, 3))
    phases = rng.uniform(0, 2 * np.pi, (4, 3))
    angles = 2 * np.pi * along[:, None, None] / waves + phases
    return (heights * np.sin(angles)).sum(axis=1)


def _offset(rng):
    """Draw a distance from the centre line, mm; the mask excludes the outermost."""
    return HALF_WIDTH * (2 * rng.beta(_BETA, _BETA) - 1)


def _gap(rng):
    """Draw the distance of a streamline's end from its bundle's end, mm."""
    return min(rng.exponential(2.0), LARGEST_GAP)


def _run(line, start, end, offset):
    """Return a path parallel to a centre line, between two positions along it, mm."""
    n_points = max(2, round(abs(end - start) / _PATH_STEP) + 1)
    return line.at(np.linspace(start, end, n_points), offset)


def _whole(rng, bundle):
    """Draw a plausible path along a whole bundle."""
    line = centre_line(bundle)
    path = _run(line, _gap(rng), line.length - _gap(rng), _offset(rng))
    return path, bundle


def _stop(rng, bundle):
    """Draw a path that stops early: at one end, or in a quarter of cases at both."""
    line = centre_line(bundle)
    low, high = END_DISTANCE, line.length - END_DISTANCE
    if rng.random() < 0.25:
        shortest = min(20.0, (high - low) / 2)
        start = rng.uniform(low, high - shortest)
        end = rng.uniform(start + shortest, high)
    elif rng.random() < 0.5:
        start, end = _gap(rng), rng.uniform(low + LARGEST_GAP, high)
    else:
        start, end = rng.uniform(low, high - LARGEST_GAP), line.length - _gap(rng)
    return _run(line, start, end, _offset(rng)), bundle


def _u_turn(rng, bundle):
    """Draw a path along a bundle, half a circle, and back to the same end."""
    line = centre_line(bundle)
    turn = rng.uniform(END_DISTANCE + 5, line.length - END_DISTANCE)
    out, back = _offset(rng), _offset(rng)
    if abs(out - back) < 2.4:
        back = out - np.sign(out) * rng.uniform(2.4, 6)
    angles = np.linspace(0, np.pi, 20)
    ahead = abs(out - back) / 2 * np.sin(angles)
    beside = (out + back) / 2 + (out - back) / 2 * np.cos(angles)
    ends = _gap(rng), _gap(rng)
    if rng.random() < 0.5:  # From the other end.
        turn, ahead, ends = line.length - turn, -ahead, line.length - np.array(ends)
    path = [
        _run(line, ends[0], turn, out),
        line.at(turn + ahead, beside)[1:-1],
        _run(line, turn, ends[1], back),
    ]
    return np.concatenate(path), bundle


def _loop(rng, bundle):
    """Draw a path along a whole bundle with a full turn, an oval, on the way."""
    line = centre_line(bundle)
    place = rng.uniform(END_DISTANCE, line.length - END_DISTANCE)
    offset = _offset(rng)
    side = -np.sign(offset)
    radius = rng.uniform(2.5, max(3.0, (HALF_WIDTH + abs(offset)) / 2))
    longer, drift = rng.uniform(1, 1.8), rng.uniform(-2, 2)
    angles = np.linspace(0, 2 * np.pi, 40)
    circle = line.at(
        place + drift * angles / (2 * np.pi) + longer * radius * np.sin(angles),
        offset + side * radius * (1 - np.cos(angles)),
    )
    before = _run(line, _gap(rng), place, offset)
    after = _run(line, place + drift, line.length - _gap(rng), offset)
    return np.concatenate([before, circle[1:-1], after]), bundle


def _turn(rng, first, second, place, arms):
    """Draw a path along an arm of one bundle, round a corner, and along another's."""
    corner = rng.uniform(4, 9)
    pieces = []
    for bundle, arm in zip((first, second), arms):
        line = centre_line(bundle)
        meeting = line.along[line.nearest(np.array(place) * VOXEL_SIZE)[1]]
        gap = _gap(rng) / 2  # Keeps away from the ends of neighbouring bundles.
        end = line.length - gap if arm else gap
        start = meeting + corner if arm else meeting - corner
        pieces.append(_run(line, end, start, _offset(rng)))
    # A cubic curve that continues the directions of both pieces.
    inwards, outwards = pieces[0], pieces[1][::-1]
    start, end = inwards[-1], outwards[0]
    reach = np.linalg.norm(end - start)
    leave = inwards[-1] - inwards[-2]
    join = outwards[1] - outwards[0]
    leave, join = (reach * step / np.linalg.norm(step) for step in (leave, join))
    t = np.linspace(0, 1, 40)[1:-1, None]
    bend = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * leave
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * join
    )
    bundle = first if len(inwards) >= len(outwards) else second
    return np.concatenate([inwards, bend, outwards]), bundle
