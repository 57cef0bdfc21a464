"""Measure whether streamlines lie in a model's space, without any registration."""

from __future__ import annotations

from typing import Any

import numpy as np

from dipy_tractoencoder.align.alignment import Alignment
from dipy_tractoencoder.align.reference import NO_BUNDLE, AlignmentReference
from dipy_tractoencoder.align.summary import nearest_distances, sample_for_alignment

N_CHECKED = 150  # streamlines
# Times as far from the reference as its own halves are from each other.
LARGEST_CHECK_RATIO = 2.5


def check_alignment(reference: AlignmentReference, streamlines: Any) -> Alignment:
    """Measure how far streamlines lie from a model's space, and move nothing.

    Parameters
    ----------
    reference : AlignmentReference
        Streamlines of the model.
    streamlines : StatefulTractogram, sequence of ndarray, or dict of them
        Streamlines of the subject, RASMM, mm; a part of a brain will do.

    Returns
    -------
    alignment : Alignment
        The identity. Its quality has "check_distance", the median distance to the
        nearest streamline of the reference (mm), and "check_ratio", how many times as
        far this is as between halves of the reference. The verdict is "accepted" or
        "uncertain".

    Raises
    ------
    EmptyDataError
        If there are no usable streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(300, seed=0)
    >>> reference = dte.fit_alignment_reference(made.streamlines)
    >>> there = [line + 40 for line in made.streamlines]
    >>> dte.check_alignment(reference, made.streamlines).verdict
    'accepted'
    >>> dte.check_alignment(reference, there).verdict
    'uncertain'
    """
    points = sample_for_alignment(streamlines, n=N_CHECKED).points
    distance = float(np.median(nearest_distances(points, known_lines(reference))))
    ratio = distance / reference.check_distance
    reasons: tuple = ()
    if ratio > LARGEST_CHECK_RATIO:
        reasons = (
            f"The streamlines lie {ratio:.1f} times as far from those of the model as "
            f"these lie from each other ({distance:.1f} mm; up to "
            f"{LARGEST_CHECK_RATIO:g} times is usual for another subject in the same "
            "space). They may be in another space: fit or give a transform.",
        )
    return Alignment(
        np.eye(4),
        transform="none",
        verdict="uncertain" if reasons else "accepted",
        reasons=reasons,
        quality={"check_distance": distance, "check_ratio": ratio},
        reference=reference.digest,
    )


def known_lines(reference: AlignmentReference) -> np.ndarray:
    """Return the streamlines of a reference, or its centroids if it has none.

    Parameters
    ----------
    reference : AlignmentReference
        The reference.

    Returns
    -------
    lines : ndarray, shape (n, 20, 3), float32
        Streamlines, mm.
    """
    return reference.sample if len(reference.sample) else reference.centroids


def brain_centroids(reference: AlignmentReference) -> np.ndarray:
    """Return the centroids of clusters of all streamlines, not of single bundles.

    Parameters
    ----------
    reference : AlignmentReference
        The reference.

    Returns
    -------
    centroids : ndarray, shape (n, 20, 3), float32
        Centroids, largest cluster first, mm.
    """
    whole = reference.centroids[reference.centroid_bundle == NO_BUNDLE]
    return whole if len(whole) else reference.centroids
