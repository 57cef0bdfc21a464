"""Check what a latents file says before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.io.hdf5 import stored_dataset

if TYPE_CHECKING:
    import h5py

# Allowed types of each dataset, as characters of `numpy.dtype.kind`.
ROW_NAMES = {"mean": "f", "log_var": "f", "index": "iu", "is_reversed": "b"}


def check_rejects(about: Mapping[str, Any]) -> None:
    """Raise an error unless the rejects are counts of streamlines.

    Parameters
    ----------
    about : dict
        "rejects", and "n_streamlines", the number of streamlines.

    Raises
    ------
    ValueError
        If they are something else, or more than there are streamlines.
    """
    rejects = about["rejects"]
    if not isinstance(rejects, dict) or not all(
        type(count) is int and count >= 0 for count in rejects.values()
    ):
        raise ValueError("Its rejects are not counts by reason.")
    if sum(rejects.values()) > about["n_streamlines"]:
        raise ValueError(
            f"Of its {about['n_streamlines']} streamlines, "
            f"{sum(rejects.values())} are said to be rejected."
        )


def check_datasets(file: h5py.File) -> int:
    """Raise an error unless the datasets of a file are valid latents.

    Parameters
    ----------
    file : h5py.File
        File opened by `io.hdf5.open_hdf5`.

    Returns
    -------
    n_rows : int
        Number of encoded streamlines.

    Raises
    ------
    ValueError, KeyError
        If a dataset is missing, or of another type or shape.
    """
    shapes = {
        name: stored_dataset(file, name, kinds).shape
        for name, kinds in ROW_NAMES.items()
        if name in file or name != "log_var"
    }
    rows = shapes["mean"][:1]
    wanted = {"mean": 2, "log_var": 2, "index": 1, "is_reversed": 1}
    if (
        any(len(shape) != wanted[name] for name, shape in shapes.items())
        or any(shape[:1] != rows for shape in shapes.values())
        or shapes.get("log_var", shapes["mean"]) != shapes["mean"]
    ):
        raise ValueError(f"The shapes of its datasets do not match: {shapes}.")
    return rows[0]
