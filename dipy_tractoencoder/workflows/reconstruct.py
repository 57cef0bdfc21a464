"""The command that reconstructs tractograms and measures the errors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import plan_alignment
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    check_figure_extension,
    load_applied_model,
)
from dipy_tractoencoder.workflows.batch import Batch
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.provenance import TrainingRecord

logger = logging.getLogger(__name__)

LARGE_ERROR = 3  # Times the error in the training.
SHOWN = {
    "file": "file",
    "n_reconstructed": "streamlines",
    "error_mm": "error (mm)",
    "pca_error_mm": "PCA error (mm)",
    "mdf_mm": "MDF (mm)",
    "shape_similarity": "BUAN similarity",
}


class ReconstructVAEFlow(TractoWorkflow):
    """Encode and decode tractograms, and measure the errors."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "reconstruct"

    def run(
        self,
        model_file,
        input_files,
        reference=None,
        vtk_space=None,
        seed=0,
        chunk_size=20000,
        align="check",
        transform=None,
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        out_dir="",
        out_tractogram="reconstructed.trx",
        out_table="reconstruction.csv",
        out_figure="reconstruction.png",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Encode and decode streamlines, and measure the errors in mm.

        Example: dipy_reconstruct_vae vae.keras AF_L.trk CST_R.trk --out_dir check

        The table has a row per file: root mean squared distance of points and MDF
        between the resampled input and its reconstruction, the same for PCA with the
        same number of dimensions, and DIPY's bundle metrics. With --align or
        --transform, errors are measured in the space of the model, and the
        reconstruction is written in that of the subject.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz, tt.gz), or
            folders of them. Wildcards can be used; 'FOLDER/**' also reads the folders
            in it.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        seed : int, optional
            Seed of sampling and clustering in the bundle metrics.
        chunk_size : int, optional
            Streamlines processed at a time; fewer need less memory.
        align : string, optional
            off; check (measure whether the streamlines lie in the space of the model,
            and warn if they do not); or rigid, similarity or affine (align each subject
            to the model).
        transform : string or Path, optional
            Known transform from the space of the subject to that of the model, instead
            of --align: a transform.json, affine.txt of dipy_slr, or an affine of ANTs
            or ITK; '[FILE,1]' for its inverse. {subject} in the name stands for the
            subject.
        align_to : variable string or Path, optional
            Tractograms, or a model, to align to; by default what the model holds.
        subject_by : string, optional
            How to tell which files are of one subject, and are aligned together: auto,
            entity (as sub-01), folder or file.
        align_anyway : bool, optional
            Use an alignment that cannot be relied on, with a warning.
        out_dir : string or Path, optional
            Output directory.
        out_tractogram : string, optional
            Name of the reconstructed tractogram; its extension chooses the format.
        out_table : string, optional
            Name of the table of errors, one for all inputs.
        out_figure : string, optional
            Name of the picture of input, reconstruction and error.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_figure_extension(out_figure)
        check_number("seed", seed, low=0, integer=True)
        check_number("chunk_size", chunk_size, low=1, integer=True)
        kind = {
            "align": align,
            "transform": transform,
            "align_to": align_to,
            "subject_by": subject_by,
        }
        planned = plan_alignment(io_it.inputs[1], out_transform, out_alignment, **kind)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_table", *planned.gathered),
            unused=planned.unused,
            read=(reference, *planned.read),
            parts=planned.parts,
        )

        from dipy_tractoencoder.io.tractogram import (
            check_output_extension,
            check_tractogram_path,
        )
        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.utils.tables import format_table, save_table

        for path, outputs in rows:
            check_tractogram_path(path, reference)
            check_output_extension(outputs["out_tractogram"])
        check_model_file(model_file)
        model = load_applied_model(model_file)
        from dipy_tractoencoder.latent.file_codec import reconstruct_file
        from dipy_tractoencoder.viz.base import reconstruction_figure, save_figure

        paths = [path for path, _ in rows]
        table, in_place = [], []
        aligner = SubjectAligner(
            model, paths, align_anyway=align_anyway, reference=reference, **kind
        )
        batch = Batch(len(paths))
        with streamlines_bar(paths, "Reconstructing", reference=reference) as advance:
            for name, (path, outputs) in zip(distinct_file_names(paths), rows):
                with batch.going_on(path):
                    alignment = aligner.alignment(path)
                    errors, sample = reconstruct_file(
                        model,
                        path,
                        outputs["out_tractogram"],
                        alignment=alignment,
                        reference=reference,
                        seed=seed,
                        chunk_size=chunk_size,
                        progress=advance,
                    )
                    figure = reconstruction_figure(*sample, what=path.name)
                    save_figure(figure, outputs["out_figure"])
                    table.append({"file": name, **errors})
                    if not elsewhere(alignment):  # That was said.
                        in_place.append(table[-1])
                    rejects = {
                        key.removeprefix("rejected_"): count
                        for key, count in errors.items()
                        if key.startswith("rejected_")
                    }
                    logger.info(
                        "Reconstructed %d of %d streamlines of %s%s: %s, %s",
                        errors["n_reconstructed"],
                        errors["n_streamlines"],
                        path,
                        rejects_text(rejects),
                        outputs["out_tractogram"],
                        outputs["out_figure"],
                    )
                    aligner.write(path, outputs)
        batch.finish(early=True)
        save_table(table, rows[0][1]["out_table"])
        self.table = table
        logger.info("Errors, root mean squared distance of points:")
        for line in format_table(table, SHOWN).splitlines():
            logger.info(line)
        logger.info("Table: %s", rows[0][1]["out_table"])
        warn_out_of_distribution(model.record, in_place)
        batch.finish()
        logger.info("Next: view %s", rows[0][1]["out_figure"])


def elsewhere(alignment: Alignment | None) -> bool:
    """Return whether a check found that a subject may lie in another space.

    Parameters
    ----------
    alignment : Alignment or None
        Alignment of the subject.

    Returns
    -------
    elsewhere : bool
        False if it was moved, or not checked.
    """
    if alignment is None or alignment.transform != "none":
        return False
    return alignment.verdict != "accepted"


def warn_out_of_distribution(record: TrainingRecord | None, table: list[dict]) -> None:
    """Log a warning for files that do not resemble the training data.

    Parameters
    ----------
    record : TrainingRecord or None
        Record of the model's training.
    table : list of dict
        Rows with "file" and "error_mm".
    """
    history = record.history if record is not None else {}
    if history.get("val_error_mm"):
        known, what = min(history["val_error_mm"]), "validation"
    elif history.get("error_mm"):
        known, what = min(history["error_mm"]), "training"
    else:
        return
    for row in table:
        if row["error_mm"] > LARGE_ERROR * known > 0:
            logger.warning(
                "%s: the error is %.3g mm, %.0f times the %s error of the model (%.3g "
                "mm). These streamlines do not resemble its training data: they may be "
                "of another bundle, space or unit.",
                row["file"],
                row["error_mm"],
                row["error_mm"] / known,
                what,
                known,
            )


def distinct_file_names(paths: list[Path]) -> list[str]:
    """Return a distinct name for each file, for the rows of a table.

    Parameters
    ----------
    paths : list of Path
        Files.

    Returns
    -------
    names : list of str
        File names, or whole paths if two names are equal.
    """
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
