"""Many files in one go: one that cannot be used does not stop the others."""

from contextlib import contextmanager
import logging

from dipy_tractoencoder.errors import EmptyDataError, InputFileError

logger = logging.getLogger(__name__)


class Batch:
    """Files that are gone through one by one, where one must not stop the others.

    Parameters
    ----------
    n_files : int
        How many there are. The error of a single one is raised at once.
    """

    def __init__(self, n_files):
        self.n_files = n_files
        self.failed = []

    @contextmanager
    def going_on(self, path):
        """Go on after a file that cannot be read or holds nothing to work on.

        Parameters
        ----------
        path : Path
            The file.

        Yields
        ------
        None
            Other errors, of outputs for example, end the work.
        """
        try:
            yield
        except (EmptyDataError, InputFileError) as err:
            if self.n_files == 1:
                raise
            logger.warning("%s Going on with the other files.", err)
            self.failed.append(path)

    def finish(self, *, early=False):
        """Raise if files were left out.

        Parameters
        ----------
        early : bool, optional
            Only if there is none that was not.

        Raises
        ------
        InputFileError
            With their names.
        """
        n_failed = len(self.failed)
        if n_failed == 0 or (early and n_failed < self.n_files):
            return
        others = n_failed < self.n_files
        rest = " The outputs of the others are complete." if others else ""
        raise InputFileError(
            f"{n_failed} of {self.n_files} files could not be used, for the reasons "
            f"above: {', '.join(map(str, self.failed))}.{rest}"
        )
