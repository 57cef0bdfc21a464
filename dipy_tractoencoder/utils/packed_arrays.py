"""Pack arrays and a JSON header into bytes, and unpack them with checks.

The bytes are eight that name the format, the length of the header (32 bits, little
endian), the header, then the arrays one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
import json
from typing import Any

import numpy as np


def pack_arrays(
    magic: bytes, header: dict[str, Any], arrays: Iterable[np.ndarray]
) -> bytes:
    """Pack arrays and a header.

    Parameters
    ----------
    magic : bytes, length 8
        Name of the format.
    header : dict
        What JSON can hold, with what is needed to know the shapes of the arrays.
    arrays : iterable of ndarray
        Arrays, little endian.

    Returns
    -------
    content : bytes
        For `unpack_header` and `unpack_arrays`.
    """
    text = json.dumps(header).encode()
    parts = (array.tobytes() for array in arrays)
    return b"".join([magic, len(text).to_bytes(4, "little"), text, *parts])


def unpack_header(
    content: bytes, magic: bytes, *, largest: int, what: str
) -> tuple[Any, bytes]:
    """Unpack the header, which is not checked further.

    Parameters
    ----------
    content : bytes
        From `pack_arrays`.
    magic : bytes
        Name of the format.
    largest : int
        Largest length of a header.
    what : str
        What is packed, for messages: "atlas", for example.

    Returns
    -------
    header : object
        Content of the JSON.
    body : bytes
        The arrays, for `unpack_arrays`.

    Raises
    ------
    ValueError
        If the content has another format or is damaged.
    """
    start = len(magic) + 4
    if content[: len(magic)] != magic or len(content) < start:
        raise ValueError(f"its {what} is damaged")
    size = int.from_bytes(content[len(magic) : start], "little")
    if size > min(largest, len(content) - start):
        raise ValueError(f"its {what} is damaged")
    header = json.loads(content[start : start + size].decode())
    return header, content[start + size :]


def unpack_arrays(
    body: bytes, layout: Iterable[tuple[str, tuple[int, ...]]], *, what: str
) -> list[np.ndarray]:
    """Unpack arrays of known types and shapes.

    Parameters
    ----------
    body : bytes
        From `unpack_header`.
    layout : iterable of tuple
        Type and shape of each array; the shapes have been checked.
    what : str
        What is packed, for messages.

    Returns
    -------
    arrays : list of ndarray
        Arrays that cannot be written to.

    Raises
    ------
    ValueError
        If the content has another size.
    """
    arrays, at = [], 0
    for kind, shape in layout:
        end = at + int(np.prod(shape, dtype=object)) * np.dtype(kind).itemsize
        if end > len(body):
            raise ValueError(f"its {what} is incomplete")
        arrays.append(np.frombuffer(body[at:end], dtype=kind).reshape(shape))
        at = end
    if at != len(body):
        raise ValueError(f"its {what} is damaged")
    return arrays
