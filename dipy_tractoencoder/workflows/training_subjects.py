"""The subjects of a training: held out whole, named bundles, moved to one space."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import AlignmentError, EmptyDataError, check_choice
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.subjects import SUBJECT_BY, subjects_of
from dipy_tractoencoder.workflows.alignment_log import described, displacement, listed
from dipy_tractoencoder.workflows.alignment_options import ALIGN, FITTED, reference_of
from dipy_tractoencoder.workflows.base import as_list

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dipy_tractoencoder.align.alignment import Alignment

logger = logging.getLogger(__name__)

MEAN = "mean"
MOST_DRAWN = 6  # subjects in the report
VALIDATION_BY = ("streamline", "file", "folder", "subject")


def validation_groups(
    paths: Sequence[Path], validation_by: str, subject_by: str = "auto"
) -> list | None:
    """Return the label of each file by which files are held out together.

    Parameters
    ----------
    paths : sequence of Path
        Training files.
    validation_by : {"streamline", "file", "folder", "subject"}
        Unit that is held out.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        What names the subject; all sessions of a person are held out together.

    Returns
    -------
    groups : list or None
        A label per file; None to hold out single streamlines.
    """
    if validation_by == "streamline":
        return None
    if validation_by == "subject":
        return subjects_of(paths, subject_by, sessions=False)
    files = [path.resolve() for path in paths]
    return files if validation_by == "file" else [path.parent for path in files]


def file_bundles(paths: Sequence[Path], subject_by: str = "auto") -> list[str] | None:
    """Return the bundle in each file, where several files of a subject are bundles.

    Parameters
    ----------
    paths : sequence of Path
        Training files, such as sub-01/AF_L.trk, or AF_L.trk of an atlas.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        What names the subject.

    Returns
    -------
    bundles : list of str or None
        Name of the file without extension and without the subject in front of it; None
        if the names tell no bundles apart.
    """
    subjects = subjects_of(paths, subject_by)
    stems = [file_stem(path) for path in paths]
    if not _unknown_subjects(paths, subject_by):
        if len(set(subjects)) == len(paths):
            return None  # A file per subject is a whole brain.
        stems = [
            stem.removeprefix(subject).lstrip("_-")
            for stem, subject in zip(stems, subjects)
        ]
    return stems if len(set(stems)) > 1 and all(stems) else None


def _unknown_subjects(paths, subject_by):
    """Return whether files of one folder may be of one subject, or of a subject each.

    They are bundles of an atlas, or brains: the names do not tell.
    """
    subjects = subjects_of(paths, subject_by)
    return (
        subject_by == "auto"
        and subjects == [file_stem(path) for path in paths]
        and not any(subject.startswith("sub-") for subject in subjects)
    )


class TrainingSubjects:
    """Alignments of the subjects of a training to one space.

    Parameters
    ----------
    paths : sequence of Path
        Training files, then validation files.
    align : {"off", "check", "rigid", "similarity", "affine"}, optional
        "check" measures how far each subject lies from the first, and warns.
    align_to : str, Path or sequence of them, optional
        Tractograms or a model to align to, or "mean" for the mean of the subjects, in
        the space of the first; by default the first subject.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        What names the subject.
    align_anyway : bool, optional
        Use alignments that cannot be relied on, with a warning.
    seed : int, optional
        Seed of samples and fits.
    image : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Attributes
    ----------
    files : dict of str to list of Path
        Files of each subject.
    rows : list of dict
        Per subject what was measured: "subject", "n_files", "transform", "verdict",
        "left_right", "moved_mm", and the numbers of `Alignment.quality`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        align: str = "check",
        align_to: str | Path | Sequence | None = None,
        subject_by: str = "auto",
        align_anyway: bool = False,
        seed: int = 0,
        image: str | Path | None = None,
    ) -> None:
        check_choice("align", align, ALIGN)
        check_choice("subject_by", subject_by, SUBJECT_BY)
        self.align, self.align_to = align, as_list(align_to)
        self.align_anyway, self.seed, self.image = align_anyway, seed, image
        self._subjects = subjects_of(paths, subject_by)
        self.files: dict[str, list[Path]] = {}
        for path, subject in zip(paths, self._subjects):
            self.files.setdefault(subject, []).append(path)
        self._unknown = _unknown_subjects(paths, subject_by)
        self.rows: list[dict[str, Any]] = []
        self._to: Any = None
        self._moved: dict[str, Alignment] = {}

    def figures(self) -> dict[str, Figure]:
        """Draw the alignments of the first subjects that were moved.

        Returns
        -------
        figures : dict of matplotlib.figure.Figure
            A figure per subject, of up to ``MOST_DRAWN``; none if nothing was moved.
        """
        from dipy_tractoencoder.viz.alignment import alignment_figure

        figures = {}
        for subject, alignment in list(self._moved.items())[:MOST_DRAWN]:
            lines, _ = self._sampled(subject, (), small=True)
            figures[subject] = alignment_figure(
                self._to, lines, alignment, name=subject, seed=self.seed
            )
        return figures

    @property
    def of_mean(self) -> bool:
        """Whether subjects are aligned to their mean."""
        return [str(path) for path in self.align_to] == [MEAN]

    def alignments(self) -> list[Alignment] | None:
        """Measure or fit the alignments, and log them.

        Returns
        -------
        alignments : list of Alignment or None
            The transform of each file; None if nothing is moved.

        Raises
        ------
        AlignmentError
            If an alignment is refused, unless ``align_anyway``; it names all subjects
            that are refused.
        InputFileError
            If a file cannot be read.
        """
        alone = len(self.files) < 2 or (self._unknown and self.align not in FITTED)
        if self.align == "off" or (alone and (not self.align_to or self.of_mean)):
            return None
        if self._unknown and len(self.files) > 1 and self.align in FITTED:
            logger.warning(
                "Each of the %d files is aligned as a subject. If they are bundles of "
                "one, say --subject_by folder.",
                len(self.files),
            )
        if self.align not in FITTED:
            self._check(self._reference())
            return None
        # What is aligned to the first subject leaves the first where it is.
        first = None if self.align_to and not self.of_mean else next(iter(self.files))
        reference = self._reference()
        found = self._fitted(reference, first)
        if self.of_mean:
            logger.info("Aligning all subjects to their mean.")
            reference = self._mean(reference, found)
            found = self._fitted(reference)
        self._to = reference
        self._moved = {s: a for s, a in found.items() if s != first}
        for subject in self.files:
            self._log(subject, found[subject])
        refused = [s for s in self.files if found[s].verdict == "refused"]
        if refused and not self.align_anyway:
            why = " ".join(found[refused[0]].reasons)
            raise AlignmentError(
                f"Cannot train on {listed(refused)}: the alignment cannot be relied "
                f"on. {refused[0]}: {why} ({described(found[refused[0]])}). Leave the "
                "files out, align to another subject with --align_to, or use the "
                "alignment as it is with --align_anyway."
            )
        return [found[subject] for subject in self._subjects]

    def _reference(self):
        """Return what subjects are aligned to; with several rounds, in the first."""
        from dipy_tractoencoder.align.files import fit_reference_to_files

        if self.align_to and not self.of_mean:
            return reference_of(None, self.align_to, image=self.image, seed=self.seed)
        first = next(iter(self.files.values()))
        return fit_reference_to_files(first, self.image, seed=self.seed)

    def _sampled(self, subject, names, small=False):
        """Sample the files of a subject; bundles by name if they are known."""
        from dipy_tractoencoder.align.files import known_bundles
        from dipy_tractoencoder.io.sampling import joined, sample_files

        samples = sample_files(
            self.files[subject], self.image, seed=self.seed, small=small, groups=names
        )
        lines = joined(sample.streamlines for sample in samples)
        return lines, known_bundles(samples, names)

    def _fitted(self, reference, first=None):
        """Fit the alignment of each subject, but not of the first."""
        import numpy as np

        from dipy_tractoencoder.align.alignment import Alignment
        from dipy_tractoencoder.align.fit import fit_alignment

        found = {}
        for subject in self.files:
            if subject == first:
                found[subject] = Alignment(np.eye(4), "none", "accepted")
                continue
            lines, bundles = self._sampled(subject, reference.names)
            try:
                found[subject] = fit_alignment(
                    reference, bundles or lines, transform=self.align, seed=self.seed
                )
            except EmptyDataError as err:
                raise AlignmentError(f"Cannot align {subject}: {err}") from err
        return found

    def _mean(self, reference, found):
        """Return the reference of all subjects, after their first alignment."""
        from dipy_tractoencoder.align.fit import fit_alignment_reference
        from dipy_tractoencoder.io.sampling import joined

        parts: dict[str, list] = {}
        for subject, alignment in found.items():
            lines, bundles = self._sampled(subject, reference.names)
            for name, some in (bundles or {"": lines}).items():
                parts.setdefault(name, []).append(alignment.apply(some))
        merged = {name: joined(some) for name, some in parts.items()}
        named = len(merged) > 1 and "" not in merged
        everything = merged if named else joined(merged.values())
        return fit_alignment_reference(everything, seed=self.seed)

    def _check(self, reference):
        """Warn of subjects that lie in another space than the first."""
        from dipy_tractoencoder.align.fit import check_alignment

        first = None if self.align_to else next(iter(self.files))
        far = []
        for subject in self.files:
            if subject == first:
                continue
            lines, _ = self._sampled(subject, (), small=True)
            try:
                checked = check_alignment(reference, lines)
            except EmptyDataError:
                continue  # Reading the files will say it.
            if checked.verdict != "accepted":
                far.append((subject, checked))
        if far:
            logger.warning(
                "%d of %d subjects may lie in another space than %s: %s. %s: %s "
                "Nothing was moved: align them with --align rigid, or say --align off.",
                len(far),
                len(self.files),
                first or listed([str(path) for path in self.align_to]),
                listed([subject for subject, _ in far]),
                far[0][0],
                " ".join(far[0][1].reasons),
            )

    def _log(self, subject, alignment):
        """Log what a subject is moved by, and keep it for the report."""
        lines, _ = self._sampled(subject, (), small=True)
        moved = displacement(alignment, lines)
        self.rows.append(
            {
                "subject": subject,
                "n_files": len(self.files[subject]),
                "transform": alignment.transform,
                "verdict": alignment.verdict,
                "left_right": alignment.left_right,
                "moved_mm": moved,
                **alignment.quality,
            }
        )
        level = logging.INFO if alignment.verdict == "accepted" else logging.WARNING
        logger.log(
            level,
            "%s: moved by %.1f mm (%s): %s. %s",
            subject,
            moved,
            alignment.transform,
            alignment.verdict,
            " ".join(alignment.reasons),
        )
