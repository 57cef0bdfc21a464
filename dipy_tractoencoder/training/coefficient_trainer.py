"""Train the dense networks on principal coefficients instead of points.

The principal directions U are orthonormal and fixed during training, so the squared
error of a reconstruction is the sum of the error of its coefficients and of the part
outside the span of U, ``|x - x'|^2 = |r (c - c')|^2 + |x - mu - U U^T (x - mu)|^2``.
Inputs and outputs of the networks are coefficients. 65 numbers per streamline suffice,
and the projections, two thirds of the multiplications of a step, are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.nn.keras_settings import standard_keras

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.streamlines.pca import PrincipalDirections
    from dipy_tractoencoder.training.settings import TrainingSettings

ROWS_AT_A_TIME = 4096


def trainer_of(model: StreamlineAutoencoder) -> keras.Model:
    """Return the Keras model to fit: the model, or its form on coefficients.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose principal directions are set.

    Returns
    -------
    trainer : keras.Model
        The model, or a `CoefficientTrainer` that shares its weights.
    """
    return CoefficientTrainer(model) if on_coefficients(model) else model


def on_coefficients(model: StreamlineAutoencoder) -> bool:
    """Return whether a model is trained on principal coefficients.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.

    Returns
    -------
    trained : bool
        False for convolutions, and with random reversal: with it, the points of a
        streamline differ from step to step.
    """
    return model.backbone == "dense" and model.random_reverse is None


def inputs_of(trainer: keras.Model, points: np.ndarray) -> np.ndarray:
    """Compute the training inputs of normalised streamlines.

    Parameters
    ----------
    trainer : keras.Model
        From `trainer_of`.
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Normalised coordinates (no unit).

    Returns
    -------
    inputs : ndarray, float32
        The points, or for a `CoefficientTrainer` an array of shape
        (n_streamlines, n_components + 1): whitened principal coefficients, and the
        squared norm of the part that they do not represent.
    """
    if not isinstance(trainer, CoefficientTrainer):
        return points
    principal = trainer.whole.principal_directions()
    inputs = np.empty((len(points), principal.n_components + 1), dtype=np.float32)
    for start in range(0, len(points), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        inputs[rows] = principal.whitened(points[rows])
    return inputs


@dataclass(frozen=True)
class Coefficients:
    """Training inputs of the dense networks.

    Attributes
    ----------
    principal : PrincipalDirections
        Principal directions of the training streamlines, in normalised coordinates.
    inputs : ndarray, shape (n_streamlines, n_components + 1), float32
        Whitened principal coefficients, and the squared norm of the part that they do
        not represent.
    """

    principal: PrincipalDirections
    inputs: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


@standard_keras()
def coefficient_distances(
    model: StreamlineAutoencoder, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the distance of each streamline from its reconstructions.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model with the "dense" backbone.
    inputs : ndarray, shape (n_streamlines, n_components + 1), float32
        Inputs from `inputs_of`.

    Returns
    -------
    distance, pca_distance : ndarray, shape (n_streamlines,), float64
        Root mean squared point distances from the reconstruction by the model, and from
        that by PCA with as many dimensions, mm.
    """
    if model.encoder_body.layers[-1].compute_dtype != "float32":
        weights = model.get_weights()
        model = type(model).from_config(model.get_config())  # As it will be applied.
        model.set_weights(weights)
    trainer = CoefficientTrainer(model)
    left_out = model.principal_directions().spread[model.latent_dim :]
    squared = np.empty((2, len(inputs)), dtype=np.float64)
    for start in range(0, len(inputs), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        some = inputs[rows]
        found = trainer(ops.convert_to_tensor(some))["squared"]
        squared[0, rows] = ops.convert_to_numpy(found)
        off = some[:, model.latent_dim : -1] * left_out
        squared[1, rows] = np.einsum("ij,ij->i", off, off) + some[:, -1]
    preprocessing = model.preprocessing
    distance, pca_distance = np.sqrt(
        squared * (preprocessing.scale**2 / preprocessing.n_points)
    )
    return distance, pca_distance


class CoefficientTrainer(keras.Model):
    """Keras model that trains a dense model on principal coefficients.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with the "dense" backbone; its weights are trained.
    """

    def __init__(self, model: StreamlineAutoencoder) -> None:
        super().__init__(dtype="float32")
        self.whole = model
        self.built = True

    @property
    def metrics(self) -> list[Any]:
        """Metrics of the loss and of the model."""
        return [*super().metrics, *self.whole.quantities]

    def call(self, inputs: Any, training: bool = False) -> dict:
        """Encode and decode a batch.

        Parameters
        ----------
        inputs : tensor, shape (n_streamlines, n_components + 1)
            Inputs from `inputs_of`.
        training : bool, optional
            Sample latents from the posterior of a VAE; otherwise its mean is used.

        Returns
        -------
        outputs : dict of tensor
            Outputs of the encoder, and "squared", the summed squared error of
            normalised coordinates per streamline.
        """
        model = self.whole
        coefficients, rest = inputs[:, :-1], inputs[:, -1]
        heads = model._heads(None, coefficients, training)
        latent = model._latent(heads, training)
        decoded = model.decode_coefficients(latent, training)
        off = (coefficients - decoded) * model.principal.spread
        return {"squared": ops.sum(ops.square(off), axis=-1) + rest, **heads}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Compute the loss of a batch; called by Keras, see the model's method."""
        return self.whole.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )


def evaluate(
    trainer: keras.Model, inputs: np.ndarray, settings: TrainingSettings
) -> float:
    """Measure the reconstruction error from the posterior mean.

    Parameters
    ----------
    trainer : keras.Model
        Compiled model from `trainer_of`.
    inputs : ndarray, float32
        Inputs from `inputs_of`.
    settings : TrainingSettings
        Its batch size is used.

    Returns
    -------
    error : float
        Root mean squared point distance, mm.
    """
    values = trainer.evaluate(
        inputs,
        batch_size=max(settings.batch_size, 512),
        verbose=0,
        return_dict=True,
    )
    return float(values["error_mm"])
