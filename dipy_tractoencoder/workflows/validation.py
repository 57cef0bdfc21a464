"""Calibrate decisions by files that a command is given for validation."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.compare_files import rule_of

if TYPE_CHECKING:
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier

logger = logging.getLogger(__name__)


def calibrated(
    model: Any,
    classifier: BundleClassifier,
    paths: Sequence[Path],
    *,
    chunk_size: int,
    reference: str | Path | None = None,
    **kind: Any,
) -> BundleClassifier:
    """Calibrate a classifier by labelled files of other subjects, and say so.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model of the classifier.
    classifier : BundleClassifier
        The classifier.
    paths : sequence of Path
        As for `segment.calibration_files.calibrate_by_files`; none leave it as it is.
    chunk_size : int
        Streamlines processed at a time.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    **kind
        Options of `SubjectAligner`. A transform that is given is that of the files to
        label, so these are only checked then.

    Returns
    -------
    classifier : BundleClassifier
        The calibrated one.
    """
    if not paths:
        return classifier
    from dipy_tractoencoder.segment.calibration_files import calibrate_by_files

    kind["transform"] = None
    if all(file_stem(path) in classifier.names for path in paths):  # One per bundle.
        kind["subject_by"] = rule_of(paths, kind.get("subject_by", "auto"))
    aligner = SubjectAligner(model, paths, reference=reference, **kind)
    found = calibrate_by_files(
        model,
        classifier,
        paths,
        subjects=[aligner.subject(path) for path in paths],
        alignment_of=aligner.alignment,
        reference=reference,
        chunk_size=chunk_size,
    )
    one, two = classifier.decisions, found.decisions
    logger.info(
        "Calibrated by %d streamlines of %d subjects, and %d that belong to no bundle. "
        "They lie %.2g times as far from the bundles as their own streamlines.",
        len(two.known) - len(one.known),
        len(aligner.files),
        len(two.strangers) - len(one.strangers),
        two.prior_factor,
    )
    return found
