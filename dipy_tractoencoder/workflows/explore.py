"""The command that writes an interactive web page of a latent space."""

import logging
from pathlib import Path

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    load_backend,
)
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar

logger = logging.getLogger(__name__)


class ExploreVAEFlow(TractoWorkflow):
    """Write an interactive web page of a model's latent space."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "explore"

    def run(
        self,
        model_file,
        input_files,
        groups=None,
        max_streamlines=2000,
        projection="pca",
        reference=None,
        vtk_space=None,
        seed=0,
        out_dir="",
        out_page="explorer.html",
    ):
        """Write an interactive web page of a model's latent space; it works offline.

        Example: dipy_explore_vae vae.keras sub-05/*.trk --out_dir explore

        Each tractogram, or group of a trx file, is a bundle; files or groups with the
        same name are one bundle. The page shows a map of the latents coloured by
        bundle, length or reconstruction error, the selected streamline and its
        reconstruction in 3-D, and streamlines decoded along one latent dimension or
        between two streamlines. Install the optional dependency with
        pip install "dipy_tractoencoder[explore]"

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to show (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz,
            tt.gz), or folders of them. Wildcards can be used; 'FOLDER/**' also reads
            the folders in it.
        groups : variable string, optional
            Groups of trx files that are bundles; wildcards can be used.
        max_streamlines : int, optional
            Largest number of streamlines shown, up to 10000, spread evenly over the
            bundles.
        projection : string, optional
            Map shown first: pca, which every page has, or tsne, which takes longer to
            compute.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        seed : int, optional
            Seed of the random choice of streamlines, and of t-SNE.
        out_dir : string or Path, optional
            Output directory.
        out_page : string, optional
            Name of the page, ending in .html.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_choice("projection", projection, ("pca", "tsne"))
        check_number("seed", seed, low=0, integer=True)
        if Path(out_page).suffix.lower() not in (".html", ".htm"):
            raise InvalidArgumentError(
                f"Cannot write {out_page}: a page's file ends in .html."
            )
        groups = as_list(groups)
        rows = self.plan(io_it, inputs=1, gathered=("out_page",), read=(reference,))

        from dipy_tractoencoder.nn.model_file import check_model_file, load_model
        from dipy_tractoencoder.segment.bundle_names import (
            bundle_names,
            check_bundle_paths,
        )

        check_model_file(model_file)
        inputs = check_bundle_paths(
            [path for path, _ in rows], reference, latents=False
        )
        bundle_names(inputs, groups)  # Raises for a wrong group before the work.
        load_backend()

        from dipy_tractoencoder.explorer.page import (
            check_max_streamlines,
            check_plotly,
            explore,
        )

        check_plotly()
        check_max_streamlines(max_streamlines)
        model = load_model(model_file)
        with streamlines_bar(inputs, "Reading", reference=reference) as advance:
            about = explore(
                model,
                inputs,
                rows[0][1]["out_page"],
                model_name=Path(model_file).name,
                max_streamlines=max_streamlines,
                projection=projection,
                seed=seed,
                groups=groups,
                reference=reference,
                progress=advance,
                overwrite=True,
            )
        self.about = about
        logger.info(
            "Shown: %d of %d streamlines of %d bundles.",
            about["n_shown"],
            about["n_streamlines"],
            about["n_bundles"],
        )
        logger.info("Page: %s (%.1f MB)", about["path"], about["megabytes"])
        logger.info("Next: open %s in a web browser.", about["path"].resolve())
