"""New streamlines of a bundle that was aligned to the model go home."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.generation.summary import model_space_points, summary_row


@pytest.fixture
def to_model():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    matrix[:3, 3] = 30, -20, 15
    return dte.Alignment(matrix, transform="rigid", verdict="accepted")


@pytest.fixture
def subject(bundles, to_model):
    return [to_model.inverse().apply(line) for line in bundles[0]]


@pytest.fixture
def both(trained_vae, bundles, subject, to_model):
    """Densities of the bundle where the model knows it, and of the subject's."""
    options = {"max_parts": 1, "name": "AF"}
    return (
        dte.fit_bundle_density(trained_vae, bundles[0], **options),
        dte.fit_bundle_density(trained_vae, subject, **options, alignment=to_model),
    )


def test_they_are_those_of_the_model_moved_back(trained_vae, both, to_model, bundles):
    known, own = both
    first = dte.sample_streamlines(trained_vae, known, 20, seed=1)
    second = dte.sample_streamlines(trained_vae, own, 20, seed=1)
    expected = to_model.inverse().apply(first.points)
    np.testing.assert_allclose(second.points, expected, atol=0.05)
    np.testing.assert_allclose(model_space_points(own, second), first.points, atol=0.05)
    real = trained_vae.preprocessing.array(bundles[0]).points
    rows = [summary_row(known, first, real), summary_row(own, second, real)]
    assert rows[0]["nearest_mm"] == pytest.approx(rows[1]["nearest_mm"], abs=0.05)
    assert rows[0]["accepted"] == rows[1]["accepted"] == 20


def test_points_that_are_prepared_are_in_the_space_of_the_model(
    trained_vae, bundles, to_model
):
    points = trained_vae.preprocessing.array(bundles[0]).points
    made = dte.fit_bundle_density(trained_vae, points, alignment=to_model)
    plain = dte.fit_bundle_density(trained_vae, points)
    np.testing.assert_array_equal(made.density.means, plain.density.means)
    still = replace(to_model, matrix=np.eye(4))
    assert (
        dte.fit_bundle_density(trained_vae, points, alignment=still).alignment is None
    )


def test_the_mask_is_in_the_space_of_the_subject(trained_vae, both, subject):
    own = both[1]
    points = np.concatenate(subject)
    low = np.floor(points.min(axis=0)) - 15
    affine = np.eye(4)
    affine[:3, 3] = low
    size = (np.ceil(points.max(axis=0)) + 15 - low).astype(int)
    around = (np.ones(size, bool), affine)
    free = dte.sample_streamlines(trained_vae, own, 10, seed=2)
    inside = dte.sample_streamlines(trained_vae, own, 10, mask=around, seed=2)
    np.testing.assert_array_equal(free.points, inside.points)
    left = affine.copy()
    left[0, 3] -= 3 * size[0]
    with pytest.raises(EmptyDataError, match="outside_mask"):
        dte.sample_streamlines(trained_vae, own, 10, mask=(around[0], left), seed=2)


def test_files_hold_the_alignment(trained_vae, both, tmp_path, bundles):
    mixture = dte.fit_bundle_density(trained_vae, bundles[0], "mixture").density
    known, own = (replace(bundle, density=mixture) for bundle in both)
    path, plain = tmp_path / "a.h5", tmp_path / "b.h5"
    made_by = dte.fingerprint(trained_vae)
    dte.save_densities([own, replace(known, name="UF")], path, made_by)
    dte.save_densities([known], plain, made_by)
    first, second = dte.load_densities(path, trained_vae)
    assert first.alignment.transform == "rigid" and second.alignment is None
    np.testing.assert_array_equal(first.alignment.matrix, own.alignment.matrix)
    again = dte.sample_streamlines(trained_vae, first, 5, seed=3)
    now = dte.sample_streamlines(trained_vae, own, 5, seed=3)
    np.testing.assert_array_equal(again.points, now.points)
    # Releases that do not know alignments refuse the first, and read the second.
    with h5py.File(path) as one, h5py.File(plain) as other:
        assert (one.attrs["format_version"], other.attrs["format_version"]) == (2, 1)
    with h5py.File(path) as file:
        text = file["bundles/00000"].attrs["alignment"]
    zeros = '"matrix": ' + str([[0.0] * 4] * 4)
    for wrong in (
        text.replace('"rigid"', '"melted"'),
        text[: text.index("matrix") - 1] + zeros + "}",
        '{"matrix": [[NaN]]}',
        text + " " * 2**15,
        "no JSON",
        "[" * 10_000,
        3,
        np.zeros(3),
    ):
        with h5py.File(path, "a") as file:
            file["bundles/00000"].attrs["alignment"] = wrong
        with pytest.raises(InputFileError, match=r"a\.h5"):
            dte.load_densities(path)
