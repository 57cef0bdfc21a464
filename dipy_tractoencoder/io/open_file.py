"""Open tractogram files in place: one way in for TRK, TCK and TRX."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.checks import check_space
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.line_file import LineFile
from dipy_tractoencoder.io.space import named_space
from dipy_tractoencoder.io.tck import open_tck
from dipy_tractoencoder.io.tiny_track import open_tiny_track
from dipy_tractoencoder.io.trk import open_trk
from dipy_tractoencoder.io.trk_header import has_matrix, trk_space
from dipy_tractoencoder.io.trx import TrxContents, open_trx


def open_in_place(
    path: str | Path, reference: str | Path | None = None
) -> LineFile | TrxContents:
    """Open a tractogram file whose points stay on disk.

    Parameters
    ----------
    path : str or Path
        TRK, TCK, TRX or Tiny Track file; TRK and TCK also with gzip's compression. It
        is opened read-only.
    reference : str or Path, optional
        Reference image or TRK; needed for TCK, and used for a TRK without a
        voxel-to-RASMM matrix, and for a Tiny Track file of this image.

    Returns
    -------
    contents : LineFile or TrxContents
        Content of the file: ``space``, ``streamlines`` (RASMM, mm),
        ``per_streamline``, ``per_point``, ``groups``, ``per_group``, ``some`` and
        ``close``.

    Raises
    ------
    InputFileError
        If the file or the reference is damaged.
    OutputFileError
        If there is no space to unpack it.
    """
    kind = file_format(path).removesuffix(".gz")
    if kind == ".trx":
        return open_trx(path)
    if kind in (".trk", ".tt"):
        opened = open_trk if kind == ".trk" else open_tiny_track
        return opened(
            path, lambda: None if reference is None else reference_space(reference)
        )
    contents = open_tck(path)
    try:
        if reference is not None:
            contents.space = reference_space(reference)
    except BaseException:
        contents.close()
        raise
    return contents


def reference_space(path: str | Path) -> dict[str, Any]:
    """Read the image space of a reference.

    Parameters
    ----------
    path : str or Path
        Image (NIfTI), TRK or TRX.

    Returns
    -------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order".

    Raises
    ------
    InputFileError
        If the space is invalid, or a TRK has no voxel-to-RASMM matrix.
    """
    kind = file_format(path).removesuffix(".gz")
    if kind == ".trk":
        return trk_space(path)
    if kind in (".trx", ".tt"):
        with closing(open_in_place(path)) as contents:
            return contents.space
    from dipy.io.utils import get_reference_info

    space = named_space(get_reference_info(str(path)))
    check_space(path, **space)
    return space


def check_common_space(
    paths: Sequence[str | Path], reference: str | Path | None = None
) -> None:
    """Raise an error if files used together contain one whose place is not known.

    Parameters
    ----------
    paths : sequence of str or Path
        Files whose streamlines are compared with each other, or learned from
        together. Other files than TRK pass.
    reference : str or Path, optional
        Reference image or TRK, which gives the place.

    Raises
    ------
    InputFileError
        If there is more than one file, no reference, and a TRK has no voxel-to-RASMM
        matrix.
    """
    if reference is not None or len({str(path) for path in paths}) < 2:
        return
    for path in paths:
        if file_format(path).removesuffix(".gz") == ".trk" and not has_matrix(path):
            raise InputFileError(
                f"Cannot use {path} together with other files: its header has no "
                "voxel-to-RASMM matrix, so where its streamlines lie is not known. "
                "Give its image as `reference`, or leave the file out."
            )
