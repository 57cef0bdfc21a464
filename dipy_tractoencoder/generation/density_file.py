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
from dipy_tractoencoder.io.hdf5 import check_dataset, clear_errors
from dipy_tractoencoder.latent.latents_file import check_latents_extension
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

FORMAT_NAME = "dipy_tractoencoder densities"
FORMAT_VERSION = 1
KIND = "file of densities of dipy_sample_vae"
ARRAYS = ("weights", "means", "factors")
LIMITS = ("min_log_density", "min_length", "max_length", "max_curvature")
SPACE_NAMES = ("affine", "dimensions", "voxel_sizes", "voxel_order")
SPACE_SHAPES = {"affine": (4, 4), "dimensions": (3,), "voxel_sizes": (3,)}


def save_densities(
    bundles: Sequence[BundleDensity],
    path: str | Path,
    fingerprint: str,
    *,
    overwrite: bool = False,
) -> None:
    """Save densities of bundles to an HDF5 file.

    A numbered group per bundle holds ``weights``, ``means`` and ``factors`` of its
    `Density`, and everything else of `BundleDensity` as attributes. The file is written
    completely or not at all.

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
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        for number, bundle in enumerate(bundles):
            group = file.create_group(f"bundles/{number:05}")
            for name in ARRAYS:
                group[name] = getattr(bundle.density, name)
            group.attrs["kind"] = bundle.density.kind
            for name in ("name", "n_streamlines", *LIMITS):
                group.attrs[name] = getattr(bundle, name)
            for name, value in bundle.space.items():
                group.attrs[f"space_{name}"] = value
        file.attrs["fingerprint"] = fingerprint
        file.attrs["format_version"] = FORMAT_VERSION
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
    import h5py

    path = Path(path)
    check_readable(path)
    with clear_errors(path, KIND), h5py.File(path) as file:
        _check_format(file, path)
        made_by = str(file.attrs["fingerprint"])
        size = path.stat().st_size
        groups_read = sorted(file["bundles"].items())
        bundles = [_read(group, size) for _, group in groups_read]
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
    if file.attrs.get("format") != FORMAT_NAME:
        raise InputFileError(
            f"Cannot read {path}: it holds no densities. Make some with "
            "dipy_sample_vae."
        )
    if file.attrs["format_version"] > FORMAT_VERSION:
        raise InputFileError(
            f"Cannot read {path}: its format has version "
            f"{file.attrs['format_version']}, known are up to {FORMAT_VERSION}. Update "
            "dipy_tractoencoder."
        )


def _read(group, n_bytes):
    """Read one bundle; raise ValueError if its numbers are inconsistent."""
    # By name: going through damaged attributes ends the process in older HDF5.
    attributes = group.attrs
    name = str(attributes["name"])
    weights, means, factors = (
        np.array(check_dataset(group, array, "f", n_bytes), np.float64)
        for array in ARRAYS
    )
    limits = {name: float(attributes[name]) for name in LIMITS}
    space = {
        part: attributes[f"space_{part}"]
        for part in SPACE_NAMES
        if f"space_{part}" in attributes
    }
    n_parts, size = means.shape if means.ndim == 2 else (0, 0)
    fits = (
        n_parts > 0
        and weights.shape == (n_parts,)
        and factors.shape in ((1, size, size), (n_parts, size, size))
        and all(np.isfinite(a).all() for a in (weights, means, factors))
        and (weights > 0).all()
        and np.isclose(weights.sum(), 1)
        and np.all(np.linalg.slogdet(factors)[1] > -np.inf)
        and np.isfinite(list(limits.values())).all()
        and all(np.shape(space.get(n)) == s for n, s in SPACE_SHAPES.items() if space)
    )
    if not fits or attributes["kind"] not in DENSITIES:
        raise ValueError(f"The numbers of the bundle {name} do not belong together.")
    return BundleDensity(
        name=name,
        density=Density(str(attributes["kind"]), weights, means, factors),
        n_streamlines=int(attributes["n_streamlines"]),
        space=space,
        **limits,
    )
