"""Training of the dense networks on principal coefficients instead of points.

The principal directions U are orthonormal and do not change in training, so the squared
error of a reconstruction is that of its coefficients and what the directions leave out,
``|x - x'|^2 = |r (c - c')|^2 + |x - mu - U U^T (x - mu)|^2``. The networks see and give
coefficients only; 65 numbers a streamline are enough, and the projections, two thirds
of a step's multiplications, are done once.
"""

import keras
from keras import ops
import numpy as np

ROWS_AT_A_TIME = 8192


def trainer_of(model):
    """Give what ``fit`` is called on: the model, or its form on coefficients.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its principal directions are set.

    Returns
    -------
    trainer : keras.Model
        Sharing the model's weights.
    """
    # Random directions are drawn anew for points in each step.
    if model.backbone == "dense" and model.random_reverse is None:
        return CoefficientTrainer(model)
    return model


def inputs_of(trainer, points):
    """Turn normalised streamlines into what a trainer takes.

    Parameters
    ----------
    trainer : keras.Model
        Of `trainer_of`.
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Normalised.

    Returns
    -------
    inputs : ndarray, float32
        The points, or shape (n_streamlines, n_components + 1): whitened coefficients,
        and the squared norm of what they leave out.
    """
    if not isinstance(trainer, CoefficientTrainer):
        return points
    principal = trainer.whole.principal_directions()
    n_components = len(principal.spread)
    inputs = np.empty((len(points), n_components + 1), dtype=np.float32)
    for start in range(0, len(points), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        centred = points[rows].reshape(len(points[rows]), -1) - principal.mean
        projected = centred @ principal.directions
        rest = centred - projected @ principal.directions.T
        inputs[rows, :-1] = projected / principal.spread
        inputs[rows, -1] = np.einsum("ij,ij->i", rest, rest)
    return inputs


class CoefficientTrainer(keras.Model):
    """The dense model on principal coefficients.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        With the "dense" backbone; its weights are trained.
    """

    def __init__(self, model):
        super().__init__(dtype="float32")
        self.whole = model
        self.built = True

    @property
    def metrics(self):
        """The model's quantities, besides the loss."""
        return [*super().metrics, *self.whole.quantities]

    def call(self, inputs, training=False):
        """Encode and decode.

        Parameters
        ----------
        inputs : tensor, shape (n_streamlines, n_components + 1)
            Of `inputs_of`.
        training : bool, optional
            Draw latents at random, where the model does.

        Returns
        -------
        outputs : dict of tensor
            The heads, and "squared" errors of normalised coordinates.
        """
        model = self.whole
        coefficients, rest = inputs[:, :-1], inputs[:, -1]
        heads = model._heads(None, coefficients, training)
        latent = model._latent(heads, training)
        decoded = model.decode_coefficients(latent, training)
        off = (coefficients - decoded) * model.principal.spread
        return {"squared": ops.sum(ops.square(off), axis=-1) + rest, **heads}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Loss of a batch; called by Keras. See the model's own."""
        return self.whole.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )


def evaluate(trainer, inputs, settings):
    """Reconstruction error, from the posterior mean.

    Parameters
    ----------
    trainer : keras.Model
        Compiled; a model, or its form on coefficients.
    inputs : ndarray, float32
        What it takes.
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
