"""What tractogram files say of themselves, checked before a reader believes it.

Readers allocate, map and unpack what a header promises, take the affine as it is, or go
on with fewer streamlines; here the promises are compared with the file's size first.
"""

from contextlib import closing
import json
from pathlib import Path
import re
import zipfile

import numpy as np

from dipy_tractoencoder.errors import InputFileError

TRK_HEADER = 1000  # bytes
TCK_TRIPLET = 12
LARGEST_TEXT = 2**20
# Of what is unpacked to a temporary folder: points hardly shrink, other numbers do.
LARGEST_RATIO = 100
ALWAYS_FINE = 2**28
POSITIONS = re.compile(r"positions\.3\.(float16|float32|float64)")
OFFSETS = re.compile(r"offsets\.(u?int32|u?int64)")


def check_contents(path):
    """Raise if a tractogram's header cannot be true; other formats pass.

    Parameters
    ----------
    path : str or Path
        A .trk, .tck or .trx file that exists.

    Raises
    ------
    InputFileError
        If header and size of the file contradict each other, or the space is none.
    """
    path = Path(path)
    checks = {".trk": _check_trk, ".tck": _check_tck, ".trx": _check_trx}
    check = checks.get(path.suffix)
    if check is None:
        return
    try:
        check(path)
    except InputFileError:
        raise
    # What zip, JSON, text and numbers in a broken file lead to.
    except (
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
        zipfile.BadZipFile,
        zipfile.zlib.error,
        MemoryError,
    ) as err:
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


def check_offsets(path, streamlines, n_streamlines):
    """Raise unless a TRX file's offsets cut its points into streamlines.

    Parameters
    ----------
    path : str or Path
        The file, for the message.
    streamlines : ArraySequence
        As it was opened.
    n_streamlines : int
        How many its header promises.

    Raises
    ------
    InputFileError
        If they do not.
    """
    offsets, lengths = streamlines._offsets, streamlines._lengths
    if len(streamlines) != n_streamlines or len(lengths) != len(offsets):
        raise broken(
            path,
            f"its header promises {n_streamlines} streamlines, and its offsets make "
            f"{len(streamlines)}",
        )
    last = 0
    for start in range(0, len(offsets), 2**20):
        some = np.asarray(offsets[start : start + 2**20])
        ends = some.astype(np.float64) + lengths[start : start + 2**20]
        before = np.concatenate([[last], ends[:-1]])
        if (some != before).any() or ends[-1] > len(streamlines._data):
            raise broken(path, "its offsets do not follow each other")
        last = ends[-1]
    if last != len(streamlines._data):
        raise broken(path, "its offsets leave points out")


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


def check_trx_offsets(path):
    """Raise unless a TRX file's offsets cut its points into streamlines.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputFileError
        If they do not.
    """
    from trx.trx_file_memmap import load

    with closing(load(str(path))) as trx:
        check_offsets(path, trx.streamlines, trx_header(path)["NB_STREAMLINES"])


def trx_header(path):
    """Read the header of a TRX file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    header : dict
        "NB_STREAMLINES", "NB_VERTICES", "VOXEL_TO_RASMM" and "DIMENSIONS".
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("header.json").file_size > LARGEST_TEXT:
            raise broken(path, "its header is too long")
        return json.loads(archive.read("header.json"))


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


def _check_trx(path):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        raise broken(path, "it has two parts of one name")
    for name in names:
        if ".." in Path(name).parts or Path(name).is_absolute() or "\\" in name:
            raise broken(path, f"its part {name!r} lies outside of it")
    unpacked = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    if unpacked > max(ALWAYS_FINE, LARGEST_RATIO * packed):
        raise broken(path, f"its {packed} bytes would unpack to {unpacked}")
    header = trx_header(path)
    counts = header["NB_STREAMLINES"], header["NB_VERTICES"]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise broken(path, "its header says {} streamlines, {} points".format(*counts))
    n_streamlines, n_points = counts
    check_space(path, header["VOXEL_TO_RASMM"], header["DIMENSIONS"])
    if n_streamlines == 0 and n_points == 0:
        return
    sizes = {info.filename: info.file_size for info in members}
    for pattern, wanted in (
        (POSITIONS, {3 * n_points}),
        (OFFSETS, {n_streamlines, n_streamlines + 1}),
    ):
        found = [match for name in sizes if (match := pattern.fullmatch(name))]
        what = pattern.pattern.partition("\\")[0]
        if len(found) != 1:
            raise broken(path, f"it has no {what} of a type that can be, or several")
        numbers, rest = divmod(sizes[found[0][0]], np.dtype(found[0][1]).itemsize)
        if rest or numbers not in wanted:
            raise broken(
                path,
                f"its header promises {n_streamlines} streamlines of {n_points} "
                f"points, and its {what} are {numbers} numbers",
            )
