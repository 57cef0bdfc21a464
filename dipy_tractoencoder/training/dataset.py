"""Gather the streamlines of several tractograms and split off a validation set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError, check_number
from dipy_tractoencoder.io.chunks import TractogramChunks, as_tractogram_list
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.nn.provenance import source_digest
from dipy_tractoencoder.streamlines.array import (
    REJECT_REASONS,
    as_sequence,
    merge_rejects,
)
from dipy_tractoencoder.streamlines.orientation import runs_backwards
from dipy_tractoencoder.streamlines.preprocessing import (
    Preprocessing,
    fit_axis,
    fit_normalisation,
)
from dipy_tractoencoder.utils.reservoir import UniformSample

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.streamlines.array import StreamlineArray

N_NAMED = 10  # streamlines that an error names one by one


class ReadCounts:
    """Sums over what was read, for classes with ``reads`` and ``source``."""

    reads: tuple
    source: np.ndarray

    @property
    def n_read(self) -> int:
        """Number of streamlines read, rejected ones included."""
        return sum(read["n_read"] for read in self.reads)

    @property
    def rejects(self) -> dict[str, int]:
        """Number of rejected streamlines of all tractograms, by reason."""
        return merge_rejects(read["rejects"] for read in self.reads)


@dataclass(frozen=True)
class TrainingData(ReadCounts):
    """Streamlines to train on, and how they were preprocessed.

    Attributes
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Normalised coordinates (no unit), in the orientation of the preprocessing.
    source : ndarray, shape (n_streamlines,), int
        Index of the tractogram that each streamline comes from.
    preprocessing : Preprocessing
        Preprocessing with axis, centre and scale fitted to these streamlines.
    reads : tuple of dict
        Per tractogram: "n_read" (number of streamlines read), "rejects" (number
        rejected, by reason) and, if any streamline was kept, "digest" (see
        `nn.provenance.source_digest`).
    """

    points: np.ndarray
    source: np.ndarray
    preprocessing: Preprocessing
    reads: tuple

    def __len__(self):
        return len(self.points)

    def some(self, rows: np.ndarray) -> np.ndarray:
        """Return streamlines in mm.

        Parameters
        ----------
        rows : ndarray of int or bool
            Which streamlines.

        Returns
        -------
        points : ndarray, shape (n_rows, n_points, 3), float32
            Streamlines in the orientation of the preprocessing, RASMM, mm.
        """
        return self.preprocessing.denormalise(self.points[rows])


def gather(
    tractograms: Iterable,
    preprocessing: Preprocessing,
    *,
    max_streamlines: int | None = None,
    normalise: bool = True,
    seed: int = 0,
    alignments: Sequence[Alignment | None] | None = None,
) -> TrainingData:
    """Read tractograms into one array and fit the preprocessing to it.

    Parameters
    ----------
    tractograms : iterable of tractograms
        StatefulTractogram, TractogramChunks or sequence of ndarray each; RASMM, mm.
        Read one at a time, chunk by chunk.
    preprocessing : Preprocessing
        Its ``n_points``, ``orientation`` and length limits are used; axis, centre and
        scale are fitted.
    max_streamlines : int, optional
        Keep a uniform random subset of this size.
    normalise : bool, optional
        Fit centre and scale; otherwise coordinates stay in mm.
    seed : int, optional
        Seed of the random subset.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space.

    Returns
    -------
    data : TrainingData
        Streamlines in the order of the tractograms.

    Raises
    ------
    EmptyDataError
        If no streamline is left.
    """
    if max_streamlines is not None:
        check_number("max_streamlines", max_streamlines, low=1, integer=True)
    as_read = replace(preprocessing, orientation="as_is")
    sample = UniformSample(max_streamlines, seed)
    reads: list[dict] = []
    for number, tractogram in enumerate(tractograms):
        reads.append({"n_read": 0, "rejects": {}})
        for chunk in _moved_chunks(tractogram, alignments, number):
            array = as_read.array(chunk)
            count_chunk(reads[-1], array)
            sample.add(array.points, np.full(len(array), number))
    if len(sample) == 0:
        raise nothing_left(reads)
    points, source = sample.columns()
    learned: dict = {}
    if preprocessing.orientation == "canonical":
        learned["axis"] = fit_axis(points)
        backwards = runs_backwards(as_sequence(points), learned["axis"])
        points[backwards] = points[backwards, ::-1]
    if normalise:
        learned["centre"], learned["scale"] = fit_normalisation(points)
    preprocessing = replace(preprocessing, **learned)
    points = preprocessing.normalise(points)
    return TrainingData(points, source, preprocessing, tuple(reads))


def nothing_left(reads: Sequence[dict]) -> EmptyDataError:
    """Create the error for tractograms without a streamline to train on.

    Parameters
    ----------
    reads : sequence of dict
        "n_read" and "rejects" of each tractogram.

    Returns
    -------
    error : EmptyDataError
        The error, to be raised.
    """
    rejects = merge_rejects(read["rejects"] for read in reads)
    n_read = sum(read["n_read"] for read in reads)
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
    return EmptyDataError(
        f"No streamline is left to train on: of {n_read} read, "
        f"{reasons or 'none'} were left out. Check the files and the limits "
        "`min_length` and `max_length` (mm)."
    )


def count_chunk(read: dict, array: StreamlineArray) -> None:
    """Add the counts of a chunk to those of its tractogram.

    Parameters
    ----------
    read : dict
        "n_read", "rejects" and, from the first chunk with streamlines on, "digest";
        changed in place.
    array : StreamlineArray
        The chunk; points in mm.
    """
    if len(array):
        read.setdefault("digest", source_digest(array.points))
    read["n_read"] += array.n_streamlines
    read["rejects"] = merge_rejects([read["rejects"], array.rejects])


def chunks_of(
    tractogram: StatefulTractogram | TractogramChunks | Sequence[np.ndarray],
) -> Iterable:
    """Return an iterable over the chunks of a tractogram.

    Parameters
    ----------
    tractogram : StatefulTractogram, TractogramChunks, or sequence of ndarray
        A tractogram; RASMM, mm. One that is in memory is a single chunk.

    Returns
    -------
    chunks : iterable of tractograms
        The chunks; it can be iterated over once.
    """
    return tractogram if isinstance(tractogram, TractogramChunks) else (tractogram,)


def _moved_chunks(tractogram, alignments, number):
    """Iterate over the chunks of a tractogram, moved by its transform."""
    found = None
    if alignments is not None and number < len(alignments):
        found = alignments[number]
    return (aligned(chunk, found) for chunk in chunks_of(tractogram))


def check_count(name: str, values: Sequence | None, n_tractograms: int) -> None:
    """Raise an error unless there is one value per tractogram.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    values : sequence or None
        The values; None if there are none.
    n_tractograms : int
        Number of tractograms.

    Raises
    ------
    InvalidArgumentError
        If there are fewer or more.
    """
    if values is not None and len(values) != n_tractograms:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected one for each of "
            f"{n_tractograms} tractograms. Received: {len(values)}."
        )


def add_held_out(
    data: TrainingData,
    tractograms: Iterable,
    *,
    alignments: Sequence[Alignment | None] | None = None,
) -> tuple[TrainingData, np.ndarray]:
    """Append validation streamlines to the training streamlines.

    Parameters
    ----------
    data : TrainingData
        Training streamlines; the preprocessing fitted to them is not changed.
    tractograms : iterable of tractograms
        Validation streamlines, as for `gather`.
    alignments : sequence of Alignment or None, optional
        Transform of each training tractogram, then of each of these.

    Returns
    -------
    data : TrainingData
        Training streamlines, followed by the validation streamlines.
    is_validation : ndarray, shape (n_streamlines,), bool
        True for the validation streamlines.

    Raises
    ------
    EmptyDataError
        If none of the validation streamlines can be used.
    """
    reads = list(data.reads)
    numbered = []
    for number, tractogram in enumerate(
        as_tractogram_list(tractograms), start=len(reads)
    ):
        reads.append({"n_read": 0, "rejects": {}})
        for chunk in _moved_chunks(tractogram, alignments, number):
            numbered.append((number, data.preprocessing.array(chunk)))
            count_chunk(reads[-1], numbered[-1][1])
    arrays = [array for _, array in numbered]
    n_new = sum(map(len, arrays))
    if n_new == 0:
        raise EmptyDataError("No streamline is left to validate on.")
    points = [data.preprocessing.normalise(array.points) for array in arrays]
    source = np.repeat(
        [number for number, _ in numbered], [len(array) for array in arrays]
    )
    joined = replace(
        data,
        points=np.concatenate([data.points, *points]),
        source=np.concatenate([data.source, source]),
        reads=tuple(reads),
    )
    return joined, np.arange(len(joined)) >= len(data)


def split(
    source: np.ndarray,
    validation_fraction: float,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Choose the validation set at random: single streamlines or whole groups.

    Parameters
    ----------
    source : ndarray, shape (n_streamlines,), int
        Index of the tractogram of each streamline.
    validation_fraction : float
        Fraction of the streamlines, or of the groups, to hold out, in [0, 1).
    groups : sequence of str, optional
        Label of each tractogram (its subject, for example); tractograms with the same
        label are held out together. By default single streamlines are held out.
    seed : int, optional
        Seed of the choice.

    Returns
    -------
    is_validation : ndarray, shape (n_streamlines,), bool
        True for held-out streamlines; at least one streamline or group, unless the
        fraction is 0.

    Raises
    ------
    InvalidArgumentError
        If the fraction is out of range, or there are fewer than two streamlines or
        groups.
    """
    check_number("validation_fraction", validation_fraction, low=0)
    if validation_fraction >= 1:
        raise InvalidArgumentError(
            "Invalid value received for `validation_fraction`. Expected less than 1. "
            f"Received: {validation_fraction!r}."
        )
    if groups is None:
        members = np.arange(len(source))
        what = "streamlines"
    else:
        labels = {label: number for number, label in enumerate(dict.fromkeys(groups))}
        members = np.array([labels[label] for label in groups])[source]
        what = "groups of files"
    choices = np.unique(members)
    if validation_fraction == 0:
        return np.zeros(len(source), dtype=bool)
    if len(choices) < 2:
        raise InvalidArgumentError(
            f"A validation set needs at least two {what}. Received: {len(choices)}. "
            "Give more, or set `validation_fraction` to 0."
        )
    n_held_out = min(
        max(1, round(validation_fraction * len(choices))), len(choices) - 1
    )
    rng = np.random.default_rng(seed)
    return np.isin(members, rng.choice(choices, n_held_out, replace=False))


