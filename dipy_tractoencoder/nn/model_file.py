"""Read and write models as one ``.keras`` file, without executing code from it.

Keras' loader would import whatever the configuration names and unpack whatever the
archive contains. This reader takes only numbers and weights of two known classes.
"""

from __future__ import annotations

from dataclasses import dataclass
import errno
import hashlib
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
from dipy_tractoencoder.nn.sections import LARGEST_SECTION, MOST_SECTIONS, NAME
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

FORMAT_VERSION = 2
WITHOUT_SECTIONS = 1  # Version of files without sections, which older versions read.
EXTENSION = ".keras"
CLASSES = {
    "StreamlineAutoencoder": "dipy_tractoencoder.nn.autoencoder",
    "StreamlineVAE": "dipy_tractoencoder.nn.vae",
}
CARD = "tractoencoder.json"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
NAMES = {"metadata.json", CONFIG, WEIGHTS, CARD}
SECTION = re.compile(rf"section_({NAME.pattern})\.bin")

# Limits for unpacking: models are stored uncompressed, but the file may have been
# compressed afterwards; the texts include the history of the training.
LARGEST_RATIO = 100
LARGEST_TEXT = 64 * 2**20
TEXT_RATIO, TEXT_ALWAYS_FINE = 20, 2**20  # Read texts need many times their size.
LARGEST_WEIGHTS = 4 * 2**30  # bytes
# Products of larger weights are soon infinite; trained ones are below 1e7.
LARGEST_WEIGHT = 1e12
DAMAGED = "The file is damaged or was changed; copy it again, or train the model again."
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def save_model(
    model: StreamlineAutoencoder, path: str | Path, *, overwrite: bool = False
) -> str:
    """Write a model to a file, with its preprocessing and training record.

    The file is Keras' own archive plus one JSON file with the format version, the
    fingerprint of the model and digests of its training record and its sections; each
    section is a file of its own.

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
        config = model.get_config()
        config.pop("sections", None)
        clone = type(model).from_config(config)
        clone.set_weights(model.get_weights())
    made_by, sections = fingerprint(model), model.sections
    version = FORMAT_VERSION if sections else WITHOUT_SECTIONS
    card: dict[str, Any] = {"format_version": version, "fingerprint": made_by}
    if sections:
        card["sections"] = sections.digests
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
            for name, content in sections.items():
                archive.writestr(f"section_{name}.bin", content)
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
        model.sections = archive.sections
    # Keras raises many types of errors for parts that do not fit together.
    except Exception as err:
        if isinstance(err, OSError) and err.errno in NO_SPACE:
            raise OutputFileError(
                f"Cannot unpack {path} in {tempfile.gettempdir()}: {err.strerror}. "
                "Make room there, or set TMPDIR to another folder."
            ) from err
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {_first_line(err)} {DAMAGED}"
        ) from err
    card = archive.card
    if fingerprint(model) != card.get("fingerprint"):
        raise FingerprintError(
            f"Cannot use {path}: its weights or settings are not those it was written "
            f"with. {DAMAGED}"
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
        of the training record, and "sections", the digests of sections by name.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or not such a model.
    FingerprintError
        If the training record or a section differs from what was written.
    """
    archive = _read_archive(path, only_texts=True)
    return archive.name, archive.card


def read_sections(path: str | Path) -> dict[str, bytes]:
    """Read the sections of a model file, without loading Keras.

    Parameters
    ----------
    path : str or Path
        File with the extension .keras; the errors are those of `check_model_file`.

    Returns
    -------
    sections : dict of bytes
        Contents by name.
    """
    return _read_archive(path, only_texts=True).sections


@dataclass(frozen=True)
class _Archive:
    """Content of a model file."""

    name: str
    config: dict
    card: dict
    weights: bytes
    sections: dict


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
            found = [m for m in map(SECTION.fullmatch, archive.namelist()) if m]
            sections = {match[1]: archive.read(match[0]) for match in found}
            others = {*archive.namelist()} - NAMES - {match[0] for match in found}
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
    if others:
        raise InputFileError(
            f"Cannot read {path}: it contains {min(others)!r}, which is not part of a "
            f"model. {DAMAGED}"
        )
    settings = config.get("config")
    _check_texts(path, settings, card)
    digests = {key: hashlib.sha256(sections[key]).hexdigest() for key in sections}
    if card.get("sections", {}) != digests:
        raise FingerprintError(
            f"Cannot use {path}: its sections are not those it was written with. "
            f"{DAMAGED}"
        )
    return _Archive(name, settings, card, weights, sections)


def _check_texts(path, settings, card):
    """Raise an error unless the texts of a model file fit together."""
    mark = card.get("fingerprint")
    if not isinstance(mark, str) or not re.fullmatch("[0-9a-f]{64}", mark):
        raise InputFileError(f"Cannot read {path}: it has no fingerprint. {DAMAGED}")
    if not isinstance(settings, dict) or not {"preprocessing", "record"} <= {*settings}:
        raise InputFileError(f"Cannot read {path}: it has no settings. {DAMAGED}")
    record = settings.get("record")
    try:
        check_record(record)
    except ValueError as err:
        raise InputFileError(f"Cannot read {path}: {err}. {DAMAGED}") from err
    # Models of older versions have no digest of their record.
    if "record" in card and card["record"] != record_digest(record):
        raise FingerprintError(
            f"Cannot use {path}: the record of its training is not the one it was "
            f"written with. {DAMAGED}"
        )


def _check_members(archive):
    """Raise an error unless the parts of an archive have valid sizes."""
    seen = set()
    for info in archive.infolist():
        name = info.filename
        if name in seen:
            raise zipfile.BadZipFile(f"it contains {name!r} twice")
        seen.add(name)
        largest, ratio = LARGEST_TEXT, TEXT_RATIO
        if name == WEIGHTS:
            largest, ratio = LARGEST_WEIGHTS, LARGEST_RATIO
        elif SECTION.fullmatch(name):
            largest, ratio = LARGEST_SECTION, LARGEST_RATIO
        packed = info.file_size > max(TEXT_ALWAYS_FINE, ratio * info.compress_size)
        if info.file_size > largest or packed:
            raise zipfile.BadZipFile(
                f"{name!r} would unpack to {info.file_size} bytes, too much to be "
                "part of a model"
            )
    if sum(map(bool, map(SECTION.fullmatch, seen))) > MOST_SECTIONS:
        raise zipfile.BadZipFile(f"it has more than {MOST_SECTIONS} sections")


def _first_line(err):
    """Return the first line of an error message, with a full stop."""
    lines = str(err).strip().splitlines() or [type(err).__name__]
    return lines[0].rstrip(".") + "."
