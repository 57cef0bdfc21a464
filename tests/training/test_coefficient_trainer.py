"""Training on principal coefficients is training on points."""

from keras import ops
import numpy as np
import pytest

from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training import fit as training
from dipy_tractoencoder.training.coefficient_trainer import (
    CoefficientTrainer,
    inputs_of,
    trainer_of,
)
from dipy_tractoencoder.training.fit import build_model, fit
from dipy_tractoencoder.training.settings import TrainingSettings

N_POINTS = 48  # More coordinates than directions: something is left out.


@pytest.fixture(scope="module")
def points():
    """Wiggly streamlines that no 64 directions hold, normalised."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(150, N_POINTS, 3)).cumsum(axis=1)
    return (steps / 5).astype(np.float32)


def small_model(points, **options):
    settings = TrainingSettings(n_points=N_POINTS, latent_dim=5, **options)
    preprocessing = Preprocessing(
        n_points=N_POINTS, scale=30.0, orientation=settings.orientation
    )
    model = build_model(preprocessing, settings)
    model.set_principal(fit_principal(points, model.principal.n_components))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:  # Away from PCA's solution.
        weight.assign(weight + rng.normal(0, 0.05, weight.shape))
    return model


@pytest.mark.parametrize("model", ["vae", "ae"])
@pytest.mark.parametrize("linear_skip", [True, False])
@pytest.mark.parametrize("loss", ["likelihood", "mse"])
def test_the_loss_is_the_same(points, model, linear_skip, loss):
    model = small_model(points, model=model, linear_skip=linear_skip, loss=loss)
    trainer = trainer_of(model)
    assert isinstance(trainer, CoefficientTrainer)
    inputs = inputs_of(trainer, points)
    assert inputs.shape == (150, model.principal.n_components + 1)
    assert inputs[:, -1].mean() > 0.01  # What the directions leave out counts.
    losses = [
        float(
            some.compute_loss(
                y_pred=some(ops.convert_to_tensor(values)), training=False
            )
        )
        for some, values in ((model, points), (trainer, inputs))
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_weights_and_quantities_are_the_models_own(points):
    model = small_model(points)
    trainer = trainer_of(model)
    assert {w.path for w in trainer.trainable_weights} == {
        w.path for w in model.trainable_weights
    }
    trainer.compile()
    names = {metric.name for metric in trainer.metrics}
    assert names >= {"error_mm", "noise_std_mm", "kl_nats", "kl_weight"}


@pytest.mark.parametrize(
    "options", [{"orientation": "augment"}, {"backbone": "compact", "n_points": 64}]
)
def test_others_train_on_points(options):
    settings = TrainingSettings(latent_dim=5, **{"n_points": N_POINTS, **options})
    preprocessing = Preprocessing(
        n_points=settings.n_points, orientation=settings.orientation
    )
    model = build_model(preprocessing, settings)
    assert trainer_of(model) is model
    points = np.zeros((3, settings.n_points, 3), dtype=np.float32)
    assert inputs_of(model, points) is points


def test_the_training_is_the_same(points, monkeypatch):
    preprocessing = Preprocessing(n_points=N_POINTS, scale=30.0)
    settings = TrainingSettings(
        n_points=N_POINTS, latent_dim=5, epochs=5, batch_size=25
    )
    arguments = (points[:100], None, preprocessing, settings)
    model, history, _ = fit(*arguments)
    monkeypatch.setattr(training, "trainer_of", lambda model: model)
    other, wanted, _ = fit(*arguments)
    assert history.keys() == wanted.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, wanted[name], rtol=2e-3, err_msg=name)
    latent = [m.encode_tensors(ops.convert_to_tensor(points)) for m in (model, other)]
    first, second = (ops.convert_to_numpy(heads["mean"]) for heads in latent)
    np.testing.assert_allclose(first, second, atol=1e-2 * np.abs(second).max())
