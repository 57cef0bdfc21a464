"""The command that samples new streamlines of bundles."""

from dataclasses import replace
import logging
from pathlib import Path

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    OutputFileError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.space import space_around
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    OUTPUTS,
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    load_applied_model,
)
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.pooled import Pool
from dipy_tractoencoder.workflows.progress import streamlines_bar
from dipy_tractoencoder.workflows.reference_bundles import held_bundles
from dipy_tractoencoder.workflows.sample_checks import (
    check_bundle_in_mask,
    check_length,
    empty_row,
    leave_out_small,
    no_samples,
    refuse_latents,
    restricted,
    transform_of_densities,
)

logger = logging.getLogger(__name__)

SHOWN = {
    "bundle": "bundle",
    "density": "density",
    "n_parts": "parts",
    "tried": "tried",
    "accepted": "accepted",
    "yield": "yield",
    "nearest_mm": "nearest mm",
    "real_nearest_mm": "real nearest mm",
}


class SampleVAEFlow(TractoWorkflow):
    """Sample new streamlines of bundles."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "sample"

    def run(
        self,
        model_file,
        bundle_files=None,
        density_file=None,
        groups=None,
        n_streamlines=500,
        density="local",
        max_parts=12,
        length=None,
        like=None,
        mask=None,
        min_inside=0.95,
        max_tries=None,
        seed=0,
        one_file=False,
        reference=None,
        vtk_space=None,
        chunk_size=20000,
        align="check",
        transform=None,
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        strict=False,
        out_dir="",
        out_tractogram="new.trx",
        out_densities="densities.h5",
        out_table="samples.csv",
        out_figure="samples.png",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Sample new streamlines of bundles, the GESTA method.

        Example: dipy_sample_vae vae.keras --bundle_files atlas --mask wm.nii.gz

        A density is fitted to the latents of each bundle; draws from it are decoded,
        and kept if they are plausible: log density above the first percentile of the
        bundle's own streamlines, length between their first and 99th percentile
        (extended by 5 percent), curvature below their 99th percentile (extended by 10
        percent) and, with --mask, inside the mask. New streamlines are in the space of
        the tractogram of their bundle; trx and trk files store the log density as data
        per streamline, vae_log_density (for local, an estimate from the distance to the
        nearest known latents), and vae_sampled, 1, so that nobody takes them for
        tracked ones. A file without groups is one bundle, so a whole brain can be
        given, too. With the density local, draws that are nearer to a known streamline
        than 95 percent of those are to each other are left out, too. The table shows
        the distance (MDF) of new streamlines to the nearest real one next to that of
        real streamlines to the nearest other one: new streamlines with a much smaller
        distance are copies, those with a much larger one are unrealistic. With
        --align or --transform, the bundles of a subject are moved to the space of the
        model, and its new streamlines are moved back; those of bundles of several
        subjects stay there.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        bundle_files : variable string or Path, optional
            Bundles: tractograms named by bundle, folders of them, or trx files with
            groups. Files with the same name in several folders are one bundle. By
            default the bundles that the model holds, see --keep_bundles of
            dipy_train_vae.
        density_file : string or Path, optional
            Densities (h5) of an earlier run with the same model, instead of bundles.
        groups : variable string, optional
            Groups of trx files that are bundles, or bundles to use of the densities or
            of those that the model holds; wildcards can be used.
        n_streamlines : int, optional
            Number of new streamlines per bundle.
        density : string, optional
            local (around each streamline, as its nearest neighbours are spread),
            mixture (of Gaussians, their number by the Bayesian information criterion),
            kernel (a Gaussian around each streamline, its width by cross-validation)
            or prior (the prior of the model, the same for all bundles). The file of
            local and kernel densities holds the latents of the streamlines, from which
            they can be decoded; that of a mixture holds none.
        max_parts : int, optional
            Largest number of Gaussians in a mixture; there is at most one for eight
            streamlines of a bundle.
        length : variable string, optional
            Shortest and longest new streamlines, mm in the space of the model; needs a
            local density, and known streamlines of about that length.
        like : string or Path, optional
            Tractogram: draw only around the known streamlines that are nearest to its
            streamlines, in the space of the model; needs a local density.
        mask : string or Path, optional
            Mask image: new streamlines have to lie in its voxels above 0. Its own
            affine is used, so its grid may differ from that of the tractograms. It is
            in the space in which new streamlines are written.
        min_inside : float, optional
            Fraction of the points of a streamline that have to lie inside the mask.
        max_tries : int, optional
            Largest number of draws per bundle; by default 20 for each new streamline.
        seed : int, optional
            Seed of the draws.
        one_file : bool, optional
            Write one trx file with a group per bundle, instead of a file per bundle.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        chunk_size : int, optional
            Streamlines read at a time.
        align : string, optional
            off; check (measure whether the streamlines lie in the space of the model,
            and warn if they do not); or rigid, similarity or affine (align each subject
            to the model).
        transform : string or Path, optional
            Known transform from the space of the subject to that of the model, instead
            of --align: a transform.json, affine.txt of dipy_slr, or an affine of ANTs
            or ITK. {subject} in the name stands for the subject. With --density_file,
            new streamlines are moved to its subject.
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
            Name of the new tractograms, which the name of the bundle precedes.
        out_densities : string, optional
            Name of the file of densities, for --density_file in a later run.
        out_table : string, optional
            Name of the table of yields, rejected draws and distances.
        out_figure : string, optional
            Name of the picture of real and new streamlines.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)

        from dipy_tractoencoder.generation.density import DENSITIES

        check_figure_extension(out_figure)
        check_choice("density", density, DENSITIES)
        for name, value in (
            ("n_streamlines", n_streamlines),
            ("max_parts", max_parts),
            ("chunk_size", chunk_size),
        ):
            check_number(name, value, low=1, integer=True)
        check_number("min_inside", min_inside, low=0, high=1)
        check_number("seed", seed, low=0, high=2**31 - 1, integer=True)
        if max_tries is not None:
            check_number("max_tries", max_tries, low=1, integer=True)
        length = check_length(as_list(length))
        needed = (
            "Give either bundles, with --bundle_files (tractograms, folders of them, a "
            "trx with groups), or the densities of an earlier run, with "
            "--density_file. The density prior needs one of them too, for the limits "
            "of plausible streamlines."
        )
        if bundle_files and density_file:
            raise InvalidArgumentError(needed)
        if one_file and file_format(out_tractogram) != ".trx":
            raise OutputFileError(
                f"Cannot write {out_tractogram}: only trx files have groups. Let "
                "--out_tractogram end in .trx, or leave out --one_file."
            )

        from dipy_tractoencoder.generation.bundle_density import load_mask
        from dipy_tractoencoder.generation.density_file import load_densities
        from dipy_tractoencoder.io.tractogram import check_output_extension
        from dipy_tractoencoder.latent.latents_file import check_latents_extension
        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.segment.bundle_names import (
            bundle_names,
            check_bundle_paths,
        )

        groups = as_list(groups)
        kind = alignment_kind(locals())
        given = None
        if density_file:
            given = transform_of_densities(align, transform)
            files = []
            names = [b.name for b in load_densities(density_file, groups=groups)]
        elif not bundle_files:
            given = transform_of_densities(align, transform)
            files, names = [], held_bundles(model_file, needed, groups)
            check_latents_extension(out_densities)
        else:
            files = check_bundle_paths(as_list(bundle_files), reference)
            refuse_latents(files)
            names = bundle_names(files, groups)
            check_latents_extension(out_densities)
        planned = plan_alignment(files, out_transform, out_alignment, **kind)
        unused = planned.unused if files else OUTPUTS
        if density_file:
            unused = ("out_densities", *unused)
        ((_, outputs),) = self.plan(
            io_it,
            inputs=0,
            unused=unused,
            read=(reference, mask, like, density_file, *files, *planned.read),
            parts={**({} if one_file else {"out_tractogram": names}), **planned.parts},
        )
        check_output_extension(out_tractogram)
        check_model_file(model_file)
        inside = load_mask(mask) if mask else None
        model = load_applied_model(model_file)

        from dipy_tractoencoder.generation.density_file import save_densities
        from dipy_tractoencoder.generation.sampling import (
            fit_bundle_density,
            sample_streamlines,
            save_samples,
        )
        from dipy_tractoencoder.generation.summary import (
            model_space_points,
            summary_row,
        )
        from dipy_tractoencoder.nn.provenance import fingerprint
        from dipy_tractoencoder.segment.bundle_files import bundle_arrays
        from dipy_tractoencoder.segment.from_atlas import atlas_points
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.sampling import samples_figure

        real, pool, doubts = {}, None, None
        if density_file:
            bundles = load_densities(density_file, model, groups=groups)
            if given is not None:
                bundles = [replace(b, alignment=given, space={}) for b in bundles]
        elif not files:
            real, home = atlas_points(model, groups), given
            spaces = dict.fromkeys(real, {})
            logger.info("Bundles: %d that the model holds, decoded.", len(real))
        else:
            options = {"align_anyway": align_anyway, "seed": seed, **kind}
            aligner = SubjectAligner(model, files, reference=reference, **options)
            doubts = Doubts(model, aligner, strict=strict, reference=reference)
            pool = Pool(aligner, files, doubts)
            home = pool.home()
            with streamlines_bar(pool.files, "Bundles", reference=reference) as advance:
                real, spaces = bundle_arrays(
                    model,
                    pool.files,
                    groups=groups,
                    reference=reference,
                    chunk_size=chunk_size,
                    progress=advance,
                    alignment_of=aligner.alignment,
                )
            if pool.moved and home is None:  # No file has the space of the model.
                spaces = dict.fromkeys(spaces, {})
        left_out = {} if density_file else leave_out_small(real)
        if not density_file:
            bundles = [
                fit_bundle_density(
                    model,
                    points,
                    density,
                    max_parts=max_parts,
                    name=name,
                    space=spaces[name],
                    alignment=home,
                )
                for name, points in real.items()
            ]
        fitted = bundles
        bundles = restricted(model, bundles, length, like, reference)
        options = {"mask": inside, "min_inside": min_inside}
        samples = {}
        with streamlines_bar(
            (), "Sampling", total=n_streamlines * len(bundles)
        ) as advance:
            for bundle in bundles:
                if inside is not None:
                    check_bundle_in_mask(model, bundle, real.get(bundle.name), options)
                samples[bundle.name] = sample_streamlines(
                    model,
                    bundle,
                    n_streamlines,
                    **{**options, "max_tries": max_tries, "seed": seed},
                    progress=advance,
                )
        self.table = [
            summary_row(bundle, samples[bundle.name], real.get(bundle.name))
            for bundle in bundles
        ]
        self.table += [empty_row(*item, density) for item in left_out.items()]
        if doubts is not None:
            for row in self.table:
                row["doubts"] = doubts.of_bundle(row["bundle"])
        spaces = {
            bundle.name: bundle.space or space_around(samples[bundle.name].points)
            for bundle in bundles
        }
        spaces.update(dict.fromkeys(left_out, next(iter(spaces.values()))))
        nothing = dict.fromkeys(left_out, no_samples(model))
        save_samples({**samples, **nothing}, spaces, outputs["out_tractogram"])
        save_table(self.table, outputs["out_table"])
        points = {b.name: model_space_points(b, samples[b.name]) for b in bundles}
        save_figure(samples_figure(points, real), outputs["out_figure"])
        for line in format_table(self.table, SHOWN).splitlines():
            logger.info(line)
        for bundle in bundles:
            new = samples[bundle.name]
            if len(new) < n_streamlines:
                logger.warning(
                    "%s: %d of %d streamlines after %d draws%s. Allow more with "
                    "--max_tries.",
                    bundle.name,
                    len(new),
                    n_streamlines,
                    new.n_tried,
                    rejects_text(new.rejects),
                )
        if not density_file:
            save_densities(
                fitted,
                outputs["out_densities"],
                fingerprint(model),
                overwrite=True,
            )
            logger.info("Densities: %s", outputs["out_densities"])
            if any(bundle.density.kind in ("local", "kernel") for bundle in bundles):
                logger.info(
                    "The densities hold the latents of the streamlines, from which "
                    "they can be decoded; with --density mixture they hold none."
                )
        logger.info(
            "New streamlines: %s",
            outputs["out_tractogram"] if one_file else Path(out_dir or "."),
        )
        logger.info("Table: %s", outputs["out_table"])
        if pool is not None:
            pool.write(outputs)
            pool.finish()
        logger.info("Next: view %s", outputs["out_figure"])
