"""Tractograms read some streamlines at a time, in bounded memory."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
import logging
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, OutputFileError, check_number
from dipy_tractoencoder.io.checks import check_contents, check_trk_end
from dipy_tractoencoder.io.space import named_space, tractogram_space
from dipy_tractoencoder.io.tractogram import (
    LAZY,
    SELF_CONTAINED,
    check_tractogram_path,
    dipy_reference,
    load_tractogram,
    points_outside,
)
from dipy_tractoencoder.io.trx import open_trx
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence
from dipy_tractoencoder.utils.prefetch import forget_pages

logger = logging.getLogger(__name__)

# TRX is mapped; the others have no lazy reader.
CHEAP_TO_OPEN = (*LAZY, ".trx")


class TractogramChunks:
    """A tractogram file as a sequence of chunks of streamlines.

    TRK and TCK are read through nibabel's lazy readers, TRX files are mapped into
    memory; other formats are read whole, having no lazy reader.

    Parameters
    ----------
    path : str or Path
        The file.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    chunk_size : int, optional
        Streamlines per chunk.
    progress : callable, optional
        Called with the number of streamlines of each chunk once it has been used.

    Attributes
    ----------
    space : dict
        "affine", "dimensions", "voxel_sizes" and "voxel_order".
    n_streamlines : int or None
        How many the file says it has; None if it does not say.
    trx : TrxContents or None
        All that a TRX holds.

    Raises
    ------
    InputFileError
        If the file is missing, broken, of another kind, or lacks its reference.
    InvalidArgumentError
        If ``chunk_size`` is no positive whole number.
    """

    def __init__(self, path, reference=None, *, chunk_size=CHUNK_SIZE, progress=None):
        check_number("chunk_size", chunk_size, low=1, integer=True)
        check_tractogram_path(path, reference)
        check_contents(path)
        self.path = Path(path)
        self.reference = reference
        self.chunk_size = chunk_size
        self.progress = progress
        self.n_streamlines = None
        self._opened = self.trx = None
        suffix = self.path.suffix
        try:
            if suffix in LAZY:
                self._open_lazy()
            elif suffix == ".trx":
                self.trx = open_trx(self.path)
                self.space, self.n_streamlines = self.trx.space, len(self.trx)
        except (InputFileError, OutputFileError):
            raise
        # Readers raise whatever a broken file leads them to.
        except Exception as err:
            raise self._damaged(err) from err
        if suffix not in CHEAP_TO_OPEN:
            self._opened = load_tractogram(path, reference)
            self.space = tractogram_space(self._opened)
            self.n_streamlines = len(self._opened)

    def __iter__(self):
        """Give ArraySequences of up to ``chunk_size`` streamlines, RASMM, mm."""
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
        if self.path.suffix in LAZY:
            yield from self._lazy_chunks()
            return
        if self.path.suffix == ".trx":
            for start in range(0, len(self.trx), self.chunk_size):
                chunk = self.trx.some(start, start + self.chunk_size)
                forget_pages(self.trx.streamlines._data)
                yield chunk
            return
        streamlines = as_sequence(self._opened)
        for start in range(0, len(streamlines), self.chunk_size):
            try:
                chunk = streamlines[start : start + self.chunk_size].copy()
            except Exception as err:  # As above.
                raise self._damaged(err, start) from err
            yield chunk

    def close(self):
        """Let go of the file."""
        if self.trx is not None:
            self.trx.close()
        self._opened = self.trx = None

    def _space_of(self, reference):
        from dipy.io.utils import get_reference_info

        self.space = named_space(get_reference_info(dipy_reference(reference)))

    def _open_lazy(self):
        from nibabel.streamlines import load

        own_space = self.path.suffix in SELF_CONTAINED
        self._space_of(self.path if own_space else self.reference)
        header = load(str(self.path), lazy_load=True).header
        count = header.get("nb_streamlines", header.get("count"))
        self.n_streamlines = int(count) if count is not None else None
        if self.path.suffix == ".trk" and not self.n_streamlines:
            self.n_streamlines = None  # TrackVis' way not to say.

    def _lazy_chunks(self):
        from nibabel.streamlines import load

        n_read = n_points = 0
        try:
            lines = iter(load(str(self.path), lazy_load=True).streamlines)
            while chunk := list(islice(lines, self.chunk_size)):
                n_read += len(chunk)
                n_points += sum(map(len, chunk))
                yield as_sequence(chunk)
        except GeneratorExit:
            raise
        except Exception as err:  # As above.
            raise self._damaged(err, n_read) from err
        # TCK's readers skip streamlines without points, which its header counts.
        if self.path.suffix == ".trk":
            check_trk_end(self.path, n_read, n_points)

    def _damaged(self, err, at=None):
        where = "" if at is None else f", after streamline {at}"
        hint = ""
        if self.path.suffix not in SELF_CONTAINED:
            hint = f", or the reference {self.reference} wrong"
        text = " ".join(str(err).split()).rstrip(".") or "more than there is"
        return InputFileError(
            f"Cannot read {self.path}{where}: {type(err).__name__}: {text}. The file "
            f"may be damaged{hint}."
        )


def as_tractogram_list(tractograms):
    """Make a list of what may be a single tractogram.

    Parameters
    ----------
    tractograms : StatefulTractogram, sequence of ndarray, or iterable of them
        A sequence of arrays of shape (any, 3) is one tractogram, and so is one array
        of shape (n_streamlines, n_points, 3). Instead of arrays, lists will do.

    Returns
    -------
    tractograms : iterable
        Of tractograms; what is none is in it alone, to be refused as such.
    """
    single = hasattr(tractograms, "space_attributes")
    single = single or isinstance(tractograms, (ArraySequence, TractogramChunks))
    single = single or isinstance(tractograms, (str, bytes, Mapping))
    single = single or not hasattr(tractograms, "__iter__")
    if isinstance(tractograms, (list, tuple, np.ndarray)) and len(tractograms):
        single = max(map(_depth, tractograms)) <= 2  # A streamline's points, or less.
    return [tractograms] if single else tractograms


def _depth(item):
    """Levels of lists about numbers, as an array's ``ndim``; infinity for all else."""
    if isinstance(item, np.ndarray) and item.dtype != object:
        return item.ndim
    if not isinstance(item, (list, tuple, np.ndarray)):
        return 0 if isinstance(item, Real) else np.inf
    # Streamlines without points tell nothing: the first part that does speaks for all.
    return 1 + next(filter(None, map(_depth, item)), 0) if len(item) else 0


