"""The streamline variational autoencoder, on the autoencoder's backbone."""

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.errors import check_choice, check_number
from dipy_tractoencoder.nn.annealing import KL_ANNEALINGS, anneal
from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.layers import Sampling, bounded_log_var, register
from dipy_tractoencoder.nn.likelihood import kl_divergence


@register
class StreamlineVAE(StreamlineAutoencoder):
    """Variational autoencoder of streamlines.

    The encoder has batch normalisation after each convolution and two heads without
    it, mean and log-variance of a Gaussian posterior; the decoder gets a draw from it
    in training and the mean otherwise. With the linear skip, the log-variances start
    at those of probabilistic PCA, -log(1 + r^2 / sigma^2) :footcite:p:`Tipping1999`.

    Parameters
    ----------
    preprocessing : Preprocessing or dict
        How streamlines become the network's points.
    kl_weight : float, optional
        Factor on the Kullback-Leibler term (beta).
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}, optional
        Course of the factor over the training; see `nn.annealing.anneal`.
    epsilon_std : float, optional
        Spread of the noise in the reparametrisation trick.
    **kwargs
        Arguments of `StreamlineAutoencoder`.
    """

    variational = True

    def __init__(
        self,
        preprocessing,
        *,
        kl_weight=1.0,
        kl_annealing="constant",
        epsilon_std=1.0,
        **kwargs,
    ):
        check_number("kl_weight", kl_weight, low=0)
        check_choice("kl_annealing", kl_annealing, KL_ANNEALINGS)
        check_number("epsilon_std", epsilon_std, low=0)
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
    def quantities(self):
        """Metrics of its own, besides the loss."""
        return [*super().quantities, self.kl, self.kl_weight_in_force]

    def build(self, input_shape):
        """Make the weights of everything that has none yet."""
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.log_var_head.build(self.encoder_body.output_shape)
        super().build(input_shape)

    def set_principal(self, principal):
        """Put principal directions into the model; start at probabilistic PCA.

        Parameters
        ----------
        principal : PrincipalDirections
            In normalised coordinates.
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
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Loss of a batch: reconstruction plus weighted Kullback-Leibler term.

        Parameters
        ----------
        x, y, sample_weight : object
            Not used.
        y_pred : dict of tensor
            What `call` returned.
        training : bool, optional
            Whether this is a step of the training.

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

    def architecture(self):
        """Arguments that determine what the model computes by its weights."""
        config = {
            "kl_weight": self.kl_weight,
            "kl_annealing": self.kl_annealing,
            "epsilon_std": self.epsilon_std,
        }
        return {**super().architecture(), **config}
