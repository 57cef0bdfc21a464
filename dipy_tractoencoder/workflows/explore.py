"""The command that writes an interactive web page of a latent space."""

import logging
from pathlib import Path

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    load_applied_model,
)
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.pooled import Pool
from dipy_tractoencoder.workflows.progress import streamlines_bar
from dipy_tractoencoder.workflows.reference_bundles import (
    asks_for_model,
    held_bundles,
)

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
        align="check",
        transform=None,
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        out_dir="",
        out_page="explorer.html",
        out_transform="transform.json",
        out_alignment="alignment.png",
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
            the folders in it. Or the model itself, for the bundles that it holds, see
            --keep_bundles of dipy_train_vae.
        groups : variable string, optional
            Groups of trx files that are bundles, or bundles that the model holds;
            wildcards can be used.
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
        align : string, optional
            off; check (measure whether the streamlines lie in the space of the model,
            and warn if they do not); or rigid, similarity or affine (align each subject
            to the model).
        transform : string or Path, optional
            Known transform from the space of the subject to that of the model, instead
            of --align: a transform.json, affine.txt of dipy_slr, or an affine of ANTs
            or ITK. {subject} in the name stands for the subject.
        align_to : variable string or Path, optional
            Tractograms, or a model, to align to; by default what the model holds.
        subject_by : string, optional
            How to tell which files are of one subject, and are aligned together: auto,
            entity (as sub-01), folder or file.
        align_anyway : bool, optional
            Use an alignment that cannot be relied on, with a warning.
        out_dir : string or Path, optional
            Output directory.
        out_page : string, optional
            Name of the page, ending in .html.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
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
        kind = alignment_kind(locals())
        held = asks_for_model(io_it.inputs[1], model_file)
        files = [] if held else io_it.inputs[1]
        planned = plan_alignment(files, out_transform, out_alignment, **kind)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_page", *planned.gathered),
            unused=planned.unused,
            read=(reference, *planned.read),
            parts=planned.parts,
        )

        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.segment.bundle_names import (
            bundle_names,
            check_bundle_paths,
        )

        check_model_file(model_file)
        inputs = check_bundle_paths(files, reference, latents=False)
        if held:
            needed = "The explorer needs streamlines: give tractograms."
            held_bundles(model_file, needed, groups)
        bundle_names(inputs, groups)  # Raises for a wrong group before the work.

        from dipy_tractoencoder.explorer.page import (
            check_max_streamlines,
            check_plotly,
            explore,
        )
        from dipy_tractoencoder.segment.from_atlas import atlas_points

        check_plotly()
        check_max_streamlines(max_streamlines)
        model = load_applied_model(model_file)
        options = {"align_anyway": align_anyway, "seed": seed, **kind}
        aligner = SubjectAligner(model, inputs, reference=reference, **options)
        pool = Pool(aligner, inputs)
        bundles = pool.files
        if held:
            points = atlas_points(model, groups)
            bundles = {name: some for name, some in points.items() if len(some)}
        with streamlines_bar(pool.files, "Reading", reference=reference) as advance:
            about = explore(
                model,
                bundles,
                rows[0][1]["out_page"],
                model_name=Path(model_file).name,
                max_streamlines=max_streamlines,
                projection=projection,
                seed=seed,
                groups=groups,
                reference=reference,
                progress=advance,
                alignment_of=None if held else aligner.alignment,
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
        pool.write(rows[0][1])
        pool.finish()
        logger.info("Next: open %s in a web browser.", about["path"].resolve())
