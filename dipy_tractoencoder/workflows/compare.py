"""The command that compares subjects' bundles with a reference group's."""

import logging
from pathlib import Path

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    check_figure_extension,
    load_backend,
)
from dipy_tractoencoder.workflows.progress import logging_beside_bars
from dipy_tractoencoder.workflows.train import found_files

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
    def get_short_name(cls):
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
        seed=0,
        out_dir="",
        out_profiles="profiles.csv",
        out_summary="summary.csv",
        out_figure="comparison.png",
    ):
        """Find where subjects' bundles depart from those of a reference group.

        Each file is one bundle of one subject, all registered to one space. The
        subject is the name of the file's folder, the bundle the name of the file
        (without the subject's, if it starts with that and an underscore). Every
        segment of a bundle is tested against the reference group, and the p-values
        are corrected over the segments and bundles of a subject.

        Example: dipy_compare_vae vae.keras p/*/AF.trk --reference_files c/*/AF.trk

        The reference group has to have five subjects at least; 20 are better. The
        model is best trained on controls.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        input_files : variable string or Path
            Bundles of the subjects to compare (trk, tck, trx, vtk, vtp, fib, dpy).
            Wildcards can be used.
        reference_files : variable string or Path, optional
            Bundles of the reference group. Wildcards can be used.
        measure : string, optional
            residual (mean step in mm from a reconstruction with few dimensions, with
            its direction), error (mean distance from it, as Feng and Chandio),
            displacement (of the bundle's mean course), or local_displacement (that
            without shift, tilt and bow over the whole bundle). The last two use no
            model.
        n_dims : int, optional
            Principal directions of the model used for the reconstruction. More find
            smaller displacements, until they reconstruct them; fewer tell better where
            they are. 0 takes the model's own reconstruction, as Feng and Chandio, who
            trained one of 6 latent dimensions.
        n_segments : int, optional
            Segments along each bundle.
        alpha : float, optional
            False discovery rate.
        max_streamlines : int, optional
            Streamlines used of each file, drawn at random.
        reference : string or Path, optional
            Image (or trk) whose space files without one are in.
        seed : int, optional
            Of the streamlines drawn.
        out_dir : string or Path, optional
            Output directory.
        out_profiles : string, optional
            Name of the table of profiles (bundle, subject, group, disk, measure, z, p).
        out_summary : string, optional
            Name of the table with a row per bundle and subject, which has the distances
            from the reference group, too.
        out_figure : string, optional
            Name of the picture of all profiles over the reference group's.
        """
        io_it = self.get_io_iterator()
        check_figure_extension(out_figure)
        check_choice("measure", measure, MEASURES)
        check_number("n_dims", n_dims, low=0, integer=True)
        check_number("n_segments", n_segments, low=5, integer=True)
        check_number("alpha", alpha, above=0, high=1)
        check_number("max_streamlines", max_streamlines, low=10, integer=True)
        check_number("seed", seed, low=0, integer=True)
        reference_paths = found_files(reference_files)
        if not reference_paths:
            raise InvalidArgumentError(
                "A reference group is needed to compare with: give the bundles of its "
                "subjects with --reference_files."
            )
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_profiles", "out_summary", "out_figure"),
            read=(reference, *reference_paths),
        )
        outputs = rows[0][1]

        from dipy_tractoencoder.io.tractogram import check_tractogram_path
        from dipy_tractoencoder.nn.model_file import check_model_file, load_model

        subject_paths = [path for path, _ in rows]
        known = {path.resolve() for path in reference_paths}
        for path in subject_paths:
            if path.resolve() in known:
                raise InputFileError(
                    f"{path} is in both groups. A subject of the reference group is "
                    "compared with the others of it anyway: leave it out of the inputs."
                )
        for path in (*subject_paths, *reference_paths):
            check_tractogram_path(path, reference)
        subjects = by_subject(subject_paths)
        controls = by_subject(reference_paths)
        check_model_file(model_file)
        from dipy_tractoencoder.stats.group_statistics import check_groups

        wanted = check_groups(controls, subjects)
        load_backend()
        model = load_model(model_file)
        from tqdm.auto import tqdm

        from dipy_tractoencoder.stats.comparison import compare
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.comparison import comparison_figure

        def read(path):
            return read_bundle(model, path, reference, max_streamlines, seed)

        total = sum(
            name in given
            for group in (controls, subjects)
            for given in group.values()
            for name in wanted
        )
        bar = tqdm(total=total, desc="Comparing", unit="file", disable=None)
        with bar, logging_beside_bars():
            self.comparison = compare(
                model,
                controls,
                subjects,
                measure=measure,
                n_dims=n_dims,
                n_segments=n_segments,
                alpha=alpha,
                seed=seed,
                read=read,
                progress=bar.update,
            )
        summary = self.comparison.summary_rows()
        figure = comparison_figure(self.comparison)
        save_table(self.comparison.profile_rows(), outputs["out_profiles"])
        save_table(summary, outputs["out_summary"])
        save_figure(figure, outputs["out_figure"])
        compared = [row for row in summary if row["group"] == 1]
        found = [row for row in compared if row["detected"] == "yes"]
        logger.info(
            "%d of %d bundles depart from the reference group of %d subjects (%s, "
            "corrected p below %g).",
            len(found),
            len(compared),
            len(controls),
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
        logger.info("Next: look at the picture; segments are counted along its axes.")


def by_subject(paths):
    """Sort files, one bundle of one subject each, by what their names say.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms, as sub-01/AF_L.trk or sub-01/sub-01_AF_L.trk.

    Returns
    -------
    subjects : dict of dict of Path
        Folder's name to file's name without extension (and without the folder's name
        in front) to path.

    Raises
    ------
    InputFileError
        If two files are the same bundle of the same subject.
    """
    subjects = {}
    for path in paths:
        subject = path.resolve().parent.name
        bundle = path.stem.removeprefix(f"{subject}_")
        known = subjects.setdefault(subject, {})
        if bundle in known:
            raise InputFileError(
                f"{known[bundle]} and {path} are both bundle {bundle} of subject "
                f"{subject}. The folder's name is the subject: give each subject a "
                "folder of its own."
            )
        known[bundle] = Path(path)
    return subjects


def read_bundle(model, path, reference, max_streamlines, seed):
    """Read some streamlines of a file, rejected, oriented and resampled.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its preprocessing is used.
    path : Path
        Tractogram.
    reference : str or Path or None
        Image or tractogram whose space a file without one is in.
    max_streamlines : int
        Streamlines kept, drawn at random.
    seed : int
        Of the draw.

    Returns
    -------
    array : StreamlineArray
        RASMM, mm.

    Raises
    ------
    EmptyDataError
        If fewer streamlines are left than can be compared.
    InputFileError
        If the file cannot be read.
    """
    from dataclasses import replace

    import numpy as np

    from dipy_tractoencoder.io.chunks import TractogramChunks
    from dipy_tractoencoder.latent.file_codec import prepared_chunks
    from dipy_tractoencoder.stats.group_statistics import MIN_STREAMLINES
    from dipy_tractoencoder.streamlines.array import merge_rejects
    from dipy_tractoencoder.utils.tables import rejects_text

    reader = TractogramChunks(path, reference)
    try:
        chunks = list(prepared_chunks(model, reader))
    finally:
        reader.close()
    n_kept = sum(map(len, chunks))
    if n_kept < MIN_STREAMLINES:
        rejects = merge_rejects(chunk.rejects for chunk in chunks)
        raise EmptyDataError(
            f"{path}: {n_kept} streamlines can be used{rejects_text(rejects)}. A "
            f"comparison needs {MIN_STREAMLINES} at least. Leave the file out."
        )
    points, index, is_reversed = (
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("points", "index", "is_reversed")
    )
    rows = np.random.default_rng(seed).permutation(n_kept)[:max_streamlines]
    rows.sort()
    return replace(
        chunks[0],
        points=points[rows],
        index=index[rows],
        is_reversed=is_reversed[rows],
        n_streamlines=sum(chunk.n_streamlines for chunk in chunks),
        rejects=merge_rejects(chunk.rejects for chunk in chunks),
    )
