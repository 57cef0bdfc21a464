"""An affine transform from the space of a subject to that of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
import json
from pathlib import Path
from typing import Any

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    format_received,
)
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.streamlines.orientation import flat_points, from_flat
from dipy_tractoencoder.utils.atomic_files import (
    check_free,
    check_readable,
    whole_file,
)
from dipy_tractoencoder.utils.short_repr import short_repr

# How an alignment was made: of these, "none" moves nothing, and "given" is a transform
# that was known.
TRANSFORMS = ("none", "rigid", "similarity", "affine", "given")
# Whether it can be relied on: "uncertain" is a warning, "refused" an error unless the
# user insists. "unchecked" has not been measured.
VERDICTS = ("accepted", "uncertain", "refused", "unchecked")
LEFT_RIGHT = ("", "confirmed", "cannot be told")

FORMAT_NAME = "dipy_tractoencoder alignment"
FORMAT_VERSION = 1
LARGEST_FILE = 2**20  # bytes
LARGEST_NUMBER = 1e9  # of a matrix; mm
# Smaller determinants of the 3 x 3 part squash a brain into a plane.
SMALLEST_DETERMINANT = 1e-6


@dataclass(frozen=True)
class Alignment:
    """Affine transform from a subject's RASMM space to that of a model, in mm.

    Attributes
    ----------
    matrix : ndarray, shape (4, 4), float64
        Maps points of the subject (RASMM, mm) to the space of the model (RASMM, mm).
    transform : str
        One of ``TRANSFORMS``: the kind that was fitted, or "given".
    verdict : str
        One of ``VERDICTS``: whether the alignment can be relied on.
    reasons : tuple of str
        Sentences that explain the verdict; empty if it is accepted.
    left_right : str
        "confirmed" if the mirrored subject fits clearly worse, "cannot be told" if it
        does not, empty if this was not measured. A subject is never mirrored.
    quality : dict of float
        Numbers behind the verdict, by name; see `align.fit.fit_alignment`.
    tried : tuple of dict
        Solutions that were compared, best first.
    reference : str
        Digest of the `AlignmentReference`; empty if there was none.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> matrix = np.eye(4)
    >>> matrix[:3, 3] = 10, 0, 0
    >>> alignment = dte.Alignment(matrix, transform="given")
    >>> alignment.apply(np.zeros((1, 3))).tolist()
    [[10.0, 0.0, 0.0]]
    >>> alignment.inverse().matrix[0, 3].item()
    -10.0
    """

    matrix: np.ndarray
    transform: str = "given"
    verdict: str = "unchecked"
    reasons: tuple = ()
    left_right: str = ""
    quality: dict = field(default_factory=dict)
    tried: tuple = ()
    reference: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Check the matrix, the one door for transforms from files and callers."""
        object.__setattr__(self, "matrix", check_matrix(self.matrix))

    @property
    def moves(self) -> bool:
        """Whether points change at all."""
        return not np.array_equal(self.matrix, np.eye(4))

    @property
    def mirrors(self) -> bool:
        """Whether left and right are exchanged."""
        return bool(np.linalg.det(self.matrix[:3, :3]) < 0)

    def apply(self, streamlines: Any) -> Any:
        """Move streamlines or points from the subject's space to the model's.

        Parameters
        ----------
        streamlines : ndarray of shape (..., 3), or streamlines
            Points, or a StatefulTractogram, ArraySequence or sequence of ndarray;
            RASMM of the subject, mm. They are not changed.

        Returns
        -------
        moved : ndarray or ArraySequence
            The same points in the model's space, RASMM, mm; an array for an array,
            with its floating-point type.

        Raises
        ------
        InvalidArgumentError
            If ``streamlines`` are not points or streamlines.
        """
        if isinstance(streamlines, np.ndarray) and streamlines.dtype != object:
            if streamlines.shape[-1:] != (3,):
                raise InvalidArgumentError(
                    "Invalid value received for `streamlines`. Expected points of "
                    f"shape (..., 3). Received: {format_received(streamlines)}."
                )
            return move_points(streamlines, self.matrix)
        lines = as_sequence(streamlines)
        if not self.moves:
            return lines
        points, counts = flat_points(lines)
        return from_flat(move_points(points, self.matrix), counts)

    def inverse(self) -> Alignment:
        """Return the transform back, from the model's space to the subject's.

        Returns
        -------
        alignment : Alignment
            Inverse transform with the same verdict and quality.
        """
        return replace(self, matrix=np.linalg.inv(self.matrix))

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as values that JSON can hold."""
        return {**asdict(self), "matrix": self.matrix.tolist()}

    @classmethod
    def from_dict(cls, values: Any) -> Alignment:
        """Create an alignment from the values of `to_dict`, which are checked.

        Parameters
        ----------
        values : dict
            Values as read from JSON.

        Returns
        -------
        alignment : Alignment
            The alignment.

        Raises
        ------
        ValueError
            If a value is missing, unknown or of another type.
        """
        if not isinstance(values, Mapping):
            raise ValueError("it holds no alignment")
        if unknown := values.keys() - _FIELDS.keys():
            raise ValueError(f"its alignment has the unknown part {min(unknown)!r}")
        if "matrix" not in values:
            raise ValueError("its alignment has no matrix")
        for name, value in values.items():
            if not _FIELDS[name](value):
                raise ValueError(f"its alignment has an invalid part {name!r}")
        parts = dict(values)
        for name in ("reasons", "tried"):
            parts[name] = tuple(values.get(name, ()))
        return cls(**parts)


def check_matrix(matrix: Any) -> np.ndarray:
    """Raise an error unless a matrix is an affine transform that can be inverted.

    Parameters
    ----------
    matrix : array_like, shape (4, 4)
        Transform of homogeneous coordinates, mm.

    Returns
    -------
    matrix : ndarray, shape (4, 4), float64
        The transform, read-only.

    Raises
    ------
    InvalidArgumentError
        If it has another shape, values that are not finite, another last row than
        0 0 0 1, or is singular.
    """
    try:
        values = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    text = "Invalid value received for `matrix`. Expected an affine transform, "
    if values.shape != (4, 4):
        raise InvalidArgumentError(
            f"{text}4 x 4 numbers. Received: {format_received(matrix)}."
        )
    if not (np.abs(values) <= LARGEST_NUMBER).all():
        raise InvalidArgumentError(
            f"{text}finite numbers. Received: {values.tolist()}."
        )
    if not np.allclose(values[3], (0, 0, 0, 1), atol=1e-6):
        raise InvalidArgumentError(
            f"{text}with the last row 0 0 0 1. Received: {values[3].tolist()}."
        )
    values[3] = 0, 0, 0, 1
    determinant = np.linalg.det(values[:3, :3])
    if not abs(determinant) > SMALLEST_DETERMINANT:
        raise InvalidArgumentError(
            f"{text}that can be inverted. Received: one of determinant "
            f"{determinant:.3g}, which maps a brain onto a plane."
        )
    values.flags.writeable = False
    return values


def move_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply an affine transform to points.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        Points, mm.
    matrix : ndarray, shape (4, 4)
        Affine transform.

    Returns
    -------
    moved : ndarray, shape (..., 3)
        Points, mm, in the floating-point type of the input, at least float32;
        computed in float64.
    """
    kind = points.dtype if points.dtype.kind == "f" else np.dtype(np.float64)
    kind = kind if kind.itemsize >= 4 else np.dtype(np.float32)
    moved = np.empty(points.shape, dtype=kind)
    flat, out = points.reshape(-1, 3), moved.reshape(-1, 3)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        out[start : start + _BLOCK] = block @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def save_alignment(
    alignment: Alignment, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write an alignment to a JSON file.

    Parameters
    ----------
    alignment : Alignment
        Alignment, of `fit_alignment` for example.
    path : str or Path
        File to write.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Raises
    ------
    OutputFileError
        If the file exists and ``overwrite`` is False, or it cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> dte.save_alignment(dte.Alignment(np.eye(4)), "alignment.json")
    >>> dte.Alignment(np.eye(4)).moves
    False
    """
    if not isinstance(alignment, Alignment):
        raise InvalidArgumentError(
            "Invalid value received for `alignment`. Expected an Alignment, of "
            f"`fit_alignment` for example. Received: {format_received(alignment)}."
        )
    check_free(path, overwrite)
    about = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION}
    text = json.dumps({**about, **alignment.to_dict()}, indent=2)
    with whole_file(path) as partial:
        Path(partial).write_text(text + "\n", encoding="utf-8")


def read_alignment_json(path: str | Path) -> Alignment:
    """Read an alignment written by `save_alignment`.

    Parameters
    ----------
    path : str or Path
        JSON file.

    Returns
    -------
    alignment : Alignment
        The alignment.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or contains no alignment.
    """
    path = Path(path)
    check_readable(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError("it is too large to be an alignment")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.pop("format", "") != FORMAT_NAME:
            raise ValueError("it contains no alignment")
        version = values.pop("format_version", None)
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise ValueError(
                f"its format has version {version!r}, but only versions up to "
                f"{FORMAT_VERSION} are known"
            )
        return Alignment.from_dict(values)
    except (OSError, ValueError, RecursionError) as err:
        raise InputFileError(
            f"Cannot read {path}: {str(err).rstrip('.')}. Give an alignment written by "
            "dipy_tractoencoder, or align again."
        ) from err


_BLOCK = 2**18  # points moved at a time


def _is_text(value):
    return isinstance(value, str)


def _is_number(value):
    return type(value) in (int, float)


def _numbers(value):
    """Return whether a value is a dictionary of numbers by name."""
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_matrix(value):
    return isinstance(value, Sequence) and all(
        isinstance(row, Sequence) and all(map(_is_number, row)) for row in value
    )


def _one_of(choices):
    return lambda value: isinstance(value, str) and value in choices


def _list_of(check):
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


_FIELDS = {
    "matrix": _is_matrix,
    "transform": _one_of(TRANSFORMS),
    "verdict": _one_of(VERDICTS),
    "reasons": _list_of(_is_text),
    "left_right": _one_of(LEFT_RIGHT),
    "quality": _numbers,
    "tried": _list_of(_numbers),
    "reference": _is_text,
}
