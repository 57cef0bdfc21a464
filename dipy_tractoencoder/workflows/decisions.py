"""What the commands that decide by p-values share: subject factors and words."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import InvalidArgumentError

if TYPE_CHECKING:
    from dipy_tractoencoder.segment.decisions import Decisions, SubjectFactor
    from dipy_tractoencoder.workflows.alignment import SubjectAligner

logger = logging.getLogger(__name__)

AUTO = "auto"


def check_subject_factor(subject_factor: str | float) -> float | None:
    """Return the subject factor that an option gives.

    Parameters
    ----------
    subject_factor : str or float
        "auto" or a number.

    Returns
    -------
    factor : float or None
        The number; None to estimate it.

    Raises
    ------
    InvalidArgumentError
        If it is something else.
    """
    if subject_factor == AUTO:
        return None
    from dipy_tractoencoder.segment.decisions import given_factor

    try:
        number = float(subject_factor)
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            "Invalid value received for `subject_factor`. Expected auto or a number "
            f"greater than 0. Received: {subject_factor!r}."
        ) from None
    return given_factor(number).factor


class SubjectFactors:
    """Subject factor of each subject, estimated from all its files together.

    Parameters
    ----------
    aligner : SubjectAligner
        Knows the files of each subject and its alignment.
    given : float or None
        Factor of all subjects, if it is known.
    fit : callable
        Function of streamlines in the model's space that returns a `SubjectFactor`.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    """

    def __init__(
        self,
        aligner: SubjectAligner,
        given: float | None,
        fit: Callable,
        *,
        reference: str | Path | None = None,
    ) -> None:
        self.aligner, self.given, self.fit = aligner, given, fit
        self.reference = reference
        self._found: dict[str, Any] = {}

    def of(self, path: str | Path) -> SubjectFactor | float | None:
        """Return the factor of the subject of a file.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Returns
        -------
        factor : SubjectFactor, float or None
            None for a subject with a single file, from all of which the library
            estimates it.
        """
        subject = self.aligner.subject(path)
        files = self.aligner.files[subject]
        if self.given is not None or len(files) == 1:
            return self.given
        if subject not in self._found:
            from dipy_tractoencoder.io.sampling import sample_streamlines
            from dipy_tractoencoder.latent.alignment import aligned

            lines = sample_streamlines(files, self.reference)
            moved = aligned(lines, self.aligner.alignment(path))
            self._found[subject] = self.fit(moved)
        return self._found[subject]


def log_promise(decisions: Decisions, alpha: float, what: str, of: str) -> None:
    """Log how often decisions are expected to be wrong, before any are made.

    Parameters
    ----------
    decisions : Decisions
        Of the reference.
    alpha : float
        Largest p-value of streamlines that do not belong.
    what : str
        What happens to those: "left unassigned", for example.
    of : str
        What streamlines belong to.
    """
    logger.info(
        "About %.3g in 100 streamlines that belong to %s are %s (`alpha` %g).",
        100 * alpha,
        of,
        what,
        alpha,
    )
    if 0 < alpha < decisions.smallest_p:
        logger.warning(
            "The reference has only %d streamlines to compare with, so that no p-value "
            "is below %.2g: nothing can be %s with `alpha` %g. Give more streamlines, "
            "or a larger `alpha`.",
            len(decisions.known),
            decisions.smallest_p,
            what,
            alpha,
        )


def log_outcome(
    decisions: Decisions,
    factor: SubjectFactor,
    alpha: float,
    path: str | Path,
    strangers: str,
) -> None:
    """Log what a subject's factor says about the decisions.

    Parameters
    ----------
    decisions : Decisions
        Of the reference.
    factor : SubjectFactor
        Of the subject.
    alpha : float
        Largest p-value of streamlines that do not belong.
    path : str or Path
        File, for the message.
    strangers : str
        Words for streamlines of something that the reference lacks, and what
        happens to them: "of a bundle missing from it about %s would be labelled".
    """
    text = (
        f"{path}: lies {factor.factor:.2g} times as far from the reference as the "
        "reference from itself"
    )
    predicted = decisions.labelled_strangers(alpha, factor.factor)
    if predicted == predicted:  # Not nan.
        text += "; " + strangers.replace("%s", f"{100 * predicted:.0f} in 100")
    logger.info("%s.", text)
