"""Options of commands that align subjects: checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    check_choice,
)
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.workflows.alignment_log import listed
from dipy_tractoencoder.workflows.base import (
    as_list,
    check_figure_extension,
    load_applied_model,
)

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.align.reference import AlignmentReference

FITTED = ("rigid", "similarity", "affine")
ALIGN = ("off", "check", *FITTED)
OUTPUTS = ("out_transform", "out_alignment")
SUBJECT = "{subject}"  # stands for the subject in the name of a transform
# As in ANTs: [FILE,1] is the inverse of what a file says.
INVERTED = re.compile(r"\[(.+),\s*([01])\]", re.DOTALL)


def alignment_kind(values: dict) -> dict[str, Any]:
    """Pick the options of alignment that plan and aligner share.

    Parameters
    ----------
    values : dict
        Options of a command by name, its local variables for example.

    Returns
    -------
    kind : dict
        "align", "transform", "align_to" and "subject_by".
    """
    names = ("align", "transform", "align_to", "subject_by")
    return {name: values[name] for name in names}


def check_given(align: str, transform: str | Path | None) -> None:
    """Raise an error if a transform is to be fitted though it is given.

    Parameters
    ----------
    align : str
        One of ``ALIGN``.
    transform : str, Path or None
        File of a known transform.

    Raises
    ------
    InvalidArgumentError
        If both say where streamlines go.
    """
    if transform and align in FITTED:
        raise InvalidArgumentError(
            f"--transform {transform} is used instead of fitting one. Leave out "
            f"--align {align}, or --transform."
        )


def known_transforms(
    transform: str | Path | None, subjects: Sequence[str]
) -> dict[str, Alignment]:
    """Load the known transform of each subject.

    Parameters
    ----------
    transform : str, Path or None
        File; ``{subject}`` in its name stands for the subject. ``[FILE,1]`` is the
        inverse of what a file says, as in ANTs: see `align.affine_files`.
    subjects : sequence of str
        Names of the subjects.

    Returns
    -------
    transforms : dict of Alignment
        Transforms by subject; empty if none is given.

    Raises
    ------
    InvalidArgumentError
        If there are several subjects, but one file.
    InputFileError
        If a file cannot be read.
    """
    if not transform:
        return {}
    from dipy_tractoencoder.align.affine_files import load_alignment

    text, invert = transform_file(transform)
    if SUBJECT not in text and len(subjects) > 1:
        raise InvalidArgumentError(
            f"--transform {text} is the transform of one subject, but the files are of "
            f"{len(subjects)} ({listed(subjects)}). Run the command once for each, or "
            f"write {SUBJECT} in the name of the file where it has the subject."
        )
    return {
        subject: load_alignment(text.replace(SUBJECT, subject), invert=invert)
        for subject in subjects
    }


def transform_file(transform: str | Path) -> tuple[str, bool]:
    """Return the name of the file of a transform, and whether to invert it.

    Parameters
    ----------
    transform : str or Path
        File, or ``[FILE,1]`` for the inverse of what it says, as in ANTs.

    Returns
    -------
    name : str
        Name of the file.
    invert : bool
        Whether its inverse is meant.
    """
    text = str(transform)
    found = INVERTED.fullmatch(text)
    if found is None or Path(text).exists():
        return text, False
    return found[1].strip(), found[2] == "1"


@dataclass(frozen=True)
class AlignmentPlan:
    """What `TractoWorkflow.plan` has to know about alignment outputs."""

    gathered: tuple = ()
    unused: tuple = ()
    parts: dict = field(default_factory=dict)
    read: tuple = ()


def plan_alignment(
    paths: Sequence[str | Path],
    out_transform: str,
    out_alignment: str,
    *,
    align: str = "check",
    transform: str | Path | None = None,
    align_to: str | Path | Sequence | None = None,
    subject_by: str = "auto",
) -> AlignmentPlan:
    """Check the options of alignment before any work, and plan the outputs.

    Parameters
    ----------
    paths : sequence of str or Path
        Input files.
    out_transform, out_alignment : str
        Names of the outputs.
    align, transform, align_to, subject_by
        As for `SubjectAligner`.

    Returns
    -------
    plan : AlignmentPlan
        Arguments ``gathered``, ``unused``, ``parts`` and ``read`` to add to those of
        `TractoWorkflow.plan`. With several subjects, the name of the subject precedes
        the names of both outputs.

    Raises
    ------
    InvalidArgumentError, InputFileError, OutputFileError
        If an option or a name is invalid, or a file cannot be used.
    """
    from dipy_tractoencoder.io.paths import existing
    from dipy_tractoencoder.io.subjects import subjects_of

    check_choice("align", align, ALIGN)
    check_given(align, transform)
    check_figure_extension(out_alignment)
    if Path(out_transform).suffix != ".json":
        raise OutputFileError(
            f"Cannot write {out_transform}: a transform is written as JSON. Give a "
            "name that ends in .json."
        )
    subjects = list(dict.fromkeys(subjects_of(paths, subject_by)))
    known_transforms(transform, subjects)
    others = [path for path in as_list(align_to) if not _is_pattern(path)]
    for path in others:
        existing(path)
    names = transform_file(transform)[0] if transform else ""
    read = [names.replace(SUBJECT, subject) for subject in subjects] if names else []
    unused: tuple = ()
    if not names and align not in FITTED:
        unused = OUTPUTS
    elif align == "off":
        unused = ("out_alignment",)
    parts = {} if len(subjects) == 1 else dict.fromkeys(OUTPUTS, subjects)
    return AlignmentPlan(OUTPUTS, unused, parts, (*read, *others))


def _is_pattern(path):
    """Return whether a path is a wildcard, which is looked up later."""
    from dipy_tractoencoder.io.paths import has_wildcard

    return has_wildcard(path) and not Path(path).exists()


def reference_of(
    model: Any,
    align_to: Sequence[str | Path],
    *,
    image: str | Path | None = None,
    seed: int = 0,
) -> AlignmentReference | None:
    """Return what subjects are aligned to.

    Parameters
    ----------
    model : StreamlineAutoencoder, StreamlineVAE, AlignmentReference or None
        Model, or its reference.
    align_to : sequence of str or Path
        Tractograms, or one model file, to align to instead; empty for ``model``.
    image : str, Path or Reference, optional
        Reference image or TRK for formats without a header.
    seed : int, optional
        Seed of the sample of tractograms.

    Returns
    -------
    reference : AlignmentReference or None
        The reference; None if ``model`` has none.

    Raises
    ------
    InputFileError
        If a file cannot be read, or the model file holds no reference.
    """
    from dipy_tractoencoder.align.files import fit_reference_to_files
    from dipy_tractoencoder.align.reference import AlignmentReference

    is_model = [file_format(path) == ".keras" for path in align_to]
    if align_to and not any(is_model):
        return fit_reference_to_files(align_to, image, seed=seed)
    if len(align_to) > 1:
        raise InvalidArgumentError(
            "Give one model, or tractograms, with --align_to. Received: "
            f"{', '.join(map(str, align_to))}."
        )
    if not align_to and (model is None or isinstance(model, AlignmentReference)):
        return model
    from dipy_tractoencoder.nn.alignment import alignment_reference

    if not align_to:
        return alignment_reference(model)

    found = alignment_reference(load_applied_model(align_to[0]))
    if found is None:
        raise InputFileError(
            f"Cannot align to {align_to[0]}: the model file holds no reference for "
            "alignment. Give tractograms of its space with --align_to."
        )
    return found
