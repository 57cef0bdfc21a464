"""Check the content of a model file before Keras builds what it asks for.

Keras allocates all weights that a configuration describes, and only then compares them
with those stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
import hashlib
import io
from itertools import pairwise
import json
import math
from typing import Any

from dipy_tractoencoder.io.hdf5 import open_hdf5
from dipy_tractoencoder.io.hdf5_attributes import text_attribute
from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.nn import architecture
from dipy_tractoencoder.nn.architecture import (
    FILTERS,
    KERNEL,
    LAST_FILTERS,
    check_points,
)
from dipy_tractoencoder.streamlines.pca import N_COMPONENTS
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

# Arguments of the models; others would change how Keras computes.
ARGUMENTS = {
    "name",
    "preprocessing",
    "latent_dim",
    "backbone",
    "linear_skip",
    "upsampling",
    "loss",
    "seed",
    "record",
}
LARGEST_NUMBER = 1e30
VARIATIONAL = {"kl_weight", "kl_annealing", "epsilon_std"}


def weight_shapes(
    config: Mapping[str, Any], *, variational: bool
) -> list[tuple[int, ...]]:
    """Return the shapes of all weights of a model, without building it.

    Parameters
    ----------
    config : dict
        Arguments of `StreamlineAutoencoder`, with its preprocessing as a dictionary.
    variational : bool
        Whether the model is a `StreamlineVAE`.

    Returns
    -------
    shapes : list of tuple of int
        Shapes of trained and fixed weights; the states of metrics and random numbers
        are left out.

    Raises
    ------
    InvalidArgumentError, KeyError, TypeError
        If an argument is missing or out of range.
    """
    if others := config.keys() - ARGUMENTS - (VARIATIONAL if variational else set()):
        raise TypeError(f"it has the unknown setting {short(min(others))}")
    if not isinstance(config["preprocessing"], dict):
        raise TypeError("its preprocessing is invalid")
    preprocessing = Preprocessing.from_dict(config["preprocessing"])
    n_points, latent_dim = preprocessing.n_points, config["latent_dim"]
    for name, value in (("n_points", n_points), ("latent_dim", latent_dim)):
        if type(value) is not int or value < 1:
            raise TypeError(f"its `{name}` is {value!r}")
    backbone = config["backbone"]
    check_points(backbone, n_points)
    n_coordinates = 3 * n_points
    n_components = min(max(N_COMPONENTS, latent_dim), n_coordinates)
    shapes = [(n_coordinates,), (n_coordinates, n_components), (n_components,)]
    bodies = _dense_bodies if backbone == "dense" else _convolutional_bodies
    n_features, body_shapes = bodies(
        backbone, n_points, n_components, latent_dim, variational
    )
    shapes += body_shapes
    for _ in range(1 + variational):  # Heads for the mean and the log-variance.
        shapes += _layers([n_features, latent_dim])
    return [*shapes, ()] if variational else shapes  # The step of the KL annealing.


def check_stored_weights(content: bytes, shapes: Iterable[tuple[int, ...]]) -> None:
    """Raise an error unless weights are stored, and are those that a model asks for.

    Parameters
    ----------
    content : bytes
        HDF5 file with the weights, as Keras writes it.
    shapes : iterable of tuple of int
        Shapes of the weights of the model.

    Raises
    ------
    ValueError, OSError
        If the file is damaged, refers to other files, or lacks weights of these shapes.
    """
    import h5py

    found: Counter[tuple[int, ...]] = Counter()

    def look(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        if item.shape is None or item.dtype.kind not in "fiub":
            raise ValueError(f"its weights {name!r} are not numbers")
        if "dtype" in item.attrs:  # Keras reads it.
            text_attribute(item, "dtype")
        found[item.shape] += 1

    with open_hdf5(io.BytesIO(content)) as file:
        file.visititems(look)
    if missing := Counter(shapes) - found:
        largest = max(missing, key=math.prod)
        raise ValueError(
            f"its settings ask for weights of shape {largest} that it does not have"
        )


def record_digest(record: Any) -> str:
    """Compute a digest of the record of a training.

    Parameters
    ----------
    record : dict or None
        Record as read from JSON.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def check_record(record: Any) -> None:
    """Raise an error unless a value can be the record of a training.

    Parameters
    ----------
    record : dict or None
        Arguments of `TrainingRecord`, as read from JSON; None for a model that was not
        trained.

    Raises
    ------
    ValueError
        If a part is unknown or of another type.
    """
    if record is None:
        return
    if not isinstance(record, dict) or not record.keys() <= _RECORD.keys():
        raise ValueError("its training record has parts that are not known")
    for name, value in record.items():
        if not _RECORD[name](value):
            raise ValueError(f"its training record has an invalid part {name!r}")
    epochs = record.get("settings", {}).get("epochs", LARGEST_NUMBER)
    if record.get("best_epoch", 0) > epochs:
        raise ValueError(
            "the best_epoch of its training record is not among its epochs"
        )


