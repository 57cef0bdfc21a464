"""What commands say about the alignment of a subject."""

from __future__ import annotations

from collections.abc import Iterable
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.align.alignment import Alignment

logger = logging.getLogger(__name__)

UNCHECKED = (
    "Whether the streamlines lie in the space of the model was not checked: the model "
    "file holds no reference for alignment. Give tractograms of its space with "
    "--align_to to check or align."
)
# Of `Alignment.quality`; the file of the transform has all.
SHOWN = ("distance", "ratio", "gap", "check_distance", "check_ratio")


def displacement(alignment: Alignment, lines: ArraySequence) -> float:
    """Compute how far an alignment moves points.

    Parameters
    ----------
    alignment : Alignment
        The alignment.
    lines : ArraySequence
        Streamlines, RASMM, mm; points that are not finite are left out.

    Returns
    -------
    distance : float
        Mean distance, mm; 0 without points.
    """
    import numpy as np

    points = np.asarray(lines.get_data(), dtype=np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    if not alignment.moves or not len(points):
        return 0.0
    return float(np.linalg.norm(alignment.apply(points) - points, axis=1).mean())


def refusal(what: str, alignment: Alignment) -> str:
    """Say why an alignment is refused, and what to do.

    Parameters
    ----------
    what : str
        Words for the alignment.
    alignment : Alignment
        The refused alignment.

    Returns
    -------
    message : str
        Message for `AlignmentError`.
    """
    return (
        f"{what} to the space of the model cannot be relied on. "
        f"{_once_each(alignment.reasons)} ({described(alignment)}). Give "
        "its known transform with --transform; --align_anyway uses this one as it is."
    )


def log_checked(name: str, alignment: Alignment) -> None:
    """Log whether a subject lies in the space of a model.

    Parameters
    ----------
    name : str
        The subject.
    alignment : Alignment
        From `align.fit.check_alignment`.
    """
    if alignment.verdict == "accepted":
        logger.info(
            "%s: lies in the space of the model (%s).", name, described(alignment)
        )
        return
    logger.warning(
        "%s: may lie in another space than the model. %s Nothing was moved: align it "
        "with --align rigid, give its known transform with --transform, or say --align "
        "off.",
        name,
        _once_each(alignment.reasons),
    )


def log_moved(name: str, alignment: Alignment, moved: float, hint: str = "") -> None:
    """Log that a subject was moved to the space of a model, and how well.

    Parameters
    ----------
    name : str
        The subject.
    alignment : Alignment
        Alignment that is used.
    moved : float
        Mean distance that points were moved, mm.
    hint : str, optional
        What may be wrong besides, for a warning.
    """
    logger.info(
        "%s: moved to the space of the model (%s) by %.1f mm: %s (%s).",
        name,
        alignment.transform,
        moved,
        alignment.verdict,
        described(alignment),
    )
    log_mirrored(name, alignment)
    if alignment.verdict in ("uncertain", "refused"):
        logger.warning(
            "%s: the alignment may be wrong. %s Look at its picture.%s",
            name,
            _once_each(alignment.reasons),
            hint,
        )


def log_mirrored(name: str, alignment: Alignment) -> None:
    """Warn of a transform that exchanges left and right.

    Parameters
    ----------
    name : str
        The subject.
    alignment : Alignment
        Alignment that is used.
    """
    import numpy as np

    if alignment.mirrors:
        logger.warning(
            "%s: the transform exchanges left and right (determinant %.3g).",
            name,
            np.linalg.det(alignment.matrix[:3, :3]),
        )


def described(alignment: Alignment) -> str:
    """Describe the quality of an alignment in a few words.

    Parameters
    ----------
    alignment : Alignment
        The alignment.

    Returns
    -------
    text : str
        Numbers by name, and what is known about left and right.
    """
    words = [
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in alignment.quality.items()
        if name in SHOWN
    ]
    if alignment.left_right:
        words.append(f"left and right {alignment.left_right}")
    return ", ".join(words) or "not measured"


def listed(names: Iterable, shown: int = 5) -> str:
    """List a few names in a message.

    Parameters
    ----------
    names : iterable
        The names.
    shown : int, optional
        Number of names that are written out.

    Returns
    -------
    text : str
        Names, and how many there are besides.
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _once_each(reasons: Iterable[str]) -> str:
    """Join reasons; what several of them advise is said once."""
    sentences = " ".join(reasons).replace(". ", ".\n").splitlines()
    return " ".join(dict.fromkeys(sentences))
