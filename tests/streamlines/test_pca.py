import numpy as np
import pytest
from sklearn.decomposition import PCA

from dipy_tractoencoder.streamlines.pca import (
    SMALLEST_SPREAD,
    Moments,
    PCABaseline,
    fit_principal,
)
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing


@pytest.fixture
def points(data):
    return data.points


def assert_same_span(first, second, atol=1e-3):
    """Columns of two orthonormal sets agree, each up to its sign."""
    cosines = np.abs(np.einsum("ij,ij->j", first, second))
    np.testing.assert_allclose(cosines, 1, atol=atol)


def test_agrees_with_sklearn(points):
    n_components = 8
    flat = points.reshape(len(points), -1).astype(np.float64)
    reference = PCA(n_components, svd_solver="full").fit(flat)
    ours = fit_principal(points, n_components)
    assert ours.n_components == n_components
    np.testing.assert_allclose(ours.mean, reference.mean_, atol=1e-5)
    assert_same_span(ours.directions, reference.components_.T)
    # sklearn divides by n - 1.
    variances = reference.explained_variance_ * (len(points) - 1) / len(points)
    np.testing.assert_allclose(ours.spread, np.sqrt(variances), rtol=1e-4)
    np.testing.assert_allclose(ours.total_variance, flat.var(axis=0).sum(), rtol=1e-5)
    expected = reference.inverse_transform(reference.transform(flat))
    np.testing.assert_allclose(
        ours.reconstruct(points, n_components).reshape(expected.shape),
        expected,
        atol=1e-4,
    )


def test_residual_variance_is_that_of_the_reconstruction(points):
    principal = fit_principal(points, 10)
    for n_components in (0, 1, 4, 10):
        rebuilt = principal.reconstruct(points, n_components).astype(np.float64)
        np.testing.assert_allclose(
            principal.residual_variance(n_components),
            np.square(points - rebuilt).mean(),
            rtol=1e-3,
        )


def test_no_other_projection_is_better(points, rng):
    n_components = 4
    principal = fit_principal(points, n_components)
    best = np.square(points - principal.reconstruct(points, n_components)).mean()
    flat = points.reshape(len(points), -1) - principal.mean
    # The optimum by the singular values (Eckart and Young).
    singular = np.linalg.svd(flat.astype(np.float64), compute_uv=False)
    optimum = np.square(singular[n_components:]).sum() / flat.size
    np.testing.assert_allclose(best, optimum, rtol=1e-3)
    for size in (0.02, 1.0):
        other = principal.directions + size * rng.normal(
            size=principal.directions.shape
        )
        other, _ = np.linalg.qr(other)
        assert np.square(flat - flat @ other @ other.T).mean() > best


def test_directions_are_orthonormal_and_sorted(points):
    principal = fit_principal(points, 20)
    gram = principal.directions.T @ principal.directions
    np.testing.assert_allclose(gram, np.eye(20), atol=1e-5)
    assert (np.diff(principal.spread) <= 0).all()
    assert principal.directions.dtype == principal.spread.dtype == np.float32


