from dataclasses import replace
import logging

import keras
from keras import ops
from made_data import make_bundle, make_tractogram, rms_distance
import numpy as np
import pytest
from slow import slow, slow_but

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    TrainingDivergedError,
)
from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.nn.model_file import load_model, save_model
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training import fit as training
from dipy_tractoencoder.training.callbacks import StopOnNonFinite
from dipy_tractoencoder.training.dataset import gather, split
from dipy_tractoencoder.training.fit import (
    build_model,
    fit,
    settle_statistics,
    train_with_settings,
)
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import train

# Batches that divide the rows leave one shape to compile for.
SMALL = TrainingSettings(n_points=32, latent_dim=4, epochs=3, batch_size=15)
NO_SKIP = replace(SMALL, linear_skip=False)


def train_small(tractograms, settings=SMALL, **options):
    """Train with small settings, some of them changed."""
    names = [name for name in options if hasattr(settings, name)]
    settings = replace(settings, **{name: options.pop(name) for name in names})
    return train_with_settings(tractograms, settings, **options).model


def error_on(model, points):
    """Reconstruction error of normalised points, mm, from posterior means."""
    latent = model.encode_tensors(ops.convert_to_tensor(points))["mean"]
    decoded = ops.convert_to_numpy(model.decode_tensors(latent))
    return rms_distance(decoded, points) * model.preprocessing.scale


# Where training can only make things worse.
ABSURD = {"learning_rate": 1.0, "rate_schedule": False}


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def same_weights(first, second):
    return all(
        np.array_equal(one, other)
        for one, other in zip(weights(first), weights(second), strict=True)
    )


def pca_error(points, preprocessing, n_components):
    """Error (mm) that PCA leaves on the streamlines it is fitted to."""
    rebuilt = fit_principal(points, n_components).reconstruct(points, n_components)
    return preprocessing.scale * rms_distance(points, rebuilt)


# Training works


@slow
@pytest.mark.parametrize("name", ["vae", "ae"])
def test_training_without_skip_learns(name, data):
    settings = replace(NO_SKIP, model=name, epochs=40, learning_rate=5e-3)
    _, history, best_epoch = fit(data.points, None, data.preprocessing, settings)
    error = history["error_mm"]
    assert len(error) == best_epoch == 40
    assert error[-1] < 0.5 * error[0]
    assert history["loss"][-1] < history["loss"][0]


def test_training_with_skip_improves_on_pca(data):
    settings = replace(SMALL, epochs=60, latent_dim=5)
    model, history, _ = fit(data.points, None, data.preprocessing, settings)
    pca = pca_error(data.points, data.preprocessing, 5)
    assert error_on(model, data.points) < 0.9 * pca
    # The draws cost something in training.
    assert history["error_mm"][-1] < pca < history["error_mm"][0]


def test_the_models_train_with_the_same_settings(trained_vae, trained_ae):
    vae, ae = (dict(model.record.settings) for model in (trained_vae, trained_ae))
    assert (vae.pop("model"), ae.pop("model")) == ("vae", "ae")
    assert vae == ae
    history = set(trained_ae.record.history)
    assert history == {"error_mm", "learning_rate", "loss", "noise_std_mm"}
    assert set(trained_vae.record.history) == history | {"kl_nats", "kl_weight"}


