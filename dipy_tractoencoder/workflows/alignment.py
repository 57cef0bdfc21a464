"""Align the subjects of a command to the space of a model, each subject once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import (
    AlignmentError,
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
    check_choice,
)
from dipy_tractoencoder.workflows.alignment_log import (
    UNCHECKED,
    displacement,
    listed,
    log_checked,
    log_mirrored,
    log_moved,
    refusal,
)
from dipy_tractoencoder.workflows.alignment_options import (
    ALIGN,
    FITTED,
    OUTPUTS,
    check_given,
    known_transforms,
    reference_of,
)
from dipy_tractoencoder.workflows.base import as_list

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.align.reference import AlignmentReference
    from dipy_tractoencoder.io.sampling import FileSample

logger = logging.getLogger(__name__)

INVERSE_FITS = "The inverse of the transform brings them there: give it as '[FILE,1]'."


class SubjectAligner:
    """Alignments of the subjects of a command to a model's space, fitted when asked.

    All files of a subject are aligned together, because a single bundle cannot be
    aligned alone: `alignment` samples them, fits or checks once, logs one line, and
    returns the same alignment for each file of the subject. Use it in the loop over
    the files, within ``batch.going_on(path)``, and pass its result on to the library::

        aligner = SubjectAligner(model, inputs, align="rigid")
        for path in inputs:
            with batch.going_on(path):
                alignment = aligner.alignment(path)  # Alignment or None
                encode_file(model, path, out_latents, alignment=alignment)
                aligner.write(path, outputs)

    Parameters
    ----------
    model : StreamlineAutoencoder, StreamlineVAE, AlignmentReference or None
        Model with a reference for alignment in its file, or the reference; None, or a
        model without one, is unknown space: nothing is measured, and one line says so.
    paths : sequence of str or Path
        Tractograms of all subjects.
    align : {"off", "check", "rigid", "similarity", "affine"}, optional
        "check" measures how far a small sample lies from the reference as it is, and
        warns; it moves nothing and imports no registration. "off" does nothing. The
        others fit a transform.
    transform : str or Path, optional
        File of a known transform from the subject's space to the model's, which is
        used instead of fitting one; ``{subject}`` in its name stands for the subject.
    align_to : str, Path or sequence of them, optional
        Tractograms, or a model file with a reference, to align to instead of ``model``.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        How files are told to be of one subject; see `io.subjects.subjects_of`.
    align_anyway : bool, optional
        Warn of an alignment that cannot be relied on, instead of raising an error.
    seed : int, optional
        Seed of samples and fits.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...). It has
        nothing to do with the reference of the alignment.

    Attributes
    ----------
    reference : AlignmentReference or None
        What subjects are aligned to.
    align : str
        As given.
    files : dict of str to list of Path
        Files of each subject, in the order of ``paths``.
    moves : bool
        Whether alignments of this kind can move streamlines: True if they are fitted
        or given.
    latest : list of FileSample
        Samples of the files of the subject that was aligned last.
    summary : list of dict
        A row per subject done so far: "subject", "n_files", "transform", "verdict",
        "left_right", "moved_mm" (mean displacement of the sample), and the numbers of
        `Alignment.quality`.

    Raises
    ------
    InvalidArgumentError
        If an option is unknown, a fit has nothing to align to, or one transform is
        given for several subjects.
    InputFileError
        If a file of ``transform`` or ``align_to`` cannot be used.
    """

    def __init__(
        self,
        model: Any,
        paths: Sequence[str | Path],
        *,
        align: str = "check",
        transform: str | Path | None = None,
        align_to: str | Path | Sequence | None = None,
        subject_by: str = "auto",
        align_anyway: bool = False,
        seed: int = 0,
        reference: str | Path | None = None,
    ) -> None:
        from dipy_tractoencoder.io.subjects import subjects_of

        check_choice("align", align, ALIGN)
        check_given(align, transform)
        self.align, self.align_anyway, self.seed = align, align_anyway, seed
        self._image = reference
        files = [Path(path) for path in paths]
        self._subject = dict(zip(files, subjects_of(files, subject_by)))
        self.files: dict[str, list[Path]] = {}
        for path, subject in self._subject.items():
            self.files.setdefault(subject, []).append(path)
        self._given = known_transforms(transform, list(self.files))
        self.moves = bool(self._given) or align in FITTED
        self.reference: AlignmentReference | None = None
        if align != "off":
            self.reference = reference_of(
                model, as_list(align_to), image=reference, seed=seed
            )
        if self.reference is None and align in FITTED:
            raise InvalidArgumentError(
                f"Cannot align ({align}): the model file holds no reference for "
                "alignment. Give tractograms of the space of the model with "
                "--align_to, or train the model again."
            )
        self._found: dict[str, Alignment | AlignmentError | None] = {}
        self._written: set[str] = set()
        self.latest: list[FileSample] = []
        self._said = False
        self.summary: list[dict[str, Any]] = []

    def subject(self, path: str | Path) -> str:
        """Return the subject of a file.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Returns
        -------
        subject : str
            Name of the subject.
        """
        return self._subject[Path(path)]

    def alignment(self, path: str | Path) -> Alignment | None:
        """Return the alignment of the subject of a file, fitted at the first call.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Returns
        -------
        alignment : Alignment or None
            From the subject's space to the model's; one that moves nothing for
            "check". None for "off", without a reference, and if the files hold no
            usable streamline.

        Raises
        ------
        AlignmentError
            If the alignment is refused, unless ``align_anyway``. It is an
            InputFileError, so that `workflows.batch.Batch` goes on with other files.
        InputFileError
            If no file of the subject can be read, except for "check".
        """
        subject = self.subject(path)
        if subject not in self._found:
            self._found[subject] = self._of_subject(subject)
        found = self._found[subject]
        if isinstance(found, AlignmentError):
            raise AlignmentError(f"Cannot use {path}: {found}")
        return found

    def alignment_beside(self, path: str | Path) -> Alignment | None:
        """Return the alignment of a file that may not be one of those given.

        Parameters
        ----------
        path : str or Path
            Tractogram of a subject. Unless it is one of the files, it is aligned alone
            if others are fitted, and only checked if their transform is given.

        Returns
        -------
        alignment : Alignment or None
            As of `alignment`.

        Raises
        ------
        AlignmentError, InputFileError
            As of `alignment`.
        """
        if Path(path) in self._subject:
            return self.alignment(path)
        return SubjectAligner(
            self.reference,
            [path],
            align="check" if self._given else self.align,
            align_anyway=self.align_anyway,
            seed=self.seed,
            reference=self._image,
        ).alignment(path)

    def check_known(self, paths: Sequence[str | Path], what: str) -> None:
        """Warn if files that have to lie in the space of the model do not.

        Parameters
        ----------
        paths : sequence of str or Path
            Tractograms that all subjects are compared with; they are never moved.
        what : str
            What they are, for the message.
        """
        from dipy_tractoencoder.align.fit import check_alignment
        from dipy_tractoencoder.io.sampling import sample_streamlines

        if self.reference is None or not paths:
            return
        try:
            lines = sample_streamlines(paths, self._image, seed=self.seed, small=True)
            checked = check_alignment(self.reference, lines)
        except (EmptyDataError, InputFileError):
            return  # Their use says what is wrong.
        if checked.verdict != "accepted":
            logger.warning(
                "The %s may lie in another space than the model, where they have to "
                "be; they are not moved. %s",
                what,
                " ".join(checked.reasons),
            )

    def write(self, path: str | Path, outputs: dict[str, Any]) -> None:
        """Write the transform and the picture of the subject of a file, once.

        Parameters
        ----------
        path : str or Path
            One of the files, after its outputs were written.
        outputs : dict
            Outputs of `TractoWorkflow.plan`; those of `plan_alignment` are used: one
            path, or a dict of paths by subject. Others, and missing ones, are left
            alone.
        """
        subject = self.subject(path)
        alignment = self._found.get(subject)
        done = subject in self._written or not self.moves
        if done or alignment is None or isinstance(alignment, AlignmentError):
            return
        self._written.add(subject)
        target, picture = (_of(subject, outputs.get(name)) for name in OUTPUTS)
        if target is not None:
            from dipy_tractoencoder.align.alignment import save_alignment

            save_alignment(alignment, target, overwrite=True)
            logger.info("Transform of %s: %s", subject, target)
        if picture is not None and self.reference is not None:
            from dipy_tractoencoder.viz.alignment import alignment_figure
            from dipy_tractoencoder.viz.base import save_figure

            lines = self._sampled(subject, small=True)[0]
            figure = alignment_figure(
                self.reference, lines, alignment, name=self._named(subject)
            )
            save_figure(figure, picture)
            logger.info("Alignment of %s: %s", subject, picture)

    def _of_subject(self, subject):
        """Fit, load or check the alignment of a subject, and log it."""
        given = self._given.get(subject)
        if self.align == "off":
            return given
        if self.reference is None:
            if not self._said:
                self._said = True
                logger.info(UNCHECKED)
            if given is not None:
                log_mirrored(self._named(subject), given)
            return given
        try:
            lines, samples = self._sampled(subject, small=not self._fits(subject))
        except InputFileError:
            if self.moves:
                raise
            return None  # Reading the file itself will say it, with its name.
        try:
            alignment = self._measured(given, lines, samples)
        except EmptyDataError as err:
            if not self._fits(subject) or not any(s.n_streamlines for s in samples):
                return given
            return AlignmentError(f"none of its streamlines can be aligned. {err}")
        return self._judged(subject, alignment, lines)

    def _fits(self, subject):
        return subject not in self._given and self.align in FITTED

    def _sampled(self, subject, *, small):
        """Read a sample of the files of a subject."""
        from dipy_tractoencoder.io.sampling import joined, sample_files

        names = () if small or self.reference is None else self.reference.names
        samples = sample_files(
            self.files[subject], self._image, seed=self.seed, small=small, groups=names
        )
        self.latest = samples
        return joined(sample.streamlines for sample in samples), samples

    def _measured(self, given, lines, samples):
        """Return a given, fitted or checked alignment with its quality."""
        from dipy_tractoencoder.align.files import known_bundles
        from dipy_tractoencoder.align.fit import check_alignment, fit_alignment

        reference: Any = self.reference
        if given is not None:
            if given.reference == reference.digest:
                return given  # It was judged when it was fitted.
            checked = check_alignment(reference, given.apply(lines))
            if checked.verdict != "accepted" and given.moves:
                back = check_alignment(reference, given.inverse().apply(lines))
                if back.verdict == "accepted":
                    checked = replace(checked, reasons=(*checked.reasons, INVERSE_FITS))
            return replace(checked, matrix=given.matrix, transform=given.transform)
        if self.align not in FITTED:
            return check_alignment(reference, lines)
        bundles = known_bundles(samples, reference.names)
        if bundles:
            logger.info(
                "Aligned by %d bundles that the model knows by name: %s",
                len(bundles),
                listed(bundles),
            )
        return fit_alignment(
            reference, bundles or lines, transform=self.align, seed=self.seed
        )

    def _judged(self, subject, alignment, lines):
        """Log an alignment, and return it or the error that refuses it."""
        name, hint = self._named(subject), self._hint(subject)
        moved = displacement(alignment, lines)
        self.summary.append(
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
        if alignment.verdict == "refused" and not self.align_anyway:
            alone = len(self.files[subject]) == 1
            what = "its alignment" if alone else f"the alignment of {name}"
            return AlignmentError(refusal(what, alignment) + hint)
        if self.moves:
            log_moved(name, alignment, moved, hint)
        else:
            log_checked(name, alignment)
        return alignment

    def _named(self, subject):
        """Describe a subject in a message."""
        files = self.files[subject]
        return str(files[0]) if len(files) == 1 else f"{subject} ({len(files)} files)"

    def _hint(self, subject):
        """Say what else may be wrong: files of several subjects, or of one."""
        n_files = len(self.files[subject])
        if n_files > 1:
            return (
                f" Its {n_files} files were aligned together as those of one subject; "
                "if they are of several, say --subject_by file."
            )
        if len(self.files) > 1:
            return (
                " It was aligned alone; if other files are of the same subject, say "
                "--subject_by folder."
            )
        return ""


def _of(subject, output):
    """Return the path of an output for a subject."""
    return output.get(subject) if isinstance(output, dict) else output
