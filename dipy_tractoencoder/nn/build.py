"""Build untrained models from training settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.vae import StreamlineVAE

if TYPE_CHECKING:
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing


def build_model(preprocessing: Preprocessing, settings: Any) -> StreamlineAutoencoder:
    """Build an untrained model.

    Parameters
    ----------
    preprocessing : Preprocessing
        Conversion of streamlines to the network's points.
    settings : TrainingSettings
        Settings of the model and the training.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with random weights.
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
def dtype_policy(name: str) -> Iterator[None]:
    """Set the Keras dtype policy for layers created in the context.

    Parameters
    ----------
    name : str
        Name of the policy.

    Yields
    ------
    None
        Nothing; the previous policy is restored afterwards.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
