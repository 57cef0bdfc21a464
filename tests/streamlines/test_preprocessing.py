import json

import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.preprocessing import (
    Preprocessing,
    fit_axis,
    fit_normalisation,
)


@pytest.fixture
def preprocessing():
    return Preprocessing(
        n_points=48,
        orientation="canonical",
        axis=(0.6, 0.0, 0.8),
        centre=(3.25, -17.5, 40.0),
        scale=31.7,
        min_length=4.5,
        max_length=220.0,
    )


def test_normalise_centres_and_scales(preprocessing):
    points = np.array([[[3.25, -17.5, 40.0], [34.95, -17.5, 8.3]]], dtype=np.float32)
    expected = [[[0, 0, 0], [1, 0, -1]]]
    np.testing.assert_allclose(preprocessing.normalise(points), expected, atol=1e-6)


def test_denormalise_is_the_inverse(preprocessing, rng):
    points = rng.uniform(-120, 120, (20, 48, 3)).astype(np.float32)
    there = preprocessing.normalise(points)
    assert there.dtype == np.float32
    back = preprocessing.denormalise(there)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, points, atol=1e-4)
    np.testing.assert_allclose(
        preprocessing.normalise(preprocessing.denormalise(there)), there, atol=1e-5
    )


def test_fitted_normalisation_gives_mean_0_and_spread_1(rng):
    points = rng.normal((5, -40, 900), (1, 20, 3), (30, 16, 3)).astype(np.float32)
    centre, scale = fit_normalisation(points)
    np.testing.assert_allclose(centre, points.astype(float).mean(axis=(0, 1)))
    fitted = Preprocessing(n_points=16, centre=centre, scale=scale)
    normalised = fitted.normalise(points).astype(np.float64)
    np.testing.assert_allclose(normalised.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(np.square(normalised).mean(), 1, rtol=1e-5)


def test_normalisation_is_isotropic(preprocessing, rng):
    points = rng.normal(size=(5, 48, 3)).astype(np.float32)
    ratio = np.diff(points, axis=1) / np.diff(preprocessing.normalise(points), axis=1)
    np.testing.assert_allclose(ratio, 31.7, rtol=1e-2)


def test_normalisation_of_constant_points_has_scale_1():
    assert fit_normalisation(np.full((4, 8, 3), 7.0, np.float32)) == ((7, 7, 7), 1.0)


def test_normalisation_of_huge_points_is_finite():
    points = np.array([[[1e15] * 3, [-1e15] * 3]], dtype=np.float32)
    centre, scale = fit_normalisation(points)
    np.testing.assert_allclose(scale, 1e15, rtol=1e-5)
    assert np.isfinite(centre).all()


def test_round_trip_through_json(preprocessing):
    values = json.loads(json.dumps(preprocessing.to_dict()))
    assert Preprocessing.from_dict(values) == preprocessing
    default = Preprocessing()
    assert Preprocessing.from_dict(json.loads(json.dumps(default.to_dict()))) == default


@pytest.mark.parametrize(
    "options",
    [
        {"n_points": 1},
        {"n_points": 0},
        {"n_points": 2.5},
        {"n_points": None},
        {"orientation": "backwards"},
        {"scale": 0},
        {"scale": -1.0},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"min_length": -1},
        {"min_length": float("nan")},
        {"max_length": 0},
        {"max_length": float("inf")},
        {"min_length": 10, "max_length": 10},
        {"min_length": 10, "max_length": 5},
    ],
)
def test_validation_names_the_option(options):
    with pytest.raises(InvalidArgumentError, match=f"`{list(options)[-1]}`"):
        Preprocessing(**options)


def test_array_uses_every_option(preprocessing, lines):
    short, long = np.eye(2, 3, dtype=np.float32), np.eye(2, 3, dtype=np.float32) * 400
    array = preprocessing.array([short, *lines, long])
    assert array.points.shape == (len(lines), 48, 3)
    assert array.rejects == {"too_short": 1, "too_long": 1}
    steps = array.points[:, -1] - array.points[:, 0]
    assert (steps @ np.array(preprocessing.axis) > 0).all()


# The axis of the canonical orientation


def straight(directions, rng):
    """Straight streamlines of 30 mm along the given directions, either way round."""
    directions = np.asarray(directions, dtype=np.float64)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    signs = rng.choice([-1, 1], (len(directions), 1))
    t = np.linspace(-15, 15, 8)[:, None]
    return ((signs * directions)[:, None] * t).astype(np.float32)


@pytest.mark.parametrize("n_points", [2, 16])
def test_axis_is_a_unit_vector_of_plain_numbers(rng, n_points):
    axis = fit_axis(rng.normal(size=(40, n_points, 3)).astype(np.float32))
    assert isinstance(axis, tuple) and all(type(value) is float for value in axis)
    np.testing.assert_allclose(np.linalg.norm(axis), 1, atol=1e-12)


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (1, -2, 0.5)])
def test_axis_of_one_bundle_lies_along_it(rng, direction):
    directions = direction + rng.normal(scale=0.02, size=(50, 3))
    cosine = np.dot(fit_axis(straight(directions, rng)), direction)
    assert abs(cosine) / np.linalg.norm(direction) > 0.95


@pytest.mark.parametrize(
    "bundles",
    [
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((1, 1, 0), (1, -1, 0), (0, 0, 1)),
        ((1, 0.2, 0), (0.2, 1, 0)),
        ((0, 0, 1), (1, 0, 0.1)),
    ],
)
def test_axis_avoids_perpendicular_bundles(rng, bundles):
    # One large bundle, whose own direction would be the plain choice.
    sizes = [200, *[30] * (len(bundles) - 1)]
    directions = np.repeat(np.array(bundles, dtype=float), sizes, axis=0)
    directions += rng.normal(scale=0.03, size=directions.shape)
    streamlines = straight(directions, rng)
    ends = streamlines[:, -1] - streamlines[:, 0]
    cosines = np.abs(ends @ np.array(fit_axis(streamlines))) / 30
    assert cosines.min() > 0.2


def test_axis_does_not_depend_on_directions(data):
    turned = data.points.copy()
    turned[::2] = turned[::2, ::-1]
    assert fit_axis(turned) == fit_axis(data.points)


def test_axis_of_closed_streamlines_only():
    closed = np.zeros((3, 5, 3), np.float32)
    closed[:, 2] = 9
    np.testing.assert_allclose(np.linalg.norm(fit_axis(closed)), 1)
