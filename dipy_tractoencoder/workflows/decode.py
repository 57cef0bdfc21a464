"""The command that turns latents back into tractograms."""

import logging

from dipy_tractoencoder.errors import FingerprintError, InvalidArgumentError
from dipy_tractoencoder.workflows.base import TractoWorkflow, load_backend

logger = logging.getLogger(__name__)


class DecodeVAEFlow(TractoWorkflow):
    """Decode latents to tractograms."""

    @classmethod
    def get_short_name(cls):
        """Prefix of this flow's options in a combined workflow."""
        return "decode"

    def run(
        self,
        model_file,
        input_files,
        out_dir="",
        out_tractogram="decoded.trx",
    ):
        """Decode latents to streamlines in the space of their tractogram.

        Example: dipy_decode_vae vae.keras latents.h5 --out_tractogram decoded.trk

        Parameters
        ----------
        model_file : string or Path
            The model that encoded.
        input_files : variable string or Path
            Latents files of dipy_encode_vae. Wildcards can be used.
        out_dir : string or Path, optional
            Output directory.
        out_tractogram : string, optional
            Name of the tractogram; its extension chooses the format.
        """
        io_it = self.get_io_iterator()
        rows = self.plan(io_it, inputs=1)

        from dipy_tractoencoder.latents_file import load_latents
        from dipy_tractoencoder.model_file import check_model_file, load_model
        from dipy_tractoencoder.tractogram_file import (
            check_output_extension,
            save_tractogram,
        )

        for _, outputs in rows:
            check_output_extension(outputs["out_tractogram"])
        check_model_file(model_file)
        load_backend()
        model = load_model(model_file)
        from dipy_tractoencoder.latent import decode_tractogram
        from dipy_tractoencoder.workflows.encode import progress

        for path, outputs in progress(rows, "Decoding"):
            latents = load_latents(path)
            try:
                tractogram = decode_tractogram(model, latents)
            except (FingerprintError, InvalidArgumentError) as err:
                raise type(err)(f"Cannot decode {path}: {err}") from err
            save_tractogram(tractogram, outputs["out_tractogram"])
            logger.info(
                "Decoded %d streamlines of %s: %s",
                len(latents),
                path,
                outputs["out_tractogram"],
            )
