"""Models in one ``.keras`` file that loads without running anything of its own."""

import json
from pathlib import Path
import zipfile

from dipy_tractoencoder.errors import FingerprintError, InputFileError, OutputFileError
from dipy_tractoencoder.files import whole_file

FORMAT_VERSION = 1
EXTENSION = ".keras"
CLASSES = {
    "StreamlineAutoencoder": "dipy_tractoencoder.autoencoder",
    "StreamlineVAE": "dipy_tractoencoder.vae",
}
CARD = "tractoencoder.json"


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
    OutputFileError
        If the file exists and is not to be replaced, or cannot be written.
    """
    from dipy_tractoencoder.fingerprint import fingerprint

    path = Path(path)
    check_model_extension(path)
    if path.exists() and not overwrite:
        raise OutputFileError(f"{path} exists. Choose another name or overwrite it.")
    # A clone without optimiser: half the size, and nothing to compile at loading.
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
    name, card = check_model_file(path)

    import importlib

    import keras

    from dipy_tractoencoder.fingerprint import fingerprint

    cls = getattr(importlib.import_module(CLASSES[name]), name)
    try:
        model = keras.saving.load_model(
            path, custom_objects={name: cls}, compile=False, safe_mode=True
        )
    # Keras raises many kinds for an archive whose parts do not fit together.
    except Exception as err:
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {_first_line(err)} The file is "
            "damaged or was changed; copy or train it again."
        ) from err
    if fingerprint(model) != card.get("fingerprint"):
        raise FingerprintError(
            f"Cannot use {path}: its weights or settings are not those it was written "
            "with. The file is damaged or was changed; copy or train it again."
        )
    return model


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
    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"File not found: {path}.")
    name, card = _read_cards(path)
    version = card.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputFileError(
            f"Cannot read {path}: its format has version {version}, known are up to "
            f"{FORMAT_VERSION}. Update dipy_tractoencoder."
        )
    return name, card


def _read_cards(path):
    """Class name of a model's archive, and our own card in it."""
    foreign = (
        f"Cannot read {path}: it is a Keras archive, but no model of "
        "dipy_tractoencoder. Train one with dipy_train_vae."
    )
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a part of it is damaged")
            config = json.loads(archive.read("config.json"))
            names = archive.namelist()
            card = json.loads(archive.read(CARD)) if CARD in names else None
    except KeyError:
        raise InputFileError(foreign.replace("a Keras archive", "an archive")) from None
    except (zipfile.BadZipFile, json.JSONDecodeError, OSError, EOFError) as err:
        raise InputFileError(
            f"Cannot read {path}: {_first_line(err)} It is no model file, or was cut "
            "short; copy or train it again."
        ) from err
    name = config.get("class_name") if isinstance(config, dict) else None
    if name not in CLASSES or not isinstance(card, dict):
        raise InputFileError(foreign)
    return name, card


def _first_line(err):
    """First line of an error's text, ending in a full stop."""
    lines = str(err).strip().splitlines() or [type(err).__name__]
    return lines[0].rstrip(".") + "."
