"""The command that compares bundles of subjects with a reference group."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    load_backend,
)
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import logging_beside_bars

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.streamlines.array import StreamlineArray

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
        out_dir="",
        out_profiles="profiles.csv",
        out_summary="summary.csv",
        out_figure="comparison.png",
    ):
        """Find where bundles of subjects differ from those of a reference group.

        Each file is one bundle of one subject; all files are registered to one space.
        The name of the folder is the subject and the name of the file the bundle (a
        leading subject name and underscore are removed). Every segment of a bundle is
        tested against the reference group, and the p-values are corrected over the
        segments and bundles of a subject.

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
        out_dir : string or Path, optional
            Output directory.
        out_profiles : string, optional
            Name of the table of profiles (bundle, subject, group, disk, measure, z, p).
        out_summary : string, optional
            Name of the table with a row per bundle and subject, and their distances
            from the reference group.
        out_figure : string, optional
            Name of the picture of all profiles on top of those of the reference group.
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
        rows = self.plan(
            io_it,
            inputs=1,
            gathered=("out_profiles", "out_summary", "out_figure"),
            read=(reference, *reference_paths),
        )
        outputs = rows[0][1]

        from dipy_tractoencoder.io.open_file import check_common_space
        from dipy_tractoencoder.io.tractogram import check_tractogram_path
        from dipy_tractoencoder.nn.model_file import check_model_file, load_model

        subject_paths = [path for path, _ in rows]
        known = {path.resolve() for path in reference_paths}
        for path in subject_paths:
            if path.resolve() in known:
                raise InputFileError(
                    f"{path} is in both groups. Each subject of the reference group is "
                    "compared with its other subjects already: remove it from the "
                    "inputs."
                )
        for path in (*subject_paths, *reference_paths):
            check_tractogram_path(path, reference)
        check_common_space([*subject_paths, *reference_paths], reference)
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
            "%d of %d bundles differ from the reference group of %d subjects (%s, "
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
        logger.info("Next: view the picture; its horizontal axes count the segments.")


def by_subject(paths: Sequence[Path]) -> dict:
    """Group files, one bundle of one subject each, by the names of folders and files.

    Parameters
    ----------
    paths : sequence of Path
        Tractograms, as sub-01/AF_L.trk or sub-01/sub-01_AF_L.trk.

    Returns
    -------
    subjects : dict of dict of Path
        For each subject, the name of the folder, the path of each bundle, by the file
        name without extension and leading subject name.

    Raises
    ------
    InputFileError
        If two files are the same bundle of the same subject.
    """
    subjects: dict[str, dict[str, Path]] = {}
    for path in paths:
        subject = path.resolve().parent.name
        bundle = file_stem(path).removeprefix(f"{subject}_")
        known = subjects.setdefault(subject, {})
        if bundle in known:
            raise InputFileError(
                f"{known[bundle]} and {path} are both bundle {bundle} of subject "
                f"{subject}. The folder's name is the subject: give each subject a "
                "folder of its own."
            )
        known[bundle] = Path(path)
    return subjects


def read_bundle(
    model: StreamlineAutoencoder,
    path: Path,
    reference: str | Path | None,
    max_streamlines: int,
    seed: int,
) -> StreamlineArray:
    """Read and preprocess a random subset of the streamlines of a file.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose preprocessing is used.
    path : Path
        Tractogram.
    reference : str or Path or None
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    max_streamlines : int
        Largest number of streamlines to keep.
    seed : int
        Seed of the random subset.

    Returns
    -------
    array : StreamlineArray
        Streamlines; RASMM, mm, in the model's orientation.

    Raises
    ------
    EmptyDataError
        If there are too few usable streamlines.
    InputFileError
        If the file cannot be read.
    """
    from dataclasses import replace

    import numpy as np

    from dipy_tractoencoder.io.chunks import TractogramChunks
    from dipy_tractoencoder.latent.file_codec import prepared_chunks
    from dipy_tractoencoder.stats.group_statistics import MIN_STREAMLINES
    from dipy_tractoencoder.streamlines.array import merge_rejects
    from dipy_tractoencoder.utils.reservoir import sample_rows
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
            f"{path}: {n_kept} usable streamlines{rejects_text(rejects)}. A comparison "
            f"needs at least {MIN_STREAMLINES}. Leave the file out."
        )
    points, index, is_reversed = (
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("points", "index", "is_reversed")
    )
    rows = np.sort(sample_rows(n_kept, seed, max_streamlines))
    return replace(
        chunks[0],
        points=points[rows],
        index=index[rows],
        is_reversed=is_reversed[rows],
        n_streamlines=sum(chunk.n_streamlines for chunk in chunks),
        rejects=merge_rejects(chunk.rejects for chunk in chunks),
    )
