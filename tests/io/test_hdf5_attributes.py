"""Attributes of HDF5 files are read if they are of the right kind, and short."""

import h5py
import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.hdf5_attributes import (
    count_attribute,
    has_format,
    number_attribute,
    space_attributes,
    text_attribute,
)


@pytest.fixture
def attributes(tmp_path):
    """Open a file with attributes that none of our files have."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["long"] = "a" * 2**21
        file.attrs["many"] = np.zeros(10**6)
        file.attrs["texts"] = ["a", "b"]
        file.attrs["nan"] = np.nan
        file.attrs["negative"] = -1
        file.attrs["bytes"] = b"abc"
        file.attrs["fixed"] = np.bytes_(b"abc")
        file.attrs["reference"] = file.ref
        file.attrs["empty"] = h5py.Empty("f8")
        file.attrs["complex"] = 1j
        file.attrs["number"] = 3
        yield file


@pytest.mark.parametrize(
    "read, name",
    [
        (text_attribute, "long"),
        (text_attribute, "many"),
        (text_attribute, "texts"),
        (text_attribute, "number"),
        (text_attribute, "reference"),
        (text_attribute, "empty"),
        (text_attribute, "missing"),
        (number_attribute, "many"),
        (number_attribute, "fixed"),
        (number_attribute, "nan"),
        (number_attribute, "complex"),
        (number_attribute, "reference"),
        (number_attribute, "empty"),
        (count_attribute, "negative"),
        (count_attribute, "nan"),
    ],
)
def test_attributes_of_another_kind(attributes, read, name):
    with pytest.raises(ValueError, match=name):
        read(attributes, name)


def test_attributes(attributes):
    assert text_attribute(attributes, "fixed") == "abc"
    assert number_attribute(attributes, "number") == 3
    assert count_attribute(attributes, "number") == 3
    assert not has_format(attributes, "latents")
    attributes.attrs["format"] = "latents"
    assert has_format(attributes, "latents")


@pytest.mark.parametrize(
    "name, value",
    [
        ("affine", np.full((4, 4), np.nan)),
        ("affine", np.zeros((4, 4))),
        ("affine", np.eye(3)),
        ("dimensions", [0, 3, 3]),
        ("dimensions", [np.inf, 3, 3]),
        ("dimensions", np.zeros(10**6)),
        ("voxel_sizes", [np.nan, 1, 1]),
        ("voxel_order", "XYZ"),
        ("voxel_order", 3),
        ("voxel_order", None),
    ],
)
def test_spaces(tmp_path, name, value):
    space = {
        "affine": np.eye(4),
        "dimensions": np.array([3, 4, 5]),
        "voxel_sizes": np.ones(3),
        "voxel_order": "RAS",
    }
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        assert space_attributes(file, "a.h5") == {}
        for part, good in space.items():
            file.attrs[f"space_{part}"] = good
        read = space_attributes(file, "a.h5")
        assert all(np.array_equal(read[part], good) for part, good in space.items())
        del file.attrs[f"space_{name}"]
        if value is not None:
            file.attrs[f"space_{name}"] = value
        with pytest.raises((ValueError, InputFileError)):
            space_attributes(file, "a.h5")