def counts_of(data: ReadCounts, held_out: np.ndarray) -> list[dict]:
    """Count the streamlines read and used of each tractogram.

    Parameters
    ----------
    data : TrainingData or CoefficientData
        Training and validation streamlines.
    held_out : ndarray, shape (n_streamlines,), bool
        True for validation streamlines.

    Returns
    -------
    counts : list of dict
        "n_read", "n_training", "n_validation", "rejects" and "digest" of each
        tractogram.
    """
    used = [
        np.bincount(data.source[rows], minlength=len(data.reads)).tolist()
        for rows in (~held_out, held_out)
    ]
    return [
        {**read, "n_training": n_training, "n_validation": n_validation}
        for read, n_training, n_validation in zip(data.reads, *used)
    ]


def refuse_rejects(parts: Sequence[np.ndarray]) -> None:
    """Raise if some streamlines cannot be encoded, and say which and why.

    Parameters
    ----------
    parts : sequence of ndarray of int
        Codes of `reject_codes`, part by part.

    Raises
    ------
    InvalidArgumentError
        If one is not 0.
    """
    codes = np.concatenate([np.empty(0, dtype=np.int8), *parts])
    bad = np.flatnonzero(codes)
    if len(bad) == 0:
        return
    named = ", ".join(f"{row} ({REJECT_REASONS[codes[row]]})" for row in bad[:N_NAMED])
    more = f" and {len(bad) - N_NAMED} more" if len(bad) > N_NAMED else ""
    raise InvalidArgumentError(
        f"{len(bad)} of {len(codes)} streamlines cannot be encoded: {named}{more}. "
        'Remove them, or set rejects="nan" to get rows of nan for them.'
    )
