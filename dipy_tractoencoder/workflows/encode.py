"""The command that encodes tractograms with a trained model."""

import logging
from shlex import quote

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.base import TractoWorkflow, load_backend
from dipy_tractoencoder.workflows.batch import Batch
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
        out_dir="",
        out_latents="latents.h5",
        out_tractogram="encoded.trx",
    ):
        """Encode streamlines to latents with a trained model.

        The latents file (HDF5) has a row per encoded streamline: mean, log_var, and
        index, its position in the tractogram. With several inputs, the names of the
        outputs start with the parts of the input paths that differ.

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
        out_dir : string or Path, optional
            Output directory.
        out_latents : string, optional
            Name of the latents file.
        out_tractogram : string, optional
            Name of the copy with latents (trx or trk).
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_number("chunk_size", chunk_size, low=1, integer=True)
        unused = () if save_tractogram else ("out_tractogram",)
        rows = self.plan(io_it, inputs=1, unused=unused, read=(reference,))

        from dipy_tractoencoder.io.tractogram import (
            check_output_extension,
            check_tractogram_path,
        )
        from dipy_tractoencoder.latent.latents_file import check_latents_extension
        from dipy_tractoencoder.nn.model_file import check_model_file, load_model

        for path, outputs in rows:
            check_tractogram_path(path, reference)
            check_latents_extension(outputs["out_latents"])
            if save_tractogram:
                check_output_extension(outputs["out_tractogram"], ANNOTATED)
        check_model_file(model_file)
        load_backend()
        model = load_model(model_file)
        from dipy_tractoencoder.latent.file_codec import (
            check_copy_with_latents,
            copy_with_latents,
            encode_file,
        )

        paths = [path for path, _ in rows]
        batch = Batch(len(paths))
        with streamlines_bar(paths, "Encoding", reference=reference) as advance:
            for path, outputs in rows:
                with batch.going_on(path):
                    if save_tractogram:
                        check_copy_with_latents(model, path, outputs["out_tractogram"])
                    counts = encode_file(
                        model,
                        path,
                        outputs["out_latents"],
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
                        ", ".join(str(output) for output in outputs.values()),
                    )
        batch.finish()
        logger.info("Next: dipy_decode_vae %s LATENTS", quote(str(model_file)))