def test_record_of_a_training(bundles):
    bad = np.full((3, 3), np.nan)
    model = train_small([[bad, *bundles[0]], bundles[1]], validation_fraction=0.25)
    record = model.record
    data = dict(record.data)
    first, second = data.pop("tractograms")
    errors = data.pop("errors")
    shortest, median, longest = data.pop("length_mm")
    assert 0 < shortest < median < longest
    assert errors["held_out"] and errors["n_streamlines"] == 10
    # Epoch 0, the model's best error of all epochs at most, is PCA.
    assert 0 < errors["error_mm"] <= errors["pca_error_mm"] + 1e-4
    assert (first["n_read"], first["rejects"]) == (21, {"non_finite": 1})
    assert (second["n_read"], second["rejects"]) == (20, {})
    for key, total in (("n_training", 30), ("n_validation", 10)):
        assert first[key] + second[key] == total
        assert 0 < first[key] <= 20
    assert data == {
        "n_training": 30,
        "n_validation": 10,
        "n_read": 41,
        "rejects": {"non_finite": 1},
    }
    assert record.settings == replace(SMALL, validation_fraction=0.25).to_dict()
    assert {"val_error_mm", "val_loss", "val_kl_nats"} <= set(record.history)
    assert {len(values) for values in record.history.values()} == {3}
    best = record.history["val_error_mm"]
    assert record.best_epoch in (0, 1 + int(np.argmin(best)))
    assert record.versions["backend"] == keras.backend.backend()


def test_a_single_tractogram_and_a_list_of_one_are_the_same(tractogram, lines):
    settings = replace(SMALL, epochs=0, validation_fraction=0)
    alone, listed, plain = (
        train_small(tractograms, settings)
        for tractograms in (tractogram, [make_tractogram(lines)], [lines])
    )
    assert same_weights(alone, listed)
    array = Preprocessing(n_points=40).array(lines).points
    from_array = train_small(array, settings, validation=array[:5])
    assert from_array.record.data["n_training"] == len(array)
    assert from_array.record.data["n_validation"] == 5
    assert same_weights(from_array, train_small([list(array)], settings))
    np.testing.assert_allclose(
        ops.convert_to_numpy(plain.principal.mean),
        ops.convert_to_numpy(alone.principal.mean),
        atol=1e-5,
    )


def test_preprocessing_is_that_of_the_settings(bundles):
    model = train_small(
        bundles,
        SMALL,
        epochs=0,
        orientation="augment",
        normalise=False,
        min_length=2.0,
        max_length=500.0,
    )
    assert model.preprocessing == Preprocessing(
        n_points=32, orientation="augment", min_length=2.0, max_length=500.0
    )


def test_augmented_training_sees_both_directions(bundles):
    model = train_small(bundles, epochs=1, orientation="augment")
    mean = ops.convert_to_numpy(model.principal.mean).reshape(-1, 3)
    np.testing.assert_allclose(mean, mean[::-1], atol=1e-5)


# Repeatable


def test_same_seed_same_model(bundles):
    options = {"epochs": 2, "orientation": "augment", "max_streamlines": 50}
    first, again = (train_small(bundles, seed=3, **options) for _ in range(2))
    assert first.record.history == again.record.history
    assert same_weights(first, again)
    other = train_small(bundles, seed=4, **options)
    assert not same_weights(first, other)


@slow
def test_same_seed_same_convolutions(data):
    settings = replace(NO_SKIP, epochs=1, backbone="compact", seed=3)
    first, again = (
        fit(data.points, None, data.preprocessing, settings)[0] for _ in range(2)
    )
    assert same_weights(first, again)


# The best weights


@pytest.mark.parametrize("name", slow_but(["vae", "ae"], "vae"))
def test_the_untrained_model_is_kept_where_training_makes_it_worse(name, data):
    settings = replace(SMALL, model=name, patience=99, **ABSURD)
    model, history, best_epoch = fit(
        data.points[::2], data.points[1::2], data.preprocessing, settings
    )
    untrained, _, _ = fit(
        data.points[::2], None, data.preprocessing, replace(settings, epochs=0)
    )
    assert best_epoch == 0 and len(history["loss"]) == 3
    assert min(history["val_error_mm"]) > error_on(model, data.points[1::2])
    assert same_weights(model, untrained)


