"""Models whose every weight is random, to compare networks with."""

import numpy as np

from dipy_tractoencoder.nn.build import build_model
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.settings import TrainingSettings

N_POINTS, LATENT_DIM = 64, 6
CENTRE, SCALE = (10.0, -20.0, 30.0), 40.0


def random_model(**options):
    """Make a model whose every weight is random, normalisation's statistics too."""
    preprocessing = Preprocessing(n_points=N_POINTS, centre=CENTRE, scale=SCALE)
    settings = TrainingSettings(n_points=N_POINTS, latent_dim=LATENT_DIM, **options)
    model = build_model(preprocessing, settings)
    model.ensure_built()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "float" not in str(weight.dtype):
            continue
        shape = weight.shape
        fan = np.prod(shape[:-1]) if len(shape) > 1 else 10
        value = rng.normal(0, 1 / np.sqrt(fan), shape)
        if "variance" in weight.path or "spread" in weight.path:
            value = np.abs(value) + 0.5
        weight.assign(value)
    return model
