"""Tractogram files in and out, with DIPY's readers and writers and clear errors."""

from contextlib import closing
from copy import deepcopy
import logging
from pathlib import Path

from nibabel.affines import apply_affine
import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    format_received,
)
from dipy_tractoencoder.io.checks import check_contents, check_trk_end
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.trx import open_trx
from dipy_tractoencoder.io.trx_writer import points_of, rows_of, write_trx
from dipy_tractoencoder.utils.atomic_files import check_free, check_readable, whole_file

logger = logging.getLogger(__name__)

EXTENSIONS = (".trk", ".tck", ".trx", ".vtk", ".vtp", ".fib", ".dpy")
# These hold the image space themselves.
SELF_CONTAINED = (".trk", ".trx")
POINTS_AT_A_TIME = 1_000_000
# nibabel reads and writes these one streamline after the other.
LAZY = (".trk", ".tck")
# DIPY reads and writes these through FURY, which it does not install.
THROUGH_FURY = (".vtk", ".vtp", ".fib")


def load_tractogram(path, reference=None):
    """Read a tractogram in any of DIPY's formats.

    Parameters
    ----------
    path : str or Path
        A .trk, .tck, .trx, .vtk, .vtp, .fib or .dpy file.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in; not used for .trk
        and .trx.

    Returns
    -------
    tractogram : StatefulTractogram
        RASMM, mm, origin at the voxel centre. Points outside of the image are kept.

    Raises
    ------
    InputFileError
        If the file is missing, broken, of another kind, or lacks its reference.
    """
    from dipy.io.streamline import load_tractogram as dipy_load

    check_tractogram_path(path, reference)
    check_contents(path)
    path = Path(path)
    own_space = path.suffix.lower() in SELF_CONTAINED
    try:
        if path.suffix == ".trx":
            tractogram = _load_trx(path)
        else:
            tractogram = dipy_load(
                str(path),
                "same" if own_space else dipy_reference(reference),
                bbox_valid_check=False,
            )
        if path.suffix == ".trk" and tractogram is not False:
            lines = tractogram.streamlines
            check_trk_end(path, len(lines), lines.total_nb_rows)
        outside = tractogram is not False and points_outside(
            tractogram.streamlines,
            {"affine": tractogram.affine, "dimensions": tractogram.dimensions},
        )
    except (InputFileError, OutputFileError):
        raise
    # Readers of seven formats raise whatever a broken file leads them to.
    except Exception as err:
        text = " ".join(str(err).split()).rstrip(".")
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {text}. The file may be "
            f"damaged{'' if own_space else f', or the reference {reference} wrong'}."
        ) from err
    if tractogram is False:
        raise InputFileError(
            f"Cannot read {path}: DIPY refused it (its log says why). Check the file"
            f"{'' if own_space else f' and the reference {reference}'}."
        )
    if outside:
        logger.info("%s: some points lie outside of the image; they are kept.", path)
    return tractogram


def _load_trx(path):
    """Copy a TRX into memory, as a tractogram of DIPY's."""
    from dipy.io.stateful_tractogram import Space, StatefulTractogram

    with closing(open_trx(path)) as trx:
        points = trx.some(0, len(trx))
        kinds = {
            "positions": points._data.dtype,
            "dpp": {name: lines._data.dtype for name, lines in trx.per_point.items()},
            "dps": {name: values.dtype for name, values in trx.per_streamline.items()},
        }
        tractogram = StatefulTractogram(
            points,
            trx.reference(),
            Space.RASMM,
            data_per_point={n: trx.some(0, len(trx), n) for n in trx.per_point},
            data_per_streamline={n: np.array(v) for n, v in trx.per_streamline.items()},
        )
    tractogram.dtype_dict = kinds  # DIPY makes other types of some.
    return tractogram


def dipy_reference(path):
    """Give what DIPY takes the image space of a file from.

    Parameters
    ----------
    path : str or Path
        Image or tractogram.

    Returns
    -------
    reference : str or dict
        The path; of a TRX its header, as DIPY's own reader would open it for writing.
    """
    if Path(path).suffix != ".trx":
        return str(path)
    with closing(open_trx(path)) as trx:
        return trx.reference()


