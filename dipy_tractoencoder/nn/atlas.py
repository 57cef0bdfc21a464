"""Latents of labelled bundles in a section of a model: an atlas in the model's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    check_model,
    format_received,
)
from dipy_tractoencoder.nn.sections import LARGEST_SECTION
from dipy_tractoencoder.utils.packed_arrays import (
    pack_arrays,
    unpack_arrays,
    unpack_header,
)
from dipy_tractoencoder.utils.short_repr import short_repr

SECTION = "atlas"
MAGIC = b"DTEATLAS"
VERSION = 1
LARGEST_HEADER = 2**22  # bytes
MOST_BUNDLES, LARGEST_NAME = 10_000, 500
MOST_NEIGHBORS = 1000
LARGEST_VALUE = 1e9  # of latents, distances and lengths
# Arrays in the order in which they are stored: what they are counted by, their type,
# their width ("dim" is that of the latents), and whether they hold indices of bundles.
LAYOUT: dict[str, tuple[str, str, Any, bool]] = {
    "mean": ("latents", "<f4", "dim", False),
    "bundle": ("latents", "<i2", 1, True),
    "length": ("latents", "<f4", 1, False),
    "own": ("latents", "<f4", 1, False),
    "nearest": ("latents", "<f4", 1, False),
    "colours": ("bundles", "|u1", 3, False),
    "counts": ("bundles", "<i8", 1, False),
    "scale": ("bundles", "<f8", 1, False),
    "lengths": ("bundles", "<f8", 3, False),
    "known": ("known", "<f4", 1, False),
    "known_bundle": ("known", "<i2", 1, True),
    "strangers": ("strangers", "<f4", 1, False),
    "strangers_bundle": ("strangers", "<i2", 1, True),
    "near_known": ("near_known", "<f4", 1, False),
    "near_known_bundle": ("near_known", "<i2", 1, True),
    "near_strangers": ("near_strangers", "<f4", 1, False),
}
COUNTED = ("latents", "bundles", "known", "strangers", "near_known", "near_strangers")


@dataclass(frozen=True)
class Atlas:
    """Latents that cover labelled bundles, and how far their streamlines lie from them.

    Distances are Euclidean, in the unit of the latents. Remotenesses are logarithms of
    relative distances; see `segment.decisions`.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles, sorted.
    mean : ndarray, shape (n_latents, latent_dim), float32
        Latents (posterior means), sorted by bundle.
    bundle : ndarray, shape (n_latents,), int16
        Index in ``names`` of the bundle of each.
    length : ndarray, shape (n_latents,), float32
        Length of the streamline of each, mm.
    colours : ndarray, shape (n_bundles, 3), uint8
        Red, green and blue of each bundle, 0 to 255.
    counts : ndarray, shape (n_bundles,), int64
        Number of different streamlines of each bundle that the latents were chosen
        from.
    n_neighbors : int
        Number of neighbours that remotenesses are measured with.
    scale : ndarray, shape (n_bundles,), float64
        Median distance of the bundle's streamlines from the latents of the bundle.
    lengths : ndarray, shape (n_bundles, 3), float64
        Quantiles (0.05, 0.5 and 0.95) of the lengths of each bundle, mm; nan of bundles
        without streamlines.
    known, strangers : ndarray, shape (any,), float32
        Remoteness of streamlines from their bundle, and from the bundle that they are
        taken for if their own is missing.
    known_bundle, strangers_bundle : ndarray, shape (any,), int16
        Index of that bundle.
    own, nearest : ndarray, shape (n_latents,), float32
        Distance of each latent from the five nearest and from the nearest of the
        others, of all bundles.
    near_known, near_strangers : ndarray, shape (any,), float32
        Remoteness of streamlines from all latents by their local density, and from the
        others if their cluster is missing.
    near_known_bundle : ndarray, shape (any,), int16
        Index of the bundle of each streamline of ``near_known``.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> for code, name in ((1, "U"), (2, "B")):
    ...     dte.save_tractogram(made[made.bundle == code].tractogram(), f"{name}.trk")
    >>> atlas = dte.keep_bundles(model, ["U.trk", "B.trk"])
    >>> atlas.names, atlas.mean.shape
    (('B', 'U'), (43, 2))
    """

    names: tuple
    mean: np.ndarray
    bundle: np.ndarray
    length: np.ndarray
    colours: np.ndarray
    counts: np.ndarray
    n_neighbors: int
    scale: np.ndarray
    lengths: np.ndarray
    known: np.ndarray
    known_bundle: np.ndarray
    strangers: np.ndarray
    strangers_bundle: np.ndarray
    own: np.ndarray
    nearest: np.ndarray
    near_known: np.ndarray
    near_known_bundle: np.ndarray
    near_strangers: np.ndarray

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Bring the arrays into their types, and check what belongs together."""
        _check_names(self.names)
        width = np.shape(self.mean)[-1] if np.ndim(self.mean) == 2 else 0
        counts: dict[str, int] = {"bundles": len(self.names)}
        for name, (counted, kind, columns, codes) in LAYOUT.items():
            values = np.ascontiguousarray(getattr(self, name))
            columns = width if columns == "dim" else columns
            n_rows = counts.setdefault(counted, len(values))
            if values.shape != ((n_rows,) if columns == 1 else (n_rows, columns)):
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected {n_rows} rows of "
                    f"{columns}. Received: {format_received(values)}."
                )
            if codes and not ((values >= 0) & (values < len(self.names))).all():
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected positions of names."
                )
            allowed = np.abs(values) <= LARGEST_VALUE
            if name == "lengths":
                allowed |= np.isnan(values)
            if not codes and not allowed.all():
                raise InvalidArgumentError(
                    f"Invalid value received for `{name}`. Expected finite numbers."
                )
            object.__setattr__(self, name, values.astype(kind))
        if width < 1 or not len(self.mean) or not len(self.known):
            raise InvalidArgumentError("An atlas has at least one streamline.")
        if (np.diff(self.bundle) < 0).any():
            raise InvalidArgumentError("The latents of an atlas are sorted by bundle.")
        if not (self.scale > 0).all() or not (self.counts >= 0).all():
            raise InvalidArgumentError(
                "Invalid value received for `scale` or `counts`. Expected positive "
                "numbers."
            )

    @property
    def thinned(self) -> bool:
        """Whether some bundles had more streamlines than there are latents of them."""
        kept = np.bincount(self.bundle, minlength=len(self.names))
        return bool((self.counts > kept).any())

    def chosen(self, groups: Sequence[str] | None = None) -> np.ndarray:
        """Return the bundles whose names match a pattern.

        Parameters
        ----------
        groups : sequence of str, optional
            Patterns, such as ``AF*``; all bundles by default.

        Returns
        -------
        codes : ndarray of int64
            Ascending indices in ``names``.

        Raises
        ------
        InputFileError
            If no name matches.
        """
        codes = [
            code
            for code, name in enumerate(self.names)
            if not groups or any(fnmatch(name, pattern) for pattern in groups)
        ]
        if not codes:
            raise InputFileError(
                f"None of the bundles in the model ({', '.join(self.names)}) matches "
                f"{' '.join(groups or ())}."
            )
        return np.array(codes, dtype=np.int64)

    def to_bytes(self) -> bytes:
        """Pack the atlas, for a section of a model file.

        Returns
        -------
        content : bytes
            Eight bytes that name the format, the length of a JSON header, the header,
            then the arrays.
        """
        sizes = {
            counted: len(getattr(self, name))
            for name, (counted, *_) in reversed(LAYOUT.items())
        }
        header = {
            "version": VERSION,
            "names": list(self.names),
            "n_neighbors": int(self.n_neighbors),
            "latent_dim": self.mean.shape[1],
            **{f"n_{counted}": sizes[counted] for counted in COUNTED},
        }
        return pack_arrays(MAGIC, header, (getattr(self, name) for name in LAYOUT))

    @classmethod
    def from_bytes(cls, content: bytes) -> Atlas:
        """Unpack an atlas, with all checks.

        Parameters
        ----------
        content : bytes
            From `to_bytes`.

        Returns
        -------
        atlas : Atlas
            The atlas.

        Raises
        ------
        ValueError
            If the content is damaged, or of a newer format.
        """
        found, body = unpack_header(
            content, MAGIC, largest=LARGEST_HEADER, what="atlas"
        )
        header, layout = _checked_header(found), []
        for counted, kind, columns, _ in LAYOUT.values():
            columns = header["latent_dim"] if columns == "dim" else columns
            n_rows = header[f"n_{counted}"]
            layout.append((kind, (n_rows,) if columns == 1 else (n_rows, columns)))
        arrays = dict(zip(LAYOUT, unpack_arrays(body, layout, what="atlas")))
        return cls(
            names=tuple(header["names"]), n_neighbors=header["n_neighbors"], **arrays
        )


