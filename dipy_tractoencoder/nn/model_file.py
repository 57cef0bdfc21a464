"""Models in one ``.keras`` file that loads without running anything of its own.

Keras' loader would follow what the archive's configuration names and unpack whatever it
holds. Ours takes numbers and weights of two known classes from it, and nothing else.
"""

from dataclasses import dataclass
import errno
import io
import json
from pathlib import Path
import tempfile
import zipfile

import numpy as np

from dipy_tractoencoder.errors import (
    FingerprintError,
    InputFileError,
    OutputFileError,
)
from dipy_tractoencoder.nn.provenance import TrainingRecord
from dipy_tractoencoder.streamlines.pca import N_COMPONENTS
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

FORMAT_VERSION = 1
EXTENSION = ".keras"
CLASSES = {
    "StreamlineAutoencoder": "dipy_tractoencoder.nn.autoencoder",
    "StreamlineVAE": "dipy_tractoencoder.nn.vae",
}
CARD = "tractoencoder.json"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
NAMES = {"metadata.json", CONFIG, WEIGHTS, CARD}

# Bounds of what is unpacked: ours are stored as they are, and others may have been
# packed again; text holds the history of a training.
LARGEST_RATIO = 100
LARGEST_TEXT = 64 * 2**20
LARGEST_WEIGHTS = 4 * 2**30
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def save_model(model, path, *, overwrite=False):
    """Write a model with all that encoding needs: weights, preprocessing, record.

    The file is Keras' own archive plus one JSON file with the format's version and
    the model's fingerprint.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        File to write, ending in .keras.
    overwrite : bool, optional
        Replace an existing file.

    Returns
    -------
    fingerprint : str
        The model's, as latents made with it carry.

    Raises
    ------
    InvalidArgumentError
        If it is no such model.
    OutputFileError
        If the file exists and is not to be replaced, or cannot be written.
    """
    from dipy_tractoencoder.errors import check_model
    from dipy_tractoencoder.nn.keras_settings import standard_keras
    from dipy_tractoencoder.nn.provenance import fingerprint

    check_model(model)
    path = Path(path)
    check_model_extension(path)
    check_free(path, overwrite)
    # A clone without optimiser: half the size, and nothing to compile at loading.
    with standard_keras():
        clone = type(model).from_config(model.get_config())
        clone.set_weights(model.get_weights())
    card = {"format_version": FORMAT_VERSION, "fingerprint": fingerprint(model)}
    with whole_file(path) as partial:
        clone.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(CARD, json.dumps(card))
    return card["fingerprint"]


def load_model(path):
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    path : str or Path
        The .keras file.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Ready to encode and decode; ``model.record`` says how it was trained.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or no such model.
    FingerprintError
        If the content is not what was written.
    """
    path = Path(path)
    archive = _read_archive(path)

    import importlib

    from dipy_tractoencoder.nn.keras_settings import standard_keras
    from dipy_tractoencoder.nn.provenance import fingerprint

    cls = getattr(importlib.import_module(CLASSES[archive.name]), archive.name)
    try:
        _check_weights(archive.weights, archive.config)
        with standard_keras():
            model = cls.from_config(archive.config)
            if not isinstance(model.record, TrainingRecord | None):
                raise TypeError("its record of the training is none")
            with tempfile.TemporaryDirectory() as folder:
                weights_path = Path(folder) / WEIGHTS
                weights_path.write_bytes(archive.weights)
                model.load_weights(weights_path)
        check_finite_weights(model)
    # Keras raises many kinds for an archive whose parts do not fit together.
    except Exception as err:
        if isinstance(err, OSError) and err.errno in NO_SPACE:
            raise OutputFileError(
                f"Cannot unpack {path} in {tempfile.gettempdir()}: {err.strerror}. "
                "Make room there, or set TMPDIR to another folder."
            ) from err
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {_first_line(err)} The file is "
            "damaged or was changed; copy or train it again."
        ) from err
    card = archive.card
    if fingerprint(model) != card.get("fingerprint"):
        raise FingerprintError(
            f"Cannot use {path}: its weights or settings are not those it was written "
            "with. The file is damaged or was changed; copy or train it again."
        )
    return model


def check_finite_weights(model):
    """Raise if a model has weights that are not finite numbers.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Raises
    ------
    ValueError
        If a weight is nan or infinite; every latent would be, too.
    """
    from keras import ops

    for weight in model.weights:
        values = ops.convert_to_numpy(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                f"{int((~np.isfinite(values)).sum())} of the {values.size} weights in "
                f"{weight.path} are not finite numbers."
            )


def check_model_extension(path):
    """Raise unless a model can be written under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    OutputFileError
        If it does not end in .keras.
    """
    if Path(path).suffix != EXTENSION:
        raise OutputFileError(f"Cannot write {path}: a model's file ends in .keras.")


def check_model_file(path):
    """Raise unless a file is a whole model of ours, without loading Keras.

    Parameters
    ----------
    path : str or Path
        The .keras file.

    Returns
    -------
    name : str
        Name of the model's class.
    card : dict
        "format_version" and "fingerprint".

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or no such model.
    """
    archive = _read_archive(path, only_texts=True)
    return archive.name, archive.card


@dataclass(frozen=True)
class _Archive:
    """What is taken from a model's file."""

    name: str
    config: dict
    card: dict
    weights: bytes


