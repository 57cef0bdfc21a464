"""Files of densities: what is written is read, and nothing absurd is."""

from dataclasses import replace

import h5py
from hostile_hdf5 import KINDS
import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.generation.bundle_density import BundleDensity
from dipy_tractoencoder.generation.density import Density
from dipy_tractoencoder.generation.density_file import load_densities, save_densities

NAN, INF = float("nan"), float("inf")
SPACE = {
    "affine": np.diag([-2.0, 2, 2, 1]),
    "dimensions": np.array([90, 100, 80]),
    "voxel_sizes": np.full(3, 2.0),
    "voxel_order": "LAS",
}
SIZE = 3
GROUP = "bundles/00000"


def make_bundle(name="AF", n_parts=2):
    density = Density(
        "mixture",
        np.full(n_parts, 1 / n_parts),
        np.zeros((n_parts, SIZE)),
        np.tile(np.eye(SIZE), (n_parts, 1, 1)),
    )
    return BundleDensity(name, density, -9.0, 40.0, 120.0, 0.5, 30, SPACE)


@pytest.fixture
def path(tmp_path):
    bundles = [make_bundle(), replace(make_bundle("CST"), space={})]
    save_densities(bundles, tmp_path / "densities.h5", "abc")
    return tmp_path / "densities.h5"


def refused(path):
    with pytest.raises(InputFileError) as caught:
        load_densities(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_round_trip(path):
    path.chmod(0o444)
    first, second = load_densities(path)
    assert (first.name, second.name, first.n_streamlines) == ("AF", "CST", 30)
    assert second.space == {} and first.space["voxel_order"] == "LAS"
    np.testing.assert_array_equal(first.space["affine"], SPACE["affine"])
    np.testing.assert_array_equal(first.density.means, np.zeros((2, SIZE)))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused(path, tmp_path, kind):
    with h5py.File(path, "r+") as file:
        KINDS[kind](file, f"{GROUP}/means", tmp_path)
    refused(path)


def test_one_bundle_under_many_names(path):
    """300 names of 10 MB in 80 kB: 3 GB."""
    n_parts = 10_000_000 // (8 * SIZE * SIZE)
    with h5py.File(path, "r+") as file:
        group = file[GROUP]
        for name, values in vars(make_bundle(n_parts=n_parts).density).items():
            if name in group:
                del group[name]
                group.create_dataset(name, data=values, compression="gzip")
        for number in range(2, 300):
            file[f"bundles/{number:05}"] = group
    assert path.stat().st_size < 200_000
    assert "same as another" in refused(path)


def test_a_bundle_of_another_file(path, tmp_path):
    save_densities([make_bundle("secret")], tmp_path / "other.h5", "abc")
    with h5py.File(path, "r+") as file:
        file["bundles/00002"] = h5py.ExternalLink(str(tmp_path / "other.h5"), GROUP)
    assert "link to elsewhere" in refused(path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("space_affine", np.full((4, 4), NAN)),
        ("space_affine", np.zeros((4, 4))),
        ("space_affine", np.eye(3)),
        ("space_dimensions", [NAN, 3, 3]),
        ("space_dimensions", [0, 3, 3]),
        ("space_voxel_sizes", [INF, 1, 1]),
        ("space_voxel_sizes", [-1.0, 1, 1]),
        ("space_voxel_order", "XYZ"),
        ("space_voxel_order", None),
        ("min_log_density", NAN),
        ("min_length", -3.0),
        ("min_length", 200.0),
        ("max_length", INF),
        ("max_curvature", -1.0),
        ("max_curvature", "much"),
        ("n_streamlines", -1),
        ("n_streamlines", 2.5),
        ("name", 3),
        ("name", None),
        ("kind", "other"),
        ("kind", ["mixture"]),
    ],
)
def test_attributes_that_no_bundle_has(path, name, value):
    with h5py.File(path, "r+") as file:
        del file[GROUP].attrs[name]
        if value is not None:
            file[GROUP].attrs[name] = value
    refused(path)


@pytest.mark.parametrize(
    "name, values",
    [
        ("means", np.zeros((2, SIZE + 1))),
        ("means", np.zeros((0, SIZE))),
        ("means", np.full((2, SIZE), NAN)),
        ("weights", np.ones(3) / 3),
        ("weights", np.array([2.0, -1])),
        ("weights", np.ones(2)),
        ("factors", np.zeros((2, SIZE, SIZE))),
        ("factors", np.full((2, SIZE, SIZE), INF)),
        ("factors", np.zeros((2, 10**3, 10**3))),
    ],
)
def test_arrays_that_no_bundle_has(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[f"{GROUP}/{name}"]
        file.create_dataset(f"{GROUP}/{name}", data=values, maxshape=values.shape)
    assert "AF" in refused(path)


@pytest.mark.parametrize("name", ["fingerprint", "format_version", "format"])
@pytest.mark.parametrize("value", [None, NAN, np.zeros(3)])
def test_attributes_of_the_file(path, name, value):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    refused(path)
