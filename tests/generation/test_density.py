"""Densities over latents, and their file."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from dipy_tractoencoder.errors import (
    EmptyDataError,
    FingerprintError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.generation.bundle_density import BundleDensity
from dipy_tractoencoder.generation.density import (
    Density,
    fit_density,
    fit_with_held_out,
)
from dipy_tractoencoder.generation.density_file import load_densities, save_densities

UNIT = np.array([5.0, 2.0, 0.1])


@pytest.fixture(scope="module")
def latents():
    """Two clouds, thin in the third direction; not to be written to."""
    rng = np.random.default_rng(20240607)
    cloud = rng.standard_normal((300, 3)) * [2, 1, 0.05]
    cloud[:150] += [20, 0, 0]
    return cloud


def fit(latents, kind):
    return fit_density(latents, kind, unit=UNIT)


def test_mixture_finds_the_parts(latents):
    assert fit(latents, "mixture").n_parts == 2
    assert fit(latents[:150], "mixture").n_parts == 1
    assert fit_density(latents, "mixture", max_parts=1).n_parts == 1
    # Eight streamlines for each part.
    assert fit(latents[140:155], "mixture").n_parts == 1


def test_prior_is_the_models(latents):
    prior = fit(latents, "prior")
    expected = multivariate_normal(np.zeros(3), np.diag(UNIT**2)).logpdf(latents)
    np.testing.assert_allclose(prior.log_density(latents), expected)


def test_log_density_is_the_mixtures(rng):
    factors = rng.standard_normal((2, 3, 3))
    density = Density("mixture", np.array([0.3, 0.7]), rng.normal(size=(2, 3)), factors)
    at = rng.normal(size=(5, 3))
    parts = [
        weight * multivariate_normal(mean, factor @ factor.T).pdf(at)
        for weight, mean, factor in zip(density.weights, density.means, factors)
    ]
    np.testing.assert_allclose(density.log_density(at), np.log(sum(parts)))


@pytest.mark.parametrize("kind", ["mixture", "kernel"])
def test_draws_spread_as_the_latents(latents, kind, rng):
    drawn = fit(latents, kind).sample(5000, rng)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), latents.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(drawn.std(axis=0), latents.std(axis=0), rtol=0.1)


@pytest.mark.parametrize("kind", ["mixture", "kernel", "prior"])
def test_fits_and_draws_repeat(latents, kind):
    drawn = [fit(latents, kind).sample(9, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("kind", ["mixture", "kernel"])
def test_held_out_is_less_likely(rng, kind):
    latents = rng.standard_normal((30, 8))
    density, held_out = fit_with_held_out(latents, kind)
    assert held_out.mean() < density.log_density(latents).mean()


@pytest.mark.parametrize("kind", ["mixture", "kernel"])
def test_few_flat_or_equal_latents(rng, kind):
    few = rng.standard_normal((5, 32))
    flat = np.zeros((40, 6))
    flat[:, 0] = rng.standard_normal(40)
    for latents in (few, flat, np.ones((10, 4))):
        density, held_out = fit_with_held_out(latents, kind)
        drawn = density.sample(50, rng)
        assert np.isfinite(drawn).all() and np.isfinite(held_out).all()
        assert np.isfinite(density.log_density(drawn)).all()
    # Nothing grows in directions that the latents do not have.
    assert np.abs(drawn - 1).max() < 1e-3


def test_many_latents_take_a_share(rng):
    assert fit(rng.standard_normal((7001, 2)), "kernel").n_parts == 2334


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "magic"}, InvalidArgumentError),
        ({"max_parts": 0}, InvalidArgumentError),
        ({"latents": np.full((20, 3), np.nan)}, InvalidArgumentError),
        ({"latents": np.zeros(20)}, InvalidArgumentError),
        ({"latents": np.zeros((4, 3))}, EmptyDataError),
        ({"kind": "prior"}, InvalidArgumentError),
        ({"kind": "prior", "unit": np.ones(4)}, InvalidArgumentError),
    ],
)
def test_bad_input(change, error):
    with pytest.raises(error):
        fit_density(**{"latents": np.zeros((20, 3)), **change})


# File


@pytest.fixture(scope="module")
def bundle_densities(latents):
    """Fit the densities of two bundles."""
    space = {"affine": np.eye(4), "dimensions": np.array([9, 9, 9])}
    space.update(voxel_sizes=np.ones(3), voxel_order="RAS")
    first = BundleDensity(
        "AF left", fit(latents, "mixture"), -20.0, 30.0, 90.0, 0.2, 300, space
    )
    second = replace(first, name="CST", density=fit(latents[:9], "kernel"), space={})
    return [first, second]


@pytest.fixture
def saved(bundle_densities, tmp_path):
    """Give a file of densities of two bundles, and the bundles."""
    path = tmp_path / "densities.h5"
    save_densities(bundle_densities, path, "f" * 64)
    return path, bundle_densities


def test_what_is_saved_is_loaded(saved, latents):
    path, bundles = saved
    for before, after in zip(bundles, load_densities(path), strict=True):
        for name in ("name", "min_log_density", "min_length", "max_length"):
            assert getattr(before, name) == getattr(after, name)
        assert before.max_curvature == after.max_curvature
        assert before.n_streamlines == after.n_streamlines
        assert before.density.kind == after.density.kind
        assert before.space.keys() == after.space.keys()
        np.testing.assert_array_equal(
            *(b.density.log_density(latents) for b in (before, after))
        )
    assert [b.name for b in load_densities(path, groups=["C*"])] == ["CST"]
    with pytest.raises(InputFileError, match="AF left, CST"):
        load_densities(path, groups=["OR"])


def test_another_model_is_refused(saved, trained_vae):
    with pytest.raises(FingerprintError, match="another model"):
        load_densities(saved[0], trained_vae)


def spoil(path, what):
    with h5py.File(path, "r+") as file:
        group = file["bundles/00000"]
        if what == "weights":
            group["weights"][0] = 5
        elif what == "nan":
            group["means"][0, 0] = np.nan
        elif what == "singular":
            group["factors"][0] = 0
        elif what == "shape":
            del group["factors"]
            group["factors"] = np.zeros((2, 2, 2))
        elif what == "kind":
            group.attrs["kind"] = "magic"
        elif what == "limit":
            del group.attrs["max_length"]
        elif what == "group":
            del group["means"]
            group.create_group("means")
        elif what == "version":
            file.attrs["format_version"] = 99
        elif what == "format":
            file.attrs["format"] = "dipy_tractoencoder latents"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        *((w, "AF left") for w in ("weights", "nan", "singular", "shape", "kind")),
        *((w, "damaged") for w in ("limit", "group")),
        ("version", "99"),
        ("format", "no densities"),
    ],
)
def test_spoiled_files_are_refused(saved, what, says):
    spoil(saved[0], what)
    with pytest.raises(InputFileError, match=says):
        load_densities(saved[0])


def test_files_that_are_none(saved, tmp_path):
    cut = tmp_path / "cut.h5"
    cut.write_bytes(saved[0].read_bytes()[:2000])
    for path in (cut, tmp_path / "none.h5"):
        with pytest.raises(InputFileError, match=path.name):
            load_densities(path)
    with pytest.raises(OutputFileError, match="txt"):
        save_densities(saved[1], tmp_path / "densities.txt", "f")
