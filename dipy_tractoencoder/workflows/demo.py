"""The command that demonstrates training and reconstruction on bundles from DIPY."""

from dataclasses import replace
import logging
from pathlib import Path
import shutil

from dipy.workflows.combined_workflow import CombinedWorkflow

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.report.page import check_report_extension, save_report
from dipy_tractoencoder.workflows.base import docstring_in_source
from dipy_tractoencoder.workflows.encode import EncodeVAEFlow
from dipy_tractoencoder.workflows.reconstruct import ReconstructVAEFlow
from dipy_tractoencoder.workflows.train import TrainVAEFlow

logger = logging.getLogger(__name__)

TRAINING_SUBJECTS = ("sub_1", "sub_2", "sub_3", "sub_4")
TEST_SUBJECT = "sub_5"
BUNDLES = ("AF_L", "CST_R", "CC_ForcepsMajor")


class VAEDemoFlow(CombinedWorkflow):
    """Train, encode and reconstruct with the bundles that ship with DIPY."""

    command = None  # As in TractoWorkflow.

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "demo"

    def _get_sub_flows(self):
        return [TrainVAEFlow, EncodeVAEFlow, ReconstructVAEFlow]

    def run(self, out_dir="tractoencoder_demo", out_report="report.html"):
        """Train on four subjects that ship with DIPY, and reconstruct a fifth.

        Example: dipy_vae_demo --train.latent_dim 6

        Nothing is downloaded. The bundles (left arcuate fasciculus, right corticospinal
        tract, forceps major; 50 streamlines each) are unpacked in the output directory.

        Parameters
        ----------
        out_dir : string or Path, optional
            Output directory.
        out_report : string, optional
            Name of the report on the training and on the fifth subject, one HTML file.
        """
        check_report_extension(out_report)
        from dipy.data.fetcher import extract_example_tracts

        out_dir = Path(out_dir)
        report_path = (out_dir / out_report).resolve()
        data_dir = out_dir / "data"
        occupied = out_dir.is_file() or any(
            path.is_file() for path in out_dir.rglob("*")
        )
        if occupied and not self._force_overwrite:
            raise OutputFileError(
                f"Output exists: {out_dir}. Nothing was done. Add --force to replace "
                "what the demo writes there, or choose another --out_dir."
            )
        made = not data_dir.exists()
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputFileError(f"Cannot write {data_dir}: {err.strerror}.") from err
        extract_example_tracts(data_dir)
        bundles = {
            subject: [str(data_dir / subject / f"{name}.trk") for name in BUNDLES]
            for subject in (*TRAINING_SUBJECTS, TEST_SUBJECT)
        }
        if not self._optionals:  # Called from Python, where DIPY leaves it unset.
            self.set_sub_flows_optionals(
                {flow.__name__: {} for flow in self._get_sub_flows()}
            )
        train, encode, reconstruct = (
            flow(output_strategy="absolute", force=self._force_overwrite)
            for flow in self._get_sub_flows()
        )
        train.command = self.command
        training_bundles = [
            path for subject in TRAINING_SUBJECTS for path in bundles[subject]
        ]
        logger.info("Training on %s.", ", ".join(TRAINING_SUBJECTS))
        # One subject chooses the epoch; the refit then trains on all four.
        defaults = {"validation_by": "folder", "validation_fraction": 0.25}
        chosen = {**defaults, **self._optionals[TrainVAEFlow.__name__], "refit": True}
        self._optionals[TrainVAEFlow.__name__] = chosen
        try:
            self.run_sub_flow(
                train,
                training_bundles,
                out_dir=str(out_dir / "model"),
                out_report=str(report_path),
            )
        except BaseException:
            if made:  # So that the next run does not find an occupied folder.
                shutil.rmtree(data_dir, ignore_errors=True)
            raise
        model_file = train.last_generated_outputs["out_model"]
        logger.info("Encoding %s.", TEST_SUBJECT)
        self.run_sub_flow(
            encode, model_file, bundles[TEST_SUBJECT], out_dir=str(out_dir / "latents")
        )
        logger.info("Reconstructing %s.", TEST_SUBJECT)
        self.run_sub_flow(
            reconstruct,
            model_file,
            bundles[TEST_SUBJECT],
            out_dir=str(out_dir / "reconstruction"),
        )
        self.table = reconstruct.table
        errors = "; ".join(
            f"{file_stem(row['file'])} {row['error_mm']:.2f} mm "
            f"(PCA {row['pca_error_mm']:.2f} mm)"
            for row in self.table
        )
        words = f"{TEST_SUBJECT}, which was not used for training: {errors}"
        from dipy_tractoencoder.report.evaluation import reconstruction_sections

        sections, checks = reconstruction_sections(
            self.table,
            {
                row["file"]: outputs["out_figure"]
                for row, outputs in zip(self.table, reconstruct.generated)
            },
            f"A new subject, {TEST_SUBJECT}",
            linear_skip=not chosen.get("no_linear_skip", False),
        )
        self.report = replace(
            train.report,
            title="Demo: training, and a new subject",
            summary=(f"Error on {words}.", *train.report.summary),
            checks=(*checks, *train.report.checks),
            sections=(*sections, *train.report.sections),
        )
        save_report(self.report, report_path)
        logger.info("Error on %s.", words)
        written = reconstruct.last_generated_outputs
        figure = train.last_generated_outputs["out_figure"]
        logger.info("Picture of the training: %s", figure)
        logger.info("Pictures of the subject: %s", Path(written["out_figure"]).parent)
        logger.info("Table: %s", written["out_table"])
        logger.info("Model: %s", model_file)
        logger.info("Report: %s", out_dir / out_report)
        logger.info("Next: open the report in a browser, or dipy_train_vae YOUR_FILES")


# Lost with PYTHONOPTIMIZE=2; a combined flow does not derive from `TractoWorkflow`.
VAEDemoFlow.run.__doc__ = VAEDemoFlow.run.__doc__ or docstring_in_source(
    VAEDemoFlow.run
)
