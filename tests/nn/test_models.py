from dataclasses import replace
import json

from keras import ops
from made_data import rms_distance
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.spatial.distance import pdist
from slow import slow_but

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.nn.annealing import anneal
from dipy_tractoencoder.nn.architecture import LOG_VAR_MAX
from dipy_tractoencoder.nn.autoencoder import SMALLEST_NOISE, StreamlineAutoencoder
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.nn.vae import StreamlineVAE, kl_divergence
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.coefficient_trainer import inputs_of, trainer_of
from dipy_tractoencoder.training.fit import build_model, fit
from dipy_tractoencoder.training.settings import TrainingSettings

MODELS = ("vae", "ae")
BACKBONES = ("dense", "compact", "finta")


def make_points(rng, n_points, n_streamlines=40):
    """Smooth random curves (n_streamlines, n_points, 3), float32."""
    t = np.linspace(0, 1, n_points)[:, None]
    basis = np.concatenate([np.cos(k * np.pi * t) / (1 + k) for k in range(7)], axis=1)
    weights = rng.normal(size=(n_streamlines, 3, 7))
    return np.einsum("pk,sdk->spd", basis, weights).astype(np.float32)


def make_model(points, *, preprocessing=None, **options):
    """Untrained model of four latent numbers with the points' principal directions."""
    preprocessing = preprocessing or Preprocessing(
        n_points=points.shape[1], centre=(5.0, -9.0, 20.0), scale=25.0
    )
    model = build_model(preprocessing, TrainingSettings(latent_dim=4, **options))
    model.set_principal(fit_principal(points, model.principal.n_components))
    return model


def outputs(model, points, training=False):
    """Run the model and give what it returns as arrays."""
    return {
        name: ops.convert_to_numpy(value)
        for name, value in model(points, training=training).items()
    }


def tensors(**arrays):
    return {name: ops.convert_to_tensor(array) for name, array in arrays.items()}


@pytest.fixture
def points(rng):
    return make_points(rng, 32)


# Building


