"""Read and write models as one ``.keras`` file, without executing code from it.

Keras' loader would import whatever the configuration names and unpack whatever the
archive contains. This reader takes only numbers and weights of two known classes.
"""

from __future__ import annotations

from dataclasses import dataclass
import errno
import json
from pathlib import Path
import re
import tempfile
from typing import TYPE_CHECKING, Any
import zipfile

import numpy as np

from dipy_tractoencoder.errors import (
    FingerprintError,
    InputFileError,
    OutputFileError,
)
from dipy_tractoencoder.nn.model_file_checks import (
    check_record,
    check_stored_weights,
    record_digest,
    weight_shapes,
)
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

FORMAT_VERSION = 1
EXTENSION = ".keras"
CLASSES = {
    "StreamlineAutoencoder": "dipy_tractoencoder.nn.autoencoder",
    "StreamlineVAE": "dipy_tractoencoder.nn.vae",
}
CARD = "tractoencoder.json"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
NAMES = {"metadata.json", CONFIG, WEIGHTS, CARD}

# Limits for unpacking: models are stored uncompressed, but the file may have been
# compressed afterwards; the texts include the history of the training.
LARGEST_RATIO = 100
LARGEST_TEXT = 64 * 2**20
TEXT_RATIO, TEXT_ALWAYS_FINE = 20, 2**20  # Read texts need many times their size.
LARGEST_WEIGHTS = 4 * 2**30  # bytes
# Products of larger weights are soon infinite; trained ones are below 1e7.
LARGEST_WEIGHT = 1e12
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def save_model(
    model: StreamlineAutoencoder, path: str | Path, *, overwrite: bool = False
) -> str:
    """Write a model to a file, with its preprocessing and training record.

    The file is Keras' own archive plus one JSON file with the format version, the
    fingerprint of the model and a digest of its training record.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        File to write, with the extension .keras.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Returns
    -------
    fingerprint : str
        Fingerprint of the model, which is stored with all its latents.

    Raises
    ------
    InvalidArgumentError
        If ``model`` is not a model of this package.
    OutputFileError
        If the file exists and ``overwrite`` is False, or it cannot be written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_model(model, "model.keras") == dte.fingerprint(model)
    True
    """
    from dipy_tractoencoder.errors import check_model
    from dipy_tractoencoder.nn.keras_settings import standard_keras
    from dipy_tractoencoder.nn.provenance import fingerprint

    check_model(model)
    path = Path(path)
    check_model_extension(path)
    check_free(path, overwrite)
    # A clone without the optimiser is half as large and loads without compiling.
    with standard_keras():
        clone = type(model).from_config(model.get_config())
        clone.set_weights(model.get_weights())
    made_by = fingerprint(model)
    card = {"format_version": FORMAT_VERSION, "fingerprint": made_by}
    with whole_file(path) as partial:
        clone.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            record = json.loads(archive.read(CONFIG))["config"]["record"]
            try:
                check_record(record)
            except ValueError as err:
                raise OutputFileError(f"Cannot write {path}: {err}.") from err
            card["record"] = record_digest(record)
            archive.writestr(CARD, json.dumps(card))
    return made_by


def load_model(path: str | Path) -> StreamlineAutoencoder:
    """Read a model written by `save_model`.

    Parameters
    ----------
    path : str or Path
        File with the extension .keras.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Model for encoding and decoding; ``model.record`` describes its training.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or not such a model.
    FingerprintError
        If the content differs from what was written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> fingerprint = dte.save_model(model, "model.keras")
    >>> loaded = dte.load_model("model.keras")
    >>> loaded.record.settings["n_points"], dte.fingerprint(loaded) == fingerprint
    (32, True)
    """
    path = Path(path)
    archive = _read_archive(path)

    import importlib

    from dipy_tractoencoder.nn.keras_settings import check_not_forked, standard_keras
    from dipy_tractoencoder.nn.provenance import fingerprint

    check_not_forked()
    cls = getattr(importlib.import_module(CLASSES[archive.name]), archive.name)
    try:
        variational = archive.name == "StreamlineVAE"
        shapes = weight_shapes(archive.config, variational=variational)
        check_stored_weights(archive.weights, shapes)
        with standard_keras():
            model = cls.from_config(archive.config)
            with tempfile.TemporaryDirectory() as folder:
                weights_path = Path(folder) / WEIGHTS
                weights_path.write_bytes(archive.weights)
                model.load_weights(weights_path)
        check_finite_weights(model)
    # Keras raises many types of errors for parts that do not fit together.
    except Exception as err:
        if isinstance(err, OSError) and err.errno in NO_SPACE:
            raise OutputFileError(
                f"Cannot unpack {path} in {tempfile.gettempdir()}: {err.strerror}. "
                "Make room there, or set TMPDIR to another folder."
            ) from err
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {_first_line(err)} The file is "
            "damaged or was changed; copy it again, or train the model again."
        ) from err
    card = archive.card
    if fingerprint(model) != card.get("fingerprint"):
        raise FingerprintError(
            f"Cannot use {path}: its weights or settings are not those it was written "
            "with. The file is damaged or was changed; copy it again, or train the "
            "model again."
        )
    return model


