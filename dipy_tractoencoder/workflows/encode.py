"""The command that encodes tractograms with a trained model."""

import logging
from shlex import quote

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import TractoWorkflow, load_applied_model
from dipy_tractoencoder.workflows.batch import Batch
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar

logger = logging.getLogger(__name__)

# Formats that store data per streamline.
ANNOTATED = (".trx", ".trk")


class EncodeVAEFlow(TractoWorkflow):
    """Encode tractograms with a trained model."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "encode"

    def run(
        self,
        model_file,
        input_files,
        reference=None,
        vtk_space=None,
        save_tractogram=False,
        chunk_size=20000,
        align="check",
        transform=None,
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        strict=False,
        out_dir="",
        out_latents="latents.h5",
        out_tractogram="encoded.trx",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Encode streamlines to latents with a trained model.

        The latents file (HDF5) has a row per encoded streamline: mean, log_var, and
        index, its position in the tractogram. With several inputs, the names of the
        outputs start with the parts of the input paths that differ. With --align or
        --transform, the latents are those of the moved streamlines; the file holds the
        transform, and dipy_decode_vae moves what it decodes back.

        Example: dipy_encode_vae vae.keras sub-*/AF_L.trk --out_dir latents

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to encode (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz,
            tt.gz), or folders of them. Wildcards can be used; 'FOLDER/**' also reads
            the folders in it.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        save_tractogram : bool, optional
            Also write a copy of each tractogram with the latents as
            data_per_streamline, NaN for rejected streamlines. A copy of a trx as a trx
            keeps its groups and all data.
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
        out_latents : string, optional
            Name of the latents file.
        out_tractogram : string, optional
            Name of the copy with latents (trx or trk).
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_number("chunk_size", chunk_size, low=1, integer=True)
        kind = alignment_kind(locals())
        planned = plan_alignment(io_it.inputs[1], out_transform, out_alignment, **kind)
        unused = () if save_tractogram else ("out_tractogram",)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=planned.gathered,
            unused=(*unused, *planned.unused),
            read=(reference, *planned.read),
            parts=planned.parts,
        )

        from dipy_tractoencoder.io.tractogram import (
            check_output_extension,
            check_tractogram_path,
        )
        from dipy_tractoencoder.latent.latents_file import check_latents_extension
        from dipy_tractoencoder.nn.model_file import check_model_file

        for path, outputs in rows:
            check_tractogram_path(path, reference)
            check_latents_extension(outputs["out_latents"])
            if save_tractogram:
                check_output_extension(outputs["out_tractogram"], ANNOTATED)
        check_model_file(model_file)
        model = load_applied_model(model_file)
        from dipy_tractoencoder.latent.file_codec import (
            check_copy_with_latents,
            copy_with_latents,
            encode_file,
        )

        paths = [path for path, _ in rows]
        aligner = SubjectAligner(
            model, paths, align_anyway=align_anyway, reference=reference, **kind
        )
        written = [name for name in rows[0][1] if name not in planned.gathered]
        doubts = Doubts(model, aligner, strict=strict, reference=reference)
        batch = Batch(len(paths))
        with streamlines_bar(paths, "Encoding", reference=reference) as advance:
            for path, outputs in rows:
                with batch.going_on(path):
                    doubts.check_input(path)
                    if save_tractogram:
                        check_copy_with_latents(model, path, outputs["out_tractogram"])
                    counts = encode_file(
                        model,
                        path,
                        outputs["out_latents"],
                        alignment=aligner.alignment(path),
                        reference=reference,
                        chunk_size=chunk_size,
                        progress=advance,
                    )
                    if save_tractogram:
                        copy_with_latents(
                            path,
                            outputs["out_latents"],
                            outputs["out_tractogram"],
                            reference=reference,
                        )
                    logger.info(
                        "Encoded %d of %d streamlines of %s%s: %s",
                        counts["n_encoded"],
                        counts["n_streamlines"],
                        path,
                        rejects_text(counts["rejects"]),
                        ", ".join(str(outputs[name]) for name in written),
                    )
                    aligner.write(path, outputs)
        doubts.finish()
        batch.finish()
        logger.info("Next: dipy_decode_vae %s LATENTS", quote(str(model_file)))
