"""A trained model with the dense backbone that is applied without a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.nn.architecture import check_architecture, check_kl
from dipy_tractoencoder.nn.dense_network import DenseWeights, Layer
from dipy_tractoencoder.nn.principal_model import PrincipalModel
from dipy_tractoencoder.nn.provenance import TrainingRecord
from dipy_tractoencoder.nn.sections import Sections
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

VARIATIONAL = "StreamlineVAE"


class StoredWeight(NamedTuple):
    """A weight, with the attributes of one of Keras.

    Attributes
    ----------
    path : str
        Name of the weight.
    value : ndarray
        Its numbers, read-only.
    """

    path: str
    value: np.ndarray


class DenseModel(PrincipalModel):
    """Trained model with the dense backbone, applied by NumPy.

    It encodes and decodes as the Keras model that it was saved from, and has the same
    fingerprint, but cannot be trained or saved. `load_applied_model` reads it.

    Parameters
    ----------
    class_name : {"StreamlineVAE", "StreamlineAutoencoder"}
        Class of the Keras model.
    config : dict
        Its arguments.
    weights : DenseWeights
        Its weights, float32.
    step : int, optional
        Number of training steps that a variational autoencoder counted.
    sections : mapping of str to bytes, optional
        Named parts that are stored with the model.

    Attributes
    ----------
    preprocessing : Preprocessing
        Conversion of streamlines to the network's points.
    latent_dim : int
        Number of latent dimensions.
    linear_skip, variational : bool
        Whether the model has the linear skip, and is a variational autoencoder.
    record : TrainingRecord or None
        Record of the training.
    dense_weights : DenseWeights
        Its weights, float32, not to be changed.
    sections : Sections
        Named parts that are stored with the model.

    Raises
    ------
    InvalidArgumentError, TypeError
        If an argument of the model is missing, unknown or out of range.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> fingerprint = dte.save_model(model, "model.keras")
    >>> applied = dte.load_applied_model("model.keras")
    >>> isinstance(applied, dte.DenseModel), applied.latent_dim
    (True, 2)
    """

    backbone = "dense"

    def __init__(
        self,
        class_name: str,
        config: Mapping[str, Any],
        weights: DenseWeights,
        *,
        step: int = 0,
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        self.class_name = class_name
        self.variational = class_name == VARIATIONAL
        preprocessing, record = config["preprocessing"], config["record"]
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing.from_dict(preprocessing)
        if isinstance(record, dict):
            record = TrainingRecord(**record)
        self.preprocessing = preprocessing
        self.record: Any = record  # None if the model was not trained by `train`.
        self.linear_skip = bool(config.get("linear_skip", True))
        self.upsampling = config.get("upsampling", "nearest")
        self.loss_form = config.get("loss", "likelihood")
        seed = config.get("seed")
        if not (seed is None or type(seed) is int):
            raise InvalidArgumentError(
                "Invalid value received for `seed`. Expected an integer or None."
            )
        check_architecture(
            preprocessing.n_points,
            latent_dim=config["latent_dim"],
            backbone=config["backbone"],
            linear_skip=self.linear_skip,
            upsampling=self.upsampling,
            loss=self.loss_form,
        )
        self.latent_dim = int(config["latent_dim"])
        if self.variational:
            kl_weight = config.get("kl_weight", 1.0)
            epsilon_std = config.get("epsilon_std", 1.0)
            self.kl_annealing = config.get("kl_annealing", "constant")
            check_kl(kl_weight, self.kl_annealing, epsilon_std)
            self.kl_weight, self.epsilon_std = float(kl_weight), float(epsilon_std)
        self.dense_weights = weights
        self._step = int(step)
        self.sections = Sections(sections)

    @property
    def weights(self) -> list[StoredWeight]:
        """All weights in the order of Keras."""
        own = self.dense_weights
        found = []
        if self.variational:
            found.append(("step", np.asarray(self._step, dtype=np.int32)))
        for name in ("mean", "directions", "spread"):
            found.append((f"principal/{name}", getattr(own, name)))
        for body in ("encoder", "decoder"):
            for number, layer in enumerate(getattr(own, body)):
                found += _named(f"{body}_body/dense_{number}", layer)
        for name, head in zip(("mean_head", "log_var_head"), own.heads):
            found += _named(name, head)
        return [StoredWeight(*pair) for pair in found]

    def principal_arrays(self) -> list[np.ndarray]:
        """Return mean, directions and spread, as of `PrincipalModel`."""
        own = self.dense_weights
        return [own.mean, own.directions, own.spread]

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that determine the output for given weights."""
        config = super().architecture()
        if self.variational:
            config["kl_weight"] = self.kl_weight
            config["kl_annealing"] = self.kl_annealing
            config["epsilon_std"] = self.epsilon_std
        return config


def _named(name: str, layer: Layer) -> list[tuple[str, np.ndarray]]:
    """Name kernel and bias of a layer."""
    kernel, bias = layer
    return [(f"{name}/kernel", kernel), (f"{name}/bias", bias)]