@pytest.mark.slow
def test_weights_of_the_best_epoch_are_kept(data):
    """A training that stops three epochs after its best."""
    settings = replace(
        NO_SKIP, epochs=100, learning_rate=1e-2, rate_schedule=False, patience=3
    )
    model, history, best_epoch = fit(
        data.points[::2], data.points[1::2], data.preprocessing, settings
    )
    errors = history["val_error_mm"]
    assert len(errors) == best_epoch + 3 < 100
    assert best_epoch in (0, 1 + int(np.argmin(errors)))
    error = error_on(model, data.points[1::2])
    assert error < 0.999 * min(errors[best_epoch:])
    if best_epoch:
        assert error == pytest.approx(errors[best_epoch - 1], rel=1e-4)


@pytest.mark.parametrize("patience", slow_but([1, 3], 3))
def test_early_stopping(data, patience):
    settings = replace(SMALL, epochs=30, patience=patience, **ABSURD)
    _, history, best_epoch = fit(data.points, data.points, data.preprocessing, settings)
    assert best_epoch == 0
    assert len(history["loss"]) == patience


@slow
def test_no_early_stopping_by_default(data):
    """A schedule that falls brings its gains at the end."""
    settings = replace(SMALL, epochs=35, batch_size=60, **ABSURD)
    assert settings.patience is None
    _, history, best_epoch = fit(data.points, data.points, data.preprocessing, settings)
    assert best_epoch == 0
    assert len(history["loss"]) == 35


def test_no_early_stopping_without_validation(data):
    settings = replace(SMALL, epochs=4, patience=1, **ABSURD)
    nothing = data.points[:0]
    _, history, best_epoch = fit(data.points, nothing, data.preprocessing, settings)
    assert best_epoch == len(history["loss"]) == 4
    assert "val_loss" not in history


@pytest.mark.parametrize("validation_fraction", [0.0, 0.2])
def test_no_epochs_give_pca(bundles, data, validation_fraction):
    model = train_small(bundles, epochs=0, validation_fraction=validation_fraction)
    assert model.record.best_epoch == 0
    assert model.record.history == {}
    held_out = split(data.source, validation_fraction, seed=0)
    principal = fit_principal(data.points[~held_out], 4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(data.points)["points"]),
        principal.reconstruct(data.points, 4),
        atol=1e-4,
    )


def test_refit_trains_on_everything_for_the_best_number_of_epochs(
    bundles, data, monkeypatch
):
    calls = []

    def spy(points, validation, *args, **options):
        result = fit(points, validation, *args, **options)
        calls.append((len(points), validation, result))
        return result

    monkeypatch.setattr(training, "fit", spy)
    # The first epoch beats this, so that the best one is never the untrained model.
    monkeypatch.setattr(training, "evaluate", lambda *args: 1e9)
    model = train_small(bundles, NO_SKIP, refit=True, validation_fraction=0.5)
    (n_first, _, first), (n_second, validation, second) = calls
    assert (n_first, n_second, validation) == (30, 60, None)
    assert model is second[0] and not same_weights(model, first[0])
    assert model.record.best_epoch == first[2]
    assert model.record.history == first[1]
    assert first[2] > 0
    assert len(second[1]["loss"]) == first[2]
    mean = ops.convert_to_numpy(model.principal.mean)
    np.testing.assert_allclose(
        mean, data.points.reshape(60, -1).mean(axis=0), atol=1e-5
    )


@pytest.mark.slow
def test_refit_keeps_the_untrained_model_where_it_is_best(bundles, data):
    settings = replace(SMALL, refit=True, patience=1, validation_fraction=0.5, **ABSURD)
    model = train_small(bundles, settings)
    assert model.record.best_epoch == 0 and len(model.record.history["loss"]) == 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(data.points)["points"]),
        fit_principal(data.points, 4).reconstruct(data.points, 4),
        atol=1e-4,
    )


def test_refit_without_validation_is_a_plain_training(bundles, monkeypatch):
    calls = []

    def spy(*args, **options):
        calls.append(args)
        return fit(*args, **options)

    monkeypatch.setattr(training, "fit", spy)
    train_small(bundles, epochs=0, validation_fraction=0, refit=True)
    assert len(calls) == 1


