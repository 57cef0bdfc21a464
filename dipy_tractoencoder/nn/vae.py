"""Variational autoencoder of streamlines, with the backbone of the autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.nn.annealing import anneal
from dipy_tractoencoder.nn.architecture import check_kl
from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.layers import Sampling, bounded_log_var, register

if TYPE_CHECKING:
    from dipy_tractoencoder.streamlines.pca import PrincipalDirections
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing


@register
class StreamlineVAE(StreamlineAutoencoder):
    """Variational autoencoder of streamlines.

    The encoder has batch normalisation after each convolution and two heads without
    it, the mean and log-variance of a Gaussian posterior; the decoder gets a draw from
    the posterior in training and the mean otherwise. With the linear skip, the
    log-variances start at those of probabilistic PCA, -log(1 + r^2 / sigma^2)
    :footcite:p:`Tipping1999`.

    Parameters
    ----------
    preprocessing : Preprocessing or dict
        Conversion of streamlines to the network's points.
    kl_weight : float, optional
        Weight of the Kullback-Leibler term (beta).
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}, optional
        Schedule of the weight over the training; see `nn.annealing.anneal`.
    epsilon_std : float, optional
        Standard deviation of the noise in the reparametrisation trick.
    **kwargs
        Arguments of `StreamlineAutoencoder`.

    Examples
    --------
    `train` builds and trains a model of this class:

    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> isinstance(model, dte.StreamlineVAE), model.latent_dim
    (True, 2)
    """

    variational = True

    def __init__(
        self,
        preprocessing: Preprocessing | dict[str, Any],
        *,
        kl_weight: float = 1.0,
        kl_annealing: str = "constant",
        epsilon_std: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_kl(kl_weight, kl_annealing, epsilon_std)
        super().__init__(preprocessing, **kwargs)
        self.kl_weight = float(kl_weight)
        self.kl_annealing = kl_annealing
        self.epsilon_std = float(epsilon_std)
        self.total_steps = 1
        self.sampling = Sampling(
            epsilon_std, seed=self.seed, name="sampling", dtype="float32"
        )
        self.log_var_head = self._head("log_var_head")
        self.kl = keras.metrics.Mean(name="kl_nats")
        self.kl_weight_in_force = keras.metrics.Mean(name="kl_weight")

    @property
    def quantities(self) -> list[Any]:
        """Metrics of the model, in addition to the loss."""
        return [*super().quantities, self.kl, self.kl_weight_in_force]

    def build(self, input_shape: Any) -> None:
        """Create all weights."""
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.log_var_head.build(self.encoder_body.output_shape)
        super().build(input_shape)

    def set_principal(self, principal: PrincipalDirections) -> None:
        """Set the weights so that training starts from probabilistic PCA.

        Parameters
        ----------
        principal : PrincipalDirections
            Directions in normalised coordinates.
        """
        super().set_principal(principal)
        if self.linear_skip:
            noise = max(principal.residual_variance(self.latent_dim), 1e-12)
            signal = np.square(principal.spread[: self.latent_dim], dtype=np.float64)
            self.log_var_head.bias.assign(-np.log1p(signal / noise))

    def _other_heads(self, features):
        return {"log_var": bounded_log_var(self.log_var_head(features))}

    def _latent(self, heads, training):
        if not training:
            return heads["mean"]
        return self.sampling(heads["mean"], heads["log_var"])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Compute the loss of a batch: reconstruction plus weighted KL term.

        Parameters
        ----------
        x, y, sample_weight : object
            Not used.
        y_pred : dict of tensor
            Outputs of `call`.
        training : bool, optional
            Whether the batch is a training step.

        Returns
        -------
        loss : tensor, scalar
            Nats per streamline ("likelihood"), or mm^2 plus nats ("mse").
        """
        reconstruction = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        kl = kl_divergence(y_pred["mean"], y_pred["log_var"])
        progress = ops.cast(self.step, "float32") / float(self.total_steps)
        kl_weight = self.kl_weight * anneal(self.kl_annealing, progress)
        if training:
            self.step.assign(self.step + 1)
        self.kl.update_state(kl)
        self.kl_weight_in_force.update_state(kl_weight)
        return reconstruction + kl_weight * ops.mean(kl)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that determine the output for given weights."""
        config = {
            "kl_weight": self.kl_weight,
            "kl_annealing": self.kl_annealing,
            "epsilon_std": self.epsilon_std,
        }
        return {**super().architecture(), **config}


def kl_divergence(mean: Any, log_var: Any) -> Any:
    """Compute the Kullback-Leibler divergence of the posterior from the prior N(0, 1).

    It is the sum over latent dimensions of (exp(log_var) + mean^2 - 1 - log_var) / 2
    :footcite:p:`Kingma2014`, appendix B.

    Parameters
    ----------
    mean, log_var : tensor, shape (n_streamlines, latent_dim)
        Means and log-variances of the Gaussian posterior, in the network's units.

    Returns
    -------
    kl : tensor, shape (n_streamlines,)
        Nats per streamline.
    """
    mean, log_var = ops.cast(mean, "float32"), ops.cast(log_var, "float32")
    return 0.5 * ops.sum(ops.exp(log_var) + ops.square(mean) - 1.0 - log_var, axis=-1)
