"""Process many files: one that cannot be used does not stop the others."""

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from pathlib import Path

from dipy_tractoencoder.errors import EmptyDataError, InputFileError

logger = logging.getLogger(__name__)


class Batch:
    """Collect the files that failed, so that the others are still processed.

    Parameters
    ----------
    n_files : int
        Number of files. With a single file, its error is raised at once.
    what : str, optional
        What they are, in the plural, for messages.
    """

    def __init__(self, n_files: int, what: str = "files") -> None:
        self.n_files = n_files
        self.what = what
        self.failed: list[str | Path] = []

    @contextmanager
    def going_on(self, path: str | Path) -> Iterator[None]:
        """Continue after a file that cannot be read or has no usable streamlines.

        Parameters
        ----------
        path : str or Path
            The file, or the name of what failed.

        Yields
        ------
        None
            Other errors, of outputs for example, are raised.
        """
        try:
            yield
        except (EmptyDataError, InputFileError) as err:
            if self.n_files == 1:
                raise
            logger.warning("%s Continuing with the other %s.", err, self.what)
            self.failed.append(path)

    def finish(self, *, early: bool = False) -> None:
        """Raise an error that names the files that failed.

        Parameters
        ----------
        early : bool, optional
            Raise only if all files failed.

        Raises
        ------
        InputFileError
            If files failed.
        """
        n_failed = len(self.failed)
        if n_failed == 0 or (early and n_failed < self.n_files):
            return
        others = n_failed < self.n_files
        rest = " The outputs of the others are complete." if others else ""
        count = f"{n_failed} of {self.n_files} {self.what}"
        raise InputFileError(
            f"{count} could not be used, for the reasons above: "
            f"{', '.join(map(str, self.failed))}.{rest}"
        )
