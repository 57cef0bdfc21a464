"""Access a whole tractogram with random access while its points stay on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.space import tractogram_space


@dataclass(frozen=True)
class MappedTractogram:
    """Streamlines of a file, and their data.

    Attributes
    ----------
    streamlines : ArraySequence
        Streamlines, RASMM, mm.
    space : dict
        Image space as returned by `io.space.tractogram_space`.
    per_streamline : dict of ndarray, shape (n_streamlines, n_columns)
        ``data_per_streamline``.
    per_point : dict of ArraySequence
        ``data_per_point``.
    groups : dict of ndarray of int64
        Groups of a TRX: indices of streamlines by name.
    per_group : dict of dict of ndarray, shape (1, n_columns)
        Data per group of a TRX, by name of the group and of the data.
    """

    streamlines: ArraySequence
    space: dict
    per_streamline: dict = field(default_factory=dict)
    per_point: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    per_group: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.streamlines)


@contextmanager
def mapped_tractogram(
    path: str | Path,
    reference: str | Path | None = None,
    *,
    progress: Callable[[int], object] | None = None,
) -> Iterator[MappedTractogram]:
    """Open a tractogram with its points on disk.

    TRK, TCK and TRX files are read in place; other formats are read into memory.

    Parameters
    ----------
    path : str or Path
        Tractogram file.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    progress : callable, optional
        Called with the number of streamlines when the file is open.

    Yields
    ------
    tractogram : MappedTractogram
        Tractogram, valid only inside the context.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of another format, or lacks its reference.
    OutputFileError
        If there is no space to unpack it.
    """
    progress = progress or (lambda count: None)
    with closing(TractogramChunks(path, reference)) as reader:
        if (found := reader.contents) is not None:
            progress(len(found))
            yield MappedTractogram(
                found.streamlines,
                found.space,
                found.per_streamline,
                found.per_point,
                {n: members.astype(np.int64) for n, members in found.groups.items()},
                found.per_group,
            )
            return
        whole = reader.tractogram
        progress(len(whole))
        yield MappedTractogram(
            whole.streamlines,
            tractogram_space(whole),
            dict(whole.data_per_streamline),
            dict(whole.data_per_point),
        )
