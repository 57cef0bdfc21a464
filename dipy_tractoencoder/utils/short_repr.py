"""Short ``repr`` of dataclasses that hold large arrays."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

MOST_CHARACTERS = 60  # longest value shown in full


def short_repr(record: Any) -> str:
    """Describe a dataclass by its fields, with arrays as type and shape.

    Dataclasses use it as their ``__repr__``.

    Parameters
    ----------
    record : object
        Instance of a dataclass.

    Returns
    -------
    text : str
        For example, ``Latents(mean=float32 (60, 32), n_streamlines=62)``.
    """
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    inside = ", ".join(f"{name}={_words(value)}" for name, value in values)
    return f"{type(record).__name__}({inside})"


def _words(value):
    """Describe a value in a few words."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return f"{value[:12]!r}..."
    plain = not isinstance(value, Sized) or isinstance(value, str)
    if is_dataclass(value) or plain:
        return repr(value)
    text = repr(value) if isinstance(value, (dict, list, tuple)) else ""
    if text and len(text) <= MOST_CHARACTERS and "array(" not in text:
        return text
    return f"{type(value).__name__} of {len(value)}"
