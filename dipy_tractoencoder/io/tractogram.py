"""Read and write tractogram files through DIPY, with clear errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    format_received,
)
from dipy_tractoencoder.io.dpy import read_dpy
from dipy_tractoencoder.io.formats import (
    EXTENSIONS,
    IN_PLACE,
    SELF_CONTAINED,
    THROUGH_FURY,
    file_format,
    why_unreadable,
    without_fury,
)
from dipy_tractoencoder.io.line_file import number_type
from dipy_tractoencoder.io.open_file import open_in_place, reference_space
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.trk_writer import write_without_points
from dipy_tractoencoder.io.trx import TrxContents
from dipy_tractoencoder.io.trx_writer import points_of, rows_of, write_trx
from dipy_tractoencoder.io.vtk import read_vtk, write_vtk
from dipy_tractoencoder.streamlines.inside import any_point_outside
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram
    from nibabel.streamlines import ArraySequence

logger = logging.getLogger(__name__)


def load_tractogram(
    path: str | Path, reference: str | Path | None = None
) -> StatefulTractogram:
    """Read a tractogram in any format that DIPY supports, and some more.

    Parameters
    ----------
    path : str or Path
        A .trk, .tck, .trx, .vtk, .vtp, .fib, .dpy, .trk.gz, .tck.gz or .tt.gz file.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...); not used
        for TRX, and for TRK only if its header has no voxel-to-RASMM matrix. With a
        `Reference`, also the space of the points in VTK, VTP and FIB files. The points
        of a .tt.gz are put into the space of its image, or into MNI space.

    Returns
    -------
    tractogram : StatefulTractogram
        Streamlines, RASMM, mm, origin at the voxel centre. Points outside of the image
        are kept, and streamlines without points.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of another format, or lacks its reference.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> dte.save_tractogram(made.tractogram(), "fibercup.trk")
    >>> len(dte.load_tractogram("fibercup.trk"))
    43
    """
    from dipy.io.stateful_tractogram import Space, StatefulTractogram

    check_tractogram_path(path, reference)
    path = Path(path)
    own_space = file_format(path) in SELF_CONTAINED
    try:
        if file_format(path) in IN_PLACE:
            tractogram = _load_in_place(path, reference)
        elif file_format(path) == ".dpy":
            tractogram = StatefulTractogram(
                read_dpy(path), dipy_reference(str(reference)), Space.RASMM
            )
        else:
            tractogram = _load_vtk(path, reference)
        outside = points_outside(
            tractogram.streamlines,
            {"affine": tractogram.affine, "dimensions": tractogram.dimensions},
        )
    except (InputFileError, OutputFileError):
        raise
    # The readers raise many types of errors for damaged files.
    except Exception as err:
        text = " ".join(str(err).split()).rstrip(".")
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {text}. The file may be "
            f"damaged{'' if own_space else f', or the reference {reference} wrong'}."
        ) from err
    if outside:
        logger.info("%s: some points lie outside of the image; they are kept.", path)
    return tractogram


def _load_vtk(path, reference):
    """Read a VTK, VTP or FIB file as a StatefulTractogram."""
    from dipy.io.stateful_tractogram import Space, StatefulTractogram

    chosen = getattr(reference, "vtk_space", None)  # If it is a Reference.
    lines = read_vtk(path, chosen)
    tractogram = StatefulTractogram(lines, dipy_reference(reference), Space.RASMM)
    space = {"affine": tractogram.affine, "dimensions": tractogram.dimensions}
    if chosen is None and points_outside(lines, space):
        mirrored = lines.copy()
        mirrored._data = mirrored._data * np.array([-1, -1, 1], np.float32)
        if not points_outside(mirrored, space):
            logger.warning(
                "%s: points lie outside of the image %s, but all would lie inside with "
                "the other sign of x and y. Their space may be wrong: try the other "
                "`vtk_space`.",
                path,
                reference,
            )
    return tractogram


def _load_in_place(path, reference):
    """Read a TRK, TCK or TRX into memory as a StatefulTractogram."""
    from dipy.io.stateful_tractogram import Space, StatefulTractogram

    with closing(open_in_place(path, reference)) as contents:
        points = contents.some(0, len(contents))
        is_trx = isinstance(contents, TrxContents)
        kinds = {
            "positions": points._data.dtype,
            "dpp": {n: number_type(of) for n, of in contents.per_point.items()},
            "dps": {n: values.dtype for n, values in contents.per_streamline.items()},
        }
        tractogram = StatefulTractogram(
            points,
            contents.reference() if is_trx else _attributes(contents.space),
            Space.RASMM,
            data_per_point={
                name: contents.some(0, len(contents), name)
                for name in contents.per_point
            },
            data_per_streamline={
                name: np.array(values)
                for name, values in contents.per_streamline.items()
            },
        )
    if is_trx:
        tractogram.dtype_dict = kinds  # DIPY changes some types.
    return tractogram


def _attributes(space):
    """Return an image space as DIPY's own reader would."""
    return (
        space["affine"],
        space["dimensions"].astype(np.int16),
        space["voxel_sizes"].astype(np.float32),
        space["voxel_order"],
    )


