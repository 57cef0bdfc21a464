"""The command that samples new streamlines of bundles."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.utils.tables import rejects_text
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    load_backend,
)
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.progress import streamlines_bar

if TYPE_CHECKING:
    from dipy_tractoencoder.generation.bundle_density import BundleDensity
    from dipy_tractoencoder.generation.sampling import Samples
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

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
        density="mixture",
        max_parts=12,
        mask=None,
        min_inside=0.95,
        max_tries=None,
        seed=0,
        one_file=False,
        reference=None,
        vtk_space=None,
        chunk_size=20000,
        out_dir="",
        out_tractogram="new.trx",
        out_densities="densities.h5",
        out_table="samples.csv",
        out_figure="samples.png",
    ):
        """Sample new streamlines of bundles, the GESTA method.

        Example: dipy_sample_vae vae.keras --bundle_files atlas --mask wm.nii.gz

        A density is fitted to the latents of each bundle; draws from it are decoded,
        and kept if they are plausible: log density above the first percentile of the
        bundle's own streamlines, length between their first and 99th percentile
        (extended by 5 percent), curvature below their 99th percentile (extended by 10
        percent) and, with --mask, inside the mask. New streamlines are in the space of
        the tractogram of their bundle; trx and trk files store the log density as data
        per streamline, vae_log_density. The table shows the distance (MDF) of new
        streamlines to the nearest real one next to that of real streamlines to the
        nearest other one: new streamlines with a much smaller distance are copies,
        those with a much larger distance are unrealistic.

        Parameters
        ----------
        model_file : string or Path
            Model of dipy_train_vae.
        bundle_files : variable string or Path, optional
            Bundles: tractograms named by bundle, folders of them, or trx files with
            groups. Files with the same name in several folders are one bundle.
        density_file : string or Path, optional
            Densities (h5) of an earlier run with the same model, instead of bundles.
        groups : variable string, optional
            Groups of trx files that are bundles, or bundles to use of the densities;
            wildcards can be used.
        n_streamlines : int, optional
            Number of new streamlines per bundle.
        density : string, optional
            mixture (of Gaussians, their number by the Bayesian information criterion),
            kernel (a Gaussian around each streamline, its width by cross-validation)
            or prior (the prior of the model, the same for all bundles).
        max_parts : int, optional
            Largest number of Gaussians in a mixture; there is at most one for eight
            streamlines of a bundle.
        mask : string or Path, optional
            Mask image: new streamlines have to lie in its voxels above 0. Its own
            affine is used, so its grid may differ from that of the tractograms.
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
        if bool(bundle_files) == bool(density_file):
            raise InvalidArgumentError(
                "Give either bundles, with --bundle_files (tractograms, folders of "
                "them, a trx with groups), or the densities of an earlier run, with "
                "--density_file. The density prior needs one of them too, for the "
                "limits of plausible streamlines."
            )
        if one_file and file_format(out_tractogram) != ".trx":
            raise OutputFileError(
                f"Cannot write {out_tractogram}: only trx files have groups. Let "
                "--out_tractogram end in .trx, or leave out --one_file."
            )

        from dipy_tractoencoder.generation.bundle_density import load_mask
        from dipy_tractoencoder.generation.density_file import load_densities
        from dipy_tractoencoder.io.tractogram import check_output_extension
        from dipy_tractoencoder.latent.latents_file import check_latents_extension
        from dipy_tractoencoder.nn.model_file import check_model_file, load_model
        from dipy_tractoencoder.segment.bundle_names import (
            bundle_names,
            check_bundle_paths,
        )

        groups = as_list(groups)
        if density_file:
            files = []
            names = [b.name for b in load_densities(density_file, groups=groups)]
        else:
            files = check_bundle_paths(as_list(bundle_files), reference)
            refuse_latents(files)
            names = bundle_names(files, groups)
            check_latents_extension(out_densities)
        ((_, outputs),) = self.plan(
            io_it,
            inputs=0,
            unused=("out_densities",) if density_file else (),
            read=(reference, mask, density_file, *files),
            parts={} if one_file else {"out_tractogram": names},
        )
        check_output_extension(out_tractogram)
        check_model_file(model_file)
        inside = load_mask(mask) if mask else None
        load_backend()
        model = load_model(model_file)

        from dipy_tractoencoder.generation.density_file import save_densities
        from dipy_tractoencoder.generation.sampling import (
            fit_bundle_density,
            sample_streamlines,
            save_samples,
        )
        from dipy_tractoencoder.nn.provenance import fingerprint
        from dipy_tractoencoder.segment.bundle_files import bundle_arrays
        from dipy_tractoencoder.utils.tables import format_table, save_table
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.sampling import samples_figure

        real = {}
        if density_file:
            bundles = load_densities(density_file, model, groups=groups)
        else:
            with streamlines_bar(files, "Bundles", reference=reference) as advance:
                real, spaces = bundle_arrays(
                    model,
                    files,
                    groups=groups,
                    reference=reference,
                    chunk_size=chunk_size,
                    progress=advance,
                )
            bundles = [
                fit_bundle_density(
                    model,
                    points,
                    density,
                    max_parts=max_parts,
                    name=name,
                    space=spaces[name],
                )
                for name, points in real.items()
            ]
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
            table_row(bundle, samples[bundle.name], real.get(bundle.name))
            for bundle in bundles
        ]
        spaces = {bundle.name: bundle.space for bundle in bundles}
        save_samples(samples, spaces, outputs["out_tractogram"])
        save_table(self.table, outputs["out_table"])
        points = {name: new.points for name, new in samples.items()}
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
                bundles,
                outputs["out_densities"],
                fingerprint(model),
                overwrite=True,
            )
            logger.info("Densities: %s", outputs["out_densities"])
        logger.info(
            "New streamlines: %s",
            outputs["out_tractogram"] if one_file else Path(out_dir or "."),
        )
        logger.info("Table: %s", outputs["out_table"])
        logger.info("Next: view %s", outputs["out_figure"])


