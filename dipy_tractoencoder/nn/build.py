"""Build untrained models from training settings."""

from contextlib import contextmanager

import keras

from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.vae import StreamlineVAE


def build_model(preprocessing, settings):
    """Make an untrained model.

    Parameters
    ----------
    preprocessing : Preprocessing
        How streamlines become the network's points.
    settings : TrainingSettings
        All choices.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        With random weights.
    """
    common = {
        "latent_dim": settings.latent_dim,
        "backbone": settings.backbone,
        "linear_skip": settings.linear_skip,
        "upsampling": settings.upsampling,
        "loss": settings.loss,
        "seed": settings.seed,
    }
    if settings.model == "ae":
        return StreamlineAutoencoder(preprocessing, **common)
    return StreamlineVAE(
        preprocessing,
        kl_weight=settings.kl_weight,
        kl_annealing=settings.kl_annealing,
        epsilon_std=settings.epsilon_std,
        **common,
    )


@contextmanager
def dtype_policy(name):
    """Make layers of a Keras dtype policy inside the context.

    Parameters
    ----------
    name : str
        Of the policy.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
