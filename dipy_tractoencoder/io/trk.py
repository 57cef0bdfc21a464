"""Read TRK files (TrackVis) in place, also with gzip's compression.

All fields of the header are checked before they are used, and the number of points of
each streamline against the size of the file. Format:
http://trackvis.org/docs/?subsect=fileformat.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nibabel.streamlines.trk import get_affine_trackvis_to_rasmm
import numpy as np

from dipy_tractoencoder.errors import TractoencoderError
from dipy_tractoencoder.io.checks import broken, check_count
from dipy_tractoencoder.io.line_file import LineFile, SequenceOnDisk, move
from dipy_tractoencoder.io.raw_file import RawFile
from dipy_tractoencoder.io.trk_header import (
    HEADER,
    data_columns,
    header_space,
    parse_header,
)
from dipy_tractoencoder.streamlines.resampling import follow_counts, is_compiled

WORD = 4  # bytes of each number
AT_A_TIME = 2**22  # words


class TrkFile(LineFile):
    """Content of a TRK file; points and data are read when they are needed.

    Parameters
    ----------
    raw : RawFile
        The file.
    header : numpy.void
        Its header, checked.
    place : dict
        Image space of the points.
    starts, lengths : ndarray of int64, shape (n_streamlines,)
        Where the points of each streamline begin, in words after the header, and the
        number of its points.
    """

    def __init__(
        self,
        raw: RawFile,
        header: np.void,
        place: Mapping[str, Any],
        starts: np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        super().__init__(raw.path)
        self.space = dict(place)
        self._raw, self._starts = raw, starts
        self._number = header.dtype["voxel_sizes"].base
        self._properties = data_columns(raw.path, header, "property")
        scalars = data_columns(raw.path, header, "scalar")
        self._width = 3 + int(header["nb_scalars_per_point"])
        self._n_properties = int(header["nb_properties_per_streamline"])
        self._lengths = lengths
        to_rasmm = _to_rasmm(place, header)
        self.streamlines = SequenceOnDisk(
            lambda rows: move(to_rasmm, self._rows(rows, slice(3))), lengths, 3
        )

        def data(columns):
            return SequenceOnDisk(
                lambda rows: self._rows(rows, columns),
                lengths,
                columns.stop - columns.start,
            )

        self.per_point = {
            name: data(slice(3 + some.start, 3 + some.stop))
            for name, some in scalars.items()
        }

    def _rows(self, rows, columns):
        """Read columns of the points, with their data, of streamlines."""
        begins = self._starts[rows]
        ends = begins + self._width * self._lengths[rows]
        numbers = self._raw.pieces(HEADER, begins, ends, self._number)
        return np.ascontiguousarray(numbers.reshape(-1, self._width)[:, columns])

    @cached_property
    def per_streamline(self) -> dict[str, np.ndarray]:
        """Data per streamline, shape (n_streamlines, n_columns) each."""
        if not self._properties:
            return {}
        ends = self._starts + self._width * self._lengths
        numbers = self._raw.pieces(
            HEADER, ends, ends + self._n_properties, self._number
        ).reshape(len(self), self._n_properties)
        return {name: numbers[:, some] for name, some in self._properties.items()}

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_trk(
    path: str | Path, reference: Callable[[], Mapping[str, Any] | None] | None = None
) -> TrkFile:
    """Open a TRK file, with all checks that do not need its points.

    Parameters
    ----------
    path : str or Path
        TRK file, or one compressed by gzip. It is opened read-only.
    reference : callable, optional
        Function that returns the image space for a file without a voxel-to-RASMM
        matrix, or None; it is only called for such a file.

    Returns
    -------
    contents : TrkFile
        Content of the file. Of a file without matrix and reference, lengths and shapes
        are right, but not the place; a warning says so.

    Raises
    ------
    InputFileError
        If the file is damaged, or has neither a matrix nor voxel sizes.
    OutputFileError
        If there is no space to unpack it.
    """
    path = Path(path)
    raw = RawFile(path)
    try:
        header = parse_header(path, raw.read(0, min(HEADER, raw.size)).tobytes())
        place = header_space(path, header, reference)
        n_bytes = raw.size - HEADER
        check_count(path, int(header["nb_streamlines"]), WORD, n_bytes)
        return TrkFile(raw, header, place, *_cut(path, raw, header))
    except BaseException as err:
        raw.close()
        if isinstance(err, TractoencoderError) or not isinstance(err, Exception):
            raise
        raise broken(path, f"{type(err).__name__}: {err}") from err


def _to_rasmm(place, header):
    """Return the affine from TrackVis' space to RASMM, as nibabel computes it."""
    return get_affine_trackvis_to_rasmm(
        {
            "voxel_sizes": np.asarray(place["voxel_sizes"], np.float32),
            "dimensions": np.asarray(place["dimensions"], np.int16),
            "voxel_to_rasmm": np.asarray(place["affine"], np.float32),
            "voxel_order": np.bytes_(place["voxel_order"].encode()),
        }
    )


def _cut(path, raw, header):
    """Find where the points of each streamline begin, in words, and their numbers."""
    width = 3 + int(header["nb_scalars_per_point"])
    skip = 1 + int(header["nb_properties_per_streamline"])
    promised = int(header["nb_streamlines"])
    integer = header.dtype["hdr_size"]
    n_words, rest = divmod(raw.size - HEADER, WORD)
    found, n_found, at, count = [], 0, 0, 0
    while at < n_words and not (promised and n_found > promised):
        base, stop = at, min(n_words, at + AT_A_TIME)
        block = raw.read(HEADER + WORD * base, WORD * (stop - base)).view(integer)
        counts = block.astype(np.intc, copy=False)
        some, next_one = _follow(counts, skip, width)
        found.append(base + some)
        n_found += len(some)
        at = base + next_one
        if at < stop:
            count = int(counts[next_one])
            break
    starts = np.concatenate([np.empty(0, np.int64), *found])
    end = starts[promised] if n_found > promised else at
    if 0 < promised <= n_found and HEADER + WORD * end < raw.size:
        n_points = (end - promised * skip) // width
        raise broken(
            path,
            f"its header promises {promised} streamlines; with the {n_points} points "
            f"that were read they would take {HEADER + WORD * end} bytes, but it has "
            f"{raw.size}",
        )
    if count < 0:
        raise broken(
            f"{path}, after streamline {n_found}", f"the next one has {count} points"
        )
    if at > n_words or rest:
        raise broken(
            f"{path}, after streamline {n_found - (at > n_words)}",
            "it ends within the next one",
        )
    if n_found < promised:
        raise broken(
            path,
            f"its header promises {promised} streamlines, but it ends after {n_found}",
        )
    ends = np.append(starts[1:], at) if n_found else starts
    return starts + 1, (ends - starts - skip) // width


def _follow(counts, skip, width):
    """Find where streamlines begin, up to the end or a negative number of points."""
    if is_compiled():
        starts = np.empty(len(counts) // skip + 1, np.int64)
        n_found, at = follow_counts(counts, 0, skip, width, starts)
        return starts[:n_found].copy(), at
    found, at, numbers = array("q"), 0, memoryview(counts)
    while at < len(numbers) and (count := numbers[at]) >= 0:
        found.append(at)
        at += skip + width * count
    return np.array(found, np.int64), at
