"""What a training gives back."""

import numpy as np
import pytest

from dipy_tractoencoder.training.run import TrainingRun


def made(held_out=True):
    """Make a run whose reconstructions are 3 and 5 mm away in one of two lines."""
    points = np.zeros((2, 4, 3), dtype=np.float32)
    off = np.zeros((2, 1, 3), dtype=np.float32)
    off[0, 0, 0] = 1
    source = np.zeros(2, dtype=int)
    return TrainingRun(
        None, points, points + 3 * off, points - 5 * off, held_out, source
    )


def test_errors_are_root_mean_squares_in_mm():
    errors = made().errors()
    assert errors["n_streamlines"] == 2
    assert errors["error_mm"] == pytest.approx(3 / np.sqrt(2))
    assert errors["pca_error_mm"] == pytest.approx(5 / np.sqrt(2))


def test_what_was_measured_is_named():
    assert made().what == "held-out streamlines"
    assert made(held_out=False).what == "training streamlines"
