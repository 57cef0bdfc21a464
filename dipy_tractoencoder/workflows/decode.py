"""The command that decodes latents to tractograms."""

import logging

from dipy_tractoencoder.errors import (
    FingerprintError,
    InvalidArgumentError,
    check_number,
)
from dipy_tractoencoder.io.hdf5 import stored_format
from dipy_tractoencoder.latent.latents_file import (
    EXTENSIONS as LATENTS_EXTENSIONS,
    FORMAT_NAME,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    load_applied_model,
)
from dipy_tractoencoder.workflows.progress import streamlines_bar

logger = logging.getLogger(__name__)


class DecodeVAEFlow(TractoWorkflow):
    """Decode latents to tractograms."""

    input_extensions = LATENTS_EXTENSIONS
    input_kind = "latents file"

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "decode"

    def _paths_of(self, name, value, position):
        """List the latents files of an argument, without densities in folders."""
        paths = super()._paths_of(name, value, position)
        if name != "input_files":
            return paths
        given = {str(path) for path in as_list(value)}
        kept = [
            path
            for path in paths
            if str(path) in given or stored_format(path) in ("", FORMAT_NAME)
        ]
        if kept and len(kept) < len(paths):
            others = sorted(str(path) for path in {*paths} - {*kept})
            logger.info("Passed over, as no latents file: %s.", ", ".join(others))
        return kept or paths

    def run(
        self,
        model_file,
        input_files,
        chunk_size=20000,
        out_dir="",
        out_tractogram="decoded.trx",
    ):
        """Decode latents to streamlines in the space of their tractogram.

        Example: dipy_decode_vae vae.keras latents.h5 --out_tractogram decoded.trk

        Parameters
        ----------
        model_file : string or Path
            Model that the latents were encoded with.
        input_files : variable string or Path
            Latents files of dipy_encode_vae, or folders of them. Wildcards can be used.
        chunk_size : int, optional
            Streamlines processed at a time; fewer need less memory.
        out_dir : string or Path, optional
            Output directory.
        out_tractogram : string, optional
            Name of the tractogram; its extension chooses the format.
        """
        io_it = self.get_io_iterator()
        check_number("chunk_size", chunk_size, low=1, integer=True)
        rows = self.plan(io_it, inputs=1)

        from dipy_tractoencoder.io.tractogram import check_output_extension
        from dipy_tractoencoder.latent.latents_file import latents_reader
        from dipy_tractoencoder.nn.model_file import check_model_file

        for _, outputs in rows:
            check_output_extension(outputs["out_tractogram"])
        check_model_file(model_file)
        model = load_applied_model(model_file)
        from dipy_tractoencoder.latent.file_codec import decode_file

        total = 0
        for path, _ in rows:
            with latents_reader(path) as reader:
                total += reader.n_rows
        with streamlines_bar((), "Decoding", total=total) as advance:
            for path, outputs in rows:
                target = outputs["out_tractogram"]
                try:
                    n_decoded = decode_file(
                        model, path, target, chunk_size=chunk_size, progress=advance
                    )
                except (FingerprintError, InvalidArgumentError) as err:
                    raise type(err)(f"Cannot decode {path}: {err}") from err
                logger.info("Decoded %d streamlines of %s: %s", n_decoded, path, target)
        logger.info("Next: view %s, with dipy_horizon for example.", target)
