"""The command that evaluates a model on tractograms."""

from __future__ import annotations

from functools import partial
import logging
from pathlib import Path
import shlex
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import InputFileError, check_choice, check_number
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.report.data_checks import MEASURED
from dipy_tractoencoder.report.page import check_report_extension, save_report
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    chosen_options,
    load_applied_model,
    shared_files,
)
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.pooled import Pool
from dipy_tractoencoder.workflows.progress import streamlines_bar

if TYPE_CHECKING:
    from dipy_tractoencoder.streamlines.array import StreamlineArray

logger = logging.getLogger(__name__)

SHOWN = {
    "latents": "latents",
    "error_mm": "error (mm)",
    "mdf_mm": "MDF (mm)",
    "spearman": "Spearman",
    "accuracy": "accuracy",
    "length_r2": "length R2",
    "length_r2_squares": "length R2, quadratic",
    "new_mdf_mm": "new (mm)",
    "held_out_mdf_mm": "real (mm)",
}


class EvaluateVAEFlow(TractoWorkflow):
    """Evaluate a model on tractograms."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "evaluate"

    def run(
        self,
        model_file,
        input_files,
        training_files=None,
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
        strict=False,
        out_dir="",
        out_table="evaluation.csv",
        out_bundles="evaluation_bundles.csv",
        out_figure="evaluation.png",
        out_report="evaluation.html",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Evaluate a model on tractograms, next to PCA of the same dimension.

        Example: dipy_evaluate_vae vae.keras sub-05/*.trk --training_files sub-0[1-4]

        Each tractogram, or group of a trx file, is a bundle; files or groups with the
        same name are one bundle. The first table has a row for the model and one for
        PCA: reconstruction error and MDF (mm), Spearman correlation of latent distance
        with MDF, bundle distances (Mantel test), accuracy of bundle labels by the
        nearest neighbour, regression of length on the latents (R2, RMSE in mm), median
        MDF of new streamlines from a Gaussian mixture over the latents to the nearest
        reference streamline, next to that of real streamlines; for a VAE also KL,
        log-likelihood (nats) and active dimensions. The second table has DIPY's bundle
        metrics between input and reconstruction, per bundle. All is measured in the
        space of the model; --align moves each subject there, --transform the input.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Test tractograms, if possible of subjects that the model was not trained on
            (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz, tt.gz), or folders of
            them. Wildcards can be used; 'FOLDER/**' also reads the folders in it.
        training_files : variable string or Path, optional
            Tractograms that the model was trained on, or folders of them. Neighbours,
            length regression and density are fitted to them; without them, to half of
            the input.
        groups : variable string, optional
            Groups of trx files that are bundles; wildcards can be used.
        max_streamlines : int, optional
            Number of random streamlines used of each bundle; fewer are quicker.
        projection : string, optional
            Projection of the latents in the picture: pca, or tsne, which takes minutes.
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
        out_table : string, optional
            Name of the table of metrics of the model and of PCA.
        out_bundles : string, optional
            Name of the table of metrics per bundle.
        out_figure : string, optional
            Name of the picture of errors, KL per dimension and latents.
        out_report : string, optional
            Name of the report, one HTML file with data, warnings, tables and pictures.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        chosen, defaults = chosen_options(self.run, locals())
        reference = as_reference(reference, vtk_space)
        check_report_extension(out_report)
        check_figure_extension(out_figure)
        check_choice("projection", projection, ("pca", "tsne"))
        check_number("seed", seed, low=0, integer=True)
        check_number("max_streamlines", max_streamlines, low=3, integer=True)
        training_files = tractogram_files(as_list(training_files))
        groups = as_list(groups)
        kind = alignment_kind(locals())
        planned = plan_alignment(io_it.inputs[1], out_transform, out_alignment, **kind)
        reports = ("out_table", "out_bundles", "out_figure", "out_report")
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=(*reports, *planned.gathered),
            unused=planned.unused,
            read=(reference, *training_files, *planned.read),
            parts=planned.parts,
        )

        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.segment.bundle_names import check_bundle_paths

        check_model_file(model_file)
        inputs = [path for path, _ in rows]
        paths = {"test": check_bundle_paths(inputs, reference, latents=False)}
        if training_files:
            known = check_bundle_paths(training_files, reference, latents=False)
            paths["train"] = known
            if both := shared_files(known, paths["test"]):
                raise InputFileError(
                    f"{both[0]} is both an input and a training file. Remove it from "
                    "one of the two."
                )
        model = load_applied_model(model_file)

        from dipy_tractoencoder.evaluation.evaluate import evaluate_model
        from dipy_tractoencoder.report.evaluation import evaluation_report
        from dipy_tractoencoder.segment.bundle_files import bundle_arrays
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.evaluation import evaluation_figure

        points, reads, pools, found = {}, {}, {}, {}
        options = {"align_anyway": align_anyway, "seed": seed, **kind}
        uses = {"test": MEASURED, "train": "Learned from"}
        for side, files in paths.items():
            heading = f"Reading, {side}"
            if side == "train":  # These are not of the subject of the transform.
                options["transform"] = None
            aligner = SubjectAligner(model, files, reference=reference, **options)
            found[side] = Doubts(model, aligner, strict=strict, reference=reference)
            pools[side] = Pool(aligner, files, found[side])
            files = pools[side].files
            with streamlines_bar(files, heading, reference=reference) as advance:
                points[side], _ = bundle_arrays(
                    model,
                    files,
                    groups=groups,
                    reference=reference,
                    max_streamlines=max_streamlines,
                    seed=seed,
                    progress=advance,
                    on_read=partial(count_read, reads, uses[side]),
                    alignment_of=aligner.alignment,
                )
        if "train" not in points:
            logger.warning(
                "Neighbours, length regression and density are fitted to half of the "
                "input; give the training data of the model with --training_files."
            )
        logger.info(
            "Evaluating on %d streamlines of %d bundles.",
            sum(map(len, points["test"].values())),
            len(points["test"]),
        )
        result = evaluate_model(
            model, points["test"], train=points.get("train"), seed=seed
        )
        outputs = rows[0][1]
        save_table(result.rows, outputs["out_table"])
        empty = [name for name, lines in points["test"].items() if not len(lines)]
        if empty:
            logger.warning(
                "No streamline of %d bundles can be encoded: %s.",
                len(empty),
                ", ".join(empty),
            )
        rows_of_none = [{"bundle": name, "n_streamlines": 0} for name in empty]
        save_table([*result.bundles, *rows_of_none], outputs["out_bundles"])
        figure = evaluation_figure(result, method=projection)
        save_figure(figure, outputs["out_figure"])
        self.table, self.bundles = result.rows, result.bundles
        moved = {
            f"moved, {side}": text
            for side, pool in pools.items()
            if (text := pool.described())
        }
        doubted = {
            f"doubts, {side}": text
            for side, doubts in found.items()
            if (text := doubts.described())
        }
        self.report = evaluation_report(
            model,
            result,
            name=str(model_file),
            figure=figure,
            files=list(reads.values()),
            settings=chosen,
            defaults=defaults,
            command=self.command,
            facts={"folder": str(Path.cwd()), "seed": str(seed), **moved, **doubted},
        )
        save_report(self.report, outputs["out_report"])
        for check in self.report.findings:
            logger.warning("%s: %s", check.name, check.found)
        for line in format_table(result.rows, SHOWN).splitlines():
            logger.info(line)
        for what in ("out_table", "out_bundles", "out_figure", "out_report"):
            logger.info("%s: %s", what.removeprefix("out_").title(), outputs[what])
        pools["test"].write(outputs)
        for pool in pools.values():
            pool.finish()
        command = ["dipy_reconstruct_vae", str(model_file), str(inputs[0])]
        logger.info("Next: %s", shlex.join(command))


def count_read(reads: dict, use: str, path: Path, array: StreamlineArray) -> None:
    """Add the counts of a chunk to those of its file.

    Parameters
    ----------
    reads : dict of dict
        Counts of each file, by path; changed in place.
    use : str
        What the file is used for.
    path : Path
        File of the chunk.
    array : StreamlineArray
        The chunk.
    """
    from dipy_tractoencoder.training.dataset import count_chunk

    blank = {"file": str(path), "use": use, "n_read": 0, "rejects": {}}
    count_chunk(reads.setdefault(str(path), blank), array)
