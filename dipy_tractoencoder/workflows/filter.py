"""The command that removes implausible streamlines."""

from __future__ import annotations

from functools import partial
import logging
import math
from pathlib import Path

from dipy_tractoencoder.errors import InvalidArgumentError, check_number
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.alignment import SubjectAligner
from dipy_tractoencoder.workflows.alignment_options import (
    alignment_kind,
    plan_alignment,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    load_applied_model,
    shared_files,
)
from dipy_tractoencoder.workflows.batch import Batch
from dipy_tractoencoder.workflows.decisions import (
    SubjectFactors,
    check_subject_factor,
    log_outcome,
    log_promise,
)
from dipy_tractoencoder.workflows.doubts import Doubts
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar
from dipy_tractoencoder.workflows.reference_bundles import held_bundles, tractograms_of

logger = logging.getLogger(__name__)

BALANCED = "balanced"

STRANGERS = "of a kind of streamlines that it lacks about %s would be kept"
SCORE_NAME = "vae_score"
SHOWN = {
    "file": "file",
    "n_kept": "kept",
    "n_removed": "removed",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


class FilterVAEFlow(TractoWorkflow):
    """Remove implausible streamlines."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "filter"

    def run(
        self,
        model_file,
        input_files,
        plausible_files=None,
        groups=None,
        validation_file=None,
        label_name="plausible",
        score="latent",
        threshold=None,
        alpha=0.05,
        subject_factor="auto",
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
        out_kept="kept.trx",
        out_removed="removed.trx",
        out_table="filter.csv",
        out_figure="filter.png",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Remove streamlines that do not resemble plausible ones, the FINTA method.

        Example: dipy_filter_vae vae.keras sub-06.trx --plausible_files good.trx

        The score of a streamline is the distance of its latent to the nearest latent
        of the plausible streamlines. Streamlines are kept whose p-value is above
        --alpha: the fraction of the plausible streamlines that lie as far from the
        others. That a subject lies further away than they from each other is estimated
        and allowed for. Labelled streamlines of another subject, in --validation_file,
        make the p-values of new subjects more reliable. With --threshold, streamlines
        are kept instead with a score up to it. Streamlines keep their own
        points and data; trx and trk files store the score and the p-value as data per
        streamline, vae_score and vae_p. Streamlines that cannot be encoded are
        removed; their score is nan. The plausible streamlines have to lie in the space
        of the model. Subjects in another one are aligned with --align or --transform;
        their streamlines are written where they were. --validation_file is aligned
        with --align, and left where it is with --transform.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to filter (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz,
            tt.gz), or folders of them. Wildcards can be used; 'FOLDER/**' also reads
            the folders in it.
        plausible_files : variable string or Path, optional
            Plausible streamlines: tractograms, folders of them, trx files with groups,
            or latents (h5) made by the same model; by default the bundles that the
            model holds, see --keep_bundles of dipy_train_vae.
        groups : variable string, optional
            Groups of trx files that are plausible, or bundles that the model holds;
            wildcards can be used.
        validation_file : string or Path, optional
            Tractogram (trx or trk) with labelled streamlines of another subject, by
            which the p-values are calibrated, or the threshold is found.
        label_name : string, optional
            Name of the data per streamline with the labels, 1 plausible, 0 not. The
            table compares inputs that have it with these labels.
        score : string, optional
            latent (distance, mm), reconstruction (reconstruction error, mm), or
            likelihood (negative log-likelihood, nats).
        threshold : string, optional
            Largest score that is kept, instead of p-values: a number, or balanced, at
            which sensitivity equals specificity on --validation_file.
        alpha : float, optional
            Fraction of the plausible streamlines that may be lost. Fewer are lost with
            a smaller one, but more implausible ones are kept. For --score
            reconstruction and likelihood the threshold is the quantile of their scores
            with this fraction above it.
        subject_factor : string, optional
            How many times as far a subject lies from the plausible streamlines as they
            from each other: auto (estimated from all files of a subject), or a number.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        chunk_size : int, optional
            Streamlines processed at a time; fewer need less memory.
        align : string, optional
            off; check (measure whether the streamlines lie in the space of the model,
            and warn if they do not); or rigid, similarity or affine (align each subject
            to the model).
        transform : string or Path, optional
            Known transform from the space of the subject to that of the model, instead
            of --align: a transform.json, affine.txt of dipy_slr, or an affine of ANTs
            or ITK; '[FILE,1]' for its inverse. {subject} in the name stands for the
            subject.
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
        out_kept : string, optional
            Name of the tractogram of plausible streamlines.
        out_removed : string, optional
            Name of the tractogram of removed streamlines.
        out_table : string, optional
            Name of the table of counts, thresholds and, with labels, accuracies; one
            for all inputs.
        out_figure : string, optional
            Name of the picture of scores and, with labels, the receiver operating
            characteristic; one for all inputs.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_figure_extension(out_figure)
        check_number("alpha", alpha, low=0, high=1)
        given = check_subject_factor(subject_factor)
        check_number("chunk_size", chunk_size, low=1, integer=True)
        threshold = check_threshold(threshold, validation_file)
        if not plausible_files:
            needed = "Plausible streamlines are needed: give tractograms, folders or "
            needed += "latents with --plausible_files."
            held_bundles(model_file, needed, as_list(groups))
        plausible_files = tractogram_files(as_list(plausible_files))
        kind = alignment_kind(locals())
        planned = plan_alignment(io_it.inputs[1], out_transform, out_alignment, **kind)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_table", "out_figure", *planned.gathered),
            unused=planned.unused,
            read=(reference, validation_file, *plausible_files, *planned.read),
            parts=planned.parts,
        )

        from dipy_tractoencoder.io.open_file import check_common_space
        from dipy_tractoencoder.io.tractogram import (
            check_output_extension,
            check_tractogram_path,
        )
        from dipy_tractoencoder.nn.model_file import check_model_file
        from dipy_tractoencoder.segment.bundle_names import check_bundle_paths

        check_model_file(model_file)
        inputs = [path for path, _ in rows]
        for path in (*inputs, *([validation_file] if validation_file else [])):
            check_tractogram_path(path, reference)
        known = check_bundle_paths(plausible_files, reference)
        check_common_space([*inputs, *known], reference)
        for path in shared_files(inputs, known):
            logger.warning(
                "%s is also one of the plausible files, so it is compared with itself: "
                "all of it will be kept.",
                path,
            )
        for _, outputs in rows:
            check_output_extension(outputs["out_kept"])
            check_output_extension(outputs["out_removed"])
        model = load_applied_model(model_file)

        import numpy as np

        from dipy_tractoencoder.segment.filtering import (
            filter_file,
            fit_plausibility_scorer,
            read_labelled_scores,
        )
        from dipy_tractoencoder.segment.plausibility_scores import SCORES
        from dipy_tractoencoder.segment.thresholds import balanced_threshold
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.filtering import filter_figure
        from dipy_tractoencoder.workflows.reconstruct import distinct_file_names

        aligner = SubjectAligner(
            model, inputs, align_anyway=align_anyway, reference=reference, **kind
        )
        options = {"reference": reference, "chunk_size": chunk_size}
        tractograms = tractograms_of(known)
        aligner.check_known(tractograms, "plausible streamlines")
        with streamlines_bar(tractograms, "Reference", reference=reference) as advance:
            scorer = fit_plausibility_scorer(
                model,
                known or None,
                **{**options, "score": score, "groups": as_list(groups)},
                progress=advance,
            )
        truth = None
        how = f"{1 - alpha:.0%} of the plausible streamlines"
        if validation_file:
            *truth, remoteness = read_labelled_scores(
                scorer,
                validation_file,
                label_name,
                alignment=aligner.alignment_beside(validation_file),
                chunk_size=chunk_size,
            )
            how = f"the labels of {validation_file}"
            scorer = scorer.calibrated(remoteness, truth[1])
        has_p = scorer.density is not None
        if threshold == BALANCED or (threshold is None and truth and not has_p):
            threshold = balanced_threshold(*truth)
        elif threshold is not None:
            how = "as given"
        elif not has_p:
            threshold = float(np.quantile(scorer.own, 1 - alpha))
        unit, judge = SCORES[score], None
        if has_p:
            judge = scorer.density.decisions
        if threshold is not None:
            logger.info("Threshold: %.4g %s, %s.", threshold, unit, how)
        else:
            log_promise(judge, alpha, "removed", "the reference")
        doubts = Doubts(model, aligner, strict=strict, reference=reference)
        factors = SubjectFactors(
            aligner, given, scorer.subject_factor, reference=reference
        )

        table, all_scores, all_kept, batch = [], [], [], Batch(len(inputs))
        with streamlines_bar(inputs, "Filtering", reference=reference) as advance:
            for name, (path, outputs) in zip(distinct_file_names(inputs), rows):
                with batch.going_on(path):
                    doubts.check_input(path)
                    result = filter_file(
                        scorer,
                        path,
                        threshold,
                        outputs["out_kept"],
                        outputs["out_removed"],
                        alpha=alpha,
                        score_name=SCORE_NAME,
                        label_name=label_name,
                        alignment=aligner.alignment(path),
                        factor=factors.of(path) if judge is not None else None,
                        progress=advance,
                        on_judged=partial(
                            doubts.check_filtered, path, threshold, alpha
                        ),
                        overwrite=True,
                        **options,
                    )
                    row = {"file": name, "n_kept": result.n_kept}
                    row["n_removed"] = len(result.scores) - result.n_kept
                    row.update({"score": score, "threshold": threshold, "unit": unit})
                    if judge is not None and result.factor is not None:
                        row["alpha"] = alpha if threshold is None else None
                        row["subject_factor"] = result.factor.factor
                    for reason, count in result.rejects.items():
                        row[f"rejected_{reason}"] = count
                    if result.truth is not None and len(set(result.truth)) == 2:
                        row.update(result.metrics(threshold, alpha))
                    row["doubts"] = doubts.of(path)
                    table.append(row)
                    all_scores.append(result.scores)
                    all_kept.append(result.kept(threshold, alpha))
                    logger.info(
                        "Kept %d of %d streamlines of %s%s: %s, %s",
                        result.n_kept,
                        len(result.scores),
                        path,
                        rejects_text(result.rejects),
                        outputs["out_kept"],
                        outputs["out_removed"],
                    )
                    if judge is not None and result.factor is not None:
                        log_outcome(judge, result.factor, alpha, path, STRANGERS)
                    aligner.write(path, outputs)
        doubts.finish()
        batch.finish(early=True)
        figure = filter_figure(
            np.concatenate(all_scores),
            scorer.own,
            threshold,
            unit=unit,
            kept=np.concatenate(all_kept),
            truth=tuple(truth) if truth else None,
        )
        outputs = rows[0][1]
        save_figure(figure, outputs["out_figure"])
        save_table(table, outputs["out_table"])
        self.table = table
        for line in format_table(table, SHOWN).splitlines():
            logger.info(line)
        logger.info("Table: %s", outputs["out_table"])
        logger.info("Figure: %s", outputs["out_figure"])
        batch.finish()
        logger.info("Next: view the removed streamlines: %s", outputs["out_removed"])


def check_threshold(
    threshold: str | float | None, validation_file: str | Path | None
) -> str | float | None:
    """Return the threshold that an option gives.

    Parameters
    ----------
    threshold : str, float or None
        A number, "balanced" or None.
    validation_file : str, Path or None
        File of labelled streamlines, which "balanced" needs.

    Returns
    -------
    threshold : str, float or None
        Number, "balanced" or None.

    Raises
    ------
    InvalidArgumentError
        If it is something else, or the file is missing.
    """
    if threshold is None:
        return None
    if threshold == BALANCED:
        if not validation_file:
            raise InvalidArgumentError(
                "A balanced `threshold` needs labelled streamlines: give "
                "`validation_file`."
            )
        return threshold
    try:
        number = float(threshold)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise InvalidArgumentError(
            f"Invalid value received for `threshold`. Expected a number or {BALANCED}. "
            f"Received: {threshold!r}."
        )
    return number
