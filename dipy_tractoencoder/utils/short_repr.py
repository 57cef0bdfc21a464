"""How records of large arrays show themselves in a session: by shapes, not numbers."""

from collections.abc import Sized
from dataclasses import fields, is_dataclass

import numpy as np

MOST_CHARACTERS = 60  # of a value that is shown as it is


def short_repr(record):
    """Show a record by its fields, arrays by type and shape.

    Dataclasses take it as their ``__repr__``.

    Parameters
    ----------
    record : object
        Instance of a dataclass.

    Returns
    -------
    text : str
        As ``Latents(mean=float32 (60, 32), n_streamlines=62)``.
    """
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    inside = ", ".join(f"{name}={_words(value)}" for name, value in values)
    return f"{type(record).__name__}({inside})"


def _words(value):
    """Put a value in a few words."""
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
