"""Read and write known affine transforms: DIPY's text, and ITK's as of ANTs.

Sources: `itk::TransformFileWriter`, and the classes of transforms in the documentation
of ITK; "Forward and inverse warps for warping images, pointsets and Jacobians" in the
wiki of ANTs, for directions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
import re

import numpy as np

from dipy_tractoencoder.align.alignment import (
    LARGEST_FILE,
    Alignment,
    check_matrix,
    read_alignment_json,
)
from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    format_received,
)
from dipy_tractoencoder.io.mat4 import find_matrices
from dipy_tractoencoder.io.raw_file import RawFile
from dipy_tractoencoder.utils.atomic_files import (
    check_free,
    check_readable,
    whole_file,
)

ITK_HEADER = "#Insight Transform File"
LPS = np.diag((-1.0, -1.0, 1.0, 1.0))  # ITK's axes from RASMM, and back.
SHOWN = 60  # characters of a line in a message


def load_alignment(path: str | Path, *, invert: bool = False) -> Alignment:
    """Load the transform from a subject to a model from a file.

    Parameters
    ----------
    path : str or Path
        File of one affine transform: JSON of `save_alignment`; text with 4 x 4 numbers,
        as DIPY's ``affine.txt``; or a transform of ITK, as ANTs and 3D Slicer write it,
        as text (``.txt``, ``.tfm``) or MATLAB file (``.mat``). The content decides.
    invert : bool, optional
        Use the inverse of what the file contains by the rules in the notes: the
        registration was made the other way round, with the subject as fixed (static)
        image and the model as moving one.

    Returns
    -------
    alignment : Alignment
        Transform from the subject's RASMM space to that of the model, mm; "given" and
        "unchecked" unless the file is JSON.

    Raises
    ------
    InputFileError
        If the file is missing, damaged or too large, or contains another kind of
        transform, several of them, or a singular one.

    Notes
    -----
    A registration has a fixed (static) side, which stays, and a moving one. The usual
    one moves the subject to the model:

    - ``dipy_slr model.trk subject.trk`` aligns streamlines. Its ``affine.txt`` maps
      points of the moving streamlines to the static ones and is used as it is.
    - ``antsRegistration -f model.nii.gz -m subject.nii.gz`` aligns images. To fill a
      voxel of the fixed image, ITK looks up a point of the moving one, so
      ``0GenericAffine.mat`` maps points of the fixed image to the moving one, in LPS
      coordinates: from the model to the subject. Points move the opposite way to
      images, and the inverse of the file is used here.
    - ``affine.txt`` of ``dipy_align_affine`` is that of an image registration, too: it
      looks like that of ``dipy_slr`` but maps the static image to the moving one. It
      needs ``invert=True`` where the subject was moved to the model.

    The matrices of FSL's FLIRT are in scaled voxels of two images. As numbers they
    cannot be told from the matrices above, and give a wrong result: convert them to ITK
    first, with ``c3d_affine_tool -fsl2ras -oitk`` for example.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> matrix = np.eye(4)
    >>> matrix[:3, 3] = 10, 0, 0
    >>> np.savetxt("affine.txt", matrix)
    >>> alignment = dte.load_alignment("affine.txt")
    >>> alignment.apply(np.zeros((1, 3))).tolist()
    [[10.0, 0.0, 0.0]]
    """
    path = Path(path)
    check_readable(path)
    try:
        alignment = _read(path)
    except (OSError, ValueError) as err:
        if isinstance(err, InputFileError):
            raise
        raise InputFileError(
            f"Cannot read {path}: {str(err).rstrip('.')}. Give one affine transform: "
            "of dipy_slr (4 x 4 numbers), of ITK or ANTs (.mat, .txt, .tfm), or the "
            "JSON of an alignment."
        ) from err
    return alignment.inverse() if invert else alignment


def save_affine(
    alignment: Alignment, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write the transform of an alignment for DIPY or ITK; `load_alignment` reads it.

    Parameters
    ----------
    alignment : Alignment
        Transform from a subject to a model.
    path : str or Path
        File to write. ``.txt``: 4 x 4 numbers that map points of the subject to the
        model, RASMM, mm, for `dipy.tracking.streamline.transform_streamlines`.
        ``.tfm``: text of ITK, which maps points of the model to the subject, LPS, mm,
        so that ``antsApplyTransforms`` moves an image of the subject to the model.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Raises
    ------
    InvalidArgumentError
        If ``alignment`` is not an Alignment.
    OutputFileError
        If the extension is another one, the file exists and ``overwrite`` is False, or
        it cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> dte.save_affine(dte.Alignment(np.eye(4)), "affine.tfm")
    >>> dte.load_alignment("affine.tfm").moves
    False
    """
    if not isinstance(alignment, Alignment):
        raise InvalidArgumentError(
            "Invalid value received for `alignment`. Expected an Alignment. Received: "
            f"{format_received(alignment)}."
        )
    kind = Path(path).suffix.lower()
    if kind not in (".txt", ".tfm"):
        raise OutputFileError(
            f"Cannot write {path}: a transform is written as .txt (DIPY) or .tfm (ITK)."
        )
    check_free(path, overwrite)
    matrix = alignment.matrix
    if kind == ".txt":
        rows = [" ".join(map(repr, row)) for row in matrix.tolist()]
    else:
        matrix = LPS @ np.linalg.inv(matrix) @ LPS + 0.0  # No zeros of negative sign.
        numbers = [*matrix[:3, :3].ravel().tolist(), *matrix[:3, 3].tolist()]
        rows = [
            f"{ITK_HEADER} V1.0",
            "#Transform 0",
            "Transform: AffineTransform_double_3_3",
            f"Parameters: {' '.join(map(repr, numbers))}",
            "FixedParameters: 0 0 0",
        ]
    with whole_file(path) as partial:
        Path(partial).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _read(path):
    """Read a transform of any kind; errors do not name the file."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(
            "it is too large to be an affine transform. Deformation fields cannot be "
            "used, only the affine part of a registration"
        )
    if not content.strip():
        raise ValueError("it is empty")
    if content.lstrip()[:1] == b"{":
        return read_alignment_json(path)
    if content[:4] == b"\x89HDF":
        raise ValueError(
            "it is a composite transform in HDF5. Take its affine part out, with "
            "CompositeTransformUtil of ANTs"
        )
    if content[:6] == b"MATLAB" or (
        b"\0" in content[:20] and path.suffix.lower() == ".mat"
    ):
        return _of_itk(*_from_mat(path, content))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    if text.lstrip().startswith(ITK_HEADER):
        return _of_itk(*_from_itk_text(text))
    return Alignment(_from_numbers(text, path))


def _from_numbers(text, path):
    """Read 4 x 4 numbers."""
    rows = [line.split("#")[0].split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    if len(rows) != 4 or any(len(row) != 4 for row in rows):
        sizes = sorted({len(row) for row in rows})
        found = f"{len(rows)} lines of {' or '.join(map(str, sizes))} words"
        raise ValueError(f"it has {found}, not 4 x 4 numbers")
    matrix = [_floats(row) for row in rows]
    if path.suffix.lower() == ".mat":
        raise ValueError(
            "4 x 4 numbers in a .mat file are a matrix of FSL's FLIRT, between scaled "
            "voxels. Convert it to ITK, with c3d_affine_tool -fsl2ras -oitk; if it is "
            "between RASMM coordinates in mm, rename it to .txt"
        )
    return matrix


def _floats(words):
    """Convert words to finite numbers."""
    try:
        if not any("_" in word for word in words):
            return [float(word) for word in words]
    except ValueError:
        pass
    shown = " ".join(words)
    raise ValueError(f"these are no numbers: {shown[:SHOWN]}")


def _from_itk_text(text):
    """Return kind, parameters and fixed parameters of the one transform in a text."""
    blocks: list[dict[str, str]] = []
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key = key.strip()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if key == "Transform" and colon:
            blocks.append({})
        elif not blocks or not colon or key not in ("Parameters", "FixedParameters"):
            raise ValueError(f"a transform of ITK has no line as {line[:SHOWN]!r}")
        if key in blocks[-1]:
            raise ValueError(f"its transform has two lines of {key}")
        blocks[-1][key] = value.strip()
    single = [b for b in blocks if not b["Transform"].startswith("CompositeTransform")]
    _check_single(len(single))
    (block,) = single
    numbers = [
        _floats(block.get(key, "").split()) for key in ("Parameters", "FixedParameters")
    ]
    return block["Transform"], *numbers


def _from_mat(path, content):
    """Return kind, parameters and fixed parameters of the one transform in a file."""
    if content[:6] == b"MATLAB":
        raise ValueError("it is a MATLAB file of version 5, but ITK writes version 4")
    with closing(RawFile(path)) as raw:
        matrices = find_matrices(raw)
        kinds = [name for name in matrices if name != "fixed"]
        _check_single(len(kinds))
        fixed = matrices["fixed"].read(raw) if "fixed" in matrices else ()
        return kinds[0], list(matrices[kinds[0]].read(raw)), list(fixed)


def _check_single(count):
    """Raise an error unless a file holds one transform."""
    if count != 1:
        raise ValueError(
            f"it contains {count or 'no'} transforms. Join those of a chain into one, "
            "with antsApplyTransforms -o Linear[joined.mat]"
        )


def _of_itk(kind, parameters, fixed):
    """Convert a transform of ITK, from the model to the subject, to an alignment."""
    found = re.fullmatch(r"(\w+?)_(?:double|float)_(\d+)_(\d+)", kind)
    name = found[1] if found else kind
    if found and found.groups()[1:] != ("3", "3"):
        raise ValueError(f"its transform has {found[2]} dimensions, not 3")
    if name not in _ITK_KINDS:
        raise ValueError(
            f"it is of the kind {name[:SHOWN]}, and those that can be read are "
            f"{', '.join(_ITK_KINDS)}. If it is linear, convert it with "
            "antsApplyTransforms -o Linear[converted.mat]"
        )
    n_parameters, split = _ITK_KINDS[name]
    if len(parameters) != n_parameters or len(fixed) not in (0, 3, 4):
        raise ValueError(
            f"its {name} has {len(parameters)} parameters and {len(fixed)} fixed ones, "
            f"not {n_parameters} and 3"
        )
    values, fixed = np.array(parameters, np.float64), np.array(fixed, np.float64)
    if not (np.isfinite(values).all() and np.isfinite(fixed).all()):
        raise ValueError(f"its {name} has parameters that are not finite")
    linear, translation = split(values, fixed)
    centre = fixed[:3] if len(fixed) else np.zeros(3)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = translation + centre - linear @ centre
    back = Alignment(LPS @ check_matrix(matrix) @ LPS)
    return back.inverse()


def _matrix(values, fixed):
    """Matrix by rows, then translation."""
    return values[:9].reshape(3, 3), values[9:]


def _translation(values, fixed):
    return np.eye(3), values


def _identity(values, fixed):
    return np.eye(3), np.zeros(3)


def _euler(values, fixed):
    """Angles about x, y and z, then translation.

    The fourth fixed parameter chooses the order of the rotations: z, y, x if it is not
    zero, otherwise z, x, y (the last one is applied first).
    """
    from scipy.spatial.transform import Rotation

    order = [2, 1, 0] if len(fixed) == 4 and fixed[3] else [2, 0, 1]
    axes = "".join("XYZ"[axis] for axis in order)
    return Rotation.from_euler(axes, values[order]).as_matrix(), values[3:]


def _versor(values, fixed):
    """Right part of a unit quaternion, then translation, then scale, if they exist."""
    from scipy.spatial.transform import Rotation

    right = values[:3]
    size = float(right @ right)
    if size > 1 + 1e-9:
        raise ValueError("its versor is longer than 1")
    rotation = Rotation.from_quat([*right, np.sqrt(max(1 - size, 0))]).as_matrix()
    scale = values[6] if len(values) > 6 else 1.0
    return scale * rotation, values[3:6] if len(values) > 3 else np.zeros(3)


# Number of parameters, and what splits them into linear part and translation.
_ITK_KINDS: dict[str, tuple[int, Callable]] = {
    "IdentityTransform": (0, _identity),
    "AffineTransform": (12, _matrix),
    "MatrixOffsetTransformBase": (12, _matrix),
    "TranslationTransform": (3, _translation),
    "Euler3DTransform": (6, _euler),
    "VersorTransform": (3, _versor),
    "VersorRigid3DTransform": (6, _versor),
    "Similarity3DTransform": (7, _versor),
}