@pytest.mark.parametrize("linear_skip", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", MODELS)
def test_every_combination_builds_and_round_trips(name, backbone, linear_skip, rng):
    points = make_points(rng, 64, 6)
    model = make_model(points, model=name, backbone=backbone, linear_skip=linear_skip)
    assert type(model) is {"vae": StreamlineVAE, "ae": StreamlineAutoencoder}[name]
    for training in (False, True):
        out = outputs(model, points, training=training)
        assert out["points"].shape == points.shape
        assert out["mean"].shape == (6, 4)
        assert ("log_var" in out) == (name == "vae")
        assert all(np.isfinite(value).all() for value in out.values())
        np.testing.assert_array_equal(out["target"], points)
    config = json.loads(json.dumps(model.get_config()))
    again = type(model).from_config(config)
    assert again.get_config() == model.get_config()
    assert fingerprint(again) != fingerprint(model)
    again.set_weights(model.get_weights())
    for name, expected in outputs(model, points).items():
        np.testing.assert_array_equal(outputs(again, points)[name], expected)
    assert fingerprint(again) == fingerprint(model)


def test_config_keeps_what_is_not_default():
    options = {
        "latent_dim": 7,
        "backbone": "compact",
        "linear_skip": False,
        "upsampling": "linear",
        "loss": "mse",
        "seed": 12,
        "kl_weight": 0.25,
        "kl_annealing": "cyclical",
        "epsilon_std": 0.5,
    }
    preprocessing = Preprocessing(n_points=64, orientation="augment", scale=3.0)
    model = StreamlineVAE(preprocessing, **options)
    config = json.loads(json.dumps(model.get_config()))
    assert {name: config[name] for name in options} == options
    again = StreamlineVAE.from_config(config)
    assert again.preprocessing == preprocessing
    assert again.sampling.epsilon_std == 0.5
    assert again.random_reverse is not None


@pytest.mark.parametrize(
    "options",
    [
        {"latent_dim": 0},
        {"latent_dim": -1},
        {"latent_dim": 2.5},
        {"latent_dim": 97},
        {"backbone": "unet"},
        {"upsampling": "cubic"},
        {"loss": "l1"},
        {"kl_weight": -0.1},
        {"kl_weight": float("nan")},
        {"kl_annealing": "sigmoid"},
        {"epsilon_std": -1},
    ],
)
def test_bad_arguments_are_named(options):
    (name,) = options
    with pytest.raises(InvalidArgumentError, match=f"`{name}`"):
        StreamlineVAE(Preprocessing(n_points=32), **options)


def test_without_the_skip_the_latent_may_be_larger_than_the_points(rng):
    model = StreamlineAutoencoder(
        Preprocessing(n_points=2), latent_dim=10, linear_skip=False
    )
    model.ensure_built()
    assert outputs(model, make_points(rng, 2, 3))["mean"].shape == (3, 10)


@pytest.mark.parametrize("backbone, n_points", [("compact", 48), ("finta", 32)])
def test_points_that_do_not_fit_the_strides(backbone, n_points):
    with pytest.raises(InvalidArgumentError, match="n_points"):
        StreamlineAutoencoder(Preprocessing(n_points=n_points), backbone=backbone)


# The linear skip


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", MODELS)
def test_untrained_model_with_skip_is_pca(name, backbone, rng):
    points = make_points(rng, 64)
    model = make_model(points, model=name, backbone=backbone)
    principal = fit_principal(points, 4)
    out = outputs(model, points)
    np.testing.assert_allclose(
        out["points"], principal.reconstruct(points, 4), atol=1e-4
    )
    centred = points.reshape(len(points), -1) - principal.mean
    np.testing.assert_allclose(
        out["mean"], centred @ principal.directions / principal.spread, atol=1e-3
    )


def test_log_var_starts_at_that_of_probabilistic_pca(points):
    out = outputs(make_model(points, model="vae"), points)
    flat = points.reshape(len(points), -1).astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(flat.T, bias=True))[::-1]
    noise = variances[4:].sum() / flat.shape[1]
    expected = np.broadcast_to(-np.log(1 + variances[:4] / noise), (len(points), 4))
    np.testing.assert_allclose(out["log_var"], expected, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_latent_distance_is_that_of_linear_reconstructions(name, points):
    model = make_model(points, model=name)
    array = StreamlineArray(
        model.preprocessing.denormalise(points),
        np.arange(len(points)),
        np.zeros(len(points), dtype=bool),
        len(points),
    )
    latents = encode(model, array)
    linear = model.preprocessing.denormalise(
        fit_principal(points, 4).reconstruct(points, 4)
    )
    expected = [
        rms_distance(linear[i], linear[j])
        for i in range(len(linear))
        for j in range(i + 1, len(linear))
    ]
    np.testing.assert_allclose(pdist(latents.mean), expected, rtol=1e-3, atol=1e-3)
    # A reparametrised draw is spread in mm as the latents are.
    if name == "vae":
        network = outputs(model, points)["log_var"]
        np.testing.assert_allclose(
            np.exp(latents.log_var / 2),
            np.exp(network / 2) * model.latent_unit,
            rtol=1e-4,
        )


def test_latent_unit_without_skip_is_1(points):
    model = make_model(points, linear_skip=False)
    np.testing.assert_array_equal(model.latent_unit, np.ones(4))


def test_principal_directions_come_back(points):
    model = make_model(points)
    expected = fit_principal(points, model.principal.n_components)
    back = model.principal_directions()
    np.testing.assert_array_equal(back.mean, expected.mean)
    np.testing.assert_array_equal(back.directions, expected.directions)
    np.testing.assert_array_equal(back.spread, expected.spread)


# Randomness


def test_draw_in_training_and_mean_otherwise(points):
    model = make_model(points, model="vae", backbone="dense")
    quiet, again = outputs(model, points), outputs(model, points)
    np.testing.assert_array_equal(quiet["points"], again["points"])
    noisy = outputs(model, points, training=True)
    np.testing.assert_array_equal(noisy["mean"], quiet["mean"])
    assert np.abs(noisy["points"] - quiet["points"]).max() > 1e-3
    silent = make_model(points, model="vae", backbone="dense", epsilon_std=0.0)
    np.testing.assert_allclose(
        outputs(silent, points, training=True)["points"], quiet["points"], atol=1e-6
    )


@pytest.mark.parametrize("name", MODELS)
def test_augment_turns_in_training_only(name, points):
    preprocessing = Preprocessing(n_points=32, orientation="augment")
    model = make_model(points, preprocessing=preprocessing, model=name)
    np.testing.assert_array_equal(outputs(model, points)["target"], points)
    target = outputs(model, points, training=True)["target"]
    is_turned = (target == points[:, ::-1]).all(axis=(1, 2))
    assert 0 < is_turned.sum() < len(points)
    np.testing.assert_array_equal(target[~is_turned], points[~is_turned])


# Loss


def test_kl_divergence_closed_form(rng):
    mean = rng.normal(scale=2, size=(50, 6))
    log_var = rng.normal(scale=2, size=(50, 6))
    kl = ops.convert_to_numpy(
        kl_divergence(mean.astype(np.float32), log_var.astype(np.float32))
    )
    expected = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1)
    np.testing.assert_allclose(kl, expected, rtol=1e-4)
    assert float(kl_divergence(np.zeros((1, 6)), np.zeros((1, 6)))[0]) == 0