def test_groups_are_held_out_together(bundles):
    groups = ["s1", "s2", "s1"]
    counts = set()
    for seed in range(2):
        settings = replace(SMALL, epochs=0, seed=seed)
        run = train_with_settings(bundles, settings, groups=groups)
        counts.add(run.model.record.data["n_validation"])
    assert counts <= {20, 40}


# The learning rate


@pytest.mark.parametrize(
    "clip_norm, expected", slow_but([(0.5, 0.5), (0.0, None)], 0.5)
)
def test_gradient_clipping(data, clip_norm, expected):
    settings = replace(SMALL, epochs=1, clip_norm=clip_norm)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            seen.append(self.model.optimizer.global_clipnorm)

    fit(data.points, None, data.preprocessing, settings, callbacks=[Look()])
    assert seen == [expected]


# Errors


def test_not_finite_loss_stops_with_advice(data):
    settings = replace(NO_SKIP, learning_rate=1e30, rate_schedule=False, clip_norm=0.0)
    with pytest.raises(TrainingDivergedError, match="(?s)epoch.*learning rate"):
        fit(data.points, None, data.preprocessing, settings)


def test_not_finite_validation_stops(data):
    points = data.points.copy()
    points[0, 0, 0] = np.nan
    with pytest.raises(TrainingDivergedError, match="val_.*nan"):
        fit(data.points, points, data.preprocessing, SMALL)


@pytest.mark.parametrize("name", slow_but(["vae", "ae"], "vae"))
def test_divergence_in_the_very_last_step_is_noticed(name, data):
    """The loss of a step is that before its update."""
    settings = replace(
        SMALL,
        model=name,
        epochs=1,
        batch_size=60,
        learning_rate=1e38,
        rate_schedule=False,
        clip_norm=0.0,
    )
    with pytest.raises(TrainingDivergedError):
        model, _, _ = fit(data.points, None, data.preprocessing, settings)
        out = model(data.points)
        assert all(np.isfinite(ops.convert_to_numpy(x)).all() for x in out.values())


def test_nothing_to_train_on(data):
    with pytest.raises(EmptyDataError):
        fit(data.points[:0], None, data.preprocessing, SMALL)
    with pytest.raises(EmptyDataError):
        train_small([])


@pytest.mark.parametrize(
    "options",
    [
        {"model": "gan"},
        {"epochs": -1},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"clip_norm": -1},
        {"patience": 0},
        {"seed": -1},
        {"seed": 2**31},
        {"latent_dim": 0},
        {"n_points": 1},
        {"backbone": "unet"},
        {"loss": "l1"},
        {"kl_weight": -1},
        {"kl_annealing": "sigmoid"},
        {"epsilon_std": -1},
        {"orientation": "backwards"},
        {"min_length": -1},
        {"max_length": -1},
    ],
    ids=lambda options: "-".join(map(str, *options.items())),
)
def test_wrong_settings_show_before_any_reading(options):
    def never():
        raise AssertionError("The streamlines were read.")
        yield

    (name,) = options
    with pytest.raises(InvalidArgumentError, match=f"`{name}`"):
        train_small(never(), **options)


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_wrong_validation_fraction(bundles, fraction):
    with pytest.raises(InvalidArgumentError, match="validation_fraction"):
        train_small(bundles, validation_fraction=fraction)


def test_unknown_setting(bundles):
    with pytest.raises(TypeError, match="latent_size"):
        train(bundles, latent_size=3)
    with pytest.raises(InvalidArgumentError, match="`settings`.*TrainingSettings"):
        train_with_settings(bundles, {"latent_dim": 3})


def test_what_is_logged(bundles, caplog):
    caplog.set_level(logging.INFO, logger="dipy_tractoencoder")
    bad = np.full((3, 3), np.nan)
    train_small([[bad, *bundles[0]]], epochs=1)
    text = caplog.text
    assert "18 streamlines, 2 held out" in text
    assert "1 of 21 read were rejected, 1 non_finite" in text
    assert "mm" in text and "nats" in text


