"""Streamline autoencoders: FINTA's, and variants with a linear skip connection."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops
import numpy as np

from dipy_tractoencoder.nn.architecture import check_architecture
from dipy_tractoencoder.nn.backbones import decoder_body, encoder_body
from dipy_tractoencoder.nn.folding import decode_folded, encode_folded
from dipy_tractoencoder.nn.layers import (
    PrincipalProjection,
    RandomReverse,
    RootMeanSquare,
    register,
)
from dipy_tractoencoder.nn.principal_model import PrincipalModel
from dipy_tractoencoder.nn.provenance import TrainingRecord
from dipy_tractoencoder.nn.sectioned_model import SectionedModel
from dipy_tractoencoder.streamlines.pca import N_COMPONENTS, PrincipalDirections
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

SMALLEST_NOISE = 1e-4  # mm; keeps the likelihood of a perfect reconstruction finite


@register
class StreamlineAutoencoder(PrincipalModel, SectionedModel):
    """Autoencoder of streamlines with a fixed number of points.

    With the linear skip, for principal directions U, mean mu and standard deviations r
    of the training streamlines and c = U^T (x - mu) / r: the latent is
    z = c[:latent_dim] + f(x) and the reconstruction mu + U (r * pad(z)) + g(z), with
    residual networks f and g whose last layers are initialised to zero, so that
    training starts from the PCA solution.

    Parameters
    ----------
    preprocessing : Preprocessing or dict
        Conversion of streamlines to the network's points.
    latent_dim : int, optional
        Number of latent dimensions.
    backbone : {"dense", "compact", "finta"}, optional
        Architecture of f and g, or of the whole networks; see `nn.backbones`.
    linear_skip : bool, optional
        Add the linear skip, that is, start from PCA.
    upsampling : {"nearest", "linear"}, optional
        Upsampling of the convolutional decoders; FINTA uses "linear".
    loss : {"likelihood", "mse"}, optional
        "likelihood": Gaussian, with the optimal noise of each batch
        :footcite:p:`Rybkin2021`, in nats per streamline. "mse": mean squared error
        of a coordinate in mm^2, as in the GSoC 2024 project.
    seed : int, optional
        Seed of the random layers.
    record : TrainingRecord or dict, optional
        Record of the training.
    **kwargs
        Arguments of ``keras.Model``, and ``sections``: bytes by name, stored with it.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range or ``n_points`` does not fit the backbone.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> preprocessing = dte.Preprocessing(n_points=32, scale=50.0)
    >>> model = dte.StreamlineAutoencoder(preprocessing, latent_dim=2, seed=0)
    >>> model.ensure_built()
    >>> dte.encode(model, made.streamlines).mean.shape
    (43, 2)
    """

    variational = False

    def __init__(
        self,
        preprocessing: Preprocessing | dict[str, Any],
        *,
        latent_dim: int = 32,
        backbone: str = "dense",
        linear_skip: bool = True,
        upsampling: str = "nearest",
        loss: str = "likelihood",
        seed: int | None = None,
        record: TrainingRecord | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Half precision cannot represent coordinates accurately: in mixed precision,
        # only the bodies compute in it.
        super().__init__(**{"dtype": "float32", **kwargs})
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing.from_dict(preprocessing)
        if isinstance(record, dict):
            record = TrainingRecord(**record)
        n_points = preprocessing.n_points
        check_architecture(
            n_points,
            latent_dim=latent_dim,
            backbone=backbone,
            linear_skip=linear_skip,
            upsampling=upsampling,
            loss=loss,
        )
        self.preprocessing = preprocessing
        self.record: Any = record  # None if the model was not trained by `train`.
        self.latent_dim = int(latent_dim)
        self.backbone = backbone
        self.linear_skip = bool(linear_skip)
        self.upsampling = upsampling
        self.loss_form = loss
        self.seed = seed
        self.fold = False  # Fold pairs of linear layers in training.

        points_shape = (n_points, 3)
        n_components = min(max(N_COMPONENTS, self.latent_dim), 3 * n_points)
        self.principal = PrincipalProjection(
            n_components, name="principal", dtype="float32"
        )
        body_shape = (n_components,) if backbone == "dense" else points_shape
        self.encoder_body = encoder_body(
            backbone, body_shape, batch_norm=self.variational
        )
        self.decoder_body = decoder_body(
            backbone,
            self.latent_dim,
            body_shape,
            upsampling=upsampling,
            zero_output=self.linear_skip,
        )
        self.mean_head = self._head("mean_head")
        self.random_reverse = None
        if preprocessing.orientation == "augment":
            self.random_reverse = RandomReverse(seed=seed, dtype="float32")
        self.error_mm = RootMeanSquare(name="error_mm")
        self.noise_std = keras.metrics.Mean(name="noise_std_mm")

    @property
    def quantities(self) -> list[Any]:
        """Metrics of the model, in addition to the loss."""
        return [self.error_mm, self.noise_std]

    def _head(self, name):
        """Create the dense layer from the encoder's features to the latent."""
        zeros = {"kernel_initializer": "zeros"} if self.linear_skip else {}
        return layers.Dense(self.latent_dim, name=name, **zeros)

    def build(self, input_shape: Any) -> None:
        """Create all weights."""
        self.principal.build(input_shape)
        self.mean_head.build(self.encoder_body.output_shape)
        self.built = True

    def ensure_built(self) -> None:
        """Create the weights now, instead of at the first call."""
        if not self.built:
            self.build((None, self.preprocessing.n_points, 3))

    def set_principal(self, principal: PrincipalDirections) -> None:
        """Set the weights of the linear skip to principal directions.

        Parameters
        ----------
        principal : PrincipalDirections
            ``self.principal.n_components`` directions, in normalised coordinates.
        """
        self.ensure_built()
        self.principal.mean.assign(principal.mean)
        self.principal.directions.assign(principal.directions)
        self.principal.spread.assign(principal.spread)

    def principal_arrays(self) -> list[np.ndarray]:
        """Return mean, directions and spread, as of `PrincipalModel`."""
        return [ops.convert_to_numpy(weight) for weight in self.principal.weights]

    def oriented(self, points: Any, training: bool = False) -> Any:
        """Reverse normalised points at random in training, if set to "augment"."""
        if self.random_reverse is None:
            return points
        return self.random_reverse(points, training=training)

    def encode_tensors(self, points: Any, training: bool = False) -> dict[str, Any]:
        """Compute the outputs of the encoder's heads.

        Parameters
        ----------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised points.
        training : bool, optional
            Run in training mode: batch normalisation uses the statistics of the batch.

        Returns
        -------
        heads : dict of tensor
            "mean", shape (n_streamlines, latent_dim); of a `StreamlineVAE` also
            "log_var", of the same shape.
        """
        needed = self.linear_skip or self.backbone == "dense"
        coefficients = self.principal(points) if needed else None
        return self._heads(points, coefficients, training)

    def _heads(self, points, coefficients, training):
        """Encode points, or their principal coefficients for the dense backbone."""
        inputs = coefficients if self.backbone == "dense" else points
        if self.fold and self.backbone == "finta" and not self.variational:
            heads = {"mean": encode_folded(self.encoder_body, self.mean_head, inputs)}
        else:
            features = self.encoder_body(inputs, training=training)
            heads = {"mean": self.mean_head(features), **self._other_heads(features)}
        heads = {name: ops.cast(value, "float32") for name, value in heads.items()}
        if self.linear_skip:
            heads["mean"] = heads["mean"] + coefficients[:, : self.latent_dim]
        return heads

    def _other_heads(self, features):
        """Return the outputs of further heads; `StreamlineVAE` adds one."""
        return {}

    def _latent(self, heads, training):
        """Return the latent to decode, given the outputs of the heads."""
        return heads["mean"]

    def decode_tensors(self, latent: Any, training: bool = False) -> Any:
        """Decode latents to normalised points.

        Parameters
        ----------
        latent : tensor, shape (n_streamlines, latent_dim)
            Latents in the network's units (see `latent_unit`).
        training : bool, optional
            Run in training mode.

        Returns
        -------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised points.
        """
        if self.backbone == "dense":
            return self.principal.invert(self.decode_coefficients(latent, training))
        if self.fold and self.backbone == "finta":
            output = decode_folded(self.decoder_body, latent)
        else:
            output = self.decoder_body(latent, training=training)
        output = ops.cast(output, "float32")
        if self.linear_skip:
            output = self.principal.invert(self._padded(latent)) + output
        return output

    def decode_coefficients(self, latent: Any, training: bool = False) -> Any:
        """Decode latents to principal coefficients (only the dense backbone).

        Parameters
        ----------
        latent : tensor, shape (n_streamlines, latent_dim)
            Latents in the network's units (see `latent_unit`).
        training : bool, optional
            Run in training mode.

        Returns
        -------
        coefficients : tensor, shape (n_streamlines, n_components)
            Whitened principal coefficients, without unit.
        """
        output = ops.cast(self.decoder_body(latent, training=training), "float32")
        return output + self._padded(latent) if self.linear_skip else output

    def _padded(self, latent):
        """Pad latents with zeros to the number of principal coefficients."""
        rest = self.principal.n_components - self.latent_dim
        return ops.pad(latent, ((0, 0), (0, rest)))

    def call(self, points: Any, training: bool = False) -> dict[str, Any]:
        """Encode and decode points.

        Parameters
        ----------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised points.
        training : bool, optional
            Run in training mode, with random reversals and random latents where the
            model has them.

        Returns
        -------
        outputs : dict of tensor
            Outputs of the heads, "target" (encoded points) and "points" (decoded).
        """
        points = self.oriented(points, training)
        heads = self.encode_tensors(points, training=training)
        latent = self._latent(heads, training)
        decoded = self.decode_tensors(latent, training=training)
        return {"target": points, "points": decoded, **heads}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Compute the loss of a batch; called by Keras.

        Parameters
        ----------
        x, y, sample_weight : object
            Not used.
        y_pred : dict of tensor
            Outputs of `call`; or outputs of the heads and "squared", the sums of
            squared errors, shape (n_streamlines,), of normalised coordinates.
        training : bool, optional
            Whether the batch is a training step.

        Returns
        -------
        loss : tensor, scalar
            Nats per streamline ("likelihood") or mm^2 ("mse").
        """
        scale = float(self.preprocessing.scale)
        n_coordinates = 3 * self.preprocessing.n_points
        if "squared" in y_pred:  # Converted to mm^2 per coordinate.
            squared = y_pred["squared"] * (scale**2 / n_coordinates)
        else:
            error = ops.cast(y_pred["target"] - y_pred["points"], "float32")
            squared = ops.mean(ops.square(error * scale), axis=(1, 2))
        self.error_mm.update_state(3 * squared)
        variance = ops.mean(squared)
        self.noise_std.update_state(ops.sqrt(variance))
        if self.loss_form == "mse":
            return variance
        log_variance = ops.log(2 * np.pi * (variance + SMALLEST_NOISE**2))
        return 0.5 * n_coordinates * (log_variance + 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to rebuild the model."""
        own = {"seed": self.seed, "record": self.record and self.record.to_dict()}
        return self.with_sections({"name": self.name, **self.architecture(), **own})

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> StreamlineAutoencoder:
        """Build a model from the result of `get_config`."""
        model = cls(**config)
        model.ensure_built()
        return model
