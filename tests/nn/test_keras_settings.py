"""Keras' settings are standard inside of our own calls, and the user's outside."""

import keras
import numpy as np
import pytest

from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.nn.keras_settings import STANDARD, standard_keras
from dipy_tractoencoder.training.train import train


@pytest.fixture
def foreign():
    """Set other settings than the standard ones, and restore them."""
    before = keras.config.image_data_format(), keras.config.floatx()
    policy = keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(policy)


def test_settings_are_standard_inside_and_restored_outside(foreign):
    with pytest.raises(ZeroDivisionError), standard_keras():
        for name in ("image_data_format", "floatx", "epsilon"):
            assert getattr(keras.config, name)() == STANDARD[name]
        assert keras.config.dtype_policy().name == "float32"
        1 / 0  # noqa: B018
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.floatx() == "float16"
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_latents_do_not_depend_on_settings(trained_convolutional_vae, lines, foreign):
    model = trained_convolutional_vae
    latents = encode(model, lines)
    model._inference_networks.clear()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(encode(model, lines).mean, latents.mean)


@pytest.mark.slow
def test_training_does_not_depend_on_settings(lines, foreign):
    options = {"n_points": 32, "latent_dim": 2, "epochs": 2, "backbone": "compact"}
    model = train(lines, **options)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    for found, wanted in zip(
        model.get_weights(), train(lines, **options).get_weights()
    ):
        np.testing.assert_array_equal(found, wanted)