def test_tensorboard(data, tmp_path):
    pytest.importorskip("tensorboard")
    fit(
        data.points,
        None,
        data.preprocessing,
        replace(SMALL, epochs=1),
        tensorboard=tmp_path / "logs",
    )
    assert list(tmp_path.glob("logs/**/events*"))


# Inference agrees with training


@pytest.fixture(scope="module")
def fifty():
    """Fifty streamlines of 64 points in random order, and their preprocessing."""
    rng = np.random.default_rng(3)
    data = gather([make_bundle(rng, 25) for _ in range(2)], Preprocessing(n_points=64))
    return data.points[rng.permutation(50)], data.preprocessing


def errors_mm(model, points, batch_size, *, noise=True):
    """Reconstruction error in inference and in training mode.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Normalised, in random order.
    batch_size : int
        As in the training.
    noise : bool, optional
        Draw from the posterior in training mode, as the training does.

    Returns
    -------
    inference, training : float
        Root mean squared point distance, mm.
    """
    inference = ops.convert_to_numpy(model(points, training=False)["points"])
    epsilon_std = model.sampling.epsilon_std
    model.sampling.epsilon_std = epsilon_std if noise else 0.0
    # Last, because batch statistics change the moving ones.
    trained = []
    for start in range(0, len(points), batch_size):
        out = model(points[start : start + batch_size], training=True)
        trained.append(ops.convert_to_numpy(out["points"]))
    model.sampling.epsilon_std = epsilon_std
    scale = model.preprocessing.scale
    return (
        scale * rms_distance(points, inference),
        scale * rms_distance(points, np.concatenate(trained)),
    )


@pytest.mark.parametrize(
    "backbone, linear_skip",
    slow_but([("finta", False), ("compact", False), ("dense", True)], "compact"),
)
def test_inference_agrees_with_training_on_small_data(fifty, backbone, linear_skip):
    points, preprocessing = fifty
    settings = TrainingSettings(
        n_points=64, epochs=5, backbone=backbone, linear_skip=linear_skip
    )
    model, _, _ = fit(points, None, preprocessing, settings)
    inference, in_training = errors_mm(model, points, settings.batch_size)
    assert inference == pytest.approx(in_training, rel=0.1)


@slow
def test_inference_agrees_with_training_in_several_batches(fifty):
    """Each batch has its own statistics in training; inference has one set."""
    points, preprocessing = fifty
    settings = TrainingSettings(
        n_points=64, epochs=5, backbone="finta", linear_skip=False, batch_size=25
    )
    model, _, _ = fit(points, None, preprocessing, settings)
    inference, in_training = errors_mm(model, points, 25)
    assert inference < 1.1 * in_training
    # The draws alone may cost more than 10 %: without them both ways must agree.
    inference, in_training = errors_mm(model, points, 25, noise=False)
    assert inference == pytest.approx(in_training, rel=0.1)


