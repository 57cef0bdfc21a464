"""The learning rate over a training."""

from dataclasses import replace

import numpy as np
import pytest

from dipy_tractoencoder.training.fit import (
    fit,
    learning_rate,
)
from dipy_tractoencoder.training.settings import TrainingSettings

# Batches that divide the rows leave one shape to compile for.
SMALL = TrainingSettings(n_points=32, latent_dim=4, epochs=3, batch_size=15)


def test_learning_rate_is_warmed_up_and_falls_by_a_cosine(data):
    settings = replace(SMALL, epochs=20)  # 80 steps, 4 of them rising.
    rate = learning_rate(settings, 80)
    at = [float(rate(step)) for step in range(81)]
    assert np.argmax(at) == 4 and max(at) == pytest.approx(2e-3)
    assert at[0] == pytest.approx(2e-5)
    assert (np.diff(at[:5]) > 0).all() and (np.diff(at[4:]) < 0).all()
    assert at[42] == pytest.approx(1e-3) and at[80] == pytest.approx(0, abs=1e-8)
    settings = replace(settings, epochs=5)
    rate = learning_rate(settings, 20)
    at = [float(rate(step)) for step in range(21)]
    _, history, _ = fit(data.points, None, data.preprocessing, settings)
    np.testing.assert_allclose(history["learning_rate"], at[4::4], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("total_steps", [1, 2, 19])
@pytest.mark.parametrize("backbone", ["dense", "compact", "finta"])
def test_default_rates_are_lower_for_convolutions(backbone, total_steps):
    settings = TrainingSettings(backbone=backbone)
    highest = {"dense": 2e-3, "compact": 5e-4, "finta": 5e-4}[backbone]
    rate = learning_rate(settings, total_steps)
    at = [float(rate(step)) for step in range(total_steps + 1)]
    assert min(at) >= 0 and max(at) <= 1.001 * highest
    constant = replace(settings, rate_schedule=False)
    assert learning_rate(constant, total_steps) == highest


@pytest.mark.slow
def test_learning_rate_can_be_constant(data):
    settings = replace(SMALL, epochs=2, rate_schedule=False, learning_rate=1e-3)
    assert learning_rate(settings, 80) == 1e-3
    _, history, _ = fit(data.points, None, data.preprocessing, settings)
    assert history["learning_rate"] == [1e-3, 1e-3]
