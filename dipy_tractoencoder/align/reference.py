"""What subjects are aligned to: centroids and a sample of a model's streamlines."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
import hashlib
from typing import Any

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.utils.packed_arrays import (
    pack_arrays,
    unpack_arrays,
    unpack_header,
)
from dipy_tractoencoder.utils.short_repr import short_repr

N_POINTS = 20  # of centroids and sampled streamlines
LARGEST_CENTROIDS, LARGEST_REFERENCE_SAMPLE = 500, 2500  # streamlines
LARGEST_COORDINATE = 1e5  # mm
NO_BUNDLE = -1

MAGIC = b"DTEALIGN"
VERSION = 1
LARGEST_HEADER = 2**20  # bytes
# Types of the packed arrays, in their order.
KINDS = {
    "centroids": "<f4",
    "sample": "<f4",
    "centroid_bundle": "<i2",
    "sample_bundle": "<i2",
}
LARGEST_NAMES, LARGEST_NAME = 10_000, 500


@dataclass(frozen=True)
class AlignmentReference:
    """Streamlines that define the space of a model, to align subjects to.

    Attributes
    ----------
    centroids : ndarray, shape (n_centroids, 20, 3), float32
        Centroids of clusters of the model's streamlines, largest cluster first, then of
        each bundle if bundles are known; RASMM of the model, mm.
    sample : ndarray, shape (n_sample, 20, 3), float32
        Random streamlines of the training data (at most 2,500), RASMM, mm; empty if
        the model was made without.
    half_distance : float
        Bundle-minimum distance between the centroids of two random halves of the
        streamlines, mm: what an alignment could reach at best.
    check_distance : float
        Median distance of a streamline to the nearest one of the other half, mm, as
        `align.check.check_alignment` measures it.
    n_streamlines : int
        Number of streamlines that it was made from.
    names : tuple of str
        Names of bundles; empty if they are unknown.
    centroid_bundle, sample_bundle : ndarray of int16
        Position in ``names`` of the bundle of each centroid and sampled streamline, -1
        if unknown, and for centroids of all streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> reference = dte.fit_alignment_reference(made.streamlines)
    >>> reference.sample.shape[1:]
    (20, 3)
    """

    centroids: np.ndarray
    sample: np.ndarray
    half_distance: float
    check_distance: float
    n_streamlines: int
    names: tuple = ()
    centroid_bundle: np.ndarray = field(default_factory=lambda: np.empty(0, np.int16))
    sample_bundle: np.ndarray = field(default_factory=lambda: np.empty(0, np.int16))

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Bring the arrays into their types, and check what belongs together."""
        for name in ("centroids", "sample"):
            points = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if points.ndim != 3 or points.shape[1:] != (N_POINTS, 3):
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected shape (any, "
                    f"{N_POINTS}, 3). Received: {points.shape}."
                )
            if not (np.abs(points) <= LARGEST_COORDINATE).all():
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected finite coordinates "
                    "in mm."
                )
            object.__setattr__(self, name, points)
            kind = name.removesuffix("s") + "_bundle"
            codes = np.asarray(getattr(self, kind), dtype=np.int16)
            if not len(codes):
                codes = np.full(len(points), NO_BUNDLE, dtype=np.int16)
            fits = codes.shape == (len(points),)
            if not fits or not ((codes >= -1) & (codes < len(self.names))).all():
                raise InvalidArgumentError(
                    f"Invalid value received for `{kind}`. Expected the position of a "
                    f"name for each of {len(points)} streamlines."
                )
            object.__setattr__(self, kind, codes)
        if not 1 <= len(self.centroids) <= LARGEST_CENTROIDS:
            raise InvalidArgumentError(
                f"Invalid value received for `centroids`. Expected 1 to "
                f"{LARGEST_CENTROIDS} of them. Received: {len(self.centroids)}."
            )
        if len(self.sample) > LARGEST_REFERENCE_SAMPLE:
            raise InvalidArgumentError(
                f"Invalid value received for `sample`. Expected up to "
                f"{LARGEST_REFERENCE_SAMPLE} streamlines. Received: "
                f"{len(self.sample)}."
            )

    @property
    def holds_streamlines(self) -> bool:
        """Whether real streamlines are stored, not only centroids."""
        return len(self.sample) > 0

    @cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 digest of the content."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Pack the reference, for a section of a model file.

        Returns
        -------
        content : bytes
            Eight bytes that name the format, the length of a JSON header, the header,
            then the arrays.
        """
        header = {
            "version": VERSION,
            "n_centroids": len(self.centroids),
            "n_sample": len(self.sample),
            "half_distance": float(self.half_distance),
            "check_distance": float(self.check_distance),
            "n_streamlines": int(self.n_streamlines),
            "names": list(self.names),
        }
        arrays = (getattr(self, name).astype(kind) for name, kind in KINDS.items())
        return pack_arrays(MAGIC, header, arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> AlignmentReference:
        """Unpack a reference, with all checks.

        Parameters
        ----------
        content : bytes
            From `to_bytes`.

        Returns
        -------
        reference : AlignmentReference
            The reference.

        Raises
        ------
        ValueError
            If the content is damaged, or of a newer format.
        """
        what = "alignment reference"
        found, body = unpack_header(content, MAGIC, largest=LARGEST_HEADER, what=what)
        header = _checked_header(found)
        n_rows = (header.pop("n_centroids"), header.pop("n_sample"))
        layout = [
            (kind, (n, N_POINTS, 3) if "f" in kind else (n,))
            for kind, n in zip(KINDS.values(), 2 * n_rows)
        ]
        arrays: dict[str, Any] = dict(
            zip(KINDS, unpack_arrays(body, layout, what=what))
        )
        return cls(**arrays, **header)


def _checked_header(header: Any) -> dict[str, Any]:
    """Raise an error unless the header of a packed reference is valid."""
    if not isinstance(header, dict) or header.pop("version", None) != VERSION:
        raise ValueError("its alignment reference is of a newer format, or damaged")
    limits = {
        "n_centroids": LARGEST_CENTROIDS,
        "n_sample": LARGEST_REFERENCE_SAMPLE,
        "n_streamlines": 2**63,
    }
    for name, limit in limits.items():
        if type(header.get(name)) is not int or not 0 <= header[name] <= limit:
            raise ValueError(f"its alignment reference has an invalid {name!r}")
    for name in ("half_distance", "check_distance"):
        value = header.get(name)
        if type(value) is not float or not 0 <= value <= LARGEST_COORDINATE:
            raise ValueError(f"its alignment reference has an invalid {name!r}")
    names = header.get("names")
    fine = isinstance(names, list) and len(names) <= LARGEST_NAMES
    if not fine or not all(
        isinstance(name, str) and len(name) <= LARGEST_NAME for name in names or ()
    ):
        raise ValueError("its alignment reference has invalid names")
    known = {*limits, "half_distance", "check_distance", "names"}
    if header.keys() != known:
        raise ValueError("its alignment reference has unknown parts")
    return {**header, "names": tuple(names or ())}
