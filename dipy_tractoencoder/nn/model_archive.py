"""Read the parts of a model file, with all checks that need no backend.

Keras' loader would import whatever the configuration names and unpack whatever the
archive contains. This reader takes only numbers and weights of two known classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import errno
import hashlib
import json
from pathlib import Path
import re
import tempfile
import zipfile
import zlib

from dipy_tractoencoder.errors import (
    FingerprintError,
    InputFileError,
    OutputFileError,
)
from dipy_tractoencoder.nn.model_file_checks import check_record, record_digest
from dipy_tractoencoder.nn.sections import LARGEST_SECTION, MOST_SECTIONS, NAME
from dipy_tractoencoder.utils.atomic_files import check_readable

FORMAT_VERSION = 2
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
DAMAGED = "The file is damaged or was changed; copy it again, or train the model again."
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


@dataclass(frozen=True)
class Archive:
    """Content of a model file.

    Attributes
    ----------
    name : str
        Class name of the model.
    config, card : dict
        Its arguments, and the card of `check_model_file`.
    weights : bytes
        HDF5 file with the weights.
    sections : dict of str to bytes
        Sections by name.
    """

    name: str
    config: dict
    card: dict
    weights: bytes
    sections: dict


def read_archive(path: str | Path, *, only_texts: bool = False) -> Archive:
    """Read a model file, with all checks that do not need Keras.

    Parameters
    ----------
    path : str or Path
        File with the extension .keras.
    only_texts : bool, optional
        Check the weights for damage, but leave them out.

    Returns
    -------
    archive : Archive
        Content of the file; the settings and weights are not checked yet.

    Raises
    ------
    InputFileError, FingerprintError
        As `check_model_file`.
    """
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
        zlib.error,
        MemoryError,
    ) as err:
        raise InputFileError(
            f"Cannot read {path}: {_first_line(err)} It is not a model, or is "
            "incomplete; copy it again, or train the model again."
        ) from err
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or name not in CLASSES or not isinstance(card, dict):
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
    return Archive(name, settings, card, weights, sections)


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


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn errors of parts that do not fit together into one that names the file.

    Parameters
    ----------
    path : Path
        Model file.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    InputFileError
        For any error but that there is no space to unpack the file.
    OutputFileError
        For that one.
    """
    try:
        yield
    # Keras raises errors of many types.
    except Exception as err:
        if isinstance(err, OSError) and err.errno in NO_SPACE:
            raise OutputFileError(
                f"Cannot unpack {path} in {tempfile.gettempdir()}: {err.strerror}. "
                "Make room there, or set TMPDIR to another folder."
            ) from err
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {_first_line(err)} {DAMAGED}"
        ) from err
