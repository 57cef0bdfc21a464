"""Remoteness from a reference by its local density, whatever its files."""

import numpy as np
import pytest

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.segment.reference_density import fit_reference_density


@pytest.fixture
def reference(rng):
    """Three bundles of different density, far from each other."""
    scale = np.repeat([0.5, 1.0, 3.0], 200)[:, None]
    centres = np.repeat(60 * np.eye(3), 200, axis=0)
    return centres + scale * rng.normal(size=(600, 3))


def test_members_stay_and_strangers_go(reference, rng):
    density = fit_reference_density(reference[::2])
    _, near = density.judge(reference[1::2])
    _, far = density.judge(rng.uniform(-10, 70, (300, 3)))
    assert (density.p_values(near) <= 0.05).mean() < 0.1
    assert (density.p_values(far) > 0.05).mean() < 0.15


def test_p_values_hold_for_dense_and_sparse_parts(reference):
    density = fit_reference_density(reference[::2])
    p = density.p_values(density.judge(reference[1::2])[1])
    for part in np.split(p, 3):
        assert (part <= 0.05).mean() < 0.15


def test_files_order_and_doubles_change_nothing(reference, rng):
    """The reference in one file, one per bundle, ten at random, or doubled."""
    new = reference + rng.normal(size=reference.shape)
    whole = fit_reference_density(reference)
    expected = whole.p_values(whole.judge(new)[1])
    rows = rng.permutation(600)
    ten = np.concatenate(np.array_split(rows, 10)[::-1])
    for order in (rows, ten, np.tile(np.arange(600), 2)):
        other = fit_reference_density(reference[order])
        p = other.p_values(other.judge(new)[1])
        np.testing.assert_array_equal(p, expected)


def test_the_nearest_distance_is_that_of_a_search(reference):
    density = fit_reference_density(reference)
    new = reference[:50] + 1.0
    nearest, _ = density.judge(new)
    distances = np.linalg.norm(new[:, None] - reference[None], axis=-1)
    np.testing.assert_allclose(nearest, distances.min(axis=1), rtol=1e-6)


@pytest.mark.parametrize("n", [2, 5, 13])
def test_small_references_have_no_strangers(reference, n):
    density = fit_reference_density(reference[:n])
    assert len(density.decisions.strangers) in (0, n)
    p = density.p_values(density.judge(reference[:n])[1])
    assert ((p > 0) & (p <= 1)).all()


def test_one_streamline_is_no_reference(reference):
    with pytest.raises(EmptyDataError, match="two different"):
        fit_reference_density(np.repeat(reference[:1], 3, axis=0))
