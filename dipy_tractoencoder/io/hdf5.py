"""Check HDF5 files before use, and report their errors clearly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import math
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import InputFileError

if TYPE_CHECKING:
    import h5py

# Largest ratio of unpacked data to file size: latents are hardly compressible.
LARGEST_RATIO = 100


@contextmanager
def clear_errors(path: str | Path, kind: str) -> Iterator[None]:
    """Convert errors caused by a damaged HDF5 file to an error that names the file.

    Parameters
    ----------
    path : str or Path
        HDF5 file that is read in the context.
    kind : str
        Expected kind of file, for the message.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    InputFileError
        If reading the file raises an error.
    """
    try:
        yield
    except InputFileError:
        raise
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
        IndexError,
    ) as err:
        text = " ".join(str(err).split()).rstrip(".")
        raise InputFileError(
            f"Cannot read {path}: {text}. It is not a {kind}, or is damaged or "
            "incomplete."
        ) from err


def check_dataset(
    group: h5py.Group, name: str, kinds: str, n_bytes: int
) -> h5py.Dataset:
    """Return a numeric dataset after checking that its file really contains it.

    Parameters
    ----------
    group : h5py.Group
        Group of the dataset.
    name : str
        Name of the dataset.
    kinds : str
        Allowed types, as characters of ``numpy.dtype.kind``.
    n_bytes : int
        Size of the file in bytes.

    Returns
    -------
    dataset : h5py.Dataset
        The dataset, not read yet.

    Raises
    ------
    ValueError
        If the dataset is missing, stored in another file, of another type, or would
        need far more memory than the size of the file.
    """
    import h5py

    here = isinstance(group.get(name, getlink=True), h5py.HardLink)
    item = group[name] if here else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ValueError(f"Its `{name}` is not stored in the file.")
    if item.dtype.kind not in kinds or item.dtype.itemsize > 8:
        raise ValueError(f"Its `{name}` has the type {item.dtype}.")
    chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
    if max(item.nbytes, chunk) > LARGEST_RATIO * (n_bytes + 2**16):
        raise ValueError(f"Its `{name}` would need {max(item.nbytes, chunk)} bytes.")
    return item
