"""Align a subject's streamlines to a model's: search, judge.

All coordinates are RASMM, in mm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dipy_tractoencoder.align.alignment import Alignment, move_points
from dipy_tractoencoder.align.check import check_alignment
from dipy_tractoencoder.align.quality import judge, rotation_angle, scale_of
from dipy_tractoencoder.align.reference import AlignmentReference
from dipy_tractoencoder.align.summary import (
    N_SAMPLE,
    different_rows,
    fit_alignment_reference,
    sample_for_alignment,
)
from dipy_tractoencoder.align.ways import find_brain, find_bundles, shared_names
from dipy_tractoencoder.errors import EmptyDataError, check_choice

__all__ = ["N_SAMPLE", "check_alignment", "fit_alignment", "fit_alignment_reference"]

FITTED = ("rigid", "similarity", "affine")
FEWEST = 2  # different streamlines


def fit_alignment(
    reference: AlignmentReference,
    streamlines: Any,
    *,
    transform: str = "rigid",
    seed: int = 0,
) -> Alignment:
    """Align streamlines in any pose to a model's.

    A brain is compared as a whole, up to the size of the reference. If one side has far
    fewer clusters, it is taken for a part of the other one, and only a rigid transform
    is fitted. Bundles whose names the reference knows are compared with those of the
    same name alone.

    Parameters
    ----------
    reference : AlignmentReference
        Streamlines of the model.
    streamlines : StatefulTractogram, sequence of ndarray, or dict of them
        Streamlines of the subject, RASMM, mm; a dictionary has bundles by name. A
        random sample of 5,000 is used.
    transform : {"rigid", "similarity", "affine"}, optional
        Degrees of freedom.
    seed : int, optional
        Seed of the sample and the clustering.

    Returns
    -------
    alignment : Alignment
        Transform from the subject's space to the model's. Its quality has "distance"
        (mm, of a brain the bundle-minimum distance :footcite:p:`Garyfallidis2015`, of a
        part and of known bundles the median distance to the nearest streamline),
        "ratio" (over that between halves of the reference), "distance_before", "gap"
        (how many times as far the best other pose is, over 12 mm away), "mirrored" (the
        same of the mirrored subject), "size" (of the reference over the subject; brains
        only), "scale", "rotation" (degrees), "moved" (mean, mm) and "n_streamlines".

    Raises
    ------
    EmptyDataError
        If there are fewer than two different usable streamlines.
    InvalidArgumentError
        If ``transform`` is unknown.

    References
    ----------
    .. footbibliography::

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(300, seed=0)
    >>> reference = dte.fit_alignment_reference(made.streamlines)
    >>> turned = [line @ np.diag([-1.0, -1.0, 1.0]) for line in made.streamlines]
    >>> found = dte.fit_alignment(reference, turned)
    >>> bool(np.abs(found.apply(turned)[0] - made.streamlines[0]).max() < 2)
    True
    """
    check_choice("transform", transform, FITTED)
    subject = sample_for_alignment(streamlines, seed)
    points = subject.points
    if len(different_rows(points)) < FEWEST:
        raise EmptyDataError(
            f"Cannot align {subject.n_streamlines} streamline(s): at least {FEWEST} "
            "different ones are needed, and about 1,000 for a reliable alignment. Give "
            "more streamlines of the subject, or a known transform."
        )
    names = shared_names(reference, subject)
    if names:
        found = find_bundles(reference, subject, names, transform, seed)
    else:
        found = find_brain(reference, subject, transform, seed)
    moved = move_points(points.astype(np.float64), found.matrix)
    found.quality["scale"] = scale_of(found.matrix)
    found.quality["rotation"] = rotation_angle(found.matrix)
    found.quality["moved"] = float(np.linalg.norm(moved - points, axis=-1).mean())
    found.quality["n_streamlines"] = float(subject.n_streamlines)
    verdict, reasons, left_right = judge(found, subject.n_streamlines)
    return Alignment(
        found.matrix,
        transform=found.transform,
        verdict=verdict,
        reasons=reasons,
        left_right=left_right,
        quality={name: float(value) for name, value in found.quality.items()},
        tried=found.tried,
        reference=reference.digest,
    )
