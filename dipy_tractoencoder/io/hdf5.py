"""Open HDF5 files after checking them, and report their errors clearly.

HDF5 follows links to other files, allocates what a header claims and fills in what is
not stored: a small file can read any other file, or take all memory. The files of this
package are opened by `open_hdf5`, which refuses those that it did not write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import math
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
import zlib

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.hdf5_attributes import text_attribute
from dipy_tractoencoder.io.names import short

if TYPE_CHECKING:
    import h5py

# Largest ratio of unpacked data to file size. Compressed latents have up to 5; those of
# one streamline, repeated, up to 350.
LARGEST_RATIO = 400
ALWAYS_FINE = 2**26  # bytes


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
        zlib.error,
    ) as err:
        text = " ".join(str(err).split()).rstrip(".")
        raise InputFileError(
            f"Cannot read {path}: {text}. It is not a {kind}, or is damaged or "
            "incomplete; copy or create it again."
        ) from err


def open_hdf5(source: str | Path | BinaryIO) -> h5py.File:
    """Open an HDF5 file for reading, after checking that it contains its own data.

    Parameters
    ----------
    source : str, Path or file object
        HDF5 file.

    Returns
    -------
    file : h5py.File
        Open file. Each of its objects has one name; each of its datasets is stored in
        the file, completely, and unpacks to the size in its header.

    Raises
    ------
    ValueError, OSError
        If the file is damaged, has links to elsewhere, an object with two names, or
        datasets that would need far more memory than the size of the file.
    """
    import h5py

    if isinstance(source, (str, Path)):
        n_bytes = Path(source).stat().st_size
    else:
        n_bytes = source.seek(0, 2)
    file = h5py.File(source, "r")
    try:
        _check_objects(file, n_bytes)
    except BaseException:
        file.close()
        raise
    return file


def stored_format(path: str | Path) -> str:
    """Return which format an HDF5 file says that it has.

    Parameters
    ----------
    path : str or Path
        File.

    Returns
    -------
    name : str
        Its attribute ``format``; empty if it has none, or cannot be read, which is
        found out when it is.
    """
    try:
        with open_hdf5(path) as file:
            return text_attribute(file, "format") if "format" in file.attrs else ""
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return ""


def stored_dataset(group: h5py.Group, name: str, kinds: str) -> h5py.Dataset:
    """Return a numeric dataset of a file opened by `open_hdf5`.

    Parameters
    ----------
    group : h5py.Group
        Group of the dataset.
    name : str
        Name of the dataset.
    kinds : str
        Allowed types, as characters of ``numpy.dtype.kind``.

    Returns
    -------
    dataset : h5py.Dataset
        The dataset, not read yet.

    Raises
    ------
    ValueError
        If the dataset is missing or of another type.
    """
    import h5py

    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ValueError(f"It has no dataset `{name}`.")
    if item.dtype.kind not in kinds or item.dtype.itemsize > 8:
        raise ValueError(f"Its `{name}` has the type {item.dtype}.")
    return item


def _check_objects(file, n_bytes):
    """Raise an error unless a file has only own objects, of valid sizes."""
    import h5py

    seen = {h5py.h5o.get_info(file.id).addr}
    groups = [file]
    stored = needed = 0
    while groups:
        group = groups.pop()
        for name in group:
            full = short(f"{group.name.rstrip('/')}/{name}")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(
                    f"Its `{full}` is a link to elsewhere, so it is not stored in the "
                    "file"
                )
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ValueError(f"Its `{full}` is the same as another of its parts")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                dataset_needs, dataset_stored = _sizes(item, full)
                needed += dataset_needs
                stored += dataset_stored
                if stored > n_bytes:
                    raise ValueError(
                        f"Its `{full}` is not stored in the file: with it, there would "
                        f"be {stored} bytes in a file of {n_bytes}"
                    )
                if needed > max(ALWAYS_FINE, LARGEST_RATIO * n_bytes):
                    raise ValueError(
                        f"It has {n_bytes} bytes, but would need {needed} in memory"
                    )
                _check_packed(item, full)
            else:
                raise ValueError(f"Its `{full}` is neither a group nor a dataset")


def _sizes(dataset, full):
    """Return the bytes a dataset needs in memory and in the file."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"Its `{full}` is not stored in the file, but in another")
    if dataset.shape is None:
        return 0, 0
    n_bytes = math.prod(dataset.shape) * dataset.id.get_type().get_size()
    stored = dataset.id.get_storage_size()
    if not _filters(dataset, full):
        # What is missing would be filled in.
        if stored < n_bytes:
            raise ValueError(
                f"Its `{full}` is not stored in the file: of {n_bytes} bytes there are "
                f"{stored}"
            )
        return max(stored, n_bytes), stored
    n_chunks, size = _chunks(dataset)
    return n_chunks * size, stored


def _chunks(dataset):
    """Return the number of chunks of a dataset, and the bytes of each."""
    counts = [-(-n // step) for n, step in zip(dataset.shape, dataset.chunks)]
    return math.prod(counts), (
        math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    )


def _filters(dataset, full):
    """Return the filters of a dataset; raise an error for those not known."""
    from h5py import h5z

    known = {
        h5z.FILTER_DEFLATE,
        h5z.FILTER_SHUFFLE,
        h5z.FILTER_FLETCHER32,
        h5z.FILTER_LZF,
    }
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if len(filters) > len(known & set(filters)):
        raise ValueError(
            f"Its `{full}` is packed by the filters {filters}; only gzip (1) and lzf "
            "(32000), each once, are known. Write it without"
        )
    return filters


def _check_packed(dataset, full):
    """Raise an error unless the chunks of a dataset unpack to their size.

    HDF5 unpacks whatever a chunk contains, before it looks at the size.
    """
    from h5py import h5z

    if dataset.shape is None or not (filters := _filters(dataset, full)):
        return
    n_chunks, size = _chunks(dataset)
    chunks = []
    if n_chunks and hasattr(dataset.id, "chunk_iter"):
        dataset.id.chunk_iter(chunks.append)
    elif n_chunks:  # Older HDF5.
        chunks.extend(map(dataset.id.get_chunk_info, range(n_chunks)))
    if len(chunks) < n_chunks:
        raise ValueError(
            f"Its `{full}` is not stored in the file: of {n_chunks} parts there are "
            f"{len(chunks)}"
        )
    if h5z.FILTER_DEFLATE not in filters:
        return
    left_out = 1 << filters.index(h5z.FILTER_DEFLATE)  # Where it did not get smaller.
    for chunk in chunks:
        if chunk.filter_mask & left_out:
            continue
        unpacker = zlib.decompressobj()
        _, content = dataset.id.read_direct_chunk(chunk.chunk_offset)
        if len(unpacker.decompress(content, size + 1)) != size:
            raise ValueError(f"A part of its `{full}` does not unpack to {size} bytes")
