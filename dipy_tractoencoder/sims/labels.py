"""Labels of the phantom's streamlines: bundle, plausible or not, kind of fault.

Codes, in a tractogram ``data_per_streamline`` of shape (n_streamlines, 1), uint8:

- ``bundle``: 0 A, 1 U, 2 B, 3 S, 4 E1, 5 E2, 6 E3; of an implausible streamline, the
  bundle in which most of it runs
- ``plausible``: 1 plausible, 0 implausible
- ``fault``: 0 none, 1 early stop, 2 wrong turn, 3 U-turn, 4 loop
"""

from dataclasses import dataclass

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

FAULTS = ("none", "early_stop", "wrong_turn", "u_turn", "loop")  # position: code
SPLITS = ("train", "validation", "test")

END_REGION = 9.0  # mm along a bundle's end that count as reached
ROUTE_WIDTH = HALF_WIDTH + VOXEL_SIZE  # mm from the centre line that count as inside
# Degrees that a streamline turns one way, at least.
LOOP_WINDING = 300.0
U_TURN_WINDING = 120.0

_WINDING_POINTS = 129
_ROUTE_STEP = 4  # every fourth of them, first and last included


@dataclass(frozen=True)
class LabelledStreamlines:
    """Streamlines of the phantom, each with what it is.

    Attributes
    ----------
    streamlines : ArraySequence
        RASMM, mm, float32.
    bundle, plausible, fault : ndarray, shape (n_streamlines,), uint8
        Codes, as listed at the top of this module.
    """

    streamlines: ArraySequence
    bundle: np.ndarray
    plausible: np.ndarray
    fault: np.ndarray

    __repr__ = short_repr

    def __len__(self):
        return len(self.streamlines)

    def __getitem__(self, index):
        """Streamlines chosen by a slice, a mask or numbers, with their labels."""
        return LabelledStreamlines(
            self.streamlines[index].copy(),
            self.bundle[index],
            self.plausible[index],
            self.fault[index],
        )

    def tractogram(self):
        """Streamlines in the phantom's space, labels as ``data_per_streamline``.

        Returns
        -------
        tractogram : StatefulTractogram
            RASMM, mm; ``bundle``, ``plausible`` and ``fault`` hold the codes.
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

    def groups(self):
        """Numbers of the streamlines of each kind, for the groups of a TRX file.

        Returns
        -------
        groups : dict of ndarray of uint32
            "bundle_A" and so on (plausible streamlines only), "plausible",
            "implausible", "fault_early_stop" and so on; empty ones are left out.
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

    def summary(self):
        """Count in words: plausible streamlines, and implausible ones by fault."""
        faults = np.bincount(self.fault, minlength=len(FAULTS))
        wrong = ", ".join(
            f"{count} {name}" for name, count in zip(FAULTS[1:], faults[1:]) if count
        )
        text = f"{faults[0]} plausible, {len(self) - faults[0]} implausible"
        return f"{text} ({wrong})" if wrong else text


def join(parts):
    """Put several sets of labelled streamlines together.

    Parameters
    ----------
    parts : iterable of LabelledStreamlines
        At least one.

    Returns
    -------
    joined : LabelledStreamlines
        In the order of the parts.
    """
    parts = list(parts)
    return LabelledStreamlines(
        ArraySequence(line for part in parts for line in part.streamlines),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("bundle", "plausible", "fault")
        ),
    )


def score_phantom(streamlines):
    """Label streamlines by where they end and run, as the Tractometer does.

    :footcite:p:`Cote2013`. A streamline is plausible if its ends lie in the two end
    regions of one bundle (9 mm along the centre line, 9 mm beside it), it keeps within
    9 mm of that bundle's centre line, and it does not loop. The others are loops if all
    but the loop is right, U-turns if they turn back to the region they left, early
    stops if an end lies in no region or both in one without a turn, and else wrong
    turns.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines of some length, RASMM, mm.

    Returns
    -------
    scored : LabelledStreamlines
        In the same order.

    Raises
    ------
    InvalidArgumentError
        If a streamline has no length or a point that is not finite.
    """
    streamlines = ArraySequence(streamlines)
    sizes = np.fromiter(length(streamlines), float, len(streamlines))
    if not (sizes > 0).all():
        raise InvalidArgumentError(
            "Invalid value received for `streamlines`. Expected finite points and "
            f"lengths above 0. Received: number {np.flatnonzero(~(sizes > 0))[0]}."
        )
    if len(streamlines) == 0:
        none = np.zeros(0, dtype=np.uint8)
        return LabelledStreamlines(streamlines, none, none.copy(), none.copy())
    points = np.array(set_number_of_points(streamlines, nb_points=_WINDING_POINTS))
    points = points[..., :2].astype(np.float64)
    route = points[:, ::_ROUTE_STEP]
    reached, distances = zip(*(_ends_and_route(route, name) for name in BUNDLES))
    reached = np.stack(reached, axis=1)  # streamline, bundle, its end, bundle's end
    trunk = [name in TRUNK for name in BUNDLES]
    first_ends = reached[..., 0]  # A view: the trunk's end serves all its bundles.
    first_ends[:, trunk] = first_ends[:, trunk].any(axis=1, keepdims=True)
    distances = np.stack(distances, axis=1)  # streamline, bundle, point
    straight = reached[:, :, 0, 0] & reached[:, :, 1, 1]
    turned = reached[:, :, 0, 1] & reached[:, :, 1, 0]
    fits = (straight | turned) & (distances.max(axis=2) <= ROUTE_WIDTH)
    right = fits.any(axis=1)
    turn = winding(points)
    same = (reached[:, :, 0] & reached[:, :, 1]).any(axis=(1, 2))
    lost = same | ~reached.any(axis=(1, 3)).all(axis=1)
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
    # The bundle that fits, or else that with most points inside; ties: the nearest.
    share = (distances <= HALF_WIDTH).mean(axis=2)
    merit = 2 * fits + share - 1e-6 * distances.mean(axis=2)
    bundle = merit.argmax(axis=1).astype(np.uint8)
    return LabelledStreamlines(
        streamlines, bundle, (fault == 0).astype(np.uint8), fault
    )