def points_outside(streamlines, space):
    """Tell whether streamlines have points outside of an image.

    Parameters
    ----------
    streamlines : ArraySequence
        RASMM, mm, origin at the voxel centre.
    space : dict
        "affine" and "dimensions" of the image.

    Returns
    -------
    outside : bool
        True if a point is more than half a voxel from all voxel centres.
    """
    to_voxels = np.linalg.inv(space["affine"])
    points = streamlines._data  # All of them, without a copy.
    for start in range(0, len(points), POINTS_AT_A_TIME):
        chunk = points[start : start + POINTS_AT_A_TIME]
        with np.errstate(invalid="ignore"):  # Infinite points are rejected later.
            voxels = apply_affine(to_voxels, chunk) + 0.5
        if (voxels < 0).any() or (voxels > space["dimensions"]).any():
            return True
    return False


def check_tractogram_path(path, reference=None):
    """Raise unless a file can be a tractogram, without reading it.

    Parameters
    ----------
    path : str or Path
        The file.
    reference : str or Path, optional
        Image or tractogram whose space it is in.

    Raises
    ------
    InputFileError
        If the file is missing, of unknown extension, or lacks its reference.
    """
    path = Path(path)
    check_readable(path)
    suffix = path.suffix  # DIPY knows them in small letters only.
    if suffix == ".keras":
        raise InputFileError(
            f"Cannot read {path}: it is a model, where a tractogram is expected. The "
            "model comes first, then the tractograms."
        )
    if suffix not in EXTENSIONS:
        raise InputFileError(
            f"Cannot read {path}: `{suffix or path.name}` is no tractogram extension. "
            f"Known are {' '.join(EXTENSIONS)}; others can be converted with "
            "dipy_convert_tractogram."
        )
    _check_fury(path, InputFileError)
    if suffix in SELF_CONTAINED:
        return
    if reference is None:
        raise InputFileError(
            f"Cannot read {path}: a {suffix} file does not hold its image space. Give "
            "the image it belongs to (NIfTI, or a TRK of the same space) as "
            "`reference`."
        )
    if not Path(reference).is_file():
        raise InputFileError(f"Reference file not found: {reference}.")


def save_tractogram(tractogram, path, *, overwrite=False):
    """Write a tractogram, whole or not at all; points out of the image are kept.

    A StatefulTractogram has no groups and no data per group: those of a TRX that was
    read by `load_tractogram` are not written. The commands carry them.

    Parameters
    ----------
    tractogram : StatefulTractogram
        Any space.
    path : str or Path
        File whose extension chooses the format.
    overwrite : bool, optional
        Replace an existing file.

    Raises
    ------
    InvalidArgumentError
        If it is no StatefulTractogram.
    OutputFileError
        If the file exists and is not to be replaced, its extension is unknown, or it
        cannot be written.
    """
    from dipy.io.streamline import save_tractogram as dipy_save

    if not hasattr(tractogram, "space_attributes"):
        raise InvalidArgumentError(
            "Invalid value received for `tractogram`. Expected a StatefulTractogram, "
            "as `load_tractogram` and `decode_tractogram` give. Received: "
            f"{format_received(tractogram)}. Points in mm become one by "
            "StatefulTractogram(points, reference, Space.RASMM) of "
            "dipy.io.stateful_tractogram."
        )
    check_output_extension(path)
    check_free(path, overwrite)
    if Path(path).suffix == ".trx":
        _save_trx(tractogram, path)
        return
    with whole_file(path) as partial:
        dipy_save(tractogram, str(partial), bbox_valid_check=False)


def _save_trx(tractogram, path):
    """Write a tractogram of DIPY's as a TRX; each kind of data keeps its type."""
    from dipy.io.stateful_tractogram import Origin, Space

    if tractogram.space != Space.RASMM or tractogram.origin != Origin.NIFTI:
        tractogram = deepcopy(tractogram)
        tractogram.to_rasmm()
        tractogram.to_center()
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


def check_output_extension(path, allowed=EXTENSIONS):
    """Raise unless a tractogram can be written under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.
    allowed : sequence of str, optional
        Extensions that will do.

    Raises
    ------
    OutputFileError
        If the extension is another one.
    """
    suffix = Path(path).suffix
    if suffix not in allowed:
        raise OutputFileError(
            f"Cannot write {path}: the extension has to be one of {' '.join(allowed)}."
        )
    _check_fury(path, OutputFileError)


def _check_fury(path, error):
    """Raise ``error`` if the file's format needs FURY and it is not installed."""
    if Path(path).suffix not in THROUGH_FURY:
        return
    from dipy.io.vtk import have_fury  # It has to be a version that DIPY knows.

    if not have_fury:
        raise error(
            f"Cannot use {path}: DIPY needs FURY for this format. Install it with "
            'pip install "dipy_tractoencoder[vtk]", or convert the file.'
        )
