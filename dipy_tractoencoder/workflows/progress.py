"""Progress bars over streamlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.utils.again import Again

if TYPE_CHECKING:
    from dipy_tractoencoder.io.chunks import TractogramChunks


@contextmanager
def streamlines_bar(
    paths: Sequence[Path],
    what: str,
    *,
    reference: str | Path | None = None,
    total: int | None = None,
) -> Iterator[Callable]:
    """Show one progress bar over the streamlines of all files, on a terminal only.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms, whose headers give the number of streamlines.
    what : str
        Heading of the bar.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    total : int, optional
        Number of streamlines of all files, if known.

    Yields
    ------
    advance : callable
        Function to call with the number of streamlines done.
    """
    from tqdm.auto import tqdm

    bar = tqdm(desc=what, unit="streamline", unit_scale=True, disable=None, leave=False)
    if not bar.disable:
        bar.total = total or count_streamlines(paths, reference)
        bar.refresh()
    with bar, logging_beside_bars():
        yield bar.update


def count_streamlines(
    paths: Sequence[Path], reference: str | Path | None = None
) -> int | None:
    """Count the streamlines of files from their headers.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Returns
    -------
    total : int or None
        Number of streamlines; None if a header does not give it.
    """
    from dipy_tractoencoder.io.chunks import TractogramChunks
    from dipy_tractoencoder.io.formats import CHEAP_TO_OPEN, file_format

    total = 0
    for path in paths:
        if file_format(path) not in CHEAP_TO_OPEN:
            return None
        reader = TractogramChunks(path, reference)
        reader.close()
        if reader.n_streamlines is None:
            return None
        total += reader.n_streamlines
    return total


def logging_beside_bars() -> Any:
    """Print log lines above a progress bar instead of across it."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    return logging_redirect_tqdm([logging.getLogger("dipy_tractoencoder")])


def chunked(
    paths: Sequence[Path], what: str, *, reference: str | Path | None = None
) -> Again:
    """Open tractograms one after the other, with one bar over their streamlines.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms.
    what : str
        Heading of the bar.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Returns
    -------
    tractograms : Again
        Iterable over a TractogramChunks per file, to be read before the next one; each
        iteration opens the files again.
    """
    return Again(partial(_opened, paths, what, reference))


def _opened(
    paths: Sequence[Path], what: str, reference: str | Path | None
) -> Iterator[TractogramChunks]:
    """Open tractograms one after the other, once."""
    from dipy_tractoencoder.io.chunks import TractogramChunks

    with streamlines_bar(paths, what, reference=reference) as advance:
        for path in paths:
            reader = TractogramChunks(path, reference, progress=advance)
            try:
                yield reader
            finally:
                reader.close()