def each_tractogram(source: Any, reference: str | Path | None = None) -> Iterator:
    """Give the tractograms of a source one by one; files are open while in use.

    Parameters
    ----------
    source : tractogram, path, or iterable of them
        What `as_tractogram_list` takes, or paths of tractogram files.
    reference : str or Path, optional
        Image or tractogram whose space files without one are in.

    Yields
    ------
    tractogram : StatefulTractogram, TractogramChunks, or sequence of ndarray
        RASMM, mm, unless a StatefulTractogram says otherwise.

    Raises
    ------
    InputFileError
        If a file is missing, broken, or lacks its reference.
    """
    if isinstance(source, (str, PathLike)):
        source = [source]
    for item in as_tractogram_list(source):
        if isinstance(item, (str, PathLike)):
            with closing(TractogramChunks(item, reference)) as chunks:
                yield chunks
        else:
            yield item


def each_chunk(
    source: Any, reference: str | Path | None = None
) -> Iterator[ArraySequence]:
    """Give the streamlines of a source some at a time, whatever it is.

    Parameters
    ----------
    source : tractogram, path, or iterable of them
        As for `each_tractogram`.
    reference : str or Path, optional
        Image or tractogram whose space files without one are in.

    Yields
    ------
    chunk : ArraySequence
        Streamlines, RASMM, mm.

    Raises
    ------
    InvalidArgumentError
        If something is no tractogram.
    InputFileError
        If a file is missing, broken, or lacks its reference.
    """
    for tractogram in each_tractogram(source, reference):
        if isinstance(tractogram, TractogramChunks):
            yield from tractogram
            continue
        lines = as_sequence(tractogram)
        for start in range(0, len(lines), CHUNK_SIZE):
            yield lines[start : start + CHUNK_SIZE]
