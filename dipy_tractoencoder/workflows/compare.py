"""The command that compares bundles of subjects with a reference group."""

import logging
from pathlib import Path

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.workflows.alignment_options import OUTPUTS
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    load_applied_model,
    shared_files,
)
from dipy_tractoencoder.workflows.compare_files import SubjectGroup, read_bundle
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import logging_beside_bars

logger = logging.getLogger(__name__)

MEASURES = ("residual", "error", "displacement", "local_displacement")
SHOWN = {
    "bundle": "bundle",
    "subject": "subject",
    "largest_z": "largest z",
    "p_fdr": "corrected p",
    "disks": "segments",
}


class CompareVAEFlow(TractoWorkflow):
    """Compare subjects' bundles with those of a reference group."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "compare"

    def run(
        self,
        model_file,
        input_files,
        reference_files=None,
        measure="residual",
        n_dims=12,
        n_segments=100,
        alpha=0.05,
        max_streamlines=1000,
        reference=None,
        vtk_space=None,
        seed=0,
        align="check",
        transform=None,
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        strict=False,
        out_dir="",
        out_profiles="profiles.csv",
        out_summary="summary.csv",
        out_figure="comparison.png",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Find where bundles of subjects differ from those of a reference group.

        Each file is one bundle of one subject. The subject is named by sub-XX in the
        path if all paths have it, otherwise by the folder, and the bundle by the file
        (a leading subject name and underscore are removed). Every segment of a bundle
        is tested against the reference group, and the p-values are corrected over the
        segments and bundles of a subject. All files have to be registered to the space
        of the model, or --align rigid moves each subject there, those of the reference
        group too.

        Example: dipy_compare_vae vae.keras p/*/AF.trk --reference_files c/*/AF.trk

        The reference group needs at least five subjects; 20 are better. The model
        should be trained on controls.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Bundles of the subjects to compare (trk, tck, trx, vtk, vtp, fib, dpy,
            trk.gz, tck.gz, tt.gz), or folders of them. Wildcards can be used.
        reference_files : variable string or Path, optional
            Bundles of the reference group, or folders of them. Wildcards can be used.
        measure : string, optional
            residual (mean signed distance in mm from a reconstruction with few
            dimensions), error (mean distance from it, the method of Feng and Chandio),
            displacement (distance from the mean course of the bundle), or
            local_displacement (displacement without shift, tilt and bow of the whole
            bundle). The last two do not use the model.
        n_dims : int, optional
            Number of principal directions of the model used for the reconstruction.
            More detect smaller displacements, until they reproduce them; fewer locate
            them better. 0 uses the reconstruction of the model, the method of Feng and
            Chandio, whose model had 6 latent dimensions.
        n_segments : int, optional
            Segments along each bundle.
        alpha : float, optional
            False discovery rate.
        max_streamlines : int, optional
            Number of random streamlines used of each file.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        seed : int, optional
            Seed of all random numbers.
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
            What names the subject of a file, whose files are aligned together: auto,
            entity (as sub-01), folder or file.
        align_anyway : bool, optional
            Use an alignment that cannot be relied on, with a warning.
        strict : bool, optional
            Make doubts errors, not warnings, and write nothing of a doubtful result:
            subjects that are not aligned or far from what the model knows, hardly any
            or nearly all streamlines kept, and others.
        out_dir : string or Path, optional
            Output directory.
        out_profiles : string, optional
            Name of the table of profiles (bundle, subject, group, disk, measure, z, p).
        out_summary : string, optional
            Name of the table with a row per bundle and subject, and their distances
            from the reference group.
        out_figure : string, optional
            Name of the picture of all profiles on top of those of the reference group.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_figure_extension(out_figure)
        check_choice("measure", measure, MEASURES)
        check_number("n_dims", n_dims, low=0, integer=True)
        check_number("n_segments", n_segments, low=5, integer=True)
        check_number("alpha", alpha, above=0, high=1)
        check_number("max_streamlines", max_streamlines, low=10, integer=True)
        check_number("seed", seed, low=0, integer=True)
        reference_paths = tractogram_files(as_list(reference_files))
        if not reference_paths:
            raise InvalidArgumentError(
                "A reference group is needed: give the bundles of its subjects with "
                "--reference_files."
            )
        compared = SubjectGroup([Path(p) for p in io_it.inputs[1]], subject_by)
        known = SubjectGroup(reference_paths, subject_by, taken=list(compared.bundles))
        groups = (known, compared)
        kind = {"align": align, "transform": transform, "align_to": align_to}
        plans = [group.plan(out_transform, out_alignment, **kind) for group in groups]
        names = [name for group in groups for name in group.written_as.values()]
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_profiles", "out_summary", "out_figure", *OUTPUTS),
            unused=plans[0].unused,
            read=(reference, *reference_paths, *plans[0].read, *plans[1].read),
            parts=dict.fromkeys(OUTPUTS, names),
        )
        outputs = rows[0][1]

        from dipy_tractoencoder.io.open_file import check_common_space
        from dipy_tractoencoder.io.tractogram import check_tractogram_path
        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.stats.group_statistics import check_groups

        for path in shared_files(compared.paths, known.paths):
            raise InputFileError(
                f"{path} is in both groups. Each subject of the reference group is "
                "compared with its other subjects already: remove it from the inputs."
            )
        paths = [*compared.paths, *known.paths]
        for path in paths:
            check_tractogram_path(path, reference)
        check_common_space(paths, reference)
        check_groups(known.sort(), compared.sort())
        check_model_file(model_file)
        model = load_applied_model(model_file)
        from tqdm.auto import tqdm

        from dipy_tractoencoder.stats.comparison import compare
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.comparison import comparison_figure

        for group in groups:
            group.align(
                model,
                strict=strict,
                align_anyway=align_anyway,
                seed=seed,
                reference=reference,
            )
        wanted = check_groups(known.bundles, compared.bundles)
        group_of = {path: group for group in groups for path in group.paths}

        def read(path):
            options = (reference, max_streamlines, seed)
            return read_bundle(model, path, *options, group_of[path].alignment(path))

        total = sum(
            name in given
            for group in groups
            for given in group.bundles.values()
            for name in wanted
        )
        bar = tqdm(total=total, desc="Comparing", unit="file", disable=None)
        with bar, logging_beside_bars():
            self.comparison = compare(
                model,
                known.bundles,
                compared.bundles,
                measure=measure,
                n_dims=n_dims,
                n_segments=n_segments,
                alpha=alpha,
                seed=seed,
                read=read,
                progress=bar.update,
            )
        moved = [group.moved() for group in groups]
        summary = [
            {
                **row,
                **moved[row["group"]].get(row["subject"], {}),
                "doubts": groups[row["group"]].doubts_of(row["subject"], row["bundle"]),
            }
            for row in self.comparison.summary_rows()
        ]
        figure = comparison_figure(self.comparison)
        save_table(self.comparison.profile_rows(), outputs["out_profiles"])
        save_table(summary, outputs["out_summary"])
        save_figure(figure, outputs["out_figure"])
        tested = [row for row in summary if row["group"] == 1]
        found = [row for row in tested if row["detected"] == "yes"]
        logger.info(
            "%d of %d bundles differ from the reference group of %d subjects (%s, "
            "corrected p below %g).",
            len(found),
            len(tested),
            len(known.bundles),
            measure,
            alpha,
        )
        if found:
            for line in format_table(found, SHOWN).splitlines():
                logger.info(line)
        for key, what in (
            ("out_profiles", "Profiles"),
            ("out_summary", "Summary"),
            ("out_figure", "Picture"),
        ):
            logger.info("%s: %s", what, outputs[key])
        for group in groups:
            group.write(outputs)
        for group in groups:
            group.finish()
        logger.info("Next: view the picture; its horizontal axes count the segments.")
