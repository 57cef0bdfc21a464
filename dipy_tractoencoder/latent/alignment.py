"""Encode streamlines where the model knows them, and bring them home.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.align.alignment import Alignment
from dipy_tractoencoder.errors import InvalidArgumentError, format_received
from dipy_tractoencoder.io.hdf5_attributes import text_attribute
from dipy_tractoencoder.streamlines.array import as_sequence

if TYPE_CHECKING:
    import h5py

LARGEST_ALIGNMENT = 2**15  # characters; an attribute of HDF5 has up to 64 kB


def aligned(streamlines: Any, alignment: Alignment | None) -> Any:
    """Move streamlines to the space of a model.

    Parameters
    ----------
    streamlines : StatefulTractogram, or sequence of ndarray
        Streamlines of the subject, RASMM, mm.
    alignment : Alignment or None
        Transform to the model's space; None moves nothing.

    Returns
    -------
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        The streamlines in the model's space, RASMM, mm; as given if they stay.

    Raises
    ------
    InvalidArgumentError
        If ``alignment`` is something else, or ``streamlines`` are not streamlines.
    """
    if alignment is None:
        return streamlines
    if not isinstance(alignment, Alignment):
        raise InvalidArgumentError(
            "Invalid value received for `alignment`. Expected an Alignment, of "
            "`fit_alignment` or `load_alignment`. Received: "
            f"{format_received(alignment)}."
        )
    if not alignment.moves:
        return streamlines
    return alignment.apply(as_sequence(streamlines))


def to_subject(points: np.ndarray, alignment: Alignment | None) -> np.ndarray:
    """Move decoded points back to the space of the subject.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Points in the space of the model, RASMM, mm.
    alignment : Alignment or None
        Transform that the streamlines were encoded with; None moves nothing.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Points in the space of the subject, RASMM, mm.
    """
    if alignment is None or not alignment.moves:
        return points
    return alignment.inverse().apply(points)


def alignment_text(alignment: Alignment) -> str:
    """Convert an alignment to the text of an attribute.

    Parameters
    ----------
    alignment : Alignment
        The alignment.

    Returns
    -------
    text : str
        JSON; without the solutions that were tried if it would be too long.
    """
    values = alignment.to_dict()
    text = json.dumps(values)
    if len(text) > LARGEST_ALIGNMENT:
        text = json.dumps({**values, "tried": [], "reasons": []})
    return text


def alignment_attribute(file: h5py.File) -> Alignment | None:
    """Read the alignment that streamlines were encoded with.

    Parameters
    ----------
    file : h5py.File
        File opened by `io.hdf5.open_hdf5`.

    Returns
    -------
    alignment : Alignment or None
        The alignment; None if there is none.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    if "alignment" not in file.attrs:
        return None
    text = text_attribute(file, "alignment")
    if len(text) > LARGEST_ALIGNMENT:
        raise ValueError("Its alignment is too long.")
    return Alignment.from_dict(json.loads(text))
