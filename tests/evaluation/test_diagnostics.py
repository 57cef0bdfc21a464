"""Diagnostics of a model: the statistics of its batch normalisation."""

import numpy as np
import pytest

from dipy_tractoencoder.evaluation.diagnostics import batch_statistics_error
from dipy_tractoencoder.latent.reconstruction import reconstruct_points
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance


@pytest.mark.slow
def test_statistics_of_batch_normalisation(
    trained_vae, trained_convolutional_vae, bundles
):
    model = trained_convolutional_vae
    points = model.preprocessing.array(bundles[0]).points
    assert batch_statistics_error(trained_vae, points) is None
    before = [np.array(weight) for weight in model.get_weights()]
    kept, of_batch = batch_statistics_error(model, points)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    back = reconstruct_points(model, points)
    assert kept == pytest.approx(
        pooled_distance(point_distance(points, back)), rel=1e-3
    )
    assert of_batch > 0 and of_batch != pytest.approx(kept, rel=1e-4)
