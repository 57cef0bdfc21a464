"""Read and write attributes of HDF5 files; what is read is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.io.checks import LARGEST_TEXT, check_space

if TYPE_CHECKING:
    import h5py

SPACE_SHAPES = {"affine": (4, 4), "dimensions": (3,), "voxel_sizes": (3,)}
VOXEL_ORDER = "voxel_order"
SPACE_NAMES = (*SPACE_SHAPES, VOXEL_ORDER)


def has_format(file: h5py.File, name: str) -> bool:
    """Return whether a file says that it is of a format, in its attribute ``format``.

    Parameters
    ----------
    file : h5py.File
        Open file.
    name : str
        Name of the format.

    Returns
    -------
    fits : bool
        False if the file has another format, or none.
    """
    return "format" in file.attrs and text_attribute(file, "format") == name


def text_attribute(item: h5py.Group, name: str) -> str:
    """Read a short text that is an attribute.

    Parameters
    ----------
    item : h5py.Group
        Object with the attribute.
    name : str
        Name of the attribute.

    Returns
    -------
    text : str
        Value.

    Raises
    ------
    ValueError
        If the attribute is missing, of another type or too long.
    """
    value = _attribute(item, name, ())
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str) or len(value) > LARGEST_TEXT:
        raise ValueError(f"Its `{name}` is not a text, or is too long.")
    return value


def stored_text(text: str) -> np.ndarray:
    r"""Convert text to an attribute that `text_attribute` reads back.

    Parameters
    ----------
    text : str
        Text; names of files may hold bytes that are not UTF-8, which are kept.

    Returns
    -------
    value : ndarray, shape ()
        Value to assign to an attribute. Null characters, which HDF5 cannot store, are
        written as ``\x00``.
    """
    import h5py

    text = text.replace("\0", "\\x00")
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # Half a character, of a name on Windows.
        content = text.encode("utf-8", "backslashreplace")
    return np.array(content, dtype=h5py.string_dtype())


def number_attribute(
    item: h5py.Group, name: str, kinds: str = "fiu", shape: tuple[int, ...] = ()
) -> Any:
    """Read a finite number, or a small array of them, that is an attribute.

    Parameters
    ----------
    item : h5py.Group
        Object with the attribute.
    name : str
        Name of the attribute.
    kinds : str, optional
        Allowed types, as characters of ``numpy.dtype.kind``.
    shape : tuple of int, optional
        Shape of the array; () for a number.

    Returns
    -------
    value : numpy number or ndarray
        Value.

    Raises
    ------
    ValueError
        If the attribute is missing, of another type or shape, or not finite.
    """
    value = np.asarray(_attribute(item, name, shape))
    if value.dtype.kind not in kinds or value.dtype.itemsize > 8:
        raise ValueError(f"Its `{name}` has the type {value.dtype}.")
    if not np.isfinite(value).all():
        raise ValueError(f"Its `{name}` is not finite: {value.tolist()}.")
    return value if shape else value[()]


def count_attribute(item: h5py.Group, name: str) -> int:
    """Read an attribute that is a whole number, at least 0.

    Parameters
    ----------
    item : h5py.Group
        Object with the attribute.
    name : str
        Name of the attribute.

    Returns
    -------
    count : int
        Value.

    Raises
    ------
    ValueError
        If the attribute is missing, of another type, or negative.
    """
    count = int(number_attribute(item, name, "iu"))
    if count < 0:
        raise ValueError(f"Its `{name}` is {count}.")
    return count


def space_attributes(item: h5py.Group, path: str | Path) -> dict[str, Any]:
    """Read an image space that is stored in attributes ``space_affine`` and so on.

    Parameters
    ----------
    item : h5py.Group
        Object with the attributes.
    path : str or Path
        File that is read, for the message.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order"; empty if there is
        none.

    Raises
    ------
    ValueError, InputFileError
        If a part of the space is missing or invalid.
    """
    stored = [name for name in SPACE_NAMES if f"space_{name}" in item.attrs]
    if not stored:
        return {}
    if len(stored) < len(SPACE_NAMES):
        raise ValueError(f"Its image space has only {', '.join(stored)}.")
    space: dict[str, Any] = {
        name: number_attribute(item, f"space_{name}", shape=shape)
        for name, shape in SPACE_SHAPES.items()
    }
    space[VOXEL_ORDER] = text_attribute(item, f"space_{VOXEL_ORDER}")
    check_space(path, **space)
    return space


def _attribute(item, name, shape):
    """Read an attribute of a known shape.

    It is opened by name: going through damaged attributes ends the process in older
    versions of HDF5.
    """
    import h5py

    if name not in item.attrs:
        raise ValueError(f"It has no attribute `{name}`.")
    attribute = h5py.h5a.open(item.id, name.encode())
    if attribute.shape != shape:
        raise ValueError(f"Its `{name}` has the shape {attribute.shape}.")
    if attribute.get_storage_size() > LARGEST_TEXT:
        raise ValueError(f"Its `{name}` is too long.")
    value = item.attrs[name]
    if isinstance(value, (h5py.Empty, h5py.Reference)):
        raise ValueError(f"Its `{name}` is empty.")
    return value
