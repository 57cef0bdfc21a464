"""Read and write models as one ``.keras`` file, without executing code from it."""

from __future__ import annotations

import json
from pathlib import Path
import tempfile
from typing import TYPE_CHECKING, Any
import zipfile

import numpy as np

from dipy_tractoencoder.errors import (
    FingerprintError,
    InvalidArgumentError,
    OutputFileError,
    check_model,
)
from dipy_tractoencoder.nn.model_archive import (
    CARD,
    CLASSES,
    CONFIG,
    DAMAGED,
    FORMAT_VERSION,
    WEIGHTS,
    damage_named,
    read_archive,
)
from dipy_tractoencoder.nn.model_file_checks import (
    check_record,
    check_stored_weights,
    record_digest,
    weight_shapes,
)
from dipy_tractoencoder.nn.provenance import fingerprint, weight_array
from dipy_tractoencoder.utils.atomic_files import check_free, whole_file

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

WITHOUT_SECTIONS = 1  # Version of files without sections, which older versions read.
EXTENSION = ".keras"
# Products of larger weights are soon infinite; trained ones are below 1e7.
LARGEST_WEIGHT = 1e12


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
    from dipy_tractoencoder.nn.keras_settings import standard_keras

    check_model(model)
    if not hasattr(model, "get_config"):  # A DenseModel.
        raise InvalidArgumentError(
            "Invalid value received for `model`. Expected a model of `train` or "
            "`load_model`, not one of `load_applied_model`, which is only applied. "
            "Copy its file instead."
        )
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
    archive = read_archive(path)

    import importlib

    from dipy_tractoencoder.nn.keras_settings import check_not_forked, standard_keras

    check_not_forked()
    cls = getattr(importlib.import_module(CLASSES[archive.name]), archive.name)
    with damage_named(path):
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
    check_fingerprint(path, model, archive.card)
    return model


def check_fingerprint(path: Path, model: Any, card: dict[str, Any]) -> None:
    """Raise an error unless a model is the one that was written.

    Parameters
    ----------
    path : Path
        Model file.
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Model that was read from it.
    card : dict
        "fingerprint" of the model that was written.

    Raises
    ------
    FingerprintError
        If the fingerprints differ.
    """
    if fingerprint(model) != card.get("fingerprint"):
        raise FingerprintError(
            f"Cannot use {path}: its weights or settings are not those it was written "
            f"with. {DAMAGED}"
        )


def check_finite_weights(model: Any) -> None:
    """Raise an error if a model has weights that are NaN, infinite or absurd.

    Parameters
    ----------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Raises
    ------
    ValueError
        If a weight is NaN, infinite or so large that latents would be.
    """
    for weight in model.weights:
        values = weight_array(weight)
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
    archive = read_archive(path, only_texts=True)
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
    return read_archive(path, only_texts=True).sections
