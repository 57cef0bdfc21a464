"""Progress bars over streamlines, and counts in words."""

from contextlib import contextmanager
import logging


@contextmanager
def streamlines_bar(paths, what, *, reference=None, total=None):
    """Show one bar over the streamlines of all files, unless the output is no terminal.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms; their headers say how many streamlines there are.
    what : str
        Heading of the bar.
    reference : str or Path, optional
        Image whose space files without one are in.
    total : int, optional
        Streamlines of all files, if known.

    Yields
    ------
    advance : callable
        To be called with the number of streamlines done.
    """
    from tqdm.auto import tqdm

    bar = tqdm(desc=what, unit="streamline", unit_scale=True, disable=None, leave=False)
    if not bar.disable:
        bar.total = total or count_streamlines(paths, reference)
        bar.refresh()
    with bar, logging_beside_bars():
        yield bar.update


def count_streamlines(paths, reference=None):
    """Count streamlines as the headers do, without reading them.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms.
    reference : str or Path, optional
        Image whose space files without one are in.

    Returns
    -------
    total : int or None
        None if a file does not say.
    """
    from dipy_tractoencoder.io.chunks import CHEAP_TO_OPEN, TractogramChunks

    total = 0
    for path in paths:
        if path.suffix not in CHEAP_TO_OPEN:
            return None
        reader = TractogramChunks(path, reference)
        reader.close()
        if reader.n_streamlines is None:
            return None
        total += reader.n_streamlines
    return total


def logging_beside_bars():
    """Keep log lines from breaking a progress bar."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    return logging_redirect_tqdm([logging.getLogger("dipy_tractoencoder")])


def chunked(paths, what, *, reference=None):
    """Open tractograms one after the other, with one bar over their streamlines.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms.
    what : str
        Heading of the bar.
    reference : str or Path, optional
        Image whose space files without one are in.

    Yields
    ------
    chunks : TractogramChunks
        To be gone through before the next one.
    """
    from dipy_tractoencoder.io.chunks import TractogramChunks

    with streamlines_bar(paths, what, reference=reference) as advance:
        for path in paths:
            reader = TractogramChunks(path, reference, progress=advance)
            try:
                yield reader
            finally:
                reader.close()