def refuse_latents(paths: Sequence[Path]) -> None:
    """Raise an error if a bundle is given as latents, which have no length.

    Parameters
    ----------
    paths : sequence of Path
        Files of bundles.

    Raises
    ------
    InputFileError
        If there are latents among them.
    """
    for path in paths:
        if file_format(path) in (".h5", ".hdf5"):
            raise InputFileError(
                f"{path} is no tractogram. Give densities of an earlier run with "
                "--density_file. Latents contain neither length nor curvature of "
                "streamlines: give their tractogram."
            )


def check_bundle_in_mask(
    model: StreamlineAutoencoder,
    bundle: BundleDensity,
    points: np.ndarray | None,
    options: dict,
) -> None:
    """Raise an error if no part of a bundle is inside the mask; warn if little is.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model to decode with, if there are no real streamlines.
    bundle : BundleDensity
        Density of the bundle.
    points : ndarray, shape (n_streamlines, n_points, 3), or None
        Real streamlines of the bundle, if available; RASMM, mm.
    options : dict
        "mask" and "min_inside".
    """
    import numpy as np

    from dipy_tractoencoder.generation.bundle_density import check_mask, fraction_inside
    from dipy_tractoencoder.latent.codec import decode

    if points is None:
        rng = np.random.default_rng(0)
        points = decode(model, bundle.density.sample(200, rng))
    check_mask(points, options["mask"], f"the bundle {bundle.name}")
    share = fraction_inside(points, *options["mask"]) >= options["min_inside"]
    if share.mean() < 0.5:
        logger.warning(
            "Only %.0f %% of the streamlines of %s have the fraction --min_inside of "
            "their points inside the mask; choose a smaller fraction or a larger mask.",
            100 * share.mean(),
            bundle.name,
        )


def table_row(
    bundle: BundleDensity, samples: Samples, real: np.ndarray | None = None
) -> dict:
    """Summarise the sampling of a bundle in a row of the table.

    Parameters
    ----------
    bundle : BundleDensity
        Density of the bundle.
    samples : Samples
        New streamlines.
    real : ndarray, shape (n_streamlines, n_points, 3), optional
        Real streamlines, mm.

    Returns
    -------
    row : dict
        Row of the table.
    """
    import numpy as np

    from dipy_tractoencoder.generation.bundle_density import REASONS
    from dipy_tractoencoder.generation.sampling import sampled_nearest_mdf

    row = {
        "bundle": bundle.name,
        "density": bundle.density.kind,
        "n_parts": bundle.density.n_parts,
        "n_real": bundle.n_streamlines,
        "tried": samples.n_tried,
        "accepted": len(samples),
        "yield": samples.acceptance,
    }
    for reason in REASONS:
        row[f"rejected_{reason}"] = samples.rejects.get(reason, 0)
    if real is not None:
        row["nearest_mm"] = float(np.median(sampled_nearest_mdf(samples.points, real)))
        row["real_nearest_mm"] = float(np.median(sampled_nearest_mdf(real)))
    return row