def check_finite_weights(model: StreamlineAutoencoder) -> None:
    """Raise an error if a model has weights that are NaN, infinite or absurd.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Raises
    ------
    ValueError
        If a weight is NaN, infinite or so large that latents would be.
    """
    from keras import ops

    for weight in model.weights:
        values = ops.convert_to_numpy(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                f"{int((~np.isfinite(values)).sum())} of the {values.size} weights in "
                f"{weight.path} are not finite."
            )
        if values.dtype.kind == "f" and np.abs(values).max(initial=0) > LARGEST_WEIGHT:
            raise ValueError(
                f"The weights in {weight.path} go up to {np.abs(values).max():.3g}, "
                "which no training gives."
            )


def check_model_extension(path: str | Path) -> None:
    """Raise an error unless a path has the extension of model files.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    OutputFileError
        If the extension is not .keras.
    """
    if Path(path).suffix != EXTENSION:
        raise OutputFileError(
            f"Cannot write {path}: the name of a model file ends in .keras."
        )


def check_model_file(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Raise an error unless a file is a complete model, without loading Keras.

    Parameters
    ----------
    path : str or Path
        File with the extension .keras.

    Returns
    -------
    name : str
        Class name of the model.
    card : dict
        "format_version", "fingerprint" and, from newer versions, "record", the digest
        of the training record.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or not such a model.
    """
    archive = _read_archive(path, only_texts=True)
    return archive.name, archive.card


@dataclass(frozen=True)
class _Archive:
    """Content of a model file."""

    name: str
    config: dict
    card: dict
    weights: bytes


def _read_archive(path, only_texts=False):
    """Read a model file, with all checks that do not need Keras."""
    path = Path(path)
    check_readable(path)
    foreign = (
        f"Cannot read {path}: it is a Keras archive, but not a model of "
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
    # Errors that the zip module raises for damaged archives.
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
            f"Cannot read {path}: {_first_line(err)} It is not a model, or is "
            "incomplete; copy it again, or train the model again."
        ) from err
    name = config.get("class_name") if isinstance(config, dict) else None
    known = isinstance(name, str) and name in CLASSES
    if not known or not isinstance(card, dict):
        raise InputFileError(foreign)
    version = card.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise InputFileError(
            f"Cannot read {path}: its format has version {version}, but only versions "
            f"up to {FORMAT_VERSION} are known. Update dipy_tractoencoder."
        )
    settings = config.get("config")
    _check_texts(path, settings, card)
    return _Archive(name, settings, card, weights)


def _check_texts(path, settings, card):
    """Raise an error unless the texts of a model file fit together."""
    damaged = (
        "The file is damaged or was changed; copy it again, or train the model again."
    )
    mark = card.get("fingerprint")
    if not isinstance(mark, str) or not re.fullmatch("[0-9a-f]{64}", mark):
        raise InputFileError(f"Cannot read {path}: it has no fingerprint. {damaged}")
    if not isinstance(settings, dict) or not {"preprocessing", "record"} <= {*settings}:
        raise InputFileError(f"Cannot read {path}: it has no settings. {damaged}")
    record = settings.get("record")
    try:
        check_record(record)
    except ValueError as err:
        raise InputFileError(f"Cannot read {path}: {err}. {damaged}") from err
    # Models of older versions have no digest of their record.
    if "record" in card and card["record"] != record_digest(record):
        raise FingerprintError(
            f"Cannot use {path}: the record of its training is not the one it was "
            f"written with. {damaged}"
        )


def _check_members(archive):
    """Raise an error unless an archive has only parts of a model, of valid sizes."""
    seen = set()
    for info in archive.infolist():
        name = info.filename
        if name in seen:
            raise zipfile.BadZipFile(f"it contains {name!r} twice")
        seen.add(name)
        largest, ratio = LARGEST_TEXT, TEXT_RATIO
        if name == WEIGHTS:
            largest, ratio = LARGEST_WEIGHTS, LARGEST_RATIO
        packed = info.file_size > max(TEXT_ALWAYS_FINE, ratio * info.compress_size)
        if info.file_size > largest or packed:
            raise zipfile.BadZipFile(
                f"{name!r} would unpack to {info.file_size} bytes, too much to be "
                "part of a model"
            )
    if {CONFIG, CARD} <= seen and not seen <= NAMES:
        raise zipfile.BadZipFile(
            f"it contains {min(seen - NAMES)!r}, which is not part of a model"
        )


def _first_line(err):
    """Return the first line of an error message, with a full stop."""
    lines = str(err).strip().splitlines() or [type(err).__name__]
    return lines[0].rstrip(".") + "."
