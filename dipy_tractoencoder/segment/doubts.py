"""Find what makes a result doubtful, by what is known about model and reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.segment.decisions import ALPHA, IMPLAUSIBLE_FACTOR

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.provenance import TrainingRecord
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier
    from dipy_tractoencoder.segment.decisions import SubjectFactor
    from dipy_tractoencoder.segment.labels import Labels

# Words for tables, by kind.
KINDS = {
    "not_aligned": "not aligned",
    "far_from_model": "far from the training data",
    "hardly_any": "hardly any belong",
    "nearly_all": "nearly all belong",
    "lengths": "unusual lengths",
    "missing_neighbour": "neighbours missing from the atlas",
}
LARGE_ERROR = 3  # times the error in the training
HARDLY_ANY = 0.01
# At most this part of alpha is rejected; alpha itself is to be expected of streamlines
# that belong. Of fewer streamlines all may belong by chance.
PART_OF_ALPHA, FEWEST_JUDGED = 0.1, 1000
FEWEST_OF_BUNDLE = 10  # for a median length that says something
LENGTH_MARGIN = 0.1  # beyond the quantiles of the bundle
# Neighbours that are missing: so many just outside of a bundle, as a fraction of those
# within, and altogether.
FRACTION_MISSED, FEWEST_MISSED = 0.5, 20
SHOWN = 4  # bundles in a message


@dataclass(frozen=True)
class Doubt:
    """Something that makes a result doubtful.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    message : str
        Sentences with numbers, and what to do.
    figures : dict
        The numbers by name.

    Examples
    --------
    >>> from dipy_tractoencoder.segment.doubts import Doubt
    >>> Doubt("hardly_any", "Only 0.2 % of the streamlines belong.").kind
    'hardly_any'
    """

    kind: str
    message: str
    figures: dict = field(default_factory=dict)


def find_doubts(
    *,
    alignment: Alignment | None = None,
    factor: SubjectFactor | None = None,
    record: TrainingRecord | None = None,
    error_mm: float | None = None,
    length: np.ndarray | None = None,
    kept: np.ndarray | None = None,
    alpha: float = ALPHA,
    labels: Labels | None = None,
    classifier: BundleClassifier | None = None,
) -> list[Doubt]:
    """Find what makes a result doubtful, from whatever is known about it.

    Streamlines that are not aligned lie far from the model, have unusual lengths and
    neighbours; these three are not looked for if the first is found.

    Parameters
    ----------
    alignment : Alignment, optional
        Of the subject.
    factor : SubjectFactor, optional
        Of the subject; a factor that was given is not doubted.
    record : TrainingRecord, optional
        Of the model, for ``error_mm`` and ``length``.
    error_mm : float, optional
        Error of the reconstruction of streamlines of the subject, mm.
    length : ndarray, shape (n_streamlines,), optional
        Lengths of streamlines in the space of the model, mm.
    kept : ndarray, shape (n_judged,), bool, optional
        Which streamlines belong to the reference, of those that can be encoded.
    alpha : float, optional
        Largest p-value of the streamlines that do not belong; 0 if that was not asked.
    labels : Labels, optional
        Bundles of streamlines, judged by ``classifier``. They give ``factor`` and
        ``kept``.
    classifier : BundleClassifier, optional
        Knows the bundles.

    Returns
    -------
    doubts : list of Doubt
        At most one of each kind, in the order of ``KINDS``; empty if nothing is found.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.segment.doubts import find_doubts
    >>> kept = np.arange(5000) < 3
    >>> [doubt.kind for doubt in find_doubts(kept=kept)]
    ['hardly_any']
    >>> find_doubts(kept=np.arange(5000) < 4000)
    []
    """
    if labels is not None:
        factor = labels.factor
        kept = labels.bundle[np.isfinite(labels.vote_share)] >= 0
    found = [_not_aligned(alignment, factor)]
    aligned = found[0] is None
    if aligned:
        found.append(_far_from_model(record, error_mm))
    found += [_hardly_any(kept, alpha), _nearly_all(kept, alpha)]
    if aligned and labels is not None and classifier is not None:
        found.append(_bundle_lengths(labels, classifier))
        found.append(_missing_neighbours(labels))
    elif aligned:
        found.append(_training_lengths(record, length))
    return [doubt for doubt in found if doubt is not None]


def training_error(record: TrainingRecord | None) -> tuple[float, str] | None:
    """Return the error that a model reached in its training.

    Parameters
    ----------
    record : TrainingRecord or None
        Of the model.

    Returns
    -------
    error : float
        Smallest error of an epoch, mm.
    of : str
        Streamlines that it was measured on: "validation" or "training". None instead
        of both if it is not known.
    """
    history = record.history if record is not None else {}
    for name, of in (("val_error_mm", "validation"), ("error_mm", "training")):
        if history.get(name):
            return min(history[name]), of
    return None


def _not_aligned(alignment, factor):
    """Doubt streamlines that may lie in another space."""
    if alignment is not None and alignment.verdict in ("uncertain", "refused"):
        moved = alignment.transform != "none"
        text = "the alignment may be wrong" if moved else "may lie in another space"
        return Doubt(
            "not_aligned",
            f"{text}. {' '.join(alignment.reasons)} Align the subject with `align`, or "
            "give its known transform as `transform`.",
            dict(alignment.quality),
        )
    if factor is None or not factor.n_streamlines:
        return None
    if factor.estimate < IMPLAUSIBLE_FACTOR:
        return None
    return Doubt(
        "not_aligned",
        f"lies {factor.estimate:.2g} times as far from the reference as the reference "
        "from itself. It may be in another space than the model: align it with "
        "`align`, or look at the picture of its alignment.",
        {"subject_factor": factor.estimate},
    )


def _far_from_model(record, error_mm):
    """Doubt streamlines that are reconstructed much worse than those of training."""
    known = training_error(record)
    if known is None or error_mm is None or not error_mm > LARGE_ERROR * known[0] > 0:
        return None
    return Doubt(
        "far_from_model",
        f"the error is {error_mm:.3g} mm, {error_mm / known[0]:.0f} times the "
        f"{known[1]} error of the model ({known[0]:.3g} mm). These streamlines do not "
        "resemble its training data: they may be of another bundle, space or unit. "
        "Check them, or train a model on such streamlines.",
        {"error_mm": error_mm, "training_error_mm": known[0]},
    )


def _hardly_any(kept, alpha):
    """Doubt a reference to which nothing belongs."""
    if kept is None or not len(kept) or alpha <= 0 or kept.mean() >= HARDLY_ANY:
        return None
    return Doubt(
        "hardly_any",
        f"only {100 * kept.mean():.2g} % of the streamlines belong to the reference. "
        "Check that the subject is in the space of the model (`align`), and that the "
        "reference is the right one.",
        {"kept": float(kept.mean())},
    )


def _nearly_all(kept, alpha):
    """Doubt a reference that rejects less than even its own streamlines."""
    if kept is None or len(kept) < FEWEST_JUDGED or not 0 < alpha < 1:
        return None
    rejected = 1 - kept.mean()
    if rejected > PART_OF_ALPHA * alpha:
        return None
    return Doubt(
        "nearly_all",
        f"{100 * kept.mean():.2f} % of the streamlines belong to the reference, more "
        f"than even of its own kind ({100 * (1 - alpha):g} % with `alpha` {alpha:g}). "
        "Either they are in the reference themselves, or the reference cannot tell "
        "strangers: give one without gaps and in one space, and no larger "
        "`subject_factor` than the estimated one.",
        {"kept": float(kept.mean())},
    )


def _bundle_lengths(labels, classifier):
    """Doubt bundles whose streamlines are not as long as those of the atlas."""
    if labels.median_length is None:
        return None
    counts = np.bincount(labels.bundle[labels.bundle >= 0], minlength=len(labels.names))
    low = classifier.length[:, 0] * (1 - LENGTH_MARGIN)
    high = classifier.length[:, 2] * (1 + LENGTH_MARGIN)
    found = labels.median_length
    # False where a length is not known.
    odd = ((found < low) | (found > high)) & (counts >= FEWEST_OF_BUNDLE)
    if not odd.any():
        return None
    codes = sorted(np.flatnonzero(odd), key=lambda code: -counts[code])
    named = _listed(
        f"{labels.names[c]} ({found[c]:.0f} mm, in the atlas "
        f"{classifier.length[c, 0]:.0f} to {classifier.length[c, 2]:.0f} mm)"
        for c in codes
    )
    return Doubt(
        "lengths",
        f"the median length of what is labelled is unlike the atlas for {len(codes)} "
        f"of {int((counts >= FEWEST_OF_BUNDLE).sum())} bundles: {named}. The "
        "streamlines may be fragments, of another tractography, or not of these "
        "bundles: view them.",
        {labels.names[c]: float(found[c]) for c in codes},
    )


def _training_lengths(record, length):
    """Doubt streamlines whose median length hardly any of the training had."""
    known = record.data.get("length_mm") if record is not None else None
    if known is None or length is None or len(length) < FEWEST_OF_BUNDLE:
        return None
    middle = float(np.median(length))
    if known[0] * (1 - LENGTH_MARGIN) <= middle <= known[-1] * (1 + LENGTH_MARGIN):
        return None
    return Doubt(
        "lengths",
        f"the median length is {middle:.0f} mm, and 98 % of the training streamlines "
        f"of the model have {known[0]:.0f} to {known[-1]:.0f} mm. Check the unit (mm), "
        "or train a model on such streamlines.",
        {"median_mm": middle, "low_mm": known[0], "high_mm": known[-1]},
    )


def _missing_neighbours(labels):
    """Doubt an atlas with many streamlines just outside of a bundle."""
    if labels.missed is None:
        return None
    counts = np.bincount(labels.bundle[labels.bundle >= 0], minlength=len(labels.names))
    many = (labels.missed >= FEWEST_MISSED) & (
        labels.missed >= FRACTION_MISSED * counts
    )
    if not many.any():
        return None
    codes = sorted(np.flatnonzero(many), key=lambda code: -labels.missed[code])
    named = _listed(
        f"{labels.names[c]} ({labels.missed[c]} beside {counts[c]})" for c in codes
    )
    return Doubt(
        "missing_neighbour",
        f"{int(labels.missed[codes].sum())} streamlines resemble a bundle of the atlas "
        f"but are not of it: {named}. The atlas may miss their neighbours, of which "
        "others may be labelled as these bundles: view the unassigned streamlines, and "
        "add the missing bundles to the atlas.",
        {labels.names[c]: int(labels.missed[c]) for c in codes},
    )


def _listed(texts):
    """Join a few texts."""
    texts = list(texts)
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
