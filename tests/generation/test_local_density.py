"""Draws around known latents: as near as those are to each other, and no copies."""

from dataclasses import replace

import numpy as np
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.generation.bundle_density import BundleDensity, describe_bundle
from dipy_tractoencoder.generation.density_file import load_densities, save_densities
from dipy_tractoencoder.generation.local_density import LocalDensity, fit_local
from dipy_tractoencoder.generation.restricted import like_latents, of_length


@pytest.fixture(scope="module")
def latents():
    """Make a thin curved cloud; the first latent tells the length."""
    rng = np.random.default_rng(5)
    at = rng.uniform(-3, 3, 600)
    cloud = np.stack([10 * at, 5 * at**2, 0 * at], axis=1)
    return (cloud + rng.standard_normal((600, 3)) * [1, 1, 0.3]).astype(np.float32)


@pytest.fixture(scope="module")
def length(latents):
    return 50 * np.exp(latents[:, 0].astype(float) / 30)


@pytest.fixture(scope="module")
def density(latents, length):
    return fit_local(latents, length)


def test_draws_are_as_near_as_known_ones_are_to_each_other(rng):
    pairs = np.repeat(10 * rng.standard_normal((300, 8)), 2, axis=0)
    density = fit_local(pairs + rng.standard_normal((600, 8)) / 2)
    assert 0 < density.bandwidth < 1
    drawn = density.sample(3000, rng)
    assert drawn.dtype == np.float32 and drawn.shape == (3000, 8)
    near = np.median(density.distance(drawn)) / np.median(density.distance())
    assert 0.9 < near < 1.1
    assert density.distance(drawn).min() > 0  # No copies.


def test_draws_have_mean_and_covariance_of_the_known(density, latents, rng):
    drawn = density.sample(6000, rng)
    std = latents.std(axis=0)
    np.testing.assert_allclose(
        drawn.mean(axis=0) / std, latents.mean(axis=0) / std, atol=0.05
    )
    np.testing.assert_allclose(
        np.cov(drawn.T), np.cov(latents.T), atol=0.05 * std.max() ** 2
    )


def test_children_have_mean_and_covariance_of_the_family(density, rng):
    one = replace(density, parents=np.array([7]))
    drawn = one.sample(40_000, rng).astype(float)
    near = density._neighbors[7]
    known = density.means.astype(float)
    mean = known[[7, *near]].mean(axis=0)
    a = 1 / np.sqrt(1 + density.bandwidth**2)
    around = known[near] - mean
    h = density.bandwidth
    # The mean of the normal numbers is not that of the neighbours: no shift.
    np.testing.assert_allclose(
        drawn.mean(axis=0), mean + a * (known[7] - mean), atol=0.05
    )
    expected = (a * h) ** 2 * around.T @ around / len(near)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03 * expected.max())


def test_each_parent_has_a_child_before_any_has_two(density):
    still = replace(density, bandwidth=0.0)
    drawn = still.sample(density.n_parts, np.random.default_rng(1))
    known = still.means[np.lexsort(still.means.T)]
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], known, atol=1e-4)


def test_the_seed_decides(density):
    first, again, other = (
        density.sample(20, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_neighbours_are_similar_in_length_where_lengths_vary(latents, length):
    assert fit_local(latents, 50 + 0 * length).length_scale == 0
    assert fit_local(latents, length).length_scale > 0


def test_equal_streamlines_count_once(latents):
    twice = fit_local(np.repeat(latents[:50], 2, axis=0))
    assert twice.n_parts == 50 and twice.bandwidth > 0
    with pytest.raises(EmptyDataError, match="4 different ones of 40"):
        fit_local(np.repeat(latents[:4], 10, axis=0))


def test_a_wished_length(density, length, rng):
    for low, high in ((27, 33), (60, 80)):
        wanted = density.of_length(low, high)
        drawn = wanted.sample(2000, rng)
        told = 50 * np.exp(drawn[:, 0] / 30)
        assert np.mean((told >= low) & (told <= high)) > 0.85
        assert len(wanted.parents) < density.n_parts


def test_a_length_that_nobody_has_is_refused(density):
    with pytest.raises(EmptyDataError, match="^0 streamlines.*at least 50"):
        density.of_length(1000, 1100)
    with pytest.raises(InvalidArgumentError, match="smaller and a larger"):
        density.of_length(80, 60)


def test_like_given_streamlines(density, latents, rng):
    drawn = density.like(latents[:1]).sample(500, rng)
    away = np.linalg.norm(drawn - latents[0], axis=1)
    assert np.median(away) < 0.2 * np.median(
        np.linalg.norm(latents - latents[0], axis=1)
    )


def make_bundle(density):
    return BundleDensity("AF", density, -9.0, 40.0, 120.0, 0.5, 30, max_log_density=-1)


def test_only_a_local_density_can_be_restricted(density, latents):
    bundle = make_bundle(density)
    assert of_length(bundle, 40, 50).min_length == 40
    assert len(like_latents(bundle, latents[:1]).density.parents) == 20
    other = make_bundle(dte.fit_density(latents[:30], "mixture"))
    with pytest.raises(InvalidArgumentError, match="`length` needs a local density"):
        of_length(other, 40, 50)
    with pytest.raises(EmptyDataError, match="^Bundle AF: 0 streamlines"):
        of_length(bundle, 4000, 5000)


def test_file_gives_the_same_draws(density, tmp_path):
    path = tmp_path / "densities.h5"
    save_densities([make_bundle(density)], path, "abc")
    (loaded,) = load_densities(path)
    assert loaded.max_log_density == -1
    first, again = (
        d.sample(50, np.random.default_rng(0)) for d in (density, loaded.density)
    )
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    "name, value", [("bandwidth", -1.0), ("n_neighbors", 600), ("n_neighbors", 1.5)]
)
def test_absurd_numbers_are_refused(density, tmp_path, name, value):
    path = tmp_path / "densities.h5"
    save_densities([make_bundle(replace(density, **{name: value}))], path, "abc")
    with pytest.raises(InputFileError, match="invalid"):
        load_densities(path)


def test_arrays_that_do_not_fit_are_refused(density, tmp_path):
    path = tmp_path / "densities.h5"
    damaged = replace(density, length=density.length[1:])
    save_densities([make_bundle(damaged)], path, "abc")
    with pytest.raises(InputFileError, match="do not belong together"):
        load_densities(path)


def test_copies_and_strangers_are_not_plausible(latents, length):
    points = np.linspace([0, 0, 0], [1, 0, 0], 32)[None] * length[:, None, None]
    bundle = describe_bundle(latents, points, "local")
    assert isinstance(bundle.density, LocalDensity)
    at = bundle.density.log_density(latents[:3] + [[0, 0, 0], [500, 0, 0], [0, 0, 0]])
    assert at[0] > bundle.max_log_density and at[1] < bundle.min_log_density
    own = bundle.density.log_density()
    share = np.mean((own >= bundle.min_log_density) & (own <= bundle.max_log_density))
    assert 0.9 < share < 0.98
