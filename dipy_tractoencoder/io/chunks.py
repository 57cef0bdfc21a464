"""Read tractograms in chunks of streamlines, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
import logging
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError, check_number
from dipy_tractoencoder.io.formats import IN_PLACE, SELF_CONTAINED, file_format
from dipy_tractoencoder.io.open_file import check_common_space, open_in_place
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.io.space import tractogram_space
from dipy_tractoencoder.io.tractogram import (
    check_tractogram_path,
    load_tractogram,
    points_outside,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence

logger = logging.getLogger(__name__)


class TractogramChunks:
    """Iterate over a tractogram file in chunks of streamlines.

    TRK, TCK and TRX files stay on disk; other formats are read completely.

    Parameters
    ----------
    path : str or Path
        Tractogram file.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Number of streamlines per chunk.
    progress : callable, optional
        Called with the number of streamlines of each chunk after its use.

    Attributes
    ----------
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order".
    n_streamlines : int
        Number of streamlines in the file.
    contents : LineFile, TrxContents or None
        Open TRK, TCK or TRX file.
    tractogram : StatefulTractogram or None
        Content of a file of another format.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of another format, or lacks its reference.
    InvalidArgumentError
        If ``chunk_size`` is not a positive integer.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> dte.save_tractogram(made.tractogram(), "fibercup.trk")
    >>> chunks = dte.TractogramChunks("fibercup.trk", chunk_size=20)
    >>> [len(chunk) for chunk in chunks]
    [20, 20, 3]
    >>> chunks.close()
    """

    def __init__(
        self,
        path: str | Path,
        reference: str | Path | None = None,
        *,
        chunk_size: int = CHUNK_SIZE,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        check_number("chunk_size", chunk_size, low=1, integer=True)
        check_tractogram_path(path, reference)
        self.path = Path(path)
        self.reference = reference
        self.chunk_size = chunk_size
        self.progress = progress
        self.tractogram: Any = None
        self.contents: Any = None
        self.format = file_format(path)
        if self.format not in IN_PLACE:
            self.tractogram = load_tractogram(path, reference)
            self.space = tractogram_space(self.tractogram)
            self.n_streamlines = len(self.tractogram)
            return
        try:
            self.contents = open_in_place(path, reference)
        except (InputFileError, OutputFileError):
            raise
        # DIPY and nibabel raise many types of errors for damaged references.
        except Exception as err:
            raise self._damaged(err) from err
        self.space, self.n_streamlines = self.contents.space, len(self.contents)

    def __iter__(self) -> Iterator[ArraySequence]:
        """Iterate over chunks of up to ``chunk_size`` streamlines, RASMM, mm."""
        outside = False
        for chunk in self._chunks():
            if not outside and points_outside(chunk, self.space):
                outside = True
                logger.info(
                    "%s: some points lie outside of the image; they are kept.",
                    self.path,
                )
            yield chunk
            if self.progress is not None:
                self.progress(len(chunk))

    def _chunks(self):
        if self.contents is not None:
            for start in range(0, self.n_streamlines, self.chunk_size):
                yield self.contents.some(start, start + self.chunk_size)
            return
        streamlines = as_sequence(self.tractogram)
        for start in range(0, len(streamlines), self.chunk_size):
            try:
                chunk = streamlines[start : start + self.chunk_size].copy()
            except Exception as err:  # As above.
                raise self._damaged(err, start) from err
            yield chunk

    def close(self) -> None:
        """Close the file."""
        if self.contents is not None:
            self.contents.close()
        self.tractogram = self.contents = None

    def _damaged(self, err, at=None):
        where = "" if at is None else f", after streamline {at}"
        hint = ""
        if self.format not in SELF_CONTAINED:
            hint = f", or the reference {self.reference} wrong"
        text = " ".join(str(err).split()).rstrip(".") or "no details"
        return InputFileError(
            f"Cannot read {self.path}{where}: {type(err).__name__}: {text}. The file "
            f"may be damaged{hint}."
        )


def as_tractogram_list(tractograms: Any) -> Iterable:
    """Return a list of tractograms, given one tractogram or several.

    Parameters
    ----------
    tractograms : StatefulTractogram, sequence of ndarray, or iterable of them
        A sequence of arrays of shape (n_points, 3) is one tractogram, as is an array
        of shape (n_streamlines, n_points, 3). Lists can replace arrays.

    Returns
    -------
    tractograms : iterable
        Tractograms. An object of another type is returned as the only element, so
        that a later check rejects it.
    """
    single = hasattr(tractograms, "space_attributes")
    single = single or isinstance(tractograms, (ArraySequence, TractogramChunks))
    single = single or isinstance(tractograms, (str, bytes, Mapping))
    single = single or not hasattr(tractograms, "__iter__")
    if isinstance(tractograms, (list, tuple, np.ndarray)) and len(tractograms):
        single = max(map(_depth, tractograms)) <= 2  # Points of a streamline, or less.
    return [tractograms] if single else tractograms


def _depth(item):
    """Return the nesting depth of lists of numbers; infinity for other objects."""
    if isinstance(item, np.ndarray) and item.dtype != object:
        return item.ndim
    if not isinstance(item, (list, tuple, np.ndarray)):
        return 0 if isinstance(item, Real) else np.inf
    # Empty streamlines have no depth: use the first item that has one.
    return 1 + next(filter(None, map(_depth, item)), 0) if len(item) else 0


def each_tractogram(source: Any, reference: str | Path | None = None) -> Iterator:
    """Iterate over the tractograms of a source; files are open while in use.

    Parameters
    ----------
    source : tractogram, path, or iterable of them
        Tractograms as for `as_tractogram_list`, or paths, folders and wildcards as for
        `io.paths.tractogram_files`.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Yields
    ------
    tractogram : StatefulTractogram, TractogramChunks, or sequence of ndarray
        Streamlines, RASMM, mm, unless a StatefulTractogram is in another space.

    Raises
    ------
    InputFileError
        If a file is missing, damaged, or lacks its reference.
    """
    if isinstance(source, (str, PathLike)):
        source = [source]
    if isinstance(source, (list, tuple)):
        paths = [str(item) for item in source if isinstance(item, (str, PathLike))]
        check_common_space(tractogram_files(paths), reference)
    for item in as_tractogram_list(source):
        if isinstance(item, (str, PathLike)):
            for path in tractogram_files(item):
                with closing(TractogramChunks(path, reference)) as chunks:
                    yield chunks
        else:
            yield item


def each_chunk(
    source: Any, reference: str | Path | None = None
) -> Iterator[ArraySequence]:
    """Iterate over the streamlines of a source in chunks.

    Parameters
    ----------
    source : tractogram, path, or iterable of them
        Source as for `each_tractogram`.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Yields
    ------
    chunk : ArraySequence
        Streamlines, RASMM, mm.

    Raises
    ------
    InvalidArgumentError
        If an item is not a tractogram.
    InputFileError
        If a file is missing, damaged, or lacks its reference.
    """
    for tractogram in each_tractogram(source, reference):
        if isinstance(tractogram, TractogramChunks):
            yield from tractogram
            continue
        lines = as_sequence(tractogram)
        for start in range(0, len(lines), CHUNK_SIZE):
            yield lines[start : start + CHUNK_SIZE]
