"""Save and load the densities of bundles as HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import FingerprintError, InputFileError
from dipy_tractoencoder.generation.bundle_density import BundleDensity
from dipy_tractoencoder.generation.density import DENSITIES, Density
from dipy_tractoencoder.generation.local_density import (
    KIND as LOCAL,
    LARGEST_BANDWIDTH,
    N_NEIGHBORS,
    LocalDensity,
)
from dipy_tractoencoder.io.hdf5 import clear_errors, open_hdf5, stored_dataset
from dipy_tractoencoder.io.hdf5_attributes import (
    count_attribute,
    has_format,
    number_attribute,
    space_attributes,
    stored_text,
    text_attribute,
)
from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.latent.alignment import alignment_attribute, alignment_text
from dipy_tractoencoder.latent.latents_file import check_latents_extension
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

FORMAT_NAME = "dipy_tractoencoder densities"
FORMAT_VERSION = 3  # 1 without alignments, 2 without local densities
KIND = "file of densities of dipy_sample_vae"
ARRAYS = ("weights", "means", "factors")
LOCAL_ARRAYS = ("means", "length")
LOCAL_NUMBERS = ("bandwidth", "n_neighbors", "length_scale")
LIMITS = ("min_log_density", "min_length", "max_length", "max_curvature")


def save_densities(
    bundles: Sequence[BundleDensity],
    path: str | Path,
    fingerprint: str,
    *,
    overwrite: bool = False,
) -> None:
    """Save densities of bundles to an HDF5 file.

    A numbered group per bundle holds ``weights``, ``means`` and ``factors`` of its
    `Density`, or ``means`` and ``length`` of its `LocalDensity`, and everything else of
    `BundleDensity` as attributes. A local density holds the latents of the bundle's
    streamlines, from which they can be decoded, and so does a kernel density; the
    others do not. The file is written completely or not at all.

    Parameters
    ----------
    bundles : sequence of BundleDensity
        Densities, all of the same model.
    path : str or Path
        File to write, ending in .h5 or .hdf5.
    fingerprint : str
        Fingerprint of the model; see `nn.provenance.fingerprint`.
    overwrite : bool, optional
        Replace an existing file.

    Raises
    ------
    OutputFileError
        If the file exists and ``overwrite`` is False, its extension is wrong, or it
        cannot be written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, name="all")
    >>> dte.save_densities([bundle], "densities.h5", dte.fingerprint(model))
    """
    import h5py

    check_latents_extension(path)
    check_free(path, overwrite)
    version = 1
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        for number, bundle in enumerate(bundles):
            group = file.create_group(f"bundles/{number:05}")
            density, local = bundle.density, isinstance(bundle.density, LocalDensity)
            for name in LOCAL_ARRAYS if local else ARRAYS:
                group[name] = getattr(density, name)
            if local:
                for name in LOCAL_NUMBERS:
                    group.attrs[name] = getattr(density, name)
                group.attrs["max_log_density"] = bundle.max_log_density
                version = FORMAT_VERSION
            group.attrs["kind"] = bundle.density.kind
            group.attrs["name"] = stored_text(bundle.name)
            for name in ("n_streamlines", *LIMITS):
                group.attrs[name] = getattr(bundle, name)
            for name, value in bundle.space.items():
                group.attrs[f"space_{name}"] = value
            if bundle.alignment is not None:
                group.attrs["alignment"] = alignment_text(bundle.alignment)
                # Earlier releases would write new streamlines to the wrong place.
                version = max(version, 2)
        file.attrs["fingerprint"] = fingerprint
        file.attrs["format_version"] = version
        file.attrs["format"] = FORMAT_NAME


def load_densities(
    path: str | Path,
    model: StreamlineAutoencoder | None = None,
    *,
    groups: Sequence[str] | None = None,
) -> list[BundleDensity]:
    """Load densities of bundles that `save_densities` wrote.

    Parameters
    ----------
    path : str or Path
        HDF5 file.
    model : StreamlineAutoencoder or StreamlineVAE, optional
        Model that the densities have to belong to.
    groups : sequence of str, optional
        Patterns, such as ``AF*``, that select bundles; all by default.

    Returns
    -------
    bundles : list of BundleDensity
        Densities in the order of the file.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or holds no densities.
    FingerprintError
        If they belong to another model.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, name="all")
    >>> dte.save_densities([bundle], "densities.h5", dte.fingerprint(model))
    >>> [bundle.name for bundle in dte.load_densities("densities.h5", model)]
    ['all']
    """
    path = Path(path)
    check_readable(path)
    with clear_errors(path, KIND), open_hdf5(path) as file:
        _check_format(file, path)
        made_by = text_attribute(file, "fingerprint")
        bundles = [_read(group, path) for _, group in sorted(file["bundles"].items())]
    if model is not None:
        from dipy_tractoencoder.nn.provenance import fingerprint

        expected = fingerprint(model)
        if made_by != expected:
            raise FingerprintError(
                f"The densities of {path} belong to another model (fingerprint "
                f"{made_by[:12]}, this one's is {expected[:12]}). Give that model, or "
                "fit densities again with `fit_bundle_density`."
            )
        if any(bundle.density.means.shape[1] != model.latent_dim for bundle in bundles):
            raise InputFileError(
                f"Cannot read {path}: its densities do not have the "
                f"{model.latent_dim} dimensions of the model. The file is damaged."
            )
    chosen = [
        bundle
        for bundle in bundles
        if not groups or any(fnmatch(bundle.name, pattern) for pattern in groups)
    ]
    if not chosen:
        names = ", ".join(bundle.name for bundle in bundles)
        raise InputFileError(
            f"{path}: none of its bundles ({names}) matches {' '.join(groups or ())}."
        )
    return chosen


def _check_format(file, path):
    """Raise an error unless an open file holds densities of a known format."""
    if not has_format(file, FORMAT_NAME):
        raise InputFileError(
            f"Cannot read {path}: it holds no densities. Make some with "
            "dipy_sample_vae."
        )
    version = number_attribute(file, "format_version")
    if version > FORMAT_VERSION:
        raise InputFileError(
            f"Cannot read {path}: its format has version {version}, known are up to "
            f"{FORMAT_VERSION}. Update dipy_tractoencoder."
        )


def _read(group, path):
    """Read one bundle; raise ValueError if its numbers are inconsistent."""
    name, kind = (text_attribute(group, about) for about in ("name", "kind"))
    limits = {limit: float(number_attribute(group, limit)) for limit in LIMITS}
    density: Density | LocalDensity
    if kind == LOCAL:
        density = _read_local(group, name)
        limits["max_log_density"] = float(number_attribute(group, "max_log_density"))
    else:
        density = _read_mixture(group, name, kind)
    if (
        not 0 <= limits["min_length"] <= limits["max_length"]
        or limits["max_curvature"] < 0
    ):
        raise ValueError(f"The numbers of the bundle {short(name)} are invalid.")
    return BundleDensity(
        name=name,
        density=density,
        n_streamlines=count_attribute(group, "n_streamlines"),
        space=space_attributes(group, path),
        alignment=alignment_attribute(group),
        **limits,
    )


def _read_mixture(group, name, kind):
    """Read a Gaussian mixture; raise ValueError if its numbers are inconsistent."""
    arrays = [stored_dataset(group, array, "f") for array in ARRAYS]
    _check_shapes(name, *(array.shape for array in arrays))
    weights, means, factors = (np.array(array, np.float64) for array in arrays)
    fits = (
        kind in DENSITIES
        and all(np.isfinite(array).all() for array in (weights, means, factors))
        and (weights > 0).all()
        and np.isclose(weights.sum(), 1)
        and np.all(np.linalg.slogdet(factors)[1] > -np.inf)
    )
    if not fits:
        raise ValueError(f"The numbers of the bundle {short(name)} are invalid.")
    return Density(kind, weights, means, factors)


def _read_local(group, name):
    """Read a local density; raise ValueError if its numbers are inconsistent."""
    arrays = [stored_dataset(group, array, "f") for array in LOCAL_ARRAYS]
    sizes, lengths = (array.shape for array in arrays)
    if len(sizes) != 2 or 0 in sizes or lengths != sizes[:1]:
        raise ValueError(
            f"The arrays of the bundle {short(name)} do not belong together: means "
            f"{sizes}, length {lengths}."
        )
    means, length = np.array(arrays[0], np.float32), np.array(arrays[1], np.float64)
    bandwidth, n_neighbors, length_scale = (
        number_attribute(group, about) for about in LOCAL_NUMBERS
    )
    fits = (
        np.isfinite(means).all()
        and np.isfinite(length).all()
        and (length > 0).all()
        and 0 <= bandwidth <= LARGEST_BANDWIDTH[True]
        and n_neighbors == int(n_neighbors)
        and 1 <= n_neighbors < len(means)
        and n_neighbors <= N_NEIGHBORS
        and length_scale >= 0
    )
    if not fits:
        raise ValueError(f"The numbers of the bundle {short(name)} are invalid.")
    return LocalDensity(
        means, length, float(bandwidth), int(n_neighbors), float(length_scale)
    )


def _check_shapes(name, weights, means, factors):
    """Raise an error unless the shapes of the arrays of a bundle fit together."""
    n_parts, size = means if len(means) == 2 else (0, 0)
    if (
        n_parts * size == 0
        or weights != (n_parts,)
        or factors not in ((1, size, size), (n_parts, size, size))
    ):
        raise ValueError(
            f"The arrays of the bundle {short(name)} do not belong together: weights "
            f"{weights}, means {means}, factors {factors}."
        )
