"""Maps of latents in two dimensions."""

import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.viz.latent import latent_figure


def clusters(rng, latent_dim=5, n=30):
    """Two groups of latents, ten apart in every dimension."""
    labels = np.repeat([0, 1], n)
    return rng.normal(size=(2 * n, latent_dim)) + 10 * labels[:, None], labels


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_map_keeps_groups_apart(method, latent_dim):
    latent, labels = clusters(np.random.default_rng(0), latent_dim)
    flat, share = latent_map(latent, method)
    assert flat.shape == (60, 2) and np.isfinite(flat).all()
    centres = [flat[labels == k].mean(axis=0) for k in (0, 1)]
    spread = max(flat[labels == k].std() for k in (0, 1))
    assert np.linalg.norm(np.subtract(*centres)) > 2 * spread
    assert (share is None) == (method == "tsne")
    if latent_dim <= 2 and method == "pca":
        assert share == pytest.approx(1)


def test_pca_map_keeps_distances_of_flat_latents():
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 6))
    flat, share = latent_map(latent)
    assert share == pytest.approx(1)
    for points in (latent, flat):
        points -= points.mean(axis=0)
    np.testing.assert_allclose(
        np.linalg.norm(flat[:, None] - flat, axis=2),
        np.linalg.norm(latent[:, None] - latent, axis=2),
        atol=1e-8,
    )


@pytest.mark.parametrize("n", [3, 4, 8])
def test_map_of_few_streamlines(n):
    latent = np.random.default_rng(0).normal(size=(n, 4))
    assert latent_map(latent, "tsne")[0].shape == (n, 2)


def test_map_is_the_same_twice():
    latent, _ = clusters(np.random.default_rng(0))
    np.testing.assert_array_equal(
        latent_map(latent, "tsne", seed=3)[0], latent_map(latent, "tsne", seed=3)[0]
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "`labels` or `lengths`"),
        ({"labels": [0, 1]}, "one per streamline, 60. Received: 2"),
        ({"lengths": np.ones(60), "method": "umap"}, "method"),
    ],
)
def test_wrong_arguments(arguments, message):
    latent, _ = clusters(np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match=message):
        latent_figure(latent, **arguments)


def test_too_few_streamlines():
    with pytest.raises(InvalidArgumentError, match="three streamlines"):
        latent_map(np.zeros((2, 4)))
