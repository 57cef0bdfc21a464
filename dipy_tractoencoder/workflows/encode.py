"""The command that encodes tractograms with a trained model."""

import logging
from pathlib import Path

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.workflows.base import TractoWorkflow, load_backend

logger = logging.getLogger(__name__)

# These keep numbers per streamline.
ANNOTATED = (".trx", ".trk")


class EncodeVAEFlow(TractoWorkflow):
    """Encode tractograms with a trained model."""

    @classmethod
    def get_short_name(cls):
        """Prefix of this flow's options in a combined workflow."""
        return "encode"

    def run(
        self,
        model_file,
        input_files,
        reference=None,
        save_tractogram=False,
        out_dir="",
        out_latents="latents.h5",
        out_tractogram="encoded.trx",
    ):
        """Encode streamlines to latents with a trained model.

        The latents file (HDF5) has a row per streamline that could be encoded: mean,
        log_var, and index, its number in the tractogram. With several inputs, names of
        outputs start with what tells the inputs apart.

        Example: dipy_encode_vae vae.keras sub-*/AF_L.trk --out_dir latents

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to encode (trk, tck, trx, vtk, vtp, fib, dpy). Wildcards can be
            used.
        reference : string or Path, optional
            Image (or trk) whose space files without one are in.
        save_tractogram : bool, optional
            Also write a copy of each tractogram that carries the latents as
            data_per_streamline; streamlines that were rejected have NaN.
        out_dir : string or Path, optional
            Output directory.
        out_latents : string, optional
            Name of the latents file.
        out_tractogram : string, optional
            Name of the copy with latents (trx or trk).
        """
        io_it = self.get_io_iterator()
        unused = () if save_tractogram else ("out_tractogram",)
        rows = self.plan(io_it, inputs=1, unused=unused, read=(reference,))

        from dipy_tractoencoder.latents_file import (
            check_latents_extension,
            save_latents,
            with_latents,
        )
        from dipy_tractoencoder.model_file import check_model_file, load_model
        from dipy_tractoencoder.tractogram_file import (
            check_output_extension,
            check_tractogram_path,
            load_tractogram,
            save_tractogram as write,
        )

        for path, outputs in rows:
            check_tractogram_path(path, reference)
            check_latents_extension(outputs["out_latents"])
            if save_tractogram:
                check_output_extension(outputs["out_tractogram"], ANNOTATED)
        check_model_file(model_file)
        load_backend()
        model = load_model(model_file)
        from dipy_tractoencoder.latent import encode

        for path, outputs in progress(rows, "Encoding"):
            tractogram = load_tractogram(path, reference)
            latents = encode(model, tractogram, tractogram=Path(path).name)
            if len(latents) == 0:
                raise EmptyDataError(
                    f"{path}: none of its {latents.n_streamlines} streamlines can be "
                    f"encoded{rejects_text(latents.rejects)}."
                )
            if save_tractogram:
                write(with_latents(tractogram, latents), outputs["out_tractogram"])
            save_latents(latents, outputs["out_latents"])
            logger.info(
                "Encoded %d of %d streamlines of %s%s: %s",
                len(latents),
                latents.n_streamlines,
                path,
                rejects_text(latents.rejects),
                ", ".join(str(output) for output in outputs.values()),
            )
        logger.info("Next: dipy_decode_vae %s LATENTS", model_file)


def progress(rows, what):
    """Show a bar over files, unless the output is no terminal.

    Parameters
    ----------
    rows : sequence
        What to go through.
    what : str
        Heading of the bar.

    Returns
    -------
    rows : iterable
        The same.
    """
    from tqdm.auto import tqdm

    return tqdm(rows, desc=what, unit="file", disable=None, leave=False)


def rejects_text(rejects):
    """Reject counts in words, empty if there are none.

    Parameters
    ----------
    rejects : dict of str to int
        Reason to number of streamlines.

    Returns
    -------
    text : str
        As " (rejected: 2 too_short)".
    """
    if not rejects:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
    return f" (rejected: {counts})"