@pytest.mark.parametrize("mean, std", [(0, 1), (1.5, 0.3), (-2, 2.5), (0.1, 1e-2)])
def test_kl_divergence_by_integration(mean, std):
    posterior, prior = stats.norm(mean, std), stats.norm()
    expected, _ = integrate.quad(
        lambda z: posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)),
        mean - 12 * std,
        mean + 12 * std,
        points=[mean],
    )
    kl = kl_divergence(np.array([[mean, 0.0]]), np.array([[2 * np.log(std), 0.0]]))
    assert float(kl[0]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def prediction(rng, n_points=32, n_streamlines=9, latent_dim=4):
    """Made outputs of a VAE, as arrays."""
    shape = (n_streamlines, n_points, 3)
    return {
        "target": rng.normal(size=shape).astype(np.float32),
        "points": rng.normal(size=shape).astype(np.float32),
        "mean": rng.normal(size=(n_streamlines, latent_dim)).astype(np.float32),
        "log_var": rng.normal(size=(n_streamlines, latent_dim)).astype(np.float32),
    }


def test_likelihood_is_the_gaussian_one_at_the_best_noise(points, rng):
    model = make_model(points, model="ae")
    out = prediction(rng)
    loss = float(model.compute_loss(y_pred=tensors(**out)))
    error_mm = 25.0 * (out["target"] - out["points"]).astype(np.float64)

    def nats(sigma):
        return -stats.norm(0, sigma).logpdf(error_mm).sum() / len(error_mm)

    sigma = np.sqrt(np.square(error_mm).mean())
    assert loss == pytest.approx(nats(sigma), rel=1e-5)
    assert nats(sigma) < min(nats(0.98 * sigma), nats(1.02 * sigma))
    assert float(model.noise_std.result()) == pytest.approx(sigma, rel=1e-5)
    assert float(model.error_mm.result()) == pytest.approx(
        rms_distance(25 * out["target"], 25 * out["points"]), rel=1e-5
    )


def test_likelihood_of_a_perfect_reconstruction_is_finite(points, rng):
    out = prediction(rng)
    out["points"] = out["target"]
    loss = float(make_model(points, model="ae").compute_loss(y_pred=tensors(**out)))
    expected = -96 * (stats.norm(0, SMALLEST_NOISE).logpdf(0) - 0.5)
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_mse_is_in_square_mm_with_summed_kl(name, points, rng):
    options = {"kl_weight": 0.5} if name == "vae" else {}
    model = make_model(points, model=name, loss="mse", **options)
    out = prediction(rng)
    loss = float(model.compute_loss(y_pred=tensors(**out)))
    expected = np.square(25.0 * (out["target"] - out["points"])).mean()
    if name == "vae":
        kl = np.exp(out["log_var"]) + np.square(out["mean"]) - 1 - out["log_var"]
        expected += 0.5 * (0.5 * kl.sum(axis=1)).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_vae_likelihood_adds_weighted_kl(points, rng):
    out = prediction(rng)
    losses = {
        weight: float(
            make_model(points, model="vae", kl_weight=weight).compute_loss(
                y_pred=tensors(**out)
            )
        )
        for weight in (0.0, 1.0, 3.0)
    }
    plain = float(make_model(points, model="ae").compute_loss(y_pred=tensors(**out)))
    kl = np.exp(out["log_var"]) + np.square(out["mean"]) - 1 - out["log_var"]
    kl = 0.5 * kl.sum(axis=1).mean()
    assert losses[0.0] == pytest.approx(plain, rel=1e-6)
    assert losses[1.0] == pytest.approx(plain + kl, rel=1e-5)
    assert losses[3.0] == pytest.approx(plain + 3 * kl, rel=1e-5)


@pytest.mark.parametrize("bias", [1e4, -1e4, 1e30, -1e30])
def test_extreme_log_var_keeps_the_loss_finite(bias, points):
    model = make_model(points, model="vae")
    model.log_var_head.bias.assign(np.full(4, bias))
    for training in (True, False):
        out = model(points, training=training)
        assert np.isfinite(ops.convert_to_numpy(out["points"])).all()
        assert np.abs(ops.convert_to_numpy(out["log_var"])).max() <= 30
        assert np.isfinite(float(model.compute_loss(y_pred=out)))
    assert LOG_VAR_MAX <= np.log(1e10)


# The Kullback-Leibler weight


@pytest.mark.parametrize(
    "kl_annealing",
    slow_but(["constant", "warmup", "cyclical", "rise_and_fall"], "warmup"),
)
def test_kl_weight_in_the_history_follows_the_schedule(kl_annealing, data):
    settings = TrainingSettings(
        n_points=32,
        latent_dim=4,
        epochs=6,
        batch_size=20,
        kl_weight=0.25,
        kl_annealing=kl_annealing,
    )
    model, history, _ = fit(data.points, None, data.preprocessing, settings)
    assert len(data) == 60  # Three steps an epoch.
    shares = ops.convert_to_numpy(anneal(kl_annealing, np.arange(18) / 18))
    expected = 0.25 * shares.reshape(6, 3).mean(axis=1)
    np.testing.assert_allclose(history["kl_weight"], expected, atol=1e-5)
    if kl_annealing != "constant":
        assert np.ptp(history["kl_weight"]) > 0.1
    assert int(model.step) == 18


def test_validation_does_not_advance_the_schedule(data):
    settings = TrainingSettings(n_points=32, latent_dim=4, epochs=0)
    model, _, _ = fit(data.points, None, data.preprocessing, settings)
    before = int(model.step)
    for trainer in (model, trainer_of(model)):
        trainer.compile()
        trainer.evaluate(inputs_of(trainer, data.points), verbose=0)
        assert int(model.step) == before


def test_history_is_in_mm_and_nats(data):
    settings = TrainingSettings(
        n_points=32, latent_dim=4, epochs=2, batch_size=60, epsilon_std=0.0
    )
    settings = replace(settings, learning_rate=1e-30)
    model, history, _ = fit(data.points, data.points, data.preprocessing, settings)
    out = outputs(model, data.points)
    error = data.preprocessing.scale * rms_distance(out["target"], out["points"])
    kl = np.exp(out["log_var"]) + np.square(out["mean"]) - 1 - out["log_var"]
    for name in ("error_mm", "val_error_mm"):
        np.testing.assert_allclose(history[name], error, rtol=1e-3)
    for name in ("kl_nats", "val_kl_nats"):
        np.testing.assert_allclose(history[name], 0.5 * kl.sum(1).mean(), rtol=1e-3)
    np.testing.assert_allclose(history["noise_std_mm"], error / 3**0.5, rtol=1e-3)
