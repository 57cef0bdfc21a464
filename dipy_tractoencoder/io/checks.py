"""What tractogram files say of themselves, checked before a reader believes it.

Readers allocate, map and unpack what a header promises, take the affine as it is, or go
on with fewer streamlines; here the promises are compared with the file's size first.
"""

from pathlib import Path
import zipfile
import zlib

import numpy as np

from dipy_tractoencoder.errors import InputFileError

TRK_HEADER = 1000  # bytes
TCK_TRIPLET = 12
LARGEST_TEXT = 2**20
# What zip, JSON, text and numbers in a broken file lead to.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def check_contents(path):
    """Raise if a TRK's or TCK's header cannot be true; other formats pass.

    Parameters
    ----------
    path : str or Path
        A .trk or .tck file that exists.

    Raises
    ------
    InputFileError
        If header and size of the file contradict each other, or the space is none.
    """
    path = Path(path)
    checks = {".trk": _check_trk, ".tck": _check_tck}
    check = checks.get(path.suffix)
    if check is None:
        return
    try:
        check(path)
    except InputFileError:
        raise
    except DAMAGE as err:
        raise broken(path, f"{type(err).__name__}: {err}") from err


def check_space(path, affine, dimensions, voxel_sizes=None, voxel_order=None):
    """Raise unless affine, dimensions and voxel sizes can be those of an image.

    Parameters
    ----------
    path : str or Path
        File they are from, for the message.
    affine : array_like, shape (4, 4)
        Voxels to RASMM.
    dimensions : array_like, shape (3,)
        Of the image, in voxels.
    voxel_sizes : array_like, shape (3,), optional
        mm.
    voxel_order : str, optional
        Axes by the letters of where they lead, as RAS.

    Raises
    ------
    InputFileError
        If the affine is singular or not finite, or a size is not positive.
    """
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise broken(path, f"its affine is no finite 4x4 matrix: {affine.tolist()}")
    size = np.abs(affine[:3, :3]).max()
    if size == 0 or abs(np.linalg.det(affine[:3, :3] / size)) < 1e-9:
        raise broken(path, f"its affine is singular: {affine.tolist()}")
    dimensions = np.asarray(dimensions, dtype=np.float64)
    if dimensions.shape != (3,) or not (dimensions >= 1).all():
        raise broken(path, f"its image has the dimensions {dimensions.tolist()}")
    axes = {"L": "x", "R": "x", "P": "y", "A": "y", "I": "z", "S": "z"}
    if voxel_order is not None:
        named = sorted(axes.get(letter, "") for letter in str(voxel_order))
        if named != ["x", "y", "z"]:
            raise broken(path, f"its voxel order is {voxel_order!r}")
    if voxel_sizes is None:
        return
    voxel_sizes = np.asarray(voxel_sizes, dtype=np.float64)
    fine = np.isfinite(voxel_sizes) & (voxel_sizes > 0)
    if voxel_sizes.shape != (3,) or not fine.all():
        raise broken(path, f"its voxels have the sizes {voxel_sizes.tolist()} mm")


def check_trk_end(path, n_streamlines, n_points):
    """Raise unless a TRK file ends where the streamlines of its header end.

    Readers stop after as many as the header says, or at the end of the file.

    Parameters
    ----------
    path : str or Path
        The file.
    n_streamlines, n_points : int
        Streamlines and points that were read.

    Raises
    ------
    InputFileError
        If there are bytes behind, or streamlines missing.
    """
    header = _trk_header(path)
    promised = int(header["nb_streamlines"])
    if promised == 0:  # TrackVis' way not to say: it was read to its end.
        return
    if promised != n_streamlines:
        raise broken(
            path,
            f"its header promises {promised} streamlines, and it ends after "
            f"{n_streamlines}",
        )
    per_point = 3 + int(header["nb_scalars_per_point"])
    per_streamline = 1 + int(header["nb_properties_per_streamline"])
    numbers = promised * per_streamline + n_points * per_point
    found = Path(path).stat().st_size
    if (expected := TRK_HEADER + 4 * numbers) != found:
        raise broken(
            path,
            f"its header promises {promised} streamlines; with the {n_points} points "
            f"that were read they would take {expected} bytes, and it has {found}",
        )


def broken(path, why):
    """Make the error for a file that contradicts itself.

    Parameters
    ----------
    path : str or Path
        The file.
    why : str
        What is wrong with it.

    Returns
    -------
    error : InputFileError
        To be raised.
    """
    return InputFileError(
        f"Cannot read {path}: {' '.join(str(why).split())}. The file is damaged; copy "
        "or make it again."
    )


def _check_count(path, count, least_bytes, n_bytes):
    """Raise unless so many streamlines fit into so many bytes."""
    if count < 0:
        raise broken(path, f"its header says {count} streamlines")
    if count * least_bytes > n_bytes:
        raise broken(
            path,
            f"its header promises {count} streamlines, which do not fit into its "
            f"{n_bytes} bytes",
        )


def _trk_header(path):
    """Read a TRK file's header, in the order of bytes that it is in."""
    from nibabel.streamlines.trk import header_2_dtype

    with open(path, "rb") as file:
        content = file.read(TRK_HEADER)
    if len(content) < TRK_HEADER:
        raise broken(path, "it ends within its header")
    header = np.frombuffer(content, dtype=header_2_dtype)[0]
    if header["hdr_size"] != TRK_HEADER:
        header = header.view(header_2_dtype.newbyteorder())
    if header["hdr_size"] != TRK_HEADER:
        raise broken(path, f"its header says it has {header['hdr_size']} bytes")
    return header


def _check_trk(path):
    header = _trk_header(path)
    if header["version"] not in (1, 2):
        raise broken(path, f"it is of version {header['version']}; known are 1 and 2")
    affine = np.array(header["voxel_to_rasmm"], dtype=np.float64)
    if header["version"] == 1 or affine[3, 3] == 0:
        affine = np.eye(4)  # TrackVis' way not to say.
    check_space(path, affine, header["dimensions"], header["voxel_sizes"])
    for name in ("nb_scalars_per_point", "nb_properties_per_streamline"):
        if header[name] < 0:
            raise broken(path, f"its header has {name} of {header[name]}")
    n_bytes = path.stat().st_size - TRK_HEADER
    _check_count(path, int(header["nb_streamlines"]), 4, n_bytes)


def _check_tck(path):
    with open(path, "rb") as file:
        content = file.read(LARGEST_TEXT)
    text, end, _ = content.partition(b"\nEND")
    if not end:
        raise broken(path, "its header has no end")
    for line in text.decode("utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "count":
            _check_count(path, int(value), TCK_TRIPLET, path.stat().st_size)
