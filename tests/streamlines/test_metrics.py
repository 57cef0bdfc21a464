from dipy.segment import bundles
from dipy.tracking.streamline import bundles_distances_mdf, set_number_of_points
import numpy as np
import pytest

from dipy_tractoencoder.streamlines import metrics
from dipy_tractoencoder.streamlines.metrics import (
    bundle_metrics,
    paired_mdf,
    point_distance,
    pooled_distance,
)


@pytest.fixture
def points(bundles):
    """One bundle, all streamlines running the same way, mm."""
    points = np.array(set_number_of_points(bundles[0], nb_points=24))
    axis = points[0, -1] - points[0, 0]
    backwards = (points[:, -1] - points[:, 0]) @ axis < 0
    points[backwards] = points[backwards, ::-1]
    return points


def test_point_distance_of_a_shift(points):
    shifted = points + np.array([3, 0, 4], dtype=np.float32)
    np.testing.assert_allclose(point_distance(points, shifted), 5, rtol=1e-5)
    assert point_distance(points, points).tolist() == [0.0] * len(points)


def test_point_distance_is_a_root_mean_square():
    first = np.zeros((2, 4, 3))
    second = first.copy()
    second[1, 0, 0] = 6  # one of four points is 6 mm away
    np.testing.assert_allclose(point_distance(first, second), [0, 3])


def test_point_distance_far_from_the_origin(points):
    # Squares of float32 coordinates would lose the difference.
    far = points.astype(np.float64) + 1e5
    step = np.array([1.0, 0, 0])
    np.testing.assert_allclose(point_distance(far, far + step), 1, rtol=1e-6)


def test_pooled_distance_is_over_all_points(rng):
    first, second = rng.normal(size=(2, 7, 5, 3))
    expected = np.sqrt(np.mean(np.sum((first - second) ** 2, axis=2)))
    assert pooled_distance(point_distance(first, second)) == pytest.approx(expected)
    assert np.isnan(pooled_distance(np.empty(0)))


def test_paired_mdf_is_the_diagonal_of_dipys(points, rng):
    other = points + rng.normal(scale=3, size=points.shape).astype(np.float32)
    other[::2] = other[::2, ::-1]
    expected = np.diag(bundles_distances_mdf(list(points), list(other)))
    np.testing.assert_allclose(paired_mdf(points, other), expected, rtol=1e-5)
    # Half of them run the other way, which MDF does not mind.
    assert (point_distance(points, other)[::2] > 2 * expected[::2]).all()


def test_bundle_metrics_of_identical_bundles(points):
    found = bundle_metrics(points, points)
    assert found["bundle_adjacency"] == 1
    assert found["shape_similarity"] == 1
    assert found["length_difference_mm"] == 0
    assert found["length_mm"] == found["reconstructed_length_mm"]
    steps = np.linalg.norm(np.diff(points.astype(float), axis=1), axis=2)
    assert found["length_mm"] == pytest.approx(steps.sum(axis=1).mean(), rel=1e-5)


def test_bundle_metrics_of_bundles_far_apart(points):
    found = bundle_metrics(points, 2 * points + 200)
    assert found["bundle_adjacency"] == 0
    assert found["shape_similarity"] == 0
    assert found["length_difference_mm"] == pytest.approx(found["length_mm"], rel=1e-4)


def test_bundle_metrics_sample_large_bundles(points, monkeypatch):
    compared = []
    adjacency = bundles.bundle_adjacency

    def watch(first, second, threshold):
        compared.append((np.array(first)[:, 0], np.array(second)[:, 0]))
        return adjacency(first, second, threshold)

    monkeypatch.setattr(metrics, "LARGEST_BUNDLE", 8)
    monkeypatch.setattr(bundles, "bundle_adjacency", watch)
    # It would call the function before.
    monkeypatch.setattr(bundles, "bundle_shape_similarity", lambda *_, **__: 1.0)
    moved = points + np.float32(1)
    found = [bundle_metrics(points, moved, seed=seed) for seed in (0, 0, 1)]
    assert [len(first) for first, _ in compared] == [8, 8, 8]
    # Pairs stay pairs, the same seed draws the same, and lengths are over all.
    for first, second in compared:
        np.testing.assert_allclose(second - first, 1, atol=1e-4)
    assert found[0] == found[1]
    assert not np.array_equal(compared[0][0], compared[2][0])
    steps = np.linalg.norm(np.diff(points.astype(float), axis=1), axis=2)
    assert found[0]["length_mm"] == pytest.approx(steps.sum(axis=1).mean(), rel=1e-5)
