"""Doubts about the results of a command: logged, gathered, and refused if asked."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import (
    DoubtfulResultError,
    EmptyDataError,
    InputFileError,
)
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.workflows.alignment_log import listed

if TYPE_CHECKING:
    from dipy_tractoencoder.segment.doubts import Doubt
    from dipy_tractoencoder.segment.filtered import Filtered
    from dipy_tractoencoder.segment.labels import Labels
    from dipy_tractoencoder.workflows.alignment import SubjectAligner

logger = logging.getLogger(__name__)

N_SAMPLE = 300  # streamlines of a file that are encoded to see whether they fit
SHOWN = 3  # files with doubts of one kind that are logged in full


class Doubts:
    """What makes the results of a command doubtful, file by file.

    Use `check_input` before the work on a file, and `check_result` before its outputs
    are written; or `look` at all files, and `refuse` them together::

        doubts = Doubts(model, aligner, strict=strict)
        for path in inputs:
            with batch.going_on(path):
                doubts.check_input(path)
                label_file(..., on_judged=partial(doubts.check_labels, path, **judged))
        doubts.finish()

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that is applied.
    aligner : SubjectAligner
        Knows the files, their subjects and alignments.
    strict : bool, optional
        Raise an error for a file with doubts, instead of a warning.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    """

    def __init__(
        self,
        model: Any,
        aligner: SubjectAligner,
        *,
        strict: bool = False,
        reference: str | Path | None = None,
    ) -> None:
        self.model, self.aligner, self.strict = model, aligner, strict
        self.reference = reference
        self.n_files = sum(map(len, aligner.files.values()))
        self._found: dict[str, list[Doubt]] = {}
        self._of_kind: dict[str, list[str]] = {}

    def look(self, path: str | Path) -> None:
        """Measure whether a model knows the streamlines of a file, on some of them.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Raises
        ------
        AlignmentError, InputFileError
            As of `SubjectAligner.alignment`.
        """
        self._add(path, self._of_input(path))

    def check_input(self, path: str | Path) -> None:
        """Look at a file, and raise an error for what is found if ``strict``.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Raises
        ------
        DoubtfulResultError
            If it is doubtful and ``strict``.
        AlignmentError, InputFileError
            As of `SubjectAligner.alignment`.
        """
        self.look(path)
        self.refuse([path])

    def refuse(self, paths: Sequence[str | Path] | None = None) -> None:
        """Raise an error for the doubts that were found so far, if ``strict``.

        Parameters
        ----------
        paths : sequence of str or Path, optional
            Files to care about; all by default.

        Raises
        ------
        DoubtfulResultError
            If any is doubtful and ``strict``; it names all of them.
        """
        wanted = self._found if paths is None else map(str, paths)
        doubtful = [path for path in wanted if self._found.get(path)]
        if self.strict and doubtful:
            texts = [
                f"{path}: {doubt.message}"
                for path in doubtful
                for doubt in self._found[path]
            ]
            raise DoubtfulResultError(
                f"{' '.join(texts)} Nothing was written of it, because doubts are "
                "errors with `strict`."
            )

    def check_result(self, path: str | Path, **evidence: Any) -> None:
        """Look for doubts in the result for a file, before it is written.

        Parameters
        ----------
        path : str or Path
            One of the files.
        **evidence
            Arguments of `segment.doubts.find_doubts`.

        Raises
        ------
        DoubtfulResultError
            If it is doubtful and ``strict``.
        """
        from dipy_tractoencoder.segment.doubts import find_doubts

        evidence["alignment"] = self.aligner.alignment(path)
        self._add(path, find_doubts(**evidence))
        self.refuse([path])

    def check_labels(self, path: str | Path, labels: Labels, **evidence: Any) -> None:
        """Look for doubts in the labels of a file, as `check_result`.

        Parameters
        ----------
        path : str or Path
            One of the files.
        labels : Labels
            Labels of its streamlines.
        **evidence
            "classifier" and "alpha" of `segment.doubts.find_doubts`.
        """
        self.check_result(path, labels=labels, **evidence)

    def check_filtered(
        self,
        path: str | Path,
        threshold: float | None,
        alpha: float,
        filtered: Filtered,
    ) -> None:
        """Look for doubts in the filtering of a file, as `check_result`.

        Parameters
        ----------
        path : str or Path
            One of the files.
        threshold, alpha : float or None
            As given to `segment.filtering.filter_file`.
        filtered : Filtered
            The result.
        """
        encoded = filtered.scores == filtered.scores  # Not nan.
        self.check_result(
            path,
            factor=filtered.factor,
            kept=filtered.kept(threshold, alpha)[encoded],
            # A threshold promises no fraction.
            alpha=alpha if threshold is None else 1.0,
        )

    def of(self, path: str | Path) -> str:
        """Return the doubts about a file in a few words, for tables.

        Parameters
        ----------
        path : str or Path
            One of the files.

        Returns
        -------
        words : str
            Kinds of doubts, joined by semicolons; empty without any.
        """
        from dipy_tractoencoder.segment.doubts import KINDS

        return "; ".join(KINDS[d.kind] for d in self._found.get(str(path), ()))

    def of_bundle(self, name: str) -> str:
        """Return the doubts about the files of a bundle in a few words, for tables.

        Parameters
        ----------
        name : str
            Name of the bundle.

        Returns
        -------
        words : str
            Doubts about the files of that name; about all files if there are none.
        """
        named = [path for path in self._found if file_stem(path) == name]
        return "; ".join(
            dict.fromkeys(filter(None, map(self.of, named or self._found)))
        )

    def described(self) -> str:
        """Return the doubts about all files in a few words, for a report."""
        return ". ".join(
            f"{Path(path).name}: {self.of(path)}"
            for path in self._found
            if self.of(path)
        )

    def finish(self) -> None:
        """Log the doubts that were not logged, because many files have them."""
        from dipy_tractoencoder.segment.doubts import KINDS

        for kind, paths in self._of_kind.items():
            if len(paths) > SHOWN:
                logger.warning(
                    "%d of %d files: %s (%s).",
                    len(paths),
                    self.n_files,
                    KINDS[kind],
                    listed(paths),
                )

    def _of_input(self, path):
        """Encode and decode some streamlines of a file."""
        from dipy_tractoencoder.latent.alignment import aligned
        from dipy_tractoencoder.latent.reconstruction import reconstruct_points
        from dipy_tractoencoder.segment.doubts import find_doubts
        from dipy_tractoencoder.streamlines.metrics import (
            curve_length,
            point_distance,
            pooled_distance,
        )

        alignment = self.aligner.alignment(path)
        evidence = {"alignment": alignment, "record": self.model.record}
        try:
            lines = self._sample(path)
            points = self.model.preprocessing.array(aligned(lines, alignment)).points
        except (EmptyDataError, InputFileError):
            return find_doubts(**evidence)  # Its use says what is wrong.
        if len(points):
            error = point_distance(points, reconstruct_points(self.model, points))
            evidence["error_mm"] = pooled_distance(error)
            evidence["length"] = curve_length(points)
        return find_doubts(**evidence)

    def _sample(self, path):
        """Return some streamlines of a file, those that were read already if any."""
        from dipy_tractoencoder.io.sampling import sample_streamlines

        for sample in self.aligner.latest:
            if sample.path == Path(path) and len(sample.rows):
                return sample.streamlines[:: -(-len(sample.rows) // N_SAMPLE)]
        return sample_streamlines([path], self.reference, small=True)

    def _add(self, path, doubts):
        """Keep and log the doubts of kinds that are new for a file."""
        known = self._found.setdefault(str(path), [])
        for doubt in doubts:
            if any(doubt.kind == other.kind for other in known):
                continue
            known.append(doubt)
            paths = self._of_kind.setdefault(doubt.kind, [])
            paths.append(str(path))
            # What is said of an alignment was said when it was found.
            said = doubt.kind == "not_aligned" and "subject_factor" not in doubt.figures
            if not said and len(paths) <= SHOWN and not self.strict:
                logger.warning("%s: %s", path, doubt.message)