def _check_names(names):
    """Raise an error unless names can be those of bundles."""
    fine = isinstance(names, tuple) and 1 <= len(names) <= MOST_BUNDLES
    fine = fine and all(
        isinstance(n, str) and 0 < len(n) <= LARGEST_NAME for n in names
    )
    if not fine or list(names) != sorted(set(names)):
        raise InvalidArgumentError(
            f"Invalid value received for `names`. Expected 1 to {MOST_BUNDLES} "
            f"different names, sorted. Received: {format_received(names)}."
        )


def _checked_header(header: Any) -> dict[str, Any]:
    """Raise an error unless the header of a packed atlas is valid."""
    if not isinstance(header, dict) or header.pop("version", None) != VERSION:
        raise ValueError("its atlas is of a newer format, or damaged")
    limits = {
        "n_neighbors": (1, MOST_NEIGHBORS),
        "latent_dim": (1, LARGEST_SECTION),
        **{f"n_{counted}": (0, LARGEST_SECTION) for counted in COUNTED},
    }
    for name, (low, high) in limits.items():
        if type(header.get(name)) is not int or not low <= header[name] <= high:
            raise ValueError(f"its atlas has an invalid {name!r}")
    if header.keys() != {*limits, "names"}:
        raise ValueError("its atlas has unknown parts")
    names = header["names"]
    if not isinstance(names, list) or len(names) != header["n_bundles"]:
        raise ValueError("its atlas has invalid names")
    return header


