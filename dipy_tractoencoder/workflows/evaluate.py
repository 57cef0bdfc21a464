"""The command that measures a model on tractograms."""

from functools import partial
import logging
from pathlib import Path
import shlex

from dipy_tractoencoder.errors import InputFileError, check_choice, check_number
from dipy_tractoencoder.report.data_checks import MEASURED
from dipy_tractoencoder.report.page import check_report_extension, save_report
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    chosen_options,
    load_backend,
    shared_files,
)
from dipy_tractoencoder.workflows.progress import streamlines_bar

logger = logging.getLogger(__name__)

SHOWN = {
    "latents": "latents",
    "error_mm": "error (mm)",
    "mdf_mm": "MDF (mm)",
    "spearman": "order",
    "accuracy": "accuracy",
    "length_r2": "length R2",
    "length_r2_squares": "length R2 (squares too)",
    "new_mdf_mm": "new (mm)",
    "held_out_mdf_mm": "real (mm)",
}


class EvaluateVAEFlow(TractoWorkflow):
    """Measure a model on tractograms."""

    @classmethod
    def get_short_name(cls):
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
        seed=0,
        out_dir="",
        out_table="evaluation.csv",
        out_bundles="evaluation_bundles.csv",
        out_figure="evaluation.png",
        out_report="evaluation.html",
    ):
        """Measure a model on tractograms, with PCA of as many dimensions beside.

        Example: dipy_evaluate_vae vae.keras sub-05/*.trk --training_files sub-0[1-4]

        Each tractogram, or group of a trx file, is a bundle; those of one name are one.
        The first table has a row for the model and one for PCA: reconstruction error
        and MDF (mm), order (Spearman correlation of latent distance with MDF), bundle
        distances (Mantel test), accuracy of bundle labels by the nearest neighbour,
        how well lengths can be read off the latents (R2, RMSE in mm), median MDF of
        new streamlines from a Gaussian mixture over the latents to the nearest known
        one, beside that of the real ones; of a VAE also KL, log-likelihood (nats) and
        active dimensions. The second table has DIPY's bundle metrics between input and
        reconstruction, per bundle.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to measure on, best of subjects that took no part in the
            training (trk, tck, trx, vtk, vtp, fib, dpy). Wildcards can be used.
        training_files : variable string or Path, optional
            Tractograms, or folders of them, to learn neighbours, lengths and density
            from: those that the model was trained on. Without them, half of the input
            is taken.
        groups : variable string, optional
            Which groups of trx files are bundles; wildcards can be used.
        max_streamlines : int, optional
            Streamlines taken of each bundle, at random; less is quicker.
        projection : string, optional
            Map of the latents in the picture: pca, or tsne, which takes minutes.
        reference : string or Path, optional
            Image (or trk) whose space files without one are in.
        seed : int, optional
            Seed of everything random.
        out_dir : string or Path, optional
            Output directory.
        out_table : string, optional
            Name of the table of the model and PCA.
        out_bundles : string, optional
            Name of the table of bundles.
        out_figure : string, optional
            Name of the picture of errors, KL per dimension and latents.
        out_report : string, optional
            Name of the report, one HTML file: what was measured on what, warnings in
            plain words, tables and pictures.
        """
        io_it = self.get_io_iterator()
        chosen, defaults = chosen_options(self.run, locals())
        check_report_extension(out_report)
        check_figure_extension(out_figure)
        check_choice("projection", projection, ("pca", "tsne"))
        check_number("seed", seed, low=0, integer=True)
        check_number("max_streamlines", max_streamlines, low=3, integer=True)
        training_files, groups = as_list(training_files), as_list(groups)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_table", "out_bundles", "out_figure", "out_report"),
            read=(reference, *training_files),
        )

        from dipy_tractoencoder.nn.model_file import check_model_file, load_model
        from dipy_tractoencoder.segment.bundle_names import check_bundle_paths

        check_model_file(model_file)
        inputs = [path for path, _ in rows]
        paths = {"test": check_bundle_paths(inputs, reference, latents=False)}
        if training_files:
            known = check_bundle_paths(training_files, reference, latents=False)
            paths["train"] = known
            if both := shared_files(known, paths["test"]):
                raise InputFileError(
                    f"{both[0]} is to be measured on and among the training files. "
                    "What is learned from cannot be measured on: leave it out of one "
                    "of the two."
                )
        load_backend()
        model = load_model(model_file)

        from dipy_tractoencoder.evaluation.evaluate import evaluate_model
        from dipy_tractoencoder.report.evaluation import evaluation_report
        from dipy_tractoencoder.segment.bundle_files import bundle_arrays
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.evaluation import evaluation_figure

        points, reads = {}, {}
        uses = {"test": MEASURED, "train": "Learned from"}
        for side, files in paths.items():
            heading = f"Reading, {side}"
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
                )
        if "train" not in points:
            logger.warning(
                "Neighbours, lengths and density are learned from half of the input; "
                "give what the model was trained on with --training_files."
            )
        logger.info(
            "To be measured on: %d streamlines of %d bundles.",
            sum(map(len, points["test"].values())),
            len(points["test"]),
        )
        result = evaluate_model(
            model, points["test"], train=points.get("train"), seed=seed
        )
        outputs = rows[0][1]
        save_table(result.rows, outputs["out_table"])
        save_table(result.bundles, outputs["out_bundles"])
        figure = evaluation_figure(result, method=projection)
        save_figure(figure, outputs["out_figure"])
        self.table, self.bundles = result.rows, result.bundles
        self.report = evaluation_report(
            model,
            result,
            name=str(model_file),
            figure=figure,
            files=list(reads.values()),
            settings=chosen,
            defaults=defaults,
            command=self.command,
            folder=str(Path.cwd()),
            seed=str(seed),
        )
        save_report(self.report, outputs["out_report"])
        for check in self.report.findings:
            logger.warning("%s: %s", check.name, check.found)
        for line in format_table(result.rows, SHOWN).splitlines():
            logger.info(line)
        for what in ("out_table", "out_bundles", "out_figure", "out_report"):
            logger.info("%s: %s", what.removeprefix("out_").title(), outputs[what])
        command = ["dipy_reconstruct_vae", str(model_file), str(inputs[0])]
        logger.info("Next: %s", shlex.join(command))


def count_read(reads, use, path, array):
    """Add some streamlines to what was read of a file.

    Parameters
    ----------
    reads : dict of dict
        File to its counts; changed in place.
    use : str
        What the file is read for.
    path : Path
        The file.
    array : StreamlineArray
        Streamlines of it.
    """
    from dipy_tractoencoder.training.dataset import count_chunk

    blank = {"file": str(path), "use": use, "n_read": 0, "rejects": {}}
    count_chunk(reads.setdefault(str(path), blank), array)
