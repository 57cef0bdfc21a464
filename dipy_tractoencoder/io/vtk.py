"""Read and write VTK, VTP and FIB files, whose points may be RAS or LPS.

3D Slicer and ITK write the space into the file: ``SPACE=RAS`` or ``SPACE=LPS`` in the
header line of VTK and FIB, and an array of field data of that name in VTP. DIPY writes
neither: files of DIPY before 1.12 are LPS, later ones RAS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import locale
import logging
from pathlib import Path
import re
from typing import Any
import warnings

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, check_choice
from dipy_tractoencoder.io.checks import broken
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.vtk_legacy import PolyData, read_legacy
from dipy_tractoencoder.io.zip_arrays import ALWAYS_FINE, LARGEST_RATIO
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

VTK_SPACES = ("ras", "lps")
ASSUMED = "ras"  # As DIPY does from 1.12 on.
SPACE_LINE = re.compile(r"\bSPACE\s*=\s*(\w+)", re.IGNORECASE)
# In front of a message of VTK: its kind and place, and the object that speaks.
MESSAGE_START = re.compile(r"^.*: In .*, line \d+\n(?:\w+ \(\w+\): )?", re.MULTILINE)
BEGINNING = 4096  # bytes
COUNTS = re.compile(rb"""NumberOf(Points|Lines)\s*=\s*["']\s*(\d{1,20})""")


class Reference(str):
    """Reference image, with the space of the points in VTK, VTP and FIB files.

    It can be given wherever a ``reference`` can, and is the path of the image.

    Parameters
    ----------
    image : str or Path
        Reference image or TRK.
    vtk_space : {"ras", "lps"}, optional
        Space of the points in all VTK, VTP and FIB files that are read with this
        reference. By default that which a file names; files that name none are read as
        RAS, with a warning.

    Raises
    ------
    InvalidArgumentError
        If the space is unknown.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> reference = dte.Reference("t1.nii.gz", vtk_space="lps")
    >>> reference, reference.vtk_space
    ('t1.nii.gz', 'lps')
    """

    vtk_space: str | None

    def __new__(cls, image: str | Path, vtk_space: str | None = None) -> Reference:
        """Check the space."""
        if vtk_space is not None:
            check_choice("vtk_space", vtk_space, VTK_SPACES)
        made = super().__new__(cls, str(image))
        made.vtk_space = vtk_space
        return made


def read_vtk(path: str | Path, vtk_space: str | None = None) -> ArraySequence:
    """Read the streamlines of a VTK, VTP or FIB file.

    Parameters
    ----------
    path : str or Path
        File; its extension can be in any case.
    vtk_space : {"ras", "lps"}, optional
        Space of its points; by default that which the file names, or RAS. Which one is
        used is logged once for each file: as a warning if it is assumed, or not that
        which the file names.

    Returns
    -------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.

    Raises
    ------
    InputFileError
        If the file is damaged, has no lines, or names an unknown space.
    """
    path = Path(path)
    found = _read_xml(path) if file_format(path) == ".vtp" else read_legacy(path)
    points, offsets, ids = found.points, found.offsets, found.ids
    if not len(points) and not len(ids):
        return ArraySequence()
    if len(offsets) < 2:
        raise InputFileError(
            f"Cannot read {path}: it holds no lines, but {len(points)} points: a "
            "surface or other data, no tractogram."
        )
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(ids) or (lengths < 0).any():
        raise broken(path, "its lines do not follow each other")
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(points):
        raise broken(path, "its lines use points that it does not have")
    named = _named_space(path, found)
    space = _chosen_space(path, named, vtk_space)
    sequence = ArraySequence()
    sequence._data = points[ids]  # A copy.
    if not np.issubdtype(points.dtype, np.floating):
        sequence._data = sequence._data.astype(np.float32)
    sequence._lengths = lengths
    sequence._offsets = offsets[:-1]
    if space == "lps":
        sequence._data[:, :2] *= -1
    return sequence


