"""Distances of one subject from a group."""

from group_data import make_subject
import numpy as np
import pytest

from dipy_tractoencoder.stats.group_distances import (
    group_distances,
    streamline_surprise,
    surprise,
)


def test_distances_and_surprise_grow_with_the_shift():
    rng = np.random.default_rng(6)
    is_reference = np.array([True] * 6 + [False] * 3)
    shifts = [0] * 6 + [0, 3, 9]
    points = [np.array(make_subject(rng, 40)) + (0, 0, s) for s in shifts]
    means = [rng.normal(size=(40, 4)) + s for s in shifts]
    unusual = surprise(means, is_reference)
    assert unusual[6] < unusual[7] < unusual[8]
    for values in group_distances(means, points, is_reference).values():
        assert values[6] < values[7] < values[8]
        assert values[8] == pytest.approx(9, rel=1.1)


def test_surprise_is_minus_the_log_density():
    rng = np.random.default_rng(7)
    group = rng.normal(size=(20000, 3)) * 2
    scores = streamline_surprise(np.zeros((1, 3)), group)
    assert scores[0] == pytest.approx(1.5 * np.log(2 * np.pi * 4), abs=0.05)
