"""Fixtures that several test files share."""

from made_data import make_bundles, make_tractogram
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def bundles():
    """Three made bundles of 20 streamlines, mm; not to be written to."""
    return make_bundles(np.random.default_rng(7))


@pytest.fixture(scope="session")
def lines(bundles):
    """All 60 streamlines of the bundles, mm; not to be written to."""
    return [line for bundle in bundles for line in bundle]


@pytest.fixture
def tractogram(lines):
    """All 60 streamlines as a StatefulTractogram in RASMM."""
    return make_tractogram(lines)


@pytest.fixture(scope="session")
def data(bundles):
    """Training data of the bundles: 32 points, canonical, normalised."""
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
    from dipy_tractoencoder.training.dataset import gather

    return gather(bundles, Preprocessing(n_points=32))


@pytest.fixture(scope="session")
def trained_vae(bundles):
    """Small VAE with the linear skip, trained for a few steps; not to be changed."""
    return _train(bundles, model="vae")


@pytest.fixture(scope="session")
def trained_ae(bundles):
    """Small autoencoder with the linear skip; not to be changed."""
    return _train(bundles, model="ae")


@pytest.fixture(scope="session")
def trained_convolutional_vae(bundles):
    """Small VAE of convolutions, without the linear skip; not to be changed."""
    return _train(bundles, model="vae", backbone="compact", linear_skip=False)


def _train(bundles, **options):
    from dipy_tractoencoder.training.train import train

    # No validation: the weights kept are those trained, not the untrained ones.
    return train(
        bundles,
        n_points=32,
        latent_dim=5,
        epochs=3,
        batch_size=15,  # Divides the rows: one shape to compile for.
        validation_fraction=0,
        **options,
    )