@pytest.mark.parametrize("chunk_size", [1, 7, 59, 60, 1000])
def test_chunks_do_not_matter(points, chunk_size):
    whole = fit_principal(points, 6, chunk_size=10_000)
    chunked = fit_principal(points, 6, chunk_size=chunk_size)
    np.testing.assert_allclose(chunked.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(chunked.spread, whole.spread, rtol=1e-5)
    np.testing.assert_allclose(chunked.directions, whole.directions, atol=1e-4)
    np.testing.assert_allclose(chunked.total_variance, whole.total_variance)


def test_moments_of_parts_are_those_of_the_whole(points):
    """Also where the parts lie far from each other, and one is empty."""
    points = points + np.float32([4, -20, 3])
    points[50:] += 10
    parts = Moments(), Moments(chunk_size=7), Moments()
    parts[0].add(points[:50])
    for start in range(50, 60, 3):
        parts[1].add(points[start : start + 3])
    joined = parts[0] + parts[2] + parts[1] + parts[2]
    assert joined.count == 60
    principal, wanted = joined.principal(6), fit_principal(points, 6)
    np.testing.assert_allclose(principal.mean, wanted.mean, atol=1e-5)
    np.testing.assert_allclose(principal.spread, wanted.spread, rtol=1e-4)
    assert_same_span(principal.directions, wanted.directions, atol=1e-5)
    assert principal.total_variance == pytest.approx(wanted.total_variance, rel=1e-5)


def test_whitened_coefficients_and_their_rest(points):
    principal = fit_principal(points, 5)
    rows = principal.whitened(points)
    assert rows.dtype == np.float32 and rows.shape == (60, 6)
    coefficients = principal.encode(points, 5)
    np.testing.assert_allclose(rows[:, :-1] * principal.spread, coefficients, atol=1e-5)
    np.testing.assert_allclose(rows[:, :-1].std(axis=0), 1, rtol=1e-3)
    off = points - principal.decode(coefficients)
    np.testing.assert_allclose(
        rows[:, -1], np.square(off).sum(axis=(1, 2)), rtol=1e-3, atol=1e-6
    )


def test_points_far_from_the_origin(points):
    """Gathered moments must not lose small spreads beside a large mean."""
    far = (points.astype(np.float64) + 1000).astype(np.float32)
    near = far.astype(np.float64) - 1000
    np.testing.assert_allclose(
        fit_principal(far, 6, chunk_size=9).spread,
        fit_principal(near, 6).spread,
        rtol=1e-4,
    )


def test_both_directions_counts_the_reverse(points):
    doubled = np.concatenate([points, points[:, ::-1]])
    ours = fit_principal(points, 6, both_directions=True, chunk_size=17)
    reference = fit_principal(doubled, 6)
    np.testing.assert_allclose(ours.mean, reference.mean, atol=1e-5)
    np.testing.assert_allclose(ours.spread, reference.spread, rtol=1e-4)
    assert_same_span(ours.directions, reference.directions)
    mean = ours.mean.reshape(-1, 3)
    np.testing.assert_allclose(mean, mean[::-1], atol=1e-5)
    assert ours.total_variance > fit_principal(points, 6).total_variance


@pytest.mark.parametrize("n_streamlines", [1, 2, 5])
def test_fewer_streamlines_than_directions(points, n_streamlines):
    few = points[:n_streamlines]
    principal = fit_principal(few, 64)
    assert principal.directions.shape == (96, 64)
    gram = principal.directions.T @ principal.directions
    np.testing.assert_allclose(gram, np.eye(64), atol=1e-5)
    assert np.isfinite(principal.spread).all() and (principal.spread > 0).all()
    if n_streamlines > 1:
        floor = principal.spread[0] * SMALLEST_SPREAD
        np.testing.assert_allclose(principal.spread[n_streamlines - 1 :], floor)
    np.testing.assert_allclose(principal.reconstruct(few, 64), few, atol=1e-4)
    assert principal.residual_variance(64) >= 0


def test_identical_streamlines(points):
    principal = fit_principal(np.repeat(points[:1], 9, axis=0), 5)
    assert np.isfinite(principal.directions).all()
    assert (principal.spread > 0).all()
    np.testing.assert_allclose(
        principal.reconstruct(points[:1], 5), points[:1], atol=1e-5
    )


def test_more_directions_than_coordinates(points):
    principal = fit_principal(points[:, :4], 64)
    assert principal.n_components == 12
    np.testing.assert_allclose(
        principal.reconstruct(points[:, :4], 64), points[:, :4], atol=1e-4
    )
    np.testing.assert_allclose(principal.residual_variance(12), 0, atol=1e-5)


def test_refits_agree_in_sign(points, rng):
    order = rng.permutation(len(points))
    np.testing.assert_allclose(
        fit_principal(points, 4).directions,
        fit_principal(points[order], 4).directions,
        atol=1e-3,
    )


@pytest.fixture
def baseline(points):
    preprocessing = Preprocessing(n_points=32, centre=(9.0, -5.0, 2.0), scale=30.0)
    principal = fit_principal(preprocessing.normalise(points), 20)
    return PCABaseline(principal, preprocessing, 6)


def test_baseline_encodes_and_decodes_in_mm(baseline, points):
    latent = baseline.encode(points)
    assert latent.shape == (len(points), 6)
    expected = fit_principal(points, 6)
    back = baseline.decode(latent)
    np.testing.assert_allclose(back, expected.reconstruct(points, 6), atol=1e-3)
    np.testing.assert_allclose(baseline.reconstruct(points), back, atol=1e-4)
    assert back.dtype == np.float32


def test_distance_of_the_baselines_latents_is_that_of_its_streamlines(baseline, points):
    latent, back = baseline.encode(points), baseline.decode(baseline.encode(points))
    squares = np.square(back[1:] - back[:-1], dtype=np.float64).sum(axis=2)
    np.testing.assert_allclose(
        np.linalg.norm(latent[1:] - latent[:-1], axis=1),
        np.sqrt(squares.mean(axis=1)),
        rtol=1e-4,
    )


def test_baseline_of_no_streamlines(baseline, points):
    assert baseline.encode(points[:0]).shape == (0, 6)
    assert baseline.decode(np.empty((0, 6))).shape == (0, 32, 3)
