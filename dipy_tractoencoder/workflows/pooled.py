"""Align subjects whose streamlines a command uses together."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.workflows.batch import Batch

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.workflows.alignment import SubjectAligner
    from dipy_tractoencoder.workflows.doubts import Doubts

logger = logging.getLogger(__name__)


class Pool:
    """Files of the subjects that can be aligned; the others are left out.

    Parameters
    ----------
    aligner : SubjectAligner
        Alignments of the subjects.
    paths : sequence of Path
        Their files.
    doubts : Doubts, optional
        Looks at all files.

    Attributes
    ----------
    files : list of Path
        Files of the subjects that can be used, in the order given.

    Raises
    ------
    InputFileError
        If no subject can be used, or any file is doubtful and doubts are errors.
    """

    def __init__(
        self,
        aligner: SubjectAligner,
        paths: Sequence[Path],
        doubts: Doubts | None = None,
    ) -> None:
        self.aligner = aligner
        self._batch = Batch(len(aligner.files), "subjects")
        for subject, files in aligner.files.items():
            with self._batch.going_on(subject):
                aligner.alignment(files[0])
                if doubts is not None:
                    for path in files:
                        doubts.look(path)
        if doubts is not None:
            doubts.finish()
            doubts.refuse()
        self._batch.finish(early=True)
        left_out = set(self._batch.failed)
        self.files = [p for p in paths if aligner.subject(p) not in left_out]

    def home(self) -> Alignment | None:
        """Return the transform whose inverse leads to the only subject.

        Returns
        -------
        alignment : Alignment or None
            The alignment of the subject; None if nothing was moved, or if there are
            several subjects, which is logged.
        """
        found = {
            self.aligner.subject(path): self.aligner.alignment(path)
            for path in self.files
        }
        moved = [a for a in found.values() if a is not None and a.moves]
        if not moved:
            return None
        if len(found) > 1:
            logger.info(
                "What is new is written in the space of the model, because the files "
                "are of %d subjects, each with a space of its own.",
                len(found),
            )
            return None
        return moved[0]

    @property
    def moved(self) -> bool:
        """Whether any subject was moved."""
        found = map(self.aligner.alignment, self.files)
        return any(a is not None and a.moves for a in found)

    def described(self) -> str:
        """Say by how much each subject was moved, for a report; empty if none was."""
        by = {
            row["subject"]: f"by {row['moved_mm']:.1f} mm "
            for row in self.aligner.summary
        }
        found = {self.aligner.subject(p): self.aligner.alignment(p) for p in self.files}
        return "; ".join(
            f"{subject} {by.get(subject, '')}({a.transform}, {a.verdict})"
            for subject, a in found.items()
            if a is not None and a.moves
        )

    def write(self, outputs: dict) -> None:
        """Write transforms and pictures of all subjects.

        Parameters
        ----------
        outputs : dict
            Outputs of `TractoWorkflow.plan`.
        """
        for path in self.files:
            self.aligner.write(path, outputs)

    def finish(self) -> None:
        """Raise an error that names the subjects that were left out.

        Raises
        ------
        InputFileError
            If there are any; at the end of the command, so that it exits with an error
            although its outputs are complete.
        """
        self._batch.finish()