def winding(points):
    """Largest turn one way on balance, between any two places of a plane curve.

    Parameters
    ----------
    points : ndarray, shape (n_curves, n_points, 2)
        Evenly spaced.

    Returns
    -------
    degrees : ndarray, shape (n_curves,)
        360 for a full circle, nothing for a wave's ups and downs.
    """
    steps = np.diff(points, axis=1)
    headings = np.unwrap(np.arctan2(steps[..., 1], steps[..., 0]), axis=1)
    return np.degrees(np.ptp(headings, axis=1))


def _ends_and_route(route, bundle):
    """Which ends (2) lie in which of a bundle's end regions (2), and distances."""
    line = centre_line(bundle)
    distance, number = line.nearest(route)
    along = line.along[number][:, [0, -1]]
    beside = distance[:, [0, -1]] <= ROUTE_WIDTH
    regions = (along <= END_REGION, along >= line.length - END_REGION)
    return np.stack([region & beside for region in regions], axis=2), distance


def split_streamlines(labelled, fractions, *, seed=0):
    """Share out streamlines, each kind alike, to training, validation and test.

    Parameters
    ----------
    labelled : LabelledStreamlines
        All streamlines.
    fractions : dict of str to float
        "train", "validation" or "test" to a share; shares are taken relative to their
        sum.
    seed : int or numpy.random.Generator, optional
        Where the draw comes from.

    Returns
    -------
    splits : dict of LabelledStreamlines
        Every streamline is in one of them. Within each bundle and fault the shares are
        kept to one streamline.

    Raises
    ------
    InvalidArgumentError
        If a name is unknown or a share is not positive.
    """
    for name, fraction in fractions.items():
        check_choice("fractions", name, SPLITS)
        check_number(f"fractions[{name!r}]", fraction, above=0)
    rng = random_generator(seed)
    owner = np.empty(len(labelled), dtype=np.int64)
    kinds = labelled.bundle.astype(np.int64) * len(FAULTS) + labelled.fault
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        # A random order of the splits, so that none always gets the odd one.
        order = rng.permutation(len(fractions))
        shares = apportion(len(members), np.array(list(fractions.values()))[order])
        owner[members] = np.repeat(order, shares)
    return {name: labelled[owner == number] for number, name in enumerate(fractions)}


def apportion(total, weights):
    """Share out whole things by weight (largest remainders).

    Parameters
    ----------
    total : int
        How many.
    weights : sequence of float
        Relative shares.

    Returns
    -------
    shares : ndarray of int
        Adding up to ``total``.
    """
    exact = total * np.asarray(weights, dtype=np.float64) / np.sum(weights)
    shares = np.floor(exact + 1e-9).astype(np.int64)
    missing = int(total) - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares


def check_fraction(name, value):
    """Raise unless ``value`` is in [0, 1).

    Parameters
    ----------
    name : str
        Argument name, for the message.
    value : float
        Value received.

    Raises
    ------
    InvalidArgumentError
        If it is not.
    """
    check_number(name, value, low=0)
    if value >= 1:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected less than 1. "
            f"Received: {value!r}."
        )


def random_generator(seed):
    """Take a seed or a generator.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        A generator is returned as it is.

    Returns
    -------
    rng : numpy.random.Generator
        Where random numbers come from.

    Raises
    ------
    InvalidArgumentError
        If the seed is negative or no whole number.
    """
    if not isinstance(seed, np.random.Generator):
        check_number("seed", seed, low=0, high=2**31 - 1, integer=True)
        seed = int(seed)
    return np.random.default_rng(seed)
