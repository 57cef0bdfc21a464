"""Files of the subjects of one group, for comparison: who, which bundle, where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.subjects import subjects_of
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import OUTPUTS, plan_alignment
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.pooled import Pool

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.streamlines.array import StreamlineArray


class SubjectGroup:
    """Subjects of a group, their bundles and alignments.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms, each one bundle of one subject.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        What names the subject of a file; "auto" is the entity if all paths have one,
        and otherwise the folder.
    taken : collection of str, optional
        Names of subjects of another group, whose outputs have these names.

    Attributes
    ----------
    paths : list of Path
        The files.
    bundles : dict of dict of Path
        For each subject, the path of each bundle; empty before `sort`.
    written_as : dict of str
        Name of each subject in the names of outputs.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        subject_by: str = "auto",
        *,
        taken: Sequence[str] = (),
    ) -> None:
        self.paths = list(paths)
        self._rule = rule_of(self.paths, subject_by)
        self.bundles: dict[str, dict[str, Path]] = {}
        self.written_as = {
            subject: f"reference_{subject}" if subject in taken else subject
            for subject in subjects_of(self.paths, self._rule)
        }
        self._pool: Pool | None = None
        self._doubts: Doubts | None = None

    def sort(self) -> dict[str, dict[str, Path]]:
        """Find the bundles of each subject.

        Returns
        -------
        bundles : dict of dict of Path
            For each subject, the path of each bundle.

        Raises
        ------
        InputFileError
            If two files are the same bundle of the same subject.
        """
        self.bundles = by_subject(self.paths, self._rule)
        return self.bundles

    def plan(self, out_transform: str, out_alignment: str, **kind: Any) -> Any:
        """Check the options of alignment, and return what `plan_alignment` does."""
        self._kind = {**kind, "subject_by": self._rule}
        return plan_alignment(self.paths, out_transform, out_alignment, **self._kind)

    def align(
        self, model: StreamlineAutoencoder, *, strict: bool = False, **options: Any
    ) -> None:
        """Align all subjects, and leave out those whose alignment is refused.

        Parameters
        ----------
        model : StreamlineAutoencoder or StreamlineVAE
            Model to align to.
        strict : bool, optional
            Raise an error for files with doubts.
        **options
            "align_anyway", "seed" and "reference" of `SubjectAligner`.
        """
        aligner = SubjectAligner(model, self.paths, **self._kind, **options)
        reference = options.get("reference")
        self._doubts = Doubts(model, aligner, strict=strict, reference=reference)
        self._pool = Pool(aligner, self.paths, self._doubts)
        self.bundles = by_subject(self.paths, self._rule, keep=self._pool.files)

    def alignment(self, path: Path) -> Alignment | None:
        """Return the alignment of the subject of a file, after `align`."""
        return self._pool.aligner.alignment(path) if self._pool else None

    def moved(self) -> dict[str, dict[str, Any]]:
        """Return how far each subject was moved, for its rows of the summary."""
        if self._pool is None or not self._pool.aligner.moves:
            return {}
        return {
            row["subject"]: {"moved_mm": row["moved_mm"], "alignment": row["verdict"]}
            for row in self._pool.aligner.summary
        }

    def doubts_of(self, subject: str, bundle: str) -> str:
        """Return the doubts about a bundle of a subject in a few words."""
        path = self.bundles.get(subject, {}).get(bundle)
        return self._doubts.of(path) if self._doubts and path else ""

    def write(self, outputs: dict[str, Any]) -> None:
        """Write the transforms and pictures of all subjects.

        Parameters
        ----------
        outputs : dict
            Outputs of `TractoWorkflow.plan`.
        """
        mine = {
            name: {
                subject: outputs[name].get(written)
                for subject, written in self.written_as.items()
            }
            for name in OUTPUTS
            if name in outputs
        }
        if self._pool is not None:
            self._pool.write(mine)

    def finish(self) -> None:
        """Raise an error if subjects were left out."""
        if self._pool is not None:
            self._pool.finish()


def rule_of(paths: Sequence[Path], subject_by: str) -> str:
    """Return what names the subjects of files of which each is one bundle.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms.
    subject_by : str
        As given; "auto" is the entity if all paths have one, otherwise the folder.

    Returns
    -------
    subject_by : str
        Argument of `io.subjects.subjects_of`.
    """
    if subject_by != "auto":
        return subject_by
    try:
        subjects_of(paths, "entity")
    except InputFileError:
        return "folder"
    return "entity"


