"""Along-tract profiles: the core, what each measure sees, bad input."""

from group_data import make_course, make_group, make_subject, train_on
import numpy as np
import pytest

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.latent.reconstruction import (
    reconstruct_points,
)
from dipy_tractoencoder.stats.profiles import (
    MEASURES,
    BundleCore,
    bundle_profile,
    few_dimensional,
    fit_core,
)


def straight(n_streamlines=5, length=100.0, n_points=201):
    """Parallel streamlines along x, 1 mm apart in y."""
    points = np.zeros((n_streamlines, n_points, 3))
    points[..., 0] = np.linspace(0, length, n_points)
    points[..., 1] = np.arange(n_streamlines)[:, None] - (n_streamlines - 1) / 2
    return points


@pytest.fixture
def core():
    return fit_core([straight()], n_segments=51)


def test_core_is_the_mean_course_whatever_the_directions():
    rng = np.random.default_rng(0)
    bundles = [np.array(make_subject(rng, 200)) for _ in range(6)]
    core = fit_core(bundles, 50)
    assert core.points.shape == (50, 3) and core.normals.shape == (50, 2, 3)
    course = make_course(1000)
    nearest = np.linalg.norm(core.points[:, None] - course, axis=2).min(axis=1)
    assert nearest.max() < 1.5  # Averaged as it ran, the middle of the circle: 20 mm.
    steps = np.linalg.norm(np.diff(core.points, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.01)


def test_normals_are_across_and_orthonormal():
    core = fit_core([np.array(make_subject(np.random.default_rng(1)))], 60)
    tangents = np.gradient(core.points.astype(float), axis=0)
    np.testing.assert_allclose(
        np.einsum("skj,sj->sk", core.normals, tangents), 0, atol=1e-5
    )
    np.testing.assert_allclose(
        core.normals @ core.normals.transpose(0, 2, 1),
        np.broadcast_to(np.eye(2), (60, 2, 2)),
        atol=1e-6,
    )


def test_each_subject_counts_the_same():
    core = fit_core([straight(50), straight(2) + (0, 6, 0)], 20)
    np.testing.assert_allclose(core.points[:, 1], 3, atol=1e-4)


def test_all_points_go_to_the_nearest_of_the_segments(core):
    segments = core.segments(straight()).reshape(5, 201)
    assert segments.min() == 0 and segments.max() == 50
    np.testing.assert_array_equal(segments[0], segments[4])
    np.testing.assert_array_equal(
        core.segments(straight()[:, ::-1]).reshape(5, 201), segments[:, ::-1]
    )


def test_displacement_is_that_of_the_mean_course(core):
    profile = bundle_profile(straight() + (3, 4, 12), core, "displacement")
    np.testing.assert_allclose(np.linalg.norm(profile, axis=1)[2:-2], 160**0.5, 1e-4)


def test_local_displacement_leaves_a_bump_and_no_shift(core):
    moved = straight() + (0, 4, 0)
    moved[..., 2] += 0.05 * moved[..., 0]
    local = bundle_profile(moved, core, "local_displacement")
    np.testing.assert_allclose(local, 0, atol=0.05)
    moved[..., 2] += 5 * np.exp(-(((moved[..., 0] - 60) / 6) ** 2))
    local = bundle_profile(moved, core, "local_displacement")
    sizes = np.linalg.norm(local, axis=1)
    assert abs(sizes.argmax() - 30) <= 1
    assert sizes.max() > 3


def test_residual_keeps_the_direction_and_error_does_not(core):
    points = straight(4)
    sign = np.array([1, -1, 1, -1])[:, None, None]
    for offset, residual, error in (
        (np.array([0, 3.0, 4]), 5, 5),
        (np.array([0, 3.0, 4]) * sign, 0, 5),  # Cancels over streamlines.
        (np.array([5.0, 0, 0]), 0, 5),  # Along the bundle.
    ):
        profiles = [
            bundle_profile(points, core, measure, points + offset)
            for measure in ("residual", "error")
        ]
        assert [p.shape for p in profiles] == [(51, 2), (51, 1)]
        sizes = [np.linalg.norm(p, axis=1) for p in profiles]
        np.testing.assert_allclose(sizes[0], residual, atol=1e-5)
        np.testing.assert_allclose(sizes[1], error, atol=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_direction_of_streamlines_does_not_matter(core, measure):
    points = straight() + (0, 2, 0)
    points[..., 2] = np.sin(points[..., 0] / 7)
    expected = bundle_profile(points, core, measure, points * 0.9)
    turned = points[:, ::-1]
    np.testing.assert_allclose(
        bundle_profile(turned, core, measure, turned * 0.9), expected, atol=1e-9
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_segments_without_points_are_nan(core, measure):
    half = straight(length=50)
    profile = bundle_profile(half, core, measure, half * 0.9)
    empty = np.isnan(profile).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(empty), np.arange(26, 51))


def test_few_dimensions_are_the_first_principal_ones():
    group = make_group(0, 2)
    model = train_on(group)
    points = model.preprocessing.array(group["c0"]["AF"]).points
    errors = [
        np.linalg.norm(points - few_dimensional(model, points, k), axis=2).mean()
        for k in (1, 2, 4, 9)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.5 * errors[0]
    model.latent_dim, kept = 4, model.latent_dim
    expected = model.pca_baseline().reconstruct(points)
    model.latent_dim = kept
    np.testing.assert_array_equal(few_dimensional(model, points, 4), expected)
    np.testing.assert_array_equal(
        few_dimensional(model, points, 0), reconstruct_points(model, points)
    )


def test_bad_input(core):
    points = straight()
    with pytest.raises(InvalidArgumentError, match="`measure`.*residual.*'fa'"):
        bundle_profile(points, core, "fa")
    with pytest.raises(InvalidArgumentError, match="reconstructed"):
        bundle_profile(points, core, "error")
    with pytest.raises(InvalidArgumentError, match="`n_segments`"):
        fit_core([points], 1)
    for bundles in ([], [points, points[:0]]):
        with pytest.raises(EmptyDataError):
            fit_core(bundles)
    assert isinstance(core, BundleCore)