def test_settled_statistics_are_the_mean_over_batches(fifty):
    points, preprocessing = fifty
    settings = TrainingSettings(n_points=64, latent_dim=3, backbone="compact", seed=1)
    model = build_model(preprocessing, settings)
    model.ensure_built()
    before = [weight.copy() for weight in weights(model)]
    settle_statistics(model, points, 25)
    norm = next(
        layer
        for layer in model.encoder_body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert norm.momentum == 0.9
    conv = keras.Model(model.encoder_body.input, norm.input)
    features = ops.convert_to_numpy(conv(points))
    np.testing.assert_allclose(
        ops.convert_to_numpy(norm.moving_mean), features.mean(axis=(0, 1)), atol=1e-4
    )
    # The mean of the batches' variances is close to that of all.
    np.testing.assert_allclose(
        ops.convert_to_numpy(norm.moving_variance), features.var(axis=(0, 1)), rtol=0.1
    )
    for weight, old in zip(model.weights, before):
        if "moving" not in weight.path:
            np.testing.assert_array_equal(ops.convert_to_numpy(weight), old)


# Extreme values


@pytest.mark.parametrize(
    "options, log_var, may_stop",
    [
        pytest.param(
            *({"backbone": "finta", "linear_skip": False, "n_points": 64}, 1e4, False),
            marks=slow,
        ),
        pytest.param(*({"backbone": "compact"}, -1e4, False), marks=slow),
        ({"normalise": True}, 1e4, False),
        pytest.param(*({"normalise": True, "clip_norm": 0.0}, -1e4, False), marks=slow),
        pytest.param(
            *({"linear_skip": False, "loss": "mse", "clip_norm": 0.0}, 1e4, True),
            marks=slow,
        ),
        pytest.param({"linear_skip": False, "loss": "mse"}, -1e4, True, marks=slow),
    ],
    ids=["finta", "compact", "dense", "dense-low", "mse", "mse-low"],
)
def test_extreme_coordinates_and_log_variances(bundles, options, log_var, may_stop):
    """The seed's bug: nan from exponentials and large coordinates."""
    lines = [1e4 * line for line in bundles[0]]
    settings = replace(SMALL, **{"normalise": False, **options})
    data = gather(
        [lines], Preprocessing(n_points=settings.n_points), normalise=settings.normalise
    )
    assert np.abs(data.preprocessing.denormalise(data.points)).max() > 2e5
    keras.utils.set_random_seed(0)
    model = build_model(data.preprocessing, settings)
    model.set_principal(fit_principal(data.points, model.principal.n_components))
    model.log_var_head.bias.assign(np.full(4, log_var))
    model.total_steps = 200
    clip_norm = settings.clip_norm or None
    model.compile(keras.optimizers.Adam(0.1, global_clipnorm=clip_norm))
    fitting = {"epochs": 20, "batch_size": 2, "verbose": 0}
    try:
        history = model.fit(
            data.points, callbacks=[StopOnNonFinite()], **fitting
        ).history
    except TrainingDivergedError as err:
        assert may_stop, err
        return
    assert int(model.step) == 200
    settle_statistics(model, data.points, 2)
    for name, values in history.items():
        assert np.isfinite(values).all(), name
    for weight, values in zip(model.weights, weights(model)):
        assert np.isfinite(values).all(), weight.path
    latents = encode(model, lines)
    assert np.isfinite(latents.mean).all() and np.isfinite(latents.log_var).all()
    assert np.isfinite(decode(model, latents)).all()


@pytest.mark.parametrize(
    "backbone, model",
    slow_but([("dense", "vae"), ("finta", "ae"), ("compact", "vae")], "dense"),
)
def test_mixed_precision(backbone, model, bundles, tmp_path):
    options = {"n_points": 64, "latent_dim": 4, "epochs": 2, "model": model}
    before = keras.config.dtype_policy().name
    runs = {
        precision: train(bundles, backbone=backbone, precision=precision, **options)
        for precision in ("float32", "mixed_bfloat16")
    }
    assert keras.config.dtype_policy().name == before
    whole, half = (
        runs[name].record.history["error_mm"][-1]
        for name in ("float32", "mixed_bfloat16")
    )
    assert half == pytest.approx(whole, rel=0.05)
    trained = runs["mixed_bfloat16"]
    layer = trained.encoder_body.layers[-1]
    assert layer.compute_dtype == "bfloat16"
    # What is saved works in float32, and encodes to the same numbers.
    save_model(trained, tmp_path / "half.keras")
    loaded = load_model(tmp_path / "half.keras")
    assert loaded.encoder_body.layers[-1].compute_dtype == "float32"
    np.testing.assert_array_equal(
        encode(loaded, bundles[0]).mean, encode(trained, bundles[0]).mean
    )


@pytest.mark.parametrize("setting", ["precision", "xla"])
def test_unknown_speed_settings(setting):
    with pytest.raises(InvalidArgumentError, match=f"`{setting}`.*Received: 'fast'"):
        TrainingSettings(**{setting: "fast"})
