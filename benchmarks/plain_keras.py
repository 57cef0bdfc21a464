"""The GSoC 2024 project's network as a user of Keras would write it, for comparison.

FINTA's layer table with batch normalisation and two heads, mirror padding by
``tf.pad``, mean squared error in mm^2 plus KL, Keras' default ``fit``.
"""

import keras
from keras import layers
import tensorflow as tf

FILTERS = (32, 64, 128, 256, 512, 1024)
RATE = 6.68e-4


class MirrorPad(layers.Layer):
    """One point beyond either end."""

    def call(self, x):
        return tf.pad(x, [[0, 0], [1, 1], [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 2, input_shape[2])


class Draw(layers.Layer):
    """The reparametrisation trick, and the KL term."""

    def call(self, heads):
        mean, log_var = heads
        spread = tf.minimum(tf.exp(log_var), 1e10)
        kl = -0.5 * tf.reduce_sum(1 + log_var - mean**2 - spread, axis=-1)
        self.add_loss(tf.reduce_mean(kl))
        return mean + tf.sqrt(spread) * tf.random.normal(tf.shape(mean))


def plain_vae(*, n_points=256, latent_dim=32, **compile_options):
    """Make the compiled model, points in mm in and out."""
    x = inputs = keras.Input((n_points, 3))
    for number, filters in enumerate(FILTERS):
        last = number == len(FILTERS) - 1
        x = layers.Conv1D(filters, 3, strides=1 if last else 2)(MirrorPad()(x))
        x = layers.BatchNormalization()(x)
        x = x if last else layers.ReLU()(x)
    steps = x.shape[1]
    x = layers.Flatten()(x)
    mean, log_var = layers.Dense(latent_dim)(x), layers.Dense(latent_dim)(x)
    encoder = keras.Model(inputs, mean)
    x = Draw()([mean, log_var])
    x = layers.Dense(steps * FILTERS[-1])(x)
    x = layers.Reshape((steps, FILTERS[-1]))(x)
    for filters in FILTERS[-2::-1]:
        x = layers.ReLU()(layers.Conv1D(filters, 3)(MirrorPad()(x)))
        x = layers.UpSampling1D(2)(x)
    x = layers.Conv1D(3, 3)(MirrorPad()(x))
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.Adam(RATE), loss="mse", **compile_options)
    model.encoder = encoder
    return model
