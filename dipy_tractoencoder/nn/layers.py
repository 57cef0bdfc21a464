"""Layers and metrics of the models, written with ``keras.ops`` for all backends."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dipy_tractoencoder.nn.architecture import LOG_VAR_MAX, LOG_VAR_MIN

register = keras.saving.register_keras_serializable(package="dipy_tractoencoder")


def bounded_log_var(log_var: Any) -> Any:
    """Clip log-variances to a range with finite exponentials.

    Clipping the result of ``exp`` would multiply an infinite gradient by zero, which
    is NaN; therefore the argument is clipped. The gradient is passed on as if nothing
    were clipped, so that the Kullback-Leibler term can pull a log-variance back into
    the range.

    Parameters
    ----------
    log_var : tensor
        Finite log-variances.

    Returns
    -------
    log_var : tensor
        Log-variances between ``LOG_VAR_MIN`` and ``LOG_VAR_MAX``, with gradient 1.
    """
    clipped = ops.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    return ops.stop_gradient(clipped) + (log_var - ops.stop_gradient(log_var))


@register
class Sampling(keras.layers.Layer):
    """Draw from the posterior: z = mean + exp(log_var / 2) * epsilon.

    This is the reparametrisation trick :footcite:p:`Kingma2014`, with
    epsilon ~ N(0, epsilon_std^2).

    Parameters
    ----------
    epsilon_std : float, optional
        Standard deviation of epsilon; 1 draws from the posterior itself.
    seed : int, optional
        Seed of the noise.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(
        self, epsilon_std: float = 1.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon_std = epsilon_std
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, mean: Any, log_var: Any) -> Any:
        """Draw one latent per row of ``mean`` and ``log_var`` (n, latent_dim)."""
        epsilon = keras.random.normal(
            ops.shape(mean), dtype=self.compute_dtype, seed=self.seed_generator
        )
        return mean + ops.exp(log_var / 2) * epsilon * self.epsilon_std

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to rebuild the layer."""
        config = {"epsilon_std": self.epsilon_std, "seed": self.seed}
        return {**super().get_config(), **config}


@register
class RandomReverse(keras.layers.Layer):
    """Reverse each streamline with probability 0.5, only in training.

    Parameters
    ----------
    seed : int, optional
        Seed of the draws.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, points: Any, training: bool = False) -> Any:
        """Reverse random rows of points (n_streamlines, n_points, 3)."""
        if not training:
            return points
        draw = keras.random.uniform(
            (ops.shape(points)[0], 1, 1), seed=self.seed_generator
        )
        return ops.where(draw < 0.5, ops.flip(points, axis=1), points)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to rebuild the layer."""
        return {**super().get_config(), "seed": self.seed}


@register
class ReflectPadding1D(keras.layers.Layer):
    """Pad by one reflected step at both ends: (n, steps, c) to (n, steps + 2, c).

    It uses slices and a concatenation, because the gradient of TensorFlow's own
    reflection padding is slow.
    """

    def call(self, x: Any) -> Any:
        """Pad x (n, steps, channels) of at least two steps."""
        return ops.concatenate([x[:, 1:2], x, x[:, -2:-1]], axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Return the shape of the output."""
        return (input_shape[0], input_shape[1] + 2, input_shape[2])


@register
class LinearUpSampling1D(keras.layers.Layer):
    """Double the number of steps by linear interpolation at half-step centres.

    It follows image resizing without aligned corners: new steps lie a quarter
    before and after each old one, and the ends are repeated outwards.
    """

    def call(self, x: Any) -> Any:
        """Upsample x (n, steps, channels) to (n, 2 * steps, channels)."""
        before = ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
        after = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        pair = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=2)
        return ops.reshape(pair, (-1, 2 * x.shape[1], x.shape[2]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Return the shape of the output."""
        return (input_shape[0], 2 * input_shape[1], input_shape[2])


@register
class PrincipalProjection(keras.layers.Layer):
    """Convert streamlines to whitened principal coefficients and back.

    With directions U, mean mu and standard deviations r:
    c = U^T (x - mu) / r, and x = mu + U (r * c). The three are weights that are
    set from data (`PrincipalDirections`), not trained.

    Parameters
    ----------
    n_components : int
        Number of directions.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(self, n_components: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_components = n_components

    def build(self, input_shape: Any) -> None:
        """Create the weights for points of shape (n, n_points, 3)."""
        self.points_shape = tuple(input_shape[1:])
        size = self.points_shape[0] * self.points_shape[1]
        frozen = {"trainable": False, "dtype": "float32"}
        self.mean = self.add_weight(
            name="mean", shape=(size,), initializer="zeros", **frozen
        )
        self.directions = self.add_weight(
            name="directions",
            shape=(size, self.n_components),
            initializer="orthogonal",
            **frozen,
        )
        self.spread = self.add_weight(
            name="spread", shape=(self.n_components,), initializer="ones", **frozen
        )

    def call(self, points: Any) -> Any:
        """Convert points (n, n_points, 3) to coefficients (n, n_components)."""
        size = self.points_shape[0] * self.points_shape[1]
        centred = ops.reshape(points, (-1, size)) - self.mean
        return ops.matmul(centred, self.directions) / self.spread

    def invert(self, coefficients: Any) -> Any:
        """Convert coefficients (n, n_components) to points (n, n_points, 3)."""
        flat = ops.matmul(coefficients * self.spread, ops.transpose(self.directions))
        return ops.reshape(flat + self.mean, (-1, *self.points_shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to rebuild the layer."""
        return {**super().get_config(), "n_components": self.n_components}


@register
class RootMeanSquare(keras.metrics.Mean):
    """Square root of the mean of all values."""

    def result(self) -> Any:
        """Return the square root of the mean so far."""
        return ops.sqrt(super().result())