def _layers(sizes: list[int]) -> Iterator[tuple[int, ...]]:
    """Shapes of kernels and biases of dense layers between layers of these sizes."""
    for size, next_size in pairwise(sizes):
        yield (size, next_size)
        yield (next_size,)


def _convolutions(channels, batch_norm=False):
    """Shapes of the weights of convolutions, and of batch normalisation after each."""
    for size, next_size in pairwise(channels):
        yield (KERNEL, size, next_size)
        yield (next_size,)
        if batch_norm:
            yield from [(next_size,)] * 4


def _dense_bodies(backbone, n_points, n_components, latent_dim, variational):
    """Return the number of features, and the shapes of encoder and decoder body."""
    shapes = [
        *_layers([n_components, *architecture.DENSE_UNITS]),
        *_layers([latent_dim, *architecture.DENSE_UNITS, n_components]),
    ]
    return architecture.DENSE_UNITS[-1], shapes


def _convolutional_bodies(backbone, n_points, n_components, latent_dim, variational):
    """Return the same for convolutional backbones."""
    last = (LAST_FILTERS,) if backbone == "finta" else ()
    channels = (*FILTERS, *last)
    n_features = n_points // 2 ** len(FILTERS) * channels[-1]
    shapes = [
        *_convolutions((3, *channels), batch_norm=variational),
        *_layers([latent_dim, n_features]),
        *_convolutions((*channels[::-1], 3)),
    ]
    return n_features, shapes


def _is_number(value):
    """Return whether a value is a number that figures can show; they leave out nan."""
    return type(value) in (int, float) and not abs(value) > LARGEST_NUMBER


def _is_count(value):
    return type(value) is int and 0 <= value < 2**63


def _is_flag(value):
    return type(value) is bool


def _is_text(value):
    return isinstance(value, str)


def _dictionary_of(check):
    """Return a check of dictionaries whose values fit a check."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _list_of(check):
    return lambda value: isinstance(value, list) and all(map(check, value))


def _dictionary_with(**checks):
    """Return a check of dictionaries whose values fit checks, where they are there."""
    return lambda value: (
        isinstance(value, dict)
        and all(check(value[name]) for name, check in checks.items() if name in value)
    )


def _is_history(value):
    """Return whether a value is a dictionary of lists of numbers of one length."""
    lists = _dictionary_of(_list_of(_is_number))
    return lists(value) and len(set(map(len, value.values()))) <= 1


_COUNTS = {
    "n_training": _is_count,
    "n_validation": _is_count,
    "n_read": _is_count,
    "rejects": _dictionary_of(_is_count),
}
_RECORD = {
    "settings": _dictionary_with(
        epochs=_is_count,
        seed=_is_count,
        linear_skip=_is_flag,
        refit=_is_flag,
        alignment_sample=_is_flag,
        loss=_is_text,
    ),
    "data": _dictionary_with(
        **_COUNTS,
        files=_list_of(_is_text),
        tractograms=_list_of(_dictionary_with(**_COUNTS, digest=_is_text)),
        errors=_dictionary_with(),
        subjects=_list_of(
            _dictionary_with(
                subject=_is_text,
                n_files=_is_count,
                transform=_is_text,
                verdict=_is_text,
                left_right=_is_text,
                moved_mm=_is_number,
            )
        ),
    ),
    "history": _is_history,
    "best_epoch": _is_count,
    "versions": _dictionary_of(_is_text),
}
