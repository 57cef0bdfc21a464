"""The command that labels streamlines by bundle."""

from __future__ import annotations

from functools import partial
import logging

from dipy_tractoencoder.errors import OutputFileError, check_number
from dipy_tractoencoder.io.formats import file_format
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
from dipy_tractoencoder.workflows.label_outputs import bundle_rows, draw_bundles
from dipy_tractoencoder.workflows.progress import streamlines_bar
from dipy_tractoencoder.workflows.reference_bundles import (
    fit_classifier,
    held_colours,
    labelled_bundles,
    tractograms_of,
)
from dipy_tractoencoder.workflows.validation import calibrated

logger = logging.getLogger(__name__)

STRANGERS = "of a bundle that is missing from it about %s would be labelled"


class LabelVAEFlow(TractoWorkflow):
    """Label streamlines by bundle."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "label"

    def run(
        self,
        model_file,
        input_files,
        bundle_files=None,
        groups=None,
        validation_file=None,
        n_neighbors=5,
        alpha=0.05,
        subject_factor="auto",
        assign_all=False,
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
        out_tractogram="labelled.trx",
        out_table="labels.csv",
        out_confusion="confusion.csv",
        out_figure="labels.png",
        out_transform="transform.json",
        out_alignment="alignment.png",
    ):
        """Label streamlines by the bundles of their nearest neighbours (CINTA).

        Example: dipy_label_vae vae.keras sub-06.trx --bundle_files atlas --out_dir 06

        The nearest labelled streamlines in latent space vote. A streamline stays
        unassigned if its p-value of belonging to the bundle is at most --alpha: the
        fraction of the bundle's own streamlines that lie as far from the others. That
        a subject lies further from the bundles than their own streamlines is estimated
        and allowed for. Streamlines keep their own points and data; trx and trk files
        store as data per streamline the p-value, the fraction of the votes, the
        distance, and number (in the table) and p-value of the next bundle near by:
        vae_p, vae_vote_share, vae_distance, vae_second, vae_second_p. If the true
        bundles are known from groups or file names, predicted and true bundles are
        compared. Files with the same name in several folders are one bundle. The
        labelled bundles have to lie in the space of the model. Subjects in another one
        are aligned with --align or --transform; their streamlines are written where
        they were.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Tractograms to label (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz,
            tt.gz), or folders of them. Wildcards can be used; 'FOLDER/**' also reads
            the folders in it.
        bundle_files : variable string or Path, optional
            Labelled bundles: tractograms named by bundle, folders of them, trx files
            with groups, or latents (h5) of the same model; by default the bundles that
            the model holds, see --keep_bundles of dipy_train_vae.
        groups : variable string, optional
            Groups of trx files that are bundles, or bundles that the model holds, to
            label by; wildcards can be used.
        validation_file : variable string or Path, optional
            Labelled tractograms of other subjects, by which the p-values are
            calibrated: with groups named like the bundles (streamlines outside of them
            belong to none), or one per bundle, named like it.
        n_neighbors : int, optional
            Number of neighbours that vote.
        alpha : float, optional
            Fraction of the streamlines that belong to a bundle which may be lost.
            Fewer are lost with a smaller one, but more that belong to none are
            labelled.
        subject_factor : string, optional
            How many times as far a subject lies from the bundles as their own
            streamlines from each other: auto (estimated from all files of a subject),
            or a number.
        assign_all : bool, optional
            Assign a bundle to every streamline that can be encoded.
        one_file : bool, optional
            Write one trx file with a group per bundle, instead of a file per bundle.
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
        out_tractogram : string, optional
            Name of the labelled tractograms, which the name of the bundle precedes.
        out_table : string, optional
            Name of the table of counts per bundle, one for all inputs.
        out_confusion : string, optional
            Name of the table of true and predicted bundles, if the true ones are known.
        out_figure : string, optional
            Name of the picture of bundles.
        out_transform : string, optional
            Name of the transform of each aligned subject (json).
        out_alignment : string, optional
            Name of the picture of each alignment.
        """
        io_it = self.get_io_iterator()
        reference = as_reference(reference, vtk_space)
        check_figure_extension(out_figure)
        check_number("n_neighbors", n_neighbors, low=1, integer=True)
        check_number("alpha", alpha, low=0, high=1)
        given = check_subject_factor(subject_factor)
        check_number("chunk_size", chunk_size, low=1, integer=True)
        if one_file and file_format(out_tractogram) != ".trx":
            raise OutputFileError(
                f"Cannot write {out_tractogram}: only trx files have groups. Let "
                "--out_tractogram end in .trx, or leave out --one_file."
            )

        from dipy_tractoencoder.io.open_file import check_common_space
        from dipy_tractoencoder.io.tractogram import (
            check_output_extension,
            check_tractogram_path,
        )
        from dipy_tractoencoder.nn.model_file import check_model_file

        groups = as_list(groups)
        known, names = labelled_bundles(bundle_files, model_file, groups, reference)
        names = [*names, "unassigned"]
        validation = tractogram_files(as_list(validation_file))
        kind = alignment_kind(locals())
        planned = plan_alignment(io_it.inputs[1], out_transform, out_alignment, **kind)
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_table", "out_confusion", *planned.gathered),
            unused=planned.unused,
            read=(reference, *known, *validation, *planned.read),
            parts={**({} if one_file else {"out_tractogram": names}), **planned.parts},
        )
        check_model_file(model_file)
        inputs = [path for path, _ in rows]
        for path in (*inputs, *validation):
            check_tractogram_path(path, reference)
        check_common_space([*inputs, *known, *validation], reference)
        for path in shared_files(inputs, known):
            logger.warning(
                "%s is also one of the labelled bundles, so it is labelled by itself: "
                "its accuracy means nothing.",
                path,
            )
        check_output_extension(out_tractogram)
        model = load_applied_model(model_file)

        import numpy as np

        from dipy_tractoencoder.latent.codec import encode
        from dipy_tractoencoder.segment.label_metrics import (
            confusion_table,
            label_metrics,
        )
        from dipy_tractoencoder.segment.labelling import label_file
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.workflows.reconstruct import distinct_file_names

        aligner = SubjectAligner(
            model, inputs, align_anyway=align_anyway, reference=reference, **kind
        )
        aligner.check_known(tractograms_of(known), "labelled bundles")
        neighbors = fit_classifier(
            model,
            known,
            n_neighbors=n_neighbors,
            groups=groups,
            reference=reference,
            chunk_size=chunk_size,
        )
        neighbors = calibrated(
            model,
            neighbors,
            validation,
            chunk_size=chunk_size,
            reference=reference,
            align_anyway=align_anyway,
            **kind,
        )
        alpha = 0.0 if assign_all else alpha
        judge = neighbors.decisions
        log_promise(judge, alpha, "left unassigned", "a bundle")

        def fit_factor(lines):
            return neighbors.subject_factor(encode(model, lines).mean)

        doubts = Doubts(model, aligner, strict=strict, reference=reference)
        factors = SubjectFactors(aligner, given, fit_factor, reference=reference)
        table, truths, found, batch = [], [], [], Batch(len(inputs))
        with streamlines_bar(inputs, "Labelling", reference=reference) as advance:
            for name, (path, outputs) in zip(distinct_file_names(inputs), rows):
                with batch.going_on(path):
                    doubts.check_input(path)
                    judged = {"classifier": neighbors, "alpha": alpha}
                    labels = label_file(
                        model,
                        path,
                        neighbors,
                        outputs["out_tractogram"],
                        alpha=alpha,
                        alignment=aligner.alignment(path),
                        factor=factors.of(path),
                        reference=reference,
                        chunk_size=chunk_size,
                        progress=advance,
                        on_judged=partial(doubts.check_labels, path, **judged),
                        on_labelled=partial(
                            draw_bundles,
                            path=path,
                            target=outputs["out_figure"],
                            colours=held_colours(model, known),
                        ),
                        overwrite=True,
                    )
                    for row in bundle_rows(name, labels, judge, alpha):
                        table.append({**row, "doubts": doubts.of(path)})
                    if labels.truth is not None:
                        truths.append(labels.truth)
                        found.append(labels.bundle)
                    n_found = int((labels.bundle >= 0).sum())
                    logger.info(
                        "Labelled %d of %d streamlines of %s%s: %s",
                        n_found,
                        len(labels.bundle),
                        path,
                        rejects_text(labels.rejects),
                        outputs["out_tractogram"]
                        if one_file
                        else next(iter(outputs["out_tractogram"].values())).parent,
                    )
                    log_outcome(judge, labels.factor, alpha, path, STRANGERS)
                    aligner.write(path, outputs)
        doubts.finish()
        batch.finish(early=True)
        outputs = rows[0][1]
        save_table(table, outputs["out_table"])
        self.table, self.metrics = table, {}
        shown = {"file": "file", "bundle": "bundle", "n_streamlines": "streamlines"}
        shown["mean_vote_share"] = "fraction of votes"
        for line in format_table(table, shown).splitlines():
            logger.info(line)
        logger.info("Table: %s", outputs["out_table"])
        if truths:
            truth, bundle = np.concatenate(truths), np.concatenate(found)
            self.metrics = label_metrics(truth, bundle)
            for name, value in self.metrics.items():
                logger.info("Compared with the true bundles: %s %.4f", name, value)
            confusion = confusion_table(neighbors.names, truth, bundle)
            save_table(confusion, outputs["out_confusion"])
            logger.info("True and predicted bundles: %s", outputs["out_confusion"])
        batch.finish()
        logger.info("Next: view %s", outputs["out_figure"])