def _read_archive(path, only_texts=False):
    """Read a model's archive, and check all that can be without Keras."""
    path = Path(path)
    check_readable(path)
    foreign = (
        f"Cannot read {path}: it is a Keras archive, but no model of "
        "dipy_tractoencoder. Train one with dipy_train_vae."
    )
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(archive.read(CONFIG))
            has_card = CARD in archive.namelist()
            card = json.loads(archive.read(CARD)) if has_card else None
            weights = b""
            if not only_texts:
                weights = archive.read(WEIGHTS)
            elif archive.testzip() is not None:
                raise zipfile.BadZipFile("a part of it is damaged")
    except KeyError:
        raise InputFileError(foreign.replace("a Keras archive", "an archive")) from None
    # What the zip module raises for broken archives, besides its own.
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        zipfile.zlib.error,
        MemoryError,
    ) as err:
        raise InputFileError(
            f"Cannot read {path}: {_first_line(err)} It is no model file, or was cut "
            "short; copy or train it again."
        ) from err
    name = config.get("class_name") if isinstance(config, dict) else None
    known = isinstance(name, str) and name in CLASSES
    if not known or not isinstance(card, dict):
        raise InputFileError(foreign)
    version = card.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputFileError(
            f"Cannot read {path}: its format has version {version}, known are up to "
            f"{FORMAT_VERSION}. Update dipy_tractoencoder."
        )
    return _Archive(name, config.get("config"), card, weights)


def _check_members(archive):
    """Raise unless an archive holds parts of a model only, in sizes that can be."""
    seen = set()
    for info in archive.infolist():
        name = info.filename
        if name in seen:
            raise zipfile.BadZipFile(f"{name!r} is in it twice")
        seen.add(name)
        largest = LARGEST_WEIGHTS if name == WEIGHTS else LARGEST_TEXT
        packed = info.file_size > LARGEST_RATIO * (info.compress_size + 1024)
        if info.file_size > largest or packed:
            raise zipfile.BadZipFile(
                f"{name!r} would unpack to {info.file_size} bytes, too much to be "
                "part of a model"
            )
    if {CONFIG, CARD} <= seen and not seen <= NAMES:
        raise zipfile.BadZipFile(
            f"it holds {min(seen - NAMES)!r}, which is no part of a model"
        )


def _check_weights(weights, config):
    """Raise unless weights are plain arrays in the file, enough for the model."""
    import h5py

    def check(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual or item.nbytes > len(weights):
            raise ValueError(f"the weights {name!r} do not lie in the file")

    with h5py.File(io.BytesIO(weights)) as file:
        _check_links(file)
        file.visititems(check)
    n_points = config["preprocessing"]["n_points"]
    latent_dim = config["latent_dim"]
    # Of the principal directions and the mean's head, which every model has.
    n_components = min(max(N_COMPONENTS, latent_dim), 3 * n_points)
    if 4 * max(3 * n_points * n_components, latent_dim) > len(weights):
        raise ValueError("the model is larger than its weights")


def _check_links(group, seen=None):
    """Raise where a name in an HDF5 file stands for something elsewhere."""
    import h5py

    seen = set() if seen is None else seen
    address = h5py.h5o.get_info(group.id).addr
    if address in seen:  # Names of one group may be many, or lead back to it.
        return
    seen.add(address)
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"the weights {name!r} do not lie in the file")
        if isinstance(item := group[name], h5py.Group):
            _check_links(item, seen)


def _first_line(err):
    """First line of an error's text, ending in a full stop."""
    lines = str(err).strip().splitlines() or [type(err).__name__]
    return lines[0].rstrip(".") + "."
