"""The command that reconstructs tractograms and measures the errors."""

from __future__ import annotations

import logging
from pathlib import Path

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    check_figure_extension,
    load_applied_model,
)
from dipy_tractoencoder.workflows.batch import Batch
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar

logger = logging.getLogger(__name__)

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
        strict=False,
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
        strict : bool, optional
            Make doubts errors, not warnings, and write nothing of a doubtful result:
            subjects that are not aligned or far from what the model knows, hardly any
            or nearly all streamlines kept, and others.
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
        kind = alignment_kind(locals())
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
        table = []
        aligner = SubjectAligner(
            model, paths, align_anyway=align_anyway, reference=reference, **kind
        )
        doubts = Doubts(model, aligner, strict=strict, reference=reference)
        batch = Batch(len(paths))
        with streamlines_bar(paths, "Reconstructing", reference=reference) as advance:
            for name, (path, outputs) in zip(distinct_file_names(paths), rows):
                with batch.going_on(path):
                    doubts.check_input(path)
                    errors, sample = reconstruct_file(
                        model,
                        path,
                        outputs["out_tractogram"],
                        alignment=aligner.alignment(path),
                        reference=reference,
                        seed=seed,
                        chunk_size=chunk_size,
                        progress=advance,
                    )
                    figure = reconstruction_figure(*sample, what=path.name)
                    save_figure(figure, outputs["out_figure"])
                    table.append({"file": name, **errors, "doubts": doubts.of(path)})
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
        doubts.finish()
        batch.finish()
        logger.info("Next: view %s", rows[0][1]["out_figure"])


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
