"""Arguments of flows that name files to read."""

from __future__ import annotations

from glob import glob
import os
from pathlib import Path

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.paths import existing, has_wildcard
from dipy_tractoencoder.io.vtk import Reference


def single_file(value: str | Path, position: int) -> list[Path]:
    """Return the file of an argument that takes one, a model.

    Parameters
    ----------
    value : str or Path
        File; or a folder or wildcard that stands for one.
    position : int
        Position of the argument, for the message.

    Returns
    -------
    paths : list of Path
        The file.

    Raises
    ------
    InputFileError
        If there is no such file, or more than one.
    """
    path = str(value)
    found = [path]
    if os.path.isdir(path):
        found = sorted(map(str, Path(path).glob("*"))) or found
    elif not os.path.exists(path) and has_wildcard(path):
        found = sorted(glob(path))
    if len(found) > 1:
        raise InputFileError(
            f"Expected one file, the model, as argument {position}, then the input "
            f"files. Received a folder or wildcard: {', '.join(found)}."
        )
    return [existing(found[0] if found else path)]


def as_reference(
    reference: str | Path | None, vtk_space: str | None
) -> Reference | None:
    """Join the options that tell the space of files which do not contain it.

    Parameters
    ----------
    reference : str, Path or None
        Reference image or TRK.
    vtk_space : {"ras", "lps"} or None
        Space of the points in VTK, VTP and FIB files.

    Returns
    -------
    reference : Reference or None
        Both; None without an image, which those formats need.

    Raises
    ------
    InvalidArgumentError
        If the space is unknown.
    """
    both = Reference(reference or "", vtk_space)
    return both if reference else None