def write_vtk(path: str | Path, streamlines: ArraySequence) -> None:
    """Write streamlines to a VTK, VTP or FIB file that names its space.

    Parameters
    ----------
    path : str or Path
        File to write; VTK and FIB are binary.
    streamlines : ArraySequence
        Streamlines, RASMM, mm. They are written as RAS, as DIPY does, but the file
        says so.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import vtk

    polydata = _polydata(vtk, streamlines)
    with _vtk_errors(vtk) as errors, _same_locale():
        if file_format(path) == ".vtp":
            space = vtk.vtkStringArray()
            space.SetName("SPACE")
            space.InsertNextValue("RAS")
            polydata.GetFieldData().AddArray(space)
            writer = vtk.vtkXMLPolyDataWriter()
        else:
            writer = vtk.vtkPolyDataWriter()
            writer.SetHeader("dipy_tractoencoder. SPACE=RAS")
            writer.SetFileTypeToBinary()
        writer.SetFileName(str(path))
        writer.SetInputData(polydata)
        written = writer.Write()
    if errors or not written:
        raise OSError("; ".join(errors[:1]) or "VTK cannot write the file")


def _polydata(vtk, streamlines):
    """Build the data that VTK writes, coloured by direction as DIPY does."""
    from fury.utils import lines_to_vtk_polydata

    lines = [line for line in streamlines if len(line)]
    if not lines:
        return vtk.vtkPolyData()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # On the colours of lines without direction.
        return lines_to_vtk_polydata(ArraySequence(lines))[0]


def _read_xml(path):
    """Read points and lines of a VTP file, by VTK."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    _check_xml(path)
    with _vtk_errors(vtk) as errors, _same_locale():
        reader = vtk.vtkXMLPolyDataReader()
        reader.SetFileName(str(path))
        reader.Update()
        found = reader.GetOutput()
    if errors or reader.GetErrorCode():
        raise broken(path, "; ".join(errors[:1]) or "VTK cannot read it")
    if not found.GetNumberOfPoints() and not found.GetNumberOfLines():
        nothing = np.zeros(0, np.int64)
        return PolyData(np.empty((0, 3), np.float32), nothing, nothing)
    field = found.GetFieldData().GetAbstractArray("SPACE")
    # Copies, because VTK frees its own arrays.
    return PolyData(
        vtk_to_numpy(found.GetPoints().GetData()).copy(),
        vtk_to_numpy(found.GetLines().GetOffsetsArray()).astype(np.int64),
        vtk_to_numpy(found.GetLines().GetConnectivityArray()).astype(np.int64),
        str(field.GetVariantValue(0).ToString())
        if field is not None and field.GetNumberOfValues()
        else None,
    )


def _named_space(path, polydata):
    """Return the space that a file names; None if it names none."""
    found = SPACE_LINE.search(polydata.title)
    text = found[1] if found else polydata.space
    if text is None:
        return None
    if text.lower() not in VTK_SPACES:
        raise InputFileError(
            f"Cannot read {path}: it says that its space is {text[:40]!r}; known are "
            "RAS and LPS. Convert it with the program that wrote it."
        )
    return text.lower()


def _chosen_space(path, named, vtk_space):
    """Choose the space of the points of a file, and log why."""
    space = vtk_space or named or ASSUMED
    level, text = logging.INFO, "%s: its points are read as %s, as the file says."
    if vtk_space is not None:
        text = "%s: its points are read as %s, as `vtk_space` says."
        if named not in (None, vtk_space):
            level = logging.WARNING
            text = f"{text} The file says {named.upper()}."
    elif named is None:
        level = logging.WARNING
        text = (
            "%s does not say whether its points are RAS or LPS. They are read as %s, "
            "as DIPY does. Files of other programs, and of DIPY before 1.12, are often "
            "LPS: x and y have the other sign. Choose with `vtk_space`."
        )
    log_once(logger, level, text, path, space.upper())
    return space


def _check_xml(path):
    """Raise an error unless a VTP is complete, and of a possible size."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        beginning = file.read(BEGINNING)
        file.seek(max(0, size - BEGINNING))
        end = file.read().rstrip()
    if b"<VTKFile" not in beginning or not end.endswith(b"</VTKFile>"):
        raise broken(path, "it is no complete VTK file in XML")
    for what, count in COUNTS.findall(beginning):
        if 4 * int(count) > max(ALWAYS_FINE, LARGEST_RATIO * size):
            raise broken(
                path,
                f"it promises {int(count)} {what.decode().lower()}, which cannot be in "
                f"its {size} bytes",
            )


@contextmanager
def _same_locale() -> Iterator[None]:
    """Restore the locale, and with it Python's encoding of files, which VTK changes."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@contextmanager
def _vtk_errors(vtk: Any) -> Iterator[list[str]]:
    """Collect the errors of VTK, which it would write to the terminal.

    Yields
    ------
    errors : list of str
        Empty; filled at the end of the context.
    """
    errors: list[str] = []
    window, collected = vtk.vtkOutputWindow, vtk.vtkStringOutputWindow()
    before = window.GetInstance(), vtk.vtkObject.GetGlobalWarningDisplay()
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    window.SetInstance(collected)
    vtk.vtkObject.SetGlobalWarningDisplay(1)  # FURY switches it off.
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield errors
    finally:
        window.SetInstance(before[0])
        vtk.vtkObject.SetGlobalWarningDisplay(before[1])
        vtk.vtkLogger.SetStderrVerbosity(verbosity)
        for text in MESSAGE_START.split(collected.GetOutput())[1:]:
            if "error" in text.lower():
                errors.append(" ".join(text.split()).rstrip(" .!"))
