"""HDF5 files checked before they are believed, and their errors made clear."""

from contextlib import contextmanager
import math

from dipy_tractoencoder.errors import InputFileError

# What is unpacked, to the size of the file: latents hardly shrink.
LARGEST_RATIO = 100


@contextmanager
def clear_errors(path, kind):
    """Say which file is damaged, whatever HDF5 makes of it.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    kind : str
        What it should be, for the message.

    Yields
    ------
    None
        What reads it goes in here.

    Raises
    ------
    InputFileError
        For all that a damaged file leads to.
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
            f"Cannot read {path}: {text}. It is no {kind}, or was damaged or cut short."
        ) from err


def check_dataset(group, name, kinds, n_bytes):
    """Give a dataset of numbers, or raise unless it lies in its file and fits there.

    Parameters
    ----------
    group : h5py.Group
        Where it has to be.
    name : str
        Of the dataset.
    kinds : str
        Letters of the types that will do, as ``numpy.dtype.kind``.
    n_bytes : int
        Size of the file.

    Returns
    -------
    dataset : h5py.Dataset
        Not read yet.

    Raises
    ------
    ValueError
        If it is missing, elsewhere, of another type, or would take far more memory
        than the file.
    """
    import h5py

    here = isinstance(group.get(name, getlink=True), h5py.HardLink)
    item = group[name] if here else None
    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise ValueError(f"Its `{name}` does not lie in the file.")
    if item.dtype.kind not in kinds or item.dtype.itemsize > 8:
        raise ValueError(f"Its `{name}` are {item.dtype}.")
    chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
    if max(item.nbytes, chunk) > LARGEST_RATIO * (n_bytes + 2**16):
        raise ValueError(f"Its `{name}` would take {max(item.nbytes, chunk)} bytes.")
    return item
