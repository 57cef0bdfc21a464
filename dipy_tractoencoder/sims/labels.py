"""Labels of the phantom's streamlines: bundle, plausible or not, kind of fault.

In a tractogram the labels are ``data_per_streamline``, uint8 codes of shape
(n_streamlines, 1):

- ``bundle``: 0 A, 1 U, 2 B, 3 S, 4 E1, 5 E2, 6 E3; for an implausible streamline, the
  bundle that contains most of it
- ``plausible``: 1 plausible, 0 implausible
- ``fault``: 0 none, 1 early stop, 2 wrong turn, 3 U-turn, 4 loop
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dipy.tracking.streamline import set_number_of_points
from dipy.tracking.utils import length
from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number
from dipy_tractoencoder.sims.geometry import (
    AFFINE,
    BUNDLES,
    DIMENSIONS,
    HALF_WIDTH,
    TRUNK,
    VOXEL_SIZE,
    centre_line,
)
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

FAULTS = ("none", "early_stop", "wrong_turn", "u_turn", "loop")  # position: code
SPLITS = ("train", "validation", "test")

END_REGION = 9.0  # length (mm) of the end regions, along the centre line
ROUTE_WIDTH = HALF_WIDTH + VOXEL_SIZE  # largest distance (mm) from the centre line
# Smallest net turn (degrees) of loops and U-turns.
LOOP_WINDING = 300.0
U_TURN_WINDING = 120.0

_WINDING_POINTS = 129
_ROUTE_STEP = 4  # every fourth of these points, first and last included


@dataclass(frozen=True)
class LabelledStreamlines:
    """Streamlines of the phantom with their labels.

    Attributes
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm, float32.
    bundle, plausible, fault : ndarray, shape (n_streamlines,), uint8
        Codes of the labels; see the documentation of the module `sims.labels`.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> made[made.plausible == 1].summary()
    '30 plausible, 0 implausible'
    """

    streamlines: ArraySequence
    bundle: np.ndarray
    plausible: np.ndarray
    fault: np.ndarray

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.streamlines)

    def __getitem__(self, index: Any) -> LabelledStreamlines:
        """Select streamlines by a slice, a mask or indices, with their labels."""
        return LabelledStreamlines(
            self.streamlines[index].copy(),
            self.bundle[index],
            self.plausible[index],
            self.fault[index],
        )

    def tractogram(self) -> StatefulTractogram:
        """Return the streamlines as a tractogram in the phantom's space.

        Returns
        -------
        tractogram : StatefulTractogram
            Streamlines in RASMM, mm; the labels ``bundle``, ``plausible`` and ``fault``
            are ``data_per_streamline``.
        """
        from dipy.io.stateful_tractogram import Space, StatefulTractogram
        from dipy.io.utils import create_nifti_header

        header = create_nifti_header(AFFINE, DIMENSIONS, (VOXEL_SIZE,) * 3)
        labels = {
            name: getattr(self, name)[:, None]
            for name in ("bundle", "plausible", "fault")
        }
        return StatefulTractogram(
            self.streamlines, header, Space.RASMM, data_per_streamline=labels
        )

    def groups(self) -> dict[str, np.ndarray]:
        """Return the indices of streamlines by label, for the groups of a TRX file.

        Returns
        -------
        groups : dict of ndarray of uint32
            Indices for "plausible", "implausible", "bundle_A" etc. (plausible
            streamlines only) and "fault_early_stop" etc.; empty groups are left out.
        """
        right = self.plausible == 1
        members = {"plausible": right, "implausible": ~right}
        for code, name in enumerate(BUNDLES):
            members[f"bundle_{name}"] = right & (self.bundle == code)
        for code, name in enumerate(FAULTS[1:], start=1):
            members[f"fault_{name}"] = self.fault == code
        return {
            name: np.flatnonzero(chosen).astype(np.uint32)
            for name, chosen in members.items()
            if chosen.any()
        }

    def summary(self) -> str:
        """Describe the numbers of plausible and implausible streamlines in words."""
        faults = np.bincount(self.fault, minlength=len(FAULTS))
        wrong = ", ".join(
            f"{count} {name}" for name, count in zip(FAULTS[1:], faults[1:]) if count
        )
        text = f"{faults[0]} plausible, {len(self) - faults[0]} implausible"
        return f"{text} ({wrong})" if wrong else text


def join(parts: Iterable[LabelledStreamlines]) -> LabelledStreamlines:
    """Concatenate sets of labelled streamlines.

    Parameters
    ----------
    parts : iterable of LabelledStreamlines
        One or more sets.

    Returns
    -------
    joined : LabelledStreamlines
        All streamlines, in the order of ``parts``.
    """
    parts = list(parts)
    return LabelledStreamlines(
        ArraySequence(line for part in parts for line in part.streamlines),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("bundle", "plausible", "fault")
        ),
    )


def score_phantom(
    streamlines: ArraySequence | Iterable[np.ndarray],
) -> LabelledStreamlines:
    """Label streamlines of the phantom by their ends and their course.

    The criteria follow the Tractometer :footcite:p:`Cote2013`. A streamline is
    plausible if its ends lie in the two end regions of one bundle (9 mm along the
    centre line, 9 mm to either side), all of it is within 9 mm of that centre line, and
    it has no loop. An implausible streamline is a loop if the loop is its only fault, a
    U-turn if it turns back to the region where it started, an early stop if an end lies
    in no end region, or both ends in the same one without a turn, and a wrong turn
    otherwise.

    Parameters
    ----------
    streamlines : ArraySequence or iterable of ndarray
        Streamlines, RASMM, mm.

    Returns
    -------
    scored : LabelledStreamlines
        Streamlines in the same order, with their labels.

    Raises
    ------
    InvalidArgumentError
        If a streamline has zero length or a point that is not finite.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> scored = dte.score_phantom(made.streamlines)
    >>> bool((scored.plausible == made.plausible).all())
    True
    """
    streamlines = ArraySequence(streamlines)
    sizes = np.fromiter(length(streamlines), float, len(streamlines))
    if not (sizes > 0).all():
        raise InvalidArgumentError(
            "Invalid value received for `streamlines`. Expected finite points and "
            f"lengths above 0. Streamline number {np.flatnonzero(~(sizes > 0))[0]} has "
            "zero length, or a point that is not finite."
        )
    if len(streamlines) == 0:
        none = np.zeros(0, dtype=np.uint8)
        return LabelledStreamlines(streamlines, none, none.copy(), none.copy())
    points = np.array(set_number_of_points(streamlines, nb_points=_WINDING_POINTS))
    points = points[..., :2].astype(np.float64)
    route = points[:, ::_ROUTE_STEP]
    ends, routes = zip(*(_ends_and_route(route, name) for name in BUNDLES))
    reached = np.stack(ends, axis=1)  # streamline, bundle, its end, bundle's end
    trunk = [name in TRUNK for name in BUNDLES]
    first_ends = reached[..., 0]  # A view: the bundles of the trunk share one end.
    first_ends[:, trunk] = first_ends[:, trunk].any(axis=1, keepdims=True)
    distances = np.stack(routes, axis=1)  # streamline, bundle, point
    straight = reached[:, :, 0, 0] & reached[:, :, 1, 1]
    turned = reached[:, :, 0, 1] & reached[:, :, 1, 0]
    fits = (straight | turned) & (distances.max(axis=2) <= ROUTE_WIDTH)
    right = fits.any(axis=1)
    turn = winding(points)
    same = np.any(reached[:, :, 0] & reached[:, :, 1], axis=(1, 2))
    lost = same | ~np.all(np.any(reached, axis=(1, 3)), axis=1)
    fault = np.select(
        [
            right & (turn <= LOOP_WINDING),
            right,
            same & (turn > U_TURN_WINDING),
            lost,
        ],
        [FAULTS.index(name) for name in ("none", "loop", "u_turn", "early_stop")],
        FAULTS.index("wrong_turn"),
    ).astype(np.uint8)
    # The bundle that fits, or else the one that contains most points, or is nearest.
    share = (distances <= HALF_WIDTH).mean(axis=2)
    merit = 2 * fits + share - 1e-6 * distances.mean(axis=2)
    bundle = merit.argmax(axis=1).astype(np.uint8)
    return LabelledStreamlines(
        streamlines, bundle, (fault == 0).astype(np.uint8), fault
    )


def winding(points: np.ndarray) -> np.ndarray:
    """Compute the largest net turn between any two points of plane curves.

    Parameters
    ----------
    points : ndarray, shape (n_curves, n_points, 2)
        Equally spaced points of each curve.

    Returns
    -------
    degrees : ndarray, shape (n_curves,)
        Net turn in degrees: 360 for a full circle; turns to the left and to the right
        cancel.
    """
    steps = np.diff(points, axis=1)
    headings = np.unwrap(np.arctan2(steps[..., 1], steps[..., 0]), axis=1)
    return np.degrees(np.ptp(headings, axis=1))


def _ends_and_route(route, bundle):
    """Find which ends (2) lie in which end regions (2) of a bundle; and distances."""
    line = centre_line(bundle)
    distance, number = line.nearest(route)
    along = line.along[number][:, [0, -1]]
    beside = distance[:, [0, -1]] <= ROUTE_WIDTH
    regions = (along <= END_REGION, along >= line.length - END_REGION)
    return np.stack([region & beside for region in regions], axis=2), distance


def split_streamlines(
    labelled: LabelledStreamlines,
    fractions: Mapping[str, float],
    *,
    seed: int | np.random.Generator = 0,
) -> dict[str, LabelledStreamlines]:
    """Split streamlines at random into training, validation and test sets.

    The split is stratified: each combination of bundle and fault is split in the given
    fractions, up to rounding to whole streamlines.

    Parameters
    ----------
    labelled : LabelledStreamlines
        All streamlines.
    fractions : dict of str to float
        Fractions of "train", "validation" and "test", or some of them; they are
        normalised to a sum of 1.
    seed : int or numpy.random.Generator, optional
        Seed, or random number generator.

    Returns
    -------
    splits : dict of LabelledStreamlines
        For each name in ``fractions`` its streamlines; each streamline is in one set.

    Raises
    ------
    InvalidArgumentError
        If a name is unknown or a fraction is not positive.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(70, seed=0)
    >>> splits = dte.split_streamlines(made, {"train": 0.8, "test": 0.2})
    >>> {name: len(part) for name, part in splits.items()}
    {'train': 83, 'test': 17}
    """
    for name, fraction in fractions.items():
        check_choice("fractions", name, SPLITS)
        check_number(f"fractions[{name!r}]", fraction, above=0)
    rng = random_generator(seed)
    owner = np.empty(len(labelled), dtype=np.int64)
    kinds = labelled.bundle.astype(np.int64) * len(FAULTS) + labelled.fault
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        # Random order: no set systematically gets the remainder.
        order = rng.permutation(len(fractions))
        shares = apportion(len(members), np.array(list(fractions.values()))[order])
        owner[members] = np.repeat(order, shares)
    return {name: labelled[owner == number] for number, name in enumerate(fractions)}


def apportion(total: int, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Divide a number in proportion to weights, by the largest remainder method.

    Parameters
    ----------
    total : int
        Number to divide.
    weights : sequence of float
        Relative weights.

    Returns
    -------
    shares : ndarray of int
        Whole numbers with the sum ``total``.
    """
    exact = total * np.asarray(weights, dtype=np.float64) / np.sum(weights)
    shares = np.floor(exact + 1e-9).astype(np.int64)
    missing = int(total) - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares


def check_fraction(name: str, value: float) -> None:
    """Raise an error unless ``value`` is in [0, 1).

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : float
        Value received.

    Raises
    ------
    InvalidArgumentError
        If ``value`` is out of range or not a number.
    """
    check_number(name, value, low=0)
    if value >= 1:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected less than 1. "
            f"Received: {value!r}."
        )


def random_generator(seed: int | np.random.Generator) -> np.random.Generator:
    """Return a random number generator for a seed.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        Seed; a generator is returned unchanged.

    Returns
    -------
    rng : numpy.random.Generator
        The generator.

    Raises
    ------
    InvalidArgumentError
        If the seed is negative or not a whole number.
    """
    if not isinstance(seed, np.random.Generator):
        check_number("seed", seed, low=0, high=2**31 - 1, integer=True)
        seed = int(seed)
    return np.random.default_rng(seed)
