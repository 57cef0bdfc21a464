"""Align to what tractogram files hold, and by the bundles that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.align.fit import fit_alignment_reference
from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.io.sampling import FileSample, joined, sample_files

if TYPE_CHECKING:
    from dipy_tractoencoder.align.reference import AlignmentReference

# Of the sampled streamlines, the fraction in bundles that the reference knows by name
# from which these bundles alone are aligned.
NAMED_FRACTION = 0.5


def fit_reference_to_files(
    paths: Sequence[str | Path],
    image: str | Path | None = None,
    *,
    keep_sample: bool = True,
    seed: int = 0,
) -> AlignmentReference:
    """Summarise a sample of tractogram files, so that subjects can be aligned to it.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractograms of one space, folders of them, or wildcards. Several files of
        different names, and groups of TRX files, are bundles whose names are kept.
    image : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    keep_sample : bool, optional
        Store real streamlines besides centroids.
    seed : int, optional
        Seed of the sample and the clustering.

    Returns
    -------
    reference : AlignmentReference
        The reference.

    Raises
    ------
    InputFileError
        If no file can be read, or there are no usable streamlines.
    """
    samples = sample_files(tractogram_files(paths), image, seed=seed, groups=None)
    names = {name for sample in samples for name in sample.groups}
    stems = {file_stem(sample.path) for sample in samples}
    names |= stems if len(stems) > 1 else set()
    streamlines: Any = known_bundles(samples, sorted(names))
    if not streamlines:
        streamlines = joined(sample.streamlines for sample in samples)
    try:
        return fit_alignment_reference(streamlines, keep_sample=keep_sample, seed=seed)
    except EmptyDataError as err:
        raise InputFileError(
            f"Cannot align to {', '.join(map(str, paths))}: {err}"
        ) from err


def known_bundles(
    samples: Sequence[FileSample], names: Sequence[str]
) -> dict[str, Any]:
    """Return the sampled streamlines of bundles whose names are known.

    Parameters
    ----------
    samples : sequence of FileSample
        Samples of the files of a subject.
    names : sequence of str
        Names of the bundles of the reference.

    Returns
    -------
    bundles : dict of ArraySequence
        Streamlines by the name of the file or of the group of a TRX; empty if these
        are less than half of all.
    """
    found: dict[str, list] = {}
    n_known = 0
    for sample in samples:
        stem = known_name(file_stem(sample.path), names)
        if stem is not None:
            found.setdefault(stem, []).append(sample.streamlines)
            n_known += len(sample.streamlines)
            continue
        for name, members in sample.groups.items():
            if name in names and len(members):
                found.setdefault(name, []).append(sample.streamlines[members])
                n_known += len(members)
    total = sum(len(sample.streamlines) for sample in samples)
    if not n_known or n_known < NAMED_FRACTION * total:
        return {}
    return {name: joined(parts) for name, parts in sorted(found.items())}


def known_name(stem: str, names: Sequence[str]) -> str | None:
    """Return the bundle that a file is named after.

    Parameters
    ----------
    stem : str
        Name of the file without extension, as AF_L or sub-01_AF_L.
    names : sequence of str
        Names of bundles.

    Returns
    -------
    name : str or None
        The name, or the longest one that follows an underscore at the end; None if
        there is none.
    """
    if stem in names:
        return stem
    ends = [name for name in names if name and stem.endswith(f"_{name}")]
    return max(ends, key=len, default=None)
