"""Latents in HDF5, or riding along in a copy of their tractogram."""

import json
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.files import whole_file

FORMAT_VERSION = 1
EXTENSIONS = (".h5", ".hdf5")
FORMAT_NAME = "dipy_tractoencoder latents"
DATA_NAME = "latent"  # data_per_streamline; TRK allows 20 characters
CHUNK_ROWS = 8192
SPACE_NAMES = {"affine", "dimensions", "voxel_sizes", "voxel_order"}


def save_latents(latents, path):
    """Write latents to an HDF5 file, whole or not at all.

    Datasets ``mean``, ``log_var`` (a VAE's), ``index`` and ``is_reversed`` have a row
    per encoded streamline; everything else of `Latents` stands in attributes.

    Parameters
    ----------
    latents : Latents
        What `encode` returned.
    path : str or Path
        File to write, ending in .h5 or .hdf5.

    Raises
    ------
    OutputFileError
        If the extension is another one or the file cannot be written.
    """
    import h5py

    check_latents_extension(path)
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        for name in ("mean", "log_var", "index", "is_reversed"):
            values = getattr(latents, name)
            if values is not None:
                rows = max(1, min(CHUNK_ROWS, len(values)))
                chunks = (rows, *values.shape[1:]) if len(values) else None
                file.create_dataset(name, data=values, chunks=chunks)
        file.attrs["format"] = FORMAT_NAME
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fingerprint"] = latents.fingerprint
        file.attrs["tractogram"] = latents.tractogram
        file.attrs["n_streamlines"] = latents.n_streamlines
        file.attrs["rejects"] = json.dumps(latents.rejects)
        for name, value in latents.space.items():
            file.attrs[f"space_{name}"] = value


def load_latents(path):
    """Read latents that `save_latents` wrote.

    Parameters
    ----------
    path : str or Path
        The HDF5 file.

    Returns
    -------
    latents : Latents
        As they were encoded.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or holds no latents.
    """
    import h5py

    from dipy_tractoencoder.latent import Latents

    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"File not found: {path}.")
    try:
        with h5py.File(path) as file:
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT_NAME:
                raise InputFileError(
                    f"Cannot read {path}: it holds no latents. Make some with "
                    "dipy_encode_vae."
                )
            if attributes["format_version"] > FORMAT_VERSION:
                raise InputFileError(
                    f"Cannot read {path}: its format has version "
                    f"{attributes['format_version']}, known are up to "
                    f"{FORMAT_VERSION}. Update dipy_tractoencoder."
                )
            values = {name: file[name][()] for name in ("mean", "index", "is_reversed")}
            values["log_var"] = file["log_var"][()] if "log_var" in file else None
        latents = Latents(
            **values,
            n_streamlines=int(attributes["n_streamlines"]),
            rejects=json.loads(attributes["rejects"]),
            fingerprint=str(attributes["fingerprint"]),
            tractogram=str(attributes["tractogram"]),
            space={
                name.removeprefix("space_"): value
                for name, value in attributes.items()
                if name.startswith("space_")
            },
        )
    except InputFileError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as err:
        raise InputFileError(
            f"Cannot read {path}: {err} It is no latents file of dipy_encode_vae, or "
            "was cut short."
        ) from err
    rows = np.shape(latents.mean)[:1]
    complete = latents.space.keys() in (set(), SPACE_NAMES)
    others = (latents.index, latents.is_reversed, latents.log_var)
    if (
        not complete
        or np.ndim(latents.mean) != 2
        or any(np.shape(other)[:1] != rows for other in others if other is not None)
    ):
        raise InputFileError(
            f"Cannot read {path}: its datasets do not belong together. Encode again."
        )
    return latents


def check_latents_extension(path):
    """Raise unless latents can be written under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    OutputFileError
        If the extension is neither .h5 nor .hdf5.
    """
    if Path(path).suffix.lower() not in EXTENSIONS:
        raise OutputFileError(
            f"Cannot write {path}: a latents file ends in {' or '.join(EXTENSIONS)}."
        )


def with_latents(tractogram, latents):
    """Copy a tractogram, adding its latents as ``data_per_streamline``.

    Parameters
    ----------
    tractogram : StatefulTractogram
        The one that was encoded.
    latents : Latents
        Its latents.

    Returns
    -------
    tractogram : StatefulTractogram
        All streamlines; rejected ones have NaN.
    """
    values = np.full((len(tractogram), latents.mean.shape[1]), np.nan, dtype=np.float32)
    values[latents.index] = latents.mean
    tractogram = tractogram[:]
    tractogram.data_per_streamline[DATA_NAME] = values
    return tractogram
