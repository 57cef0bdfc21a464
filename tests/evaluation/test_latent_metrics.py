"""Distances, bundles, lengths and likelihood kept by a latent space."""

from dipy.align.streamlinear import BundleMinDistanceMetric
import numpy as np
from numpy.testing import assert_allclose
import pytest
from scipy.stats import multivariate_normal

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.evaluation.latent_metrics import (
    active_dimensions,
    bundle_distances,
    distance_preservation,
    length_scores,
    mantel_test,
    neighbor_label_scores,
)
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.nn.likelihood import best_noise_std, log_likelihood


@pytest.fixture(scope="module")
def encoded(bundles, trained_vae):
    array = trained_vae.preprocessing.array([line for b in bundles for line in b])
    labels = np.repeat(np.arange(len(bundles)), [len(bundle) for bundle in bundles])
    return encode(trained_vae, array).mean, array.points, labels


def test_active_dimensions_are_counted_in_units_of_the_prior(rng):
    unit = np.array([10.0, 0.1, 10.0])
    mean = rng.standard_normal((500, 3)) * [10.0, 0.1, 0.5]
    assert active_dimensions(mean, unit) == 2


def test_distance_preservation_of_the_streamlines_themselves(encoded):
    _, points, _ = encoded
    kept = distance_preservation(points.reshape(len(points), -1), points)
    assert kept["spearman"] > 0.9
    shuffled = np.random.default_rng(0).permutation(len(points))
    lost = distance_preservation(points.reshape(len(points), -1)[shuffled], points)
    assert abs(lost["spearman"]) < 0.2


def test_bundle_distances_agree_with_dipy(encoded):
    mean, points, labels = encoded
    latent, reference, mantel = bundle_distances(mean, points, labels)
    assert_allclose(latent, latent.T)
    assert (np.diag(latent) == 0).all()
    metric = BundleMinDistanceMetric()
    metric.setup(list(points[labels == 0]), list(points[labels == 1]))
    # DIPY's value is a quarter of the squared sum of both ways' means.
    assert reference[0, 1] == pytest.approx(np.sqrt(metric.distance(np.zeros(6))))
    assert mantel["mantel_r"] > 0.8


def test_bundle_distance_of_shifted_latents_is_the_shift(encoded):
    mean, points, _ = encoded
    shift = np.full(mean.shape[1], 3.0)
    both = np.concatenate([mean, mean + shift, mean + 2 * shift])
    labels = np.repeat([0, 1, 2], len(mean))
    latent, _, _ = bundle_distances(both, np.tile(points, (3, 1, 1)), labels)
    # Different draws of the same latents: at least the distance of their means.
    assert latent[0, 2] > latent[0, 1]
    assert latent[0, 1] == pytest.approx(np.linalg.norm(shift), rel=0.2)


def test_mantel_finds_equal_matrices_and_not_unrelated_ones(rng):
    places = rng.standard_normal((8, 3))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    same = mantel_test(distances, 2 * distances)
    assert same["mantel_r"] == pytest.approx(1)
    assert same["mantel_p"] <= 0.01
    others = rng.standard_normal((8, 3))
    unrelated = np.linalg.norm(others[:, None] - others, axis=2)
    assert mantel_test(distances, unrelated)["mantel_p"] > 0.01
    with pytest.raises(InvalidArgumentError, match="three"):
        mantel_test(distances[:2, :2], distances[:2, :2])


def test_neighbors_label_made_bundles(encoded):
    mean, points, labels = encoded
    half = np.arange(len(labels)) % 2 == 0
    for rows, metric in ((mean, "euclidean"), (points, "mdf")):
        scores = neighbor_label_scores(
            rows[half], labels[half], rows[~half], labels[~half], metric
        )
        assert scores == {"accuracy": 1.0, "macro_f1": 1.0}
    wrong = neighbor_label_scores(
        mean[half], (labels[half] + 1) % 3, mean[~half], labels[~half]
    )
    assert wrong["accuracy"] == 0


def test_length_is_read_off_a_linear_latent(rng):
    latent = rng.standard_normal((200, 4))
    lengths = 100 + latent @ [5.0, -3.0, 2.0, 0.0]
    scores = length_scores(latent[:150], lengths[:150], latent[150:], lengths[150:])
    assert scores["length_r2"] > 0.999
    noise = rng.standard_normal((200, 4))
    assert (
        length_scores(noise[:150], lengths[:150], noise[150:], lengths[150:])[
            "length_r2"
        ]
        < 0.2
    )


@pytest.mark.slow
def test_likelihood_of_a_linear_decoder_is_that_of_a_gaussian(bundles):
    """The untrained model with the skip is probabilistic PCA, with a known answer."""
    from dipy_tractoencoder.training.train import train

    model = train(bundles, n_points=8, latent_dim=3, epochs=0, validation_fraction=0)
    points = model.preprocessing.array([line for b in bundles for line in b]).points
    noise_std = 3.0  # mm; the larger, the closer the posterior is to the prior
    principal = model.principal_directions()
    scale = model.preprocessing.scale
    factor = principal.directions[:, :3] * principal.spread[:3] * scale
    covariance = factor @ factor.T + noise_std**2 * np.eye(len(factor))
    flat = (
        model.preprocessing.normalise(points).reshape(len(points), -1) - principal.mean
    )
    exact = multivariate_normal(np.zeros(len(factor)), covariance).logpdf(flat * scale)
    # The posterior the model starts with is that of its own noise; widen it to match.
    signal = np.square(principal.spread[:3].astype(float) * scale)
    model.log_var_head.bias.assign(-np.log1p(signal / noise_std**2))
    estimate = log_likelihood(model, points, noise_std, n_samples=400)
    assert np.abs(estimate - exact).max() < 0.5


def test_best_noise_is_the_error_of_posterior_draws(encoded, trained_vae):
    _, points, _ = encoded
    noise_std = best_noise_std(trained_vae, points)
    history = trained_vae.record.history["noise_std_mm"]
    assert 0.3 * history[-1] < noise_std < 3 * history[-1]
