"""Layers of the models, in ``keras.ops`` only, so that every backend runs them."""

import keras
from keras import ops

# The seed capped exponentials at 1e10; a log-variance of 23 is the same cap.
LOG_VAR_MAX = 23.0
LOG_VAR_MIN = -30.0

register = keras.saving.register_keras_serializable(package="dipy_tractoencoder")


def bounded_log_var(log_var):
    """Keep log-variances in a range whose exponentials are finite.

    Clipping the result of ``exp`` would leave an infinite slope times zero, hence
    nan; here the argument is clipped. The slope is passed on as if nothing had been
    clipped, so that a log-variance beyond the range is still pulled back by the
    Kullback-Leibler term instead of being stuck.

    Parameters
    ----------
    log_var : tensor
        Any finite log-variances.

    Returns
    -------
    log_var : tensor
        Between ``LOG_VAR_MIN`` and ``LOG_VAR_MAX``, with slope 1.
    """
    clipped = ops.clip(log_var, LOG_VAR_MIN, LOG_VAR_MAX)
    return ops.stop_gradient(clipped) + (log_var - ops.stop_gradient(log_var))


@register
class Sampling(keras.layers.Layer):
    """Draw from the posterior: z = mean + exp(log_var / 2) * epsilon.

    The reparametrisation trick :footcite:p:`Kingma2014`, with
    epsilon ~ N(0, epsilon_std^2).

    Parameters
    ----------
    epsilon_std : float, optional
        Spread of the noise; 1 is the posterior itself.
    seed : int, optional
        Seed of the noise.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(self, epsilon_std=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.epsilon_std = epsilon_std
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, mean, log_var):
        """Draw one latent per row of ``mean`` and ``log_var`` (n, latent_dim)."""
        epsilon = keras.random.normal(
            ops.shape(mean), dtype=self.compute_dtype, seed=self.seed_generator
        )
        return mean + ops.exp(log_var / 2) * epsilon * self.epsilon_std

    def get_config(self):
        """Arguments that build the layer again."""
        config = {"epsilon_std": self.epsilon_std, "seed": self.seed}
        return {**super().get_config(), **config}


@register
class RandomReverse(keras.layers.Layer):
    """Turn each streamline round with probability one half, in training only.

    Parameters
    ----------
    seed : int, optional
        Seed of the draws.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, points, training=False):
        """Points (n_streamlines, n_points, 3), some rows reversed."""
        if not training:
            return points
        draw = keras.random.uniform(
            (ops.shape(points)[0], 1, 1), seed=self.seed_generator
        )
        return ops.where(draw < 0.5, ops.flip(points, axis=1), points)

    def get_config(self):
        """Arguments that build the layer again."""
        return {**super().get_config(), "seed": self.seed}


@register
class ReflectPadding1D(keras.layers.Layer):
    """Mirror one point beyond either end: (n, steps, c) to (n, steps + 2, c).

    By slices and a concatenation: the slope of a backend's own mirror padding is
    slow on TensorFlow.
    """

    def call(self, x):
        """Pad x (n, steps, channels), of two steps at least."""
        return ops.concatenate([x[:, 1:2], x, x[:, -2:-1]], axis=1)

    def compute_output_shape(self, input_shape):
        """Shape of the padded tensor."""
        return (input_shape[0], input_shape[1] + 2, input_shape[2])


@register
class LinearUpSampling1D(keras.layers.Layer):
    """Twice the steps, linearly interpolated at half-step centres.

    The rule of image resizing without aligned corners: new steps lie a quarter
    before and after each old one, and the ends are repeated outwards.
    """

    def call(self, x):
        """Upsample x (n, steps, channels) to (n, 2 * steps, channels)."""
        before = ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
        after = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        pair = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=2)
        return ops.reshape(pair, (-1, 2 * x.shape[1], x.shape[2]))

    def compute_output_shape(self, input_shape):
        """Shape of the upsampled tensor."""
        return (input_shape[0], 2 * input_shape[1], input_shape[2])


@register
class PrincipalProjection(keras.layers.Layer):
    """Streamlines to whitened principal coefficients, and back.

    With U the directions, mu the mean and r the spreads:
    c = U^T (x - mu) / r, and x = mu + U (r * c). The three are weights that are
    set from data (`PrincipalDirections`), not trained.

    Parameters
    ----------
    n_components : int
        Directions kept.
    **kwargs
        Arguments of ``keras.layers.Layer``.
    """

    def __init__(self, n_components, **kwargs):
        super().__init__(**kwargs)
        self.n_components = n_components

    def build(self, input_shape):
        """Make the weights for points of shape (any, n_points, 3)."""
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

    def call(self, points):
        """Coefficients (n, n_components) of points (n, n_points, 3)."""
        size = self.points_shape[0] * self.points_shape[1]
        centred = ops.reshape(points, (-1, size)) - self.mean
        return ops.matmul(centred, self.directions) / self.spread

    def invert(self, coefficients):
        """Points (n, n_points, 3) of coefficients (n, n_components)."""
        flat = ops.matmul(coefficients * self.spread, ops.transpose(self.directions))
        return ops.reshape(flat + self.mean, (-1, *self.points_shape))

    def get_config(self):
        """Arguments that build the layer again."""
        return {**super().get_config(), "n_components": self.n_components}
