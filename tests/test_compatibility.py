"""Files of every released format keep loading and keep their numbers.

``tests/data`` holds what each format version's release wrote; `make_files` made it, and
`make_densities` the densities.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dipy_tractoencoder import (
    alignment_reference,
    decode,
    encode,
    fingerprint,
    load_latents,
    load_model,
)
from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.generation import density_file
from dipy_tractoencoder.generation.density_file import load_densities, save_densities
from dipy_tractoencoder.latent import latents_file
from dipy_tractoencoder.nn import model_file

DATA = Path(__file__).parent / "data"
VERSIONS = (1,)
# With sections, or of an aligned subject; others still have version 1.
NEWEST = 2
NEWEST_DENSITIES = 3  # With a local density.
SPACE = {
    "affine": np.diag([-2.0, 2, 2, 1]),
    "dimensions": np.array([90, 100, 80]),
    "voxel_sizes": np.full(3, 2.0),
    "voxel_order": "LAS",
}


def helices(n_streamlines=24):
    """Streamlines that are the same on every machine, mm."""
    turn = np.linspace(0, np.pi, 30)
    return [
        np.stack(
            [
                (20 + number) * np.cos(turn),
                (25 - number % 5) * np.sin(turn),
                (number % 7) * turn + number,
            ],
            axis=1,
        )
        for number in range(n_streamlines)
    ]


def make_files(version):
    """Write the files of a format version; run once, by its release."""
    from dipy_tractoencoder import save_latents, save_model, train

    for model in ("vae", "ae"):
        trained = train(
            [helices()],
            model=model,
            backbone="dense",
            n_points=16,
            latent_dim=3,
            epochs=3,
            validation_fraction=0,
        )
        save_model(trained, DATA / f"{model}_v{version}.keras")
        latents = encode(trained, helices())
        save_latents(latents, DATA / f"{model}_v{version}.h5")
        np.save(DATA / f"{model}_v{version}_decoded.npy", decode(trained, latents))


def make_model_with_reference():
    """Write a model of format version 2, which has sections; run once."""
    from dipy_tractoencoder import fit_alignment_reference, save_model
    from dipy_tractoencoder.nn.alignment import store_alignment_reference

    model = load_model(DATA / "vae_v1.keras")
    store_alignment_reference(model, fit_alignment_reference(helices()))
    save_model(model, DATA / "vae_v2.keras")


def make_densities(version, kinds=("mixture", "kernel")):
    """Write densities of a format version; run once, by its release.

    Those of version 3 are local: ``make_densities(3, ["local"])``.
    """
    from dipy_tractoencoder.generation.sampling import fit_bundle_density

    model = load_model(DATA / "vae_v1.keras")
    latents = load_latents(DATA / "vae_v1.h5")
    points = np.load(DATA / "vae_v1_decoded.npy")
    bundles = [
        fit_bundle_density(model, points, kind, name=kind, space=SPACE)
        for kind in kinds
    ]
    path = DATA / f"densities_v{version}.h5"
    save_densities(bundles, path, latents.fingerprint)
    values = [bundle.density.log_density(latents.mean) for bundle in bundles]
    np.save(DATA / f"densities_v{version}_log.npy", values)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["vae", "ae"])
def test_old_files_load_and_give_their_numbers(name, version):
    model = load_model(DATA / f"{name}_v{version}.keras")
    stored = load_latents(DATA / f"{name}_v{version}.h5")
    latents = encode(model, helices())
    np.testing.assert_allclose(latents.mean, stored.mean, rtol=1e-4, atol=1e-4)
    if stored.log_var is not None:
        np.testing.assert_allclose(latents.log_var, stored.log_var, rtol=1e-4)
    np.testing.assert_array_equal(latents.index, stored.index)
    np.testing.assert_array_equal(latents.is_reversed, stored.is_reversed)
    assert latents.fingerprint == stored.fingerprint
    points = np.load(DATA / f"{name}_v{version}_decoded.npy")
    np.testing.assert_allclose(decode(model, stored), points, atol=1e-3)  # mm
    assert model.record.settings["epochs"] == 3


def test_models_with_sections_load():
    model, plain = (load_model(DATA / f"vae_v{version}.keras") for version in (2, 1))
    assert list(model.sections) == ["alignment"] and not plain.sections
    assert alignment_reference(model).n_streamlines == len(helices())
    assert alignment_reference(plain) is None
    assert fingerprint(model) != fingerprint(plain)
    np.testing.assert_array_equal(
        encode(model, helices()).mean, encode(plain, helices()).mean
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_old_densities_load_and_give_their_numbers(version):
    model = load_model(DATA / f"vae_v{version}.keras")
    latents = load_latents(DATA / f"vae_v{version}.h5")
    bundles = load_densities(DATA / f"densities_v{version}.h5", model)
    assert [bundle.name for bundle in bundles] == ["mixture", "kernel"]
    stored = np.load(DATA / f"densities_v{version}_log.npy")
    for bundle, values in zip(bundles, stored):
        assert bundle.n_streamlines == len(latents)
        found = bundle.density.log_density(latents.mean)
        np.testing.assert_allclose(found, values, rtol=1e-6)
        np.testing.assert_array_equal(bundle.space["affine"], SPACE["affine"])
        np.testing.assert_array_equal(bundle.space["dimensions"], SPACE["dimensions"])


def test_local_densities_load_and_give_their_numbers():
    model = load_model(DATA / "vae_v1.keras")
    (bundle,) = load_densities(DATA / "densities_v3.h5", model)
    assert (bundle.name, bundle.density.kind) == ("local", "local")
    mean = load_latents(DATA / "vae_v1.h5").mean
    found = bundle.density.log_density(mean)
    (stored,) = np.load(DATA / "densities_v3_log.npy")
    np.testing.assert_allclose(found, stored, rtol=1e-5)
    assert bundle.density.sample(7, np.random.default_rng(0)).shape == (
        7,
        mean.shape[1],
    )


def test_newer_densities_are_refused(tmp_path):
    path = tmp_path / "newer.h5"
    path.write_bytes((DATA / "densities_v1.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = density_file.FORMAT_VERSION + 1
    model = load_model(DATA / "vae_v1.keras")
    with pytest.raises(InputFileError, match="newer.h5.* Update"):
        load_densities(path, model)


def test_the_current_formats_are_kept():
    for module in (model_file, latents_file):
        assert module.FORMAT_VERSION == NEWEST
    assert density_file.FORMAT_VERSION == NEWEST_DENSITIES
