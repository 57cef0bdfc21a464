"""Read DSI Studio's Tiny Track files (.tt.gz).

The format is a gzipped file of matrices (see `io.mat4`): ``track``, ``track1``, ...
hold bytes, for each streamline the number of its coordinates n (32 bits), its first
point (three 32-bit integers, in 1/32 voxel) and n - 3 steps (signed bytes, 1/32 voxel).
``dimension`` and ``voxel_size`` describe the image, whose voxel axes run to the left,
to the back and up; ``trans_to_mni`` is its affine to MNI space; ``cluster`` has a
number for each streamline, which stands for a line of a text file beside it, if any.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
import logging
from pathlib import Path
from typing import Any

from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import (
    aff2axcodes,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io.checks import DAMAGE, LARGEST_TEXT, broken, check_space
from dipy_tractoencoder.io.line_file import LineFile, SequenceOnDisk
from dipy_tractoencoder.io.mat4 import Matrix, find_matrices
from dipy_tractoencoder.io.raw_file import RawFile
from dipy_tractoencoder.io.space import named_space
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

STREAMLINE_HEADER = 16  # bytes
PER_VOXEL = 32


class TinyTrackFile(LineFile):
    """Content of a Tiny Track file; points are read when they are needed.

    Parameters
    ----------
    raw : RawFile
        The unpacked file.
    begins, lengths : ndarray of int64, shape (n_streamlines,)
        Position of the first step of each streamline, bytes, and number of its points.
    firsts : ndarray of int32, shape (n_streamlines, 3)
        First points, in 1/32 voxel.
    affine : ndarray, shape (4, 4)
        Transformation of voxels to RASMM.
    """

    def __init__(
        self,
        raw: RawFile,
        begins: np.ndarray,
        lengths: np.ndarray,
        firsts: np.ndarray,
        affine: np.ndarray,
    ) -> None:
        super().__init__(raw.path)
        self._raw = raw

        def points(rows):
            counts = lengths[rows]
            ends = begins[rows] + 3 * (counts - 1)
            steps = raw.pieces(0, begins[rows], ends, np.dtype("i1")).reshape(-1, 3)
            starts = np.cumsum(counts) - counts
            moves = np.zeros((int(counts.sum()), 3), np.int64)
            is_step = np.ones(len(moves), bool)
            is_step[starts] = False
            moves[is_step] = steps
            places = np.cumsum(moves, axis=0)
            places += np.repeat(firsts[rows] - places[starts], counts, axis=0)
            return apply_affine(affine, places / PER_VOXEL).astype(np.float32)

        self.streamlines = SequenceOnDisk(points, lengths, 3)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_tiny_track(
    path: str | Path, reference: Callable[[], dict[str, Any] | None] = lambda: None
) -> TinyTrackFile:
    """Open a Tiny Track file, and find its streamlines.

    The file does not contain the position of its image in the scanner. Its points are
    put into MNI space by its own matrix, or into the space of the image if that is
    given. Which of them is logged once for each file.

    Parameters
    ----------
    path : str or Path
        File ending in .tt.gz. It is opened read-only.
    reference : callable, optional
        Function that returns the image space of the reference, or None. One with other
        dimensions or voxel sizes is not the image of this file, and is not used.

    Returns
    -------
    contents : TinyTrackFile
        Content of the file. Clusters with names are its groups.

    Raises
    ------
    InputFileError
        If the file is damaged, or has no matrix to MNI space and no reference.
    OutputFileError
        If there is no space to unpack it.
    """
    raw = RawFile(path)
    try:
        return _open(path, raw, reference())
    except BaseException as err:
        raw.close()
        if isinstance(err, DAMAGE) and not isinstance(
            err, (InputFileError, OutputFileError)
        ):
            raise broken(path, f"{type(err).__name__}: {err}") from err
        raise


def _open(path, raw, reference):
    matrices = find_matrices(raw)
    affine, space = _space(path, raw, matrices, reference)
    begins, lengths, firsts = _cut(path, raw, matrices)
    contents = TinyTrackFile(raw, begins, lengths, firsts, affine)
    contents.space = space
    if "cluster" in matrices:
        cluster = _values(path, raw, matrices, "cluster", len(lengths))
        contents.groups = _groups(path, cluster)
    return contents


def _values(path, raw, matrices, name, count):
    """Read a matrix that has to have a certain number of values."""
    if name not in matrices:
        raise broken(path, f"it has no matrix `{name}`")
    if matrices[name].count != count:
        raise broken(
            path, f"its `{name}` has {matrices[name].count} values instead of {count}"
        )
    return matrices[name].read(raw)


def _cut(path, raw, matrices):
    """Find the streamlines: where their steps begin, their points, and first points."""
    begins, lengths, firsts = [], [], []
    n_found = end = block = 0
    while (name := f"track{block or ''}") in matrices:
        track: Matrix = matrices[name]
        if track.dtype.itemsize != 1 or track.start < end:
            raise broken(path, f"its `{name}` is not of bytes, or not in order")
        content = track.read(raw).view(np.uint8)
        starts, counts = _streamlines(path, name, memoryview(content), n_found)
        begins.append(track.start + starts + STREAMLINE_HEADER)
        lengths.append(counts // 3)
        headers = content[starts[:, None] + np.arange(4, STREAMLINE_HEADER)]
        firsts.append(headers.view("<i4"))
        n_found += len(starts)
        end, block = track.start + track.n_bytes, block + 1
    if not block:
        raise broken(path, "it has no matrix `track`")
    return np.concatenate(begins), np.concatenate(lengths), np.concatenate(firsts)


def _streamlines(path, name, content, n_before):
    """Find where the streamlines of a track begin, and their numbers of coordinates."""
    starts, counts, at, size = array("q"), array("q"), 0, len(content)
    while at < size:
        count = int.from_bytes(content[at : at + 4], "little")
        starts.append(at)
        counts.append(count)
        at += STREAMLINE_HEADER + count - 3
        if count < 3 or count % 3 or at > size:
            raise broken(
                path,
                f"streamline {n_before + len(starts) - 1} promises {count} "
                f"coordinates, but `{name}` has {size - starts[-1]} bytes left",
            )
    return np.array(starts, np.int64), np.array(counts, np.int64)


def _space(path, raw, matrices, reference):
    """Return the affine of the points, and the image space."""
    dimensions = _values(path, raw, matrices, "dimension", 3).astype(np.int64)
    sizes = _values(path, raw, matrices, "voxel_size", 3).astype(np.float64)
    check_space(path, np.eye(4), dimensions, sizes)
    other = ""
    if reference is not None:
        affine, size = _to_left_back_up(reference["affine"], reference["dimensions"])
        if (size == dimensions).all() and np.allclose(
            voxel_sizes(affine), sizes, rtol=1e-3
        ):
            log_once(
                logger,
                logging.INFO,
                "%s: its points are put into the space of the reference, which has the "
                "dimensions and voxel sizes of its image.",
                Path(path),
            )
            return affine, reference
        other = (
            f" The reference is another image, of {_by(size)} voxels instead of "
            f"{_by(dimensions)}, or of other voxel sizes."
        )
    if "trans_to_mni" not in matrices:
        raise InputFileError(
            f"Cannot read {path}: it has no matrix to MNI space (trans_to_mni).{other} "
            "Give the image that it was tracked in as `reference`."
        )
    affine = _values(path, raw, matrices, "trans_to_mni", 16).astype(np.float64)
    affine = affine.reshape(4, 4)
    if not affine[:3, 3].any() and affine[3, :3].any():
        affine = affine.T  # MATLAB's order, column by column.
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        raise broken(path, f"its trans_to_mni is no affine: {affine.tolist()}")
    check_space(path, affine, dimensions)
    order = "".join(str(code) for code in aff2axcodes(affine))
    space = named_space((affine, dimensions, voxel_sizes(affine), order))
    log_once(
        logger,
        logging.WARNING,
        "%s: its points are put into MNI space, by its matrix trans_to_mni.%s For "
        "native space, give the image that it was tracked in as `reference`.",
        Path(path),
        other,
    )
    return affine, space


def _to_left_back_up(affine, dimensions):
    """Turn the axes of an image to the left, to the back and up, as DSI Studio does."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
    dimensions = np.asarray(dimensions, np.int64)
    size = np.empty(3, np.int64)
    size[turn[:, 0].astype(int)] = dimensions
    return affine @ inv_ornt_aff(turn, tuple(dimensions)), size


def _by(dimensions):
    return " x ".join(map(str, dimensions))


def _groups(path, cluster):
    """Return the members of each cluster by its name; none without names."""
    numbers = np.unique(cluster)
    if (numbers != numbers.astype(np.int64)).any() or (numbers < 0).any():
        raise broken(path, "the numbers of its clusters are not positive integers")
    beside = Path(f"{path}.txt")
    names = []
    if beside.is_file() and beside.stat().st_size <= LARGEST_TEXT:
        names = beside.read_text("utf-8", "replace").split("\n")
    try:
        found = {int(number): names[int(number)].strip() for number in numbers}
    except IndexError:
        found = {}
    if all(found.values()) and len(set(found.values())) == len(numbers):
        return {
            name: np.flatnonzero(cluster == number).astype(np.uint32)
            for number, name in found.items()
        }
    if len(numbers) > 1:
        log_once(
            logger,
            logging.WARNING,
            "%s: its %s clusters have no names, so it counts as one bundle. Give "
            "different names in the lines of %s, the first for cluster 0.",
            Path(path),
            len(numbers),
            beside.name,
        )
    return {}