def dipy_reference(path: str | Path) -> Any:
    """Return a reference that DIPY can read the image space from.

    Parameters
    ----------
    path : str or Path
        Image or tractogram.

    Returns
    -------
    reference : str or tuple
        The path of an image; for a TRK or TRX its space, because DIPY's own readers
        would open a TRX for writing, and accept a TRK that has none.
    """
    if file_format(path) not in SELF_CONTAINED:
        return str(path)
    return _attributes(reference_space(path))


def points_outside(streamlines: ArraySequence, space: Mapping[str, Any]) -> bool:
    """Return whether streamlines have points outside of an image.

    Parameters
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm, origin at the voxel centre.
    space : dict
        "affine" and "dimensions" of the image.

    Returns
    -------
    outside : bool
        True if a point is more than half a voxel away from all voxel centres.
    """
    return any_point_outside(streamlines._data, space)  # All points, without a copy.


def check_tractogram_path(
    path: str | Path, reference: str | Path | None = None
) -> None:
    """Raise an error unless a path can be a tractogram, without reading the file.

    Parameters
    ----------
    path : str or Path
        Tractogram file.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Raises
    ------
    InputFileError
        If the file is missing, its extension is unknown, or it lacks its reference.
    """
    path = Path(path)
    check_readable(path)
    suffix = file_format(path)
    if suffix == ".keras":
        raise InputFileError(
            f"Cannot read {path}: it is a model, but a tractogram is expected. Give "
            "the model first, then the tractograms."
        )
    if reason := why_unreadable(path):
        raise InputFileError(f"Cannot read {path}: {reason}")
    if suffix in SELF_CONTAINED:
        return
    if reference is None:
        raise InputFileError(
            f"Cannot read {path}: a {suffix} file does not contain its image space. "
            "Give its image (NIfTI, or a TRK of the same space) as `reference`."
        )
    if not Path(reference).is_file():
        raise InputFileError(f"Reference file not found: {reference}.")


def save_tractogram(
    tractogram: StatefulTractogram, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write a tractogram, completely or not at all.

    Points outside of the image are kept. A StatefulTractogram cannot hold groups and
    data per group: those of a TRX read by `load_tractogram` are not written. The
    commands preserve them.

    Parameters
    ----------
    tractogram : StatefulTractogram
        Tractogram in any space.
    path : str or Path
        File to write; its extension determines the format.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Raises
    ------
    InvalidArgumentError
        If ``tractogram`` is not a StatefulTractogram.
    OutputFileError
        If the file exists and ``overwrite`` is False, its extension is unknown, or it
        cannot be written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> dte.save_tractogram(made.tractogram(), "fibercup.trx")
    >>> len(dte.load_tractogram("fibercup.trx"))
    43
    """
    from dipy.io.streamline import save_tractogram as dipy_save

    if not hasattr(tractogram, "space_attributes"):
        raise InvalidArgumentError(
            "Invalid value received for `tractogram`. Expected a StatefulTractogram, "
            "as returned by `load_tractogram` and `decode_tractogram`. Received: "
            f"{format_received(tractogram)}. Convert points in mm by "
            "StatefulTractogram(points, reference, Space.RASMM) of "
            "dipy.io.stateful_tractogram."
        )
    check_output_extension(path)
    check_free(path, overwrite)
    if file_format(path) == ".trx":
        _save_trx(tractogram, path)
        return
    with whole_file(path) as partial:
        if file_format(path) in THROUGH_FURY:
            write_vtk(partial, _in_rasmm(tractogram).streamlines)
        elif (
            file_format(path) == ".trk"
            and len(tractogram)
            and not tractogram.streamlines.total_nb_rows
        ):
            write_without_points(
                partial,
                tractogram_space(tractogram),
                len(tractogram),
                tractogram.data_per_streamline,
            )
        else:
            dipy_save(tractogram, str(partial), bbox_valid_check=False)


def _in_rasmm(tractogram):
    """Return a tractogram in RASMM with its origin at the voxel centre."""
    from dipy.io.stateful_tractogram import Origin, Space

    if tractogram.space != Space.RASMM or tractogram.origin != Origin.NIFTI:
        tractogram = deepcopy(tractogram)
        tractogram.to_rasmm()
        tractogram.to_center()
    return tractogram


def _save_trx(tractogram, path):
    """Write a StatefulTractogram as a TRX, with the dtypes of its data."""
    tractogram = _in_rasmm(tractogram)
    lines, rows = tractogram.streamlines, np.arange(len(tractogram))
    per_point, per_streamline = (
        tractogram.data_per_point,
        tractogram.data_per_streamline,
    )
    write_trx(
        path,
        points_of(lines, rows),
        [np.asarray(lines._lengths)],
        tractogram_space(tractogram),
        per_streamline={name: rows_of(v, rows) for name, v in per_streamline.items()},
        per_point={name: points_of(v, rows) for name, v in per_point.items()},
    )


def check_output_extension(
    path: str | Path, allowed: Sequence[str] = EXTENSIONS
) -> None:
    """Raise an error unless a path has an extension of tractograms.

    Parameters
    ----------
    path : str or Path
        File to be written.
    allowed : sequence of str, optional
        Allowed extensions.

    Raises
    ------
    OutputFileError
        If the extension is not allowed.
    """
    suffix = Path(path).suffix
    if suffix not in allowed:
        raise OutputFileError(
            f"Cannot write {path}: the extension must be one of {' '.join(allowed)}."
        )
    if suffix in THROUGH_FURY and (reason := without_fury()):
        raise OutputFileError(f"Cannot write {path}: {reason}")