def model_atlas(model: Any) -> Atlas | None:
    """Return the atlas of labelled bundles that a model holds.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.

    Returns
    -------
    atlas : Atlas or None
        The atlas; None if the model has none.

    Raises
    ------
    InvalidArgumentError
        If ``model`` is not a model of this package.
    InputFileError
        If the atlas is damaged, or of a model with other latents.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.model_atlas(model) is None
    True
    """
    check_model(model)
    atlas = atlas_of(model.sections)
    try:
        if atlas is not None and atlas.mean.shape[1] != model.latent_dim:
            raise ValueError(
                f"its atlas has {atlas.mean.shape[1]} latent dimensions, the model "
                f"{model.latent_dim}"
            )
    except ValueError as err:
        raise _damaged(err) from err
    return atlas


def atlas_of(sections: Mapping[str, bytes]) -> Atlas | None:
    """Read the atlas in the sections of a model, or of a model file.

    Parameters
    ----------
    sections : dict of bytes
        Contents by name.

    Returns
    -------
    atlas : Atlas or None
        The atlas; None if there is none.

    Raises
    ------
    InputFileError
        If it is damaged.
    """
    content = sections.get(SECTION)
    if content is None:
        return None
    try:
        return Atlas.from_bytes(content)
    except (ValueError, RecursionError) as err:
        raise _damaged(err) from err


def _damaged(err):
    """Return the error for an atlas that cannot be used."""
    return InputFileError(
        f"Cannot use the bundles in this model: {str(err).rstrip('.')}. Make it again, "
        "or give the files of the bundles."
    )


def store_atlas(model: Any, atlas: Atlas | None) -> None:
    """Store an atlas in a model, which changes the model's fingerprint.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that made its latents, changed in place.
    atlas : Atlas or None
        Atlas; None removes that which the model has.

    Raises
    ------
    InvalidArgumentError
        If ``model`` or ``atlas`` are something else, or the atlas is too large.
    """
    check_model(model)
    if atlas is None:
        model.sections.pop(SECTION, None)
        return
    if not isinstance(atlas, Atlas) or atlas.mean.shape[1] != model.latent_dim:
        raise InvalidArgumentError(
            "Invalid value received for `atlas`. Expected an Atlas of this model's "
            f"latents. Received: {format_received(atlas)}."
        )
    content = atlas.to_bytes()
    if len(content) > LARGEST_SECTION:
        raise InvalidArgumentError(
            f"The bundles have {len(content) / 2**20:.0f} MiB, but up to "
            f"{LARGEST_SECTION // 2**20} can be stored. Keep fewer latents with "
            "`per_bundle`."
        )
    model.sections[SECTION] = content


def describe_atlas(atlas: Atlas) -> str:
    """Say in a sentence what everyone can read who has the model."""
    return (
        f"The model holds {len(atlas.mean):,} latents of {len(atlas.names)} bundles. "
        "Whoever has the file can decode streamlines from them."
    )
