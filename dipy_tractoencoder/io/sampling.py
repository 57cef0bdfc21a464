"""Read random streamlines of files, without reading the files completely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
import logging
from pathlib import Path

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.streamlines.array import as_sequence
from dipy_tractoencoder.streamlines.orientation import flat_points, from_flat
from dipy_tractoencoder.utils.prefetch import forget_pages

logger = logging.getLogger(__name__)

N_SAMPLE = 5000  # streamlines, of all files together
N_SMALL = 300
N_SMALL_FILES = 20
LARGEST_COORDINATE = 1e5  # mm; streamlines further away are no anatomy


@dataclass(frozen=True)
class FileSample:
    """Random streamlines of one file.

    Attributes
    ----------
    path : Path
        The file.
    n_streamlines : int
        Number of streamlines in the file.
    rows : ndarray, shape (n_sample,), int64
        Numbers of the streamlines that were read, ascending.
    streamlines : ArraySequence
        These streamlines, RASMM, mm.
    groups : dict of ndarray of int64
        Positions in ``rows`` of the members of the groups that were asked for.
    """

    path: Path
    n_streamlines: int
    rows: np.ndarray
    streamlines: ArraySequence
    groups: dict = field(default_factory=dict)


def sample_streamlines(
    paths: Sequence[str | Path],
    reference: str | Path | None = None,
    n: int = N_SAMPLE,
    *,
    seed: int = 0,
    small: bool = False,
) -> ArraySequence:
    """Read random streamlines of files that are used together.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractogram files, of one subject for example.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    n : int, optional
        Number of streamlines of all files together; all if there are fewer.
    seed : int, optional
        Seed of the choice.
    small : bool, optional
        Read 300 streamlines of at most 20 files at most, which takes milliseconds.

    Returns
    -------
    streamlines : ArraySequence
        The streamlines, RASMM, mm, in the order of the files.

    Raises
    ------
    InputFileError
        If no file can be read.
    """
    found = sample_files(paths, reference, n, seed=seed, small=small)
    return joined(sample.streamlines for sample in found)


def sample_files(
    paths: Sequence[str | Path],
    reference: str | Path | None = None,
    n: int = N_SAMPLE,
    *,
    seed: int = 0,
    small: bool = False,
    groups: Sequence[str] | None = (),
) -> list[FileSample]:
    """Read random streamlines of files, and tell which are of which file and group.

    TRK, TCK and TRX files stay on disk, and only the chosen streamlines are read;
    files of other formats are read completely, one after the other. A file that cannot
    be read is left out if another can: its own use says what is wrong with it. So are
    streamlines with coordinates that are not finite, or beyond 100 m.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractogram files.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    n : int, optional
        Number of streamlines of all files together, each with the same chance; all if
        there are fewer.
    seed : int, optional
        Seed of the choice.
    small : bool, optional
        Read about 300 streamlines of at most 20 files, as many of each.
    groups : sequence of str or None, optional
        Names of groups of TRX files; which of the streamlines are in them is returned.
        None for all groups.

    Returns
    -------
    samples : list of FileSample
        One per file that was read, in the given order.

    Raises
    ------
    InputFileError
        If no file can be read.
    """
    paths, rng = [Path(path) for path in paths], np.random.default_rng(seed)
    if small and len(paths) > N_SMALL_FILES:
        some = np.sort(rng.choice(len(paths), N_SMALL_FILES, replace=False))
        paths = [paths[i] for i in some]
    found, errors = [], []
    quotas: list[int | None] = [None] * len(paths)
    if small:
        quotas = [-(-N_SMALL // len(paths))] * len(paths)
    elif len(paths) > 1:
        quotas = _shares([_count(path, reference) for path in paths], n, rng)
    for path, quota in zip(paths, quotas):
        try:
            found.append(
                _sample(path, reference, n if quota is None else quota, rng, groups)
            )
        except InputFileError as err:
            logger.debug("Left out of the sample: %s", err)
            errors.append(err)
    if errors and not found:
        raise errors[0]
    return found


def joined(sequences: Iterable[ArraySequence]) -> ArraySequence:
    """Join streamlines.

    Parameters
    ----------
    sequences : iterable of ArraySequence
        Streamlines.

    Returns
    -------
    streamlines : ArraySequence
        All of them, in order.
    """
    parts = [flat_points(lines) for lines in sequences]
    if not parts:
        return from_flat(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    points, counts = zip(*parts)
    return from_flat(np.concatenate(points), np.concatenate(counts))


def _count(path, reference):
    """Return the number of streamlines; 1 if only reading can tell why it fails."""
    try:
        with closing(TractogramChunks(path, reference)) as reader:
            return reader.n_streamlines
    except InputFileError:
        return 1


def _shares(counts, n, rng):
    """Return how many of ``n`` random streamlines are in each file."""
    ends = np.cumsum(counts)
    total = int(ends[-1])
    if total <= n:
        return list(counts)
    chosen = rng.choice(total, n, replace=False, shuffle=False)
    files = np.searchsorted(ends, chosen, side="right")
    return np.bincount(files, minlength=len(counts)).tolist()


def _usable(lines, rows):
    """Copy the streamlines whose coordinates can be those of a brain."""
    points, counts = flat_points(lines)
    good = (np.abs(points) <= LARGEST_COORDINATE).all(axis=1)
    keep = np.ones(len(counts), bool)
    keep[np.repeat(np.arange(len(counts)), counts)[~good]] = False
    copy = np.array(points[np.repeat(keep, counts)])
    return from_flat(copy, counts[keep]), rows[keep]


def _sample(path, reference, n, rng, groups):
    """Read up to ``n`` random streamlines of a file."""
    with closing(TractogramChunks(path, reference)) as reader:
        count = reader.n_streamlines
        rows = np.arange(count)
        if count > n:
            rows = np.sort(rng.choice(count, n, replace=False, shuffle=False))
        contents = reader.contents
        if contents is None:
            lines, rows = _usable(as_sequence(reader.tractogram)[rows], rows)
            return FileSample(path, count, rows, lines)
        lines, rows = _usable(contents.streamlines[rows], rows)
        if type(contents.streamlines) is ArraySequence:  # Unpacked to a file.
            forget_pages(contents.streamlines._data)
        wanted = contents.groups if groups is None else groups
        members = {
            name: np.flatnonzero(np.isin(rows, contents.groups[name]))
            for name in wanted
            if name in contents.groups
        }
        return FileSample(path, count, rows, lines, members)
