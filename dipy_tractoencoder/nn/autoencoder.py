"""The streamline autoencoder: FINTA's, and its relatives with a linear skip."""

import keras
from keras import layers, ops
import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number
from dipy_tractoencoder.nn.backbones import (
    UPSAMPLINGS,
    check_points,
    decoder_body,
    encoder_body,
)
from dipy_tractoencoder.nn.folding import decode_folded, encode_folded
from dipy_tractoencoder.nn.layers import PrincipalProjection, RandomReverse, register
from dipy_tractoencoder.nn.provenance import TrainingRecord, describe_model
from dipy_tractoencoder.streamlines.pca import (
    N_COMPONENTS,
    PCABaseline,
    PrincipalDirections,
)
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

LOSSES = ("likelihood", "mse")

# Observation noise never counts as smaller than this (mm), so that data
# reconstructed without error keep a finite likelihood.
SMALLEST_NOISE = 1e-4


@register
class RootMeanSquare(keras.metrics.Mean):
    """Square root of the mean of what it is given."""

    def result(self):
        """Root of the mean so far."""
        return ops.sqrt(super().result())


@register
class StreamlineAutoencoder(keras.Model):
    """Autoencoder of streamlines of one shape.

    With the linear skip, for principal directions U, mean mu and spreads r of the
    training streamlines and c = U^T (x - mu) / r: the latent is
    z = c[:latent_dim] + f(x) and the reconstruction mu + U (r * pad(z)) + g(z), with
    residual networks f and g whose last layers start at zero, so that training starts
    from PCA's solution.

    Parameters
    ----------
    preprocessing : Preprocessing or dict
        How streamlines become the network's points.
    latent_dim : int, optional
        Size of the latent.
    backbone : {"dense", "compact", "finta"}, optional
        Residual networks, or the whole ones without the skip; see `backbones`.
    linear_skip : bool, optional
        Start from principal components.
    upsampling : {"nearest", "linear"}, optional
        Of the convolutional decoders; FINTA's own is linear.
    loss : {"likelihood", "mse"}, optional
        "likelihood": Gaussian, with the noise at its optimum for the batch
        :footcite:p:`Rybkin2021`, in nats per streamline. "mse": mean squared error
        of a coordinate in mm^2, as in the GSoC 2024 project.
    seed : int, optional
        Seed of the random layers.
    record : TrainingRecord or dict, optional
        How the model was trained.
    **kwargs
        Arguments of ``keras.Model``.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range or ``n_points`` does not fit the backbone.
    """

    variational = False

    def __init__(
        self,
        preprocessing,
        *,
        latent_dim=32,
        backbone="dense",
        linear_skip=True,
        upsampling="nearest",
        loss="likelihood",
        seed=None,
        record=None,
        **kwargs,
    ):
        # Coordinates have more digits than half precision holds: in mixed precision
        # only the networks work with it.
        super().__init__(**{"dtype": "float32", **kwargs})
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing.from_dict(preprocessing)
        if isinstance(record, dict):
            record = TrainingRecord(**record)
        n_points = preprocessing.n_points
        check_points(backbone, n_points)
        check_number("latent_dim", latent_dim, low=1, integer=True)
        check_choice("upsampling", upsampling, UPSAMPLINGS)
        check_choice("loss", loss, LOSSES)
        if linear_skip and latent_dim > 3 * n_points:
            raise InvalidArgumentError(
                f"Invalid value received for `latent_dim`. With the linear skip, "
                f"{n_points} points have {3 * n_points} principal directions at most. "
                f"Received: {latent_dim}."
            )
        self.preprocessing = preprocessing
        self.record = record
        self.latent_dim = int(latent_dim)
        self.backbone = backbone
        self.linear_skip = bool(linear_skip)
        self.upsampling = upsampling
        self.loss_form = loss
        self.seed = seed
        self.fold = False  # In training: pairs of linear layers run as one.

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
    def quantities(self):
        """Metrics of its own, besides the loss."""
        return [self.error_mm, self.noise_std]

    def _head(self, name):
        """Dense layer from the encoder's body to one number per latent dimension."""
        zeros = {"kernel_initializer": "zeros"} if self.linear_skip else {}
        return layers.Dense(self.latent_dim, name=name, **zeros)

    def build(self, input_shape):
        """Make the weights of everything that has none yet."""
        self.principal.build(input_shape)
        self.mean_head.build(self.encoder_body.output_shape)
        self.built = True

    def ensure_built(self):
        """Make the weights now rather than at the first call."""
        if not self.built:
            self.build((None, self.preprocessing.n_points, 3))

    # Principal components

    def set_principal(self, principal):
        """Put principal directions, in normalised coordinates, into the model.

        Parameters
        ----------
        principal : PrincipalDirections
            As many directions as ``self.principal.n_components``.
        """
        self.ensure_built()
        self.principal.mean.assign(principal.mean)
        self.principal.directions.assign(principal.directions)
        self.principal.spread.assign(principal.spread)

    @property
    def latent_unit(self):
        """What one unit of the network's latent is in the latents we report.

        With the skip: mm, such that the Euclidean distance of two latents is the root
        mean squared distance (mm) of the points of their linear reconstructions.
        Without: 1.

        Returns
        -------
        unit : ndarray, shape (latent_dim,), float32
            Factor per latent dimension.
        """
        if not self.linear_skip:
            return np.ones(self.latent_dim, dtype=np.float32)
        spread = keras.ops.convert_to_numpy(self.principal.spread)[: self.latent_dim]
        factor = self.preprocessing.scale / self.preprocessing.n_points**0.5
        return (spread * factor).astype(np.float32)

    def principal_directions(self):
        """Principal directions of the training streamlines, normalised coordinates.

        Returns
        -------
        principal : PrincipalDirections
            As kept in the model; ``total_variance`` is that of the kept directions.
        """
        mean, directions, spread = (
            ops.convert_to_numpy(weight) for weight in self.principal.weights
        )
        total_variance = float(np.square(spread, dtype=np.float64).sum())
        return PrincipalDirections(mean, directions, spread, total_variance)

    def pca_baseline(self, n_components=None):
        """PCA of the same training streamlines, to stand beside the model.

        Parameters
        ----------
        n_components : int, optional
            Size of its latent; that of the model's by default.

        Returns
        -------
        baseline : PCABaseline
            Encodes and decodes in mm.
        """
        return PCABaseline(
            self.principal_directions(),
            self.preprocessing,
            self.latent_dim if n_components is None else n_components,
        )

    # Tensors in, tensors out

    def oriented(self, points, training=False):
        """Normalised points, turned at random in training under "augment"."""
        if self.random_reverse is None:
            return points
        return self.random_reverse(points, training=training)

    def encode_tensors(self, points, training=False):
        """Map normalised points to what the heads say of the latent.

        Parameters
        ----------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised.
        training : bool, optional
            Normalise by the batch's own statistics.

        Returns
        -------
        heads : dict of tensor
            "mean", shape (n_streamlines, latent_dim).
        """
        needed = self.linear_skip or self.backbone == "dense"
        coefficients = self.principal(points) if needed else None
        return self._heads(points, coefficients, training)

    def _heads(self, points, coefficients, training):
        """Encode points, or their principal coefficients where those are enough."""
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
        """Further heads, by name; a variational model adds one."""
        return {}

    def _latent(self, heads, training):
        """Choose the latent to decode, given the encoder's heads."""
        return heads["mean"]

    def decode_tensors(self, latent, training=False):
        """Map latents (n, latent_dim) to normalised points (n, n_points, 3).

        Parameters
        ----------
        latent : tensor, shape (n_streamlines, latent_dim)
            In the network's own units (see `latent_unit`).
        training : bool, optional
            Run in training mode.

        Returns
        -------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised.
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

    def decode_coefficients(self, latent, training=False):
        """Map latents to whitened principal coefficients; "dense" only.

        Parameters
        ----------
        latent : tensor, shape (n_streamlines, latent_dim)
            In the network's own units.
        training : bool, optional
            Run in training mode.

        Returns
        -------
        coefficients : tensor, shape (n_streamlines, n_components)
            Without unit.
        """
        output = ops.cast(self.decoder_body(latent, training=training), "float32")
        return output + self._padded(latent) if self.linear_skip else output

    def _padded(self, latent):
        """Give the principal coefficients that latents alone stand for."""
        rest = self.principal.n_components - self.latent_dim
        return ops.pad(latent, ((0, 0), (0, rest)))

    def call(self, points, training=False):
        """Encode and decode.

        Parameters
        ----------
        points : tensor, shape (n_streamlines, n_points, 3)
            Normalised.
        training : bool, optional
            Draw directions and latents at random, where the model does.

        Returns
        -------
        outputs : dict of tensor
            The heads, "target" (the points as encoded) and "points" (reconstructed).
        """
        points = self.oriented(points, training)
        heads = self.encode_tensors(points, training=training)
        latent = self._latent(heads, training)
        decoded = self.decode_tensors(latent, training=training)
        return {"target": points, "points": decoded, **heads}

    # Loss

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Loss of a batch; called by Keras.

        Parameters
        ----------
        x, y, sample_weight : object
            Not used.
        y_pred : dict of tensor
            What `call` returned; or heads, and as "squared" the summed squared
            errors, shape (n_streamlines,), of normalised coordinates.
        training : bool, optional
            Whether this is a step of the training.

        Returns
        -------
        loss : tensor, scalar
            Nats per streamline ("likelihood") or mm^2 ("mse").
        """
        scale = float(self.preprocessing.scale)
        if "squared" in y_pred:  # mm^2, of a coordinate.
            squared = y_pred["squared"] * (scale**2 / (3 * self.preprocessing.n_points))
        else:
            error = ops.cast(y_pred["target"] - y_pred["points"], "float32")
            squared = ops.mean(ops.square(error * scale), axis=(1, 2))
        self.error_mm.update_state(3 * squared)
        variance = ops.mean(squared)
        self.noise_std.update_state(ops.sqrt(variance))
        if self.loss_form == "mse":
            return variance
        n_coordinates = 3 * self.preprocessing.n_points
        variance = variance + SMALLEST_NOISE**2
        return 0.5 * n_coordinates * (ops.log(2 * np.pi * variance) + 1.0)

    __repr__ = describe_model

    def architecture(self):
        """Arguments that determine what the model computes by its weights."""
        return {
            "preprocessing": self.preprocessing.to_dict(),
            "latent_dim": self.latent_dim,
            "backbone": self.backbone,
            "linear_skip": self.linear_skip,
            "upsampling": self.upsampling,
            "loss": self.loss_form,
        }

    def get_config(self):
        """Arguments that build the model again."""
        record = self.record and self.record.to_dict()
        config = {**self.architecture(), "seed": self.seed, "record": record}
        return {"name": self.name, **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build from `get_config`."""
        model = cls(**config)
        model.ensure_built()
        return model
