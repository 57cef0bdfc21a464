"""Read a model to apply it: with the dense backbone, no backend is loaded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.io.hdf5 import open_hdf5
from dipy_tractoencoder.nn.architecture import DENSE_UNITS
from dipy_tractoencoder.nn.dense_model import VARIATIONAL, DenseModel
from dipy_tractoencoder.nn.dense_network import DenseWeights
from dipy_tractoencoder.nn.model_file import (
    check_fingerprint,
    check_finite_weights,
    damage_named,
    load_model,
    read_archive,
)
from dipy_tractoencoder.nn.model_file_checks import check_stored_weights, weight_shapes

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


def load_applied_model(path: str | Path) -> DenseModel | StreamlineAutoencoder:
    """Read a model for encoding and decoding, without a backend if it is dense.

    Neither Keras nor TensorFlow is imported for a model with the dense backbone, the
    default. It gives the same latents and points as that of `load_model` up to
    rounding, but cannot be trained or saved.

    Parameters
    ----------
    path : str or Path
        File written by `save_model`.

    Returns
    -------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        A `DenseModel` for the dense backbone; that of `load_model` for the others.

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
    >>> applied = dte.load_applied_model("model.keras")
    >>> dte.encode(applied, made.streamlines).fingerprint == fingerprint
    True
    """
    model = load_dense_model(path)
    return load_model(path) if model is None else model


def load_dense_model(path: str | Path) -> DenseModel | None:
    """Read a model if it has the dense backbone.

    Parameters
    ----------
    path : str or Path
        File written by `save_model`.

    Returns
    -------
    model : DenseModel or None
        None if the model has another backbone, or another version of Keras arranged its
        weights in a way that is not known here.

    Raises
    ------
    InputFileError, FingerprintError
        As `load_applied_model`.
    """
    path = Path(path)
    archive = read_archive(path)
    if archive.config.get("backbone") != "dense":
        return None
    with damage_named(path):
        variational = archive.name == VARIATIONAL
        shapes = weight_shapes(archive.config, variational=variational)
        check_stored_weights(archive.weights, shapes)
        stored = _stored_arrays(archive.weights, variational)
        if stored is None:
            return None
        weights, step = stored
        model = DenseModel(
            archive.name, archive.config, weights, step=step, sections=archive.sections
        )
        found = [tuple(weight.value.shape) for weight in model.weights]
        if sorted(found) != sorted(shapes):
            raise ValueError("its weights have other shapes than its settings ask for")
        check_finite_weights(model)
    check_fingerprint(path, model, archive.card)
    return model


def _stored_arrays(content, variational):
    """Read the weights of a dense model where Keras writes them; None elsewhere.

    Whether each is in its place shows in the fingerprint, which depends on the order.
    """
    import h5py

    with open_hdf5(io.BytesIO(content)) as file:

        def read(name, dtype=np.float32):
            if not isinstance(file.get(name), h5py.Dataset):
                raise KeyError(name)
            values = np.array(file[name], dtype=dtype, order="C")
            values.flags.writeable = False
            return values

        def layers(place, n):
            names = ["dense", *(f"dense_{number}" for number in range(1, n))]
            return tuple(
                tuple(read(f"{place}/{name}/vars/{part}") for part in range(2))
                for name in names
            )

        try:
            weights = DenseWeights(
                *(read(f"layers/principal_projection/vars/{n}") for n in range(3)),
                layers("encoder_body/layers", len(DENSE_UNITS)),
                layers("decoder_body/layers", len(DENSE_UNITS) + 1),
                layers("layers", 1 + variational),
            )
            step: Any = read("vars/0", np.int32) if variational else 0
        except KeyError:
            return None
    return weights, step
