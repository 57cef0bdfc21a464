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

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, check_choice
from dipy_tractoencoder.io.checks import broken
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

VTK_SPACES = ("ras", "lps")
ASSUMED = "ras"  # As DIPY does from 1.12 on.
SPACE_LINE = re.compile(r"\bSPACE\s*=\s*(\w+)", re.IGNORECASE)
# In front of a message of VTK: its kind and place, and the object that speaks.
MESSAGE_START = re.compile(r"^.*: In .*, line \d+\n(?:\w+ \(\w+\): )?", re.MULTILINE)
POINTS_LINE = re.compile(rb"^POINTS\s+(-?\d+)\s", re.MULTILINE)
EMPTY = re.compile(rb"^POINTS\s+0\s", re.MULTILINE)
BEGINNING = 4096  # bytes
LEAST_BYTES = 6  # of a point, in ASCII.


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
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    path = Path(path)
    xml = file_format(path) == ".vtp"
    if xml:
        _check_ends(path)
    else:
        _check_size(path)
    with _vtk_errors(vtk) as errors, _same_locale():
        reader = vtk.vtkXMLPolyDataReader() if xml else vtk.vtkPolyDataReader()
        reader.SetFileName(str(path))
        reader.Update()
        found = reader.GetOutput()
    if errors or reader.GetErrorCode():
        raise broken(path, "; ".join(errors[:1]) or "VTK cannot read it")
    if not found.GetNumberOfPoints() and not found.GetNumberOfLines():
        if not xml and not EMPTY.search(_beginning(path)):
            raise broken(path, "it ends before its points")
        return ArraySequence()
    points = vtk_to_numpy(found.GetPoints().GetData())
    offsets = vtk_to_numpy(found.GetLines().GetOffsetsArray()).astype(np.int64)
    ids = vtk_to_numpy(found.GetLines().GetConnectivityArray()).astype(np.int64)
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
    named = _named_space(path, None if xml else reader.GetHeader(), found)
    space = _chosen_space(path, named, vtk_space)
    sequence = ArraySequence()
    sequence._data = points[ids]  # A copy: VTK frees its own.
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
    with np.errstate(all="ignore"):
        return lines_to_vtk_polydata(ArraySequence(lines))[0]


def _named_space(path, header, polydata):
    """Return the space that a file names; None if it names none."""
    text = None
    if header is not None and (found := SPACE_LINE.search(header)):
        text = found[1]
    field = polydata.GetFieldData().GetAbstractArray("SPACE")
    if text is None and field is not None and field.GetNumberOfValues():
        text = str(field.GetVariantValue(0).ToString())
    if text is None:
        return None
    if text.lower() not in VTK_SPACES:
        raise InputFileError(
            f"Cannot read {path}: it says that its space is {text!r}; known are RAS "
            "and LPS. Convert it with the program that wrote it."
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


def _beginning(path):
    with open(path, "rb") as file:
        return file.read(BEGINNING)


def _check_ends(path):
    """Raise an error unless a VTP begins and ends as one."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - BEGINNING))
        end = file.read().rstrip()
    if b"<VTKFile" not in _beginning(path) or not end.endswith(b"</VTKFile>"):
        raise broken(path, "it is no complete VTK file in XML")


def _check_size(path):
    """Raise an error if a VTK or FIB file promises more points than it can hold."""
    content = _beginning(path)
    if not content.startswith(b"# vtk DataFile"):
        raise broken(path, "it does not begin with `# vtk DataFile`")
    if found := POINTS_LINE.search(content):
        count, size = int(found[1]), path.stat().st_size
        if not 0 <= count * LEAST_BYTES <= size:
            raise broken(
                path,
                f"it promises {count} points, which cannot be in its {size} bytes",
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