def by_subject(
    paths: Sequence[Path],
    subject_by: str = "auto",
    *,
    keep: Sequence[Path] | None = None,
) -> dict[str, dict[str, Path]]:
    """Group files, one bundle of one subject each, by their subjects.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms, as sub-01/AF_L.trk or sub-01/sub-01_AF_L.trk.
    subject_by : str, optional
        As for `rule_of`.
    keep : sequence of Path, optional
        Those of them that are wanted; all by default.

    Returns
    -------
    subjects : dict of dict of Path
        For each subject the path of each bundle, by the file name without extension and
        leading name of the subject.

    Raises
    ------
    InputFileError
        If two files are the same bundle of the same subject.
    """
    names = subjects_of(paths, rule_of(paths, subject_by))
    wanted = set(paths if keep is None else keep)
    subjects: dict[str, dict[str, Path]] = {}
    for path, subject in zip(paths, names):
        if path not in wanted:
            continue
        bundle = bundle_of(path, subject)
        known = subjects.setdefault(subject, {})
        if bundle in known:
            raise InputFileError(
                f"{known[bundle]} and {path} are both bundle {bundle} of subject "
                f"{subject}. Give each subject a folder of its own, or name it in the "
                "path as sub-01 does."
            )
        known[bundle] = Path(path)
    return subjects


def bundle_of(path: Path, subject: str) -> str:
    """Return the bundle that a file of a subject is named after.

    Parameters
    ----------
    path : Path
        Tractogram.
    subject : str
        Name of the subject.

    Returns
    -------
    bundle : str
        File name without extension, and without the subject's name and its parts that
        precede it, with underscores.
    """
    bundle = file_stem(path)
    entities = [part for part in subject.split("_") if part[:4] in ("sub-", "ses-")]
    for part in (subject, *entities, path.absolute().parent.name):
        bundle = bundle.removeprefix(f"{part}_")
    return bundle


def read_bundle(
    model: StreamlineAutoencoder,
    path: Path,
    reference: str | Path | None,
    max_streamlines: int,
    seed: int,
    alignment: Alignment | None = None,
) -> StreamlineArray:
    """Read and preprocess a random subset of the streamlines of a file.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose preprocessing is used.
    path : Path
        Tractogram.
    reference : str or Path or None
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    max_streamlines : int
        Largest number of streamlines to keep.
    seed : int
        Seed of the random subset.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model.

    Returns
    -------
    array : StreamlineArray
        Streamlines; RASMM of the model, mm, in the model's orientation.

    Raises
    ------
    EmptyDataError
        If there are too few usable streamlines.
    InputFileError
        If the file cannot be read.
    """
    import numpy as np

    from dipy_tractoencoder.io.chunks import TractogramChunks
    from dipy_tractoencoder.latent.file_codec import prepared_chunks
    from dipy_tractoencoder.stats.group_statistics import MIN_STREAMLINES
    from dipy_tractoencoder.streamlines.array import merge_rejects
    from dipy_tractoencoder.utils.reservoir import sample_rows
    from dipy_tractoencoder.utils.tables import rejects_text

    reader = TractogramChunks(path, reference)
    try:
        chunks = list(prepared_chunks(model, reader, alignment))
    finally:
        reader.close()
    n_kept = sum(map(len, chunks))
    if n_kept < MIN_STREAMLINES:
        rejects = merge_rejects(chunk.rejects for chunk in chunks)
        raise EmptyDataError(
            f"{path}: {n_kept} usable streamlines{rejects_text(rejects)}. A comparison "
            f"needs at least {MIN_STREAMLINES}. Leave the file out."
        )
    points, index, is_reversed = (
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("points", "index", "is_reversed")
    )
    rows = np.sort(sample_rows(n_kept, seed, max_streamlines))
    return replace(
        chunks[0],
        points=points[rows],
        index=index[rows],
        is_reversed=is_reversed[rows],
        n_streamlines=sum(chunk.n_streamlines for chunk in chunks),
        rejects=merge_rejects(chunk.rejects for chunk in chunks),
    )
