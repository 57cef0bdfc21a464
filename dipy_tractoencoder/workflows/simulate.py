"""The command that simulates labelled streamlines of the FiberCup phantom."""

from __future__ import annotations

import logging
from pathlib import Path
import shlex
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    OutputFileError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.utils.atomic_files import check_writable, whole_file
from dipy_tractoencoder.workflows.base import TractoWorkflow, check_figure_extension

if TYPE_CHECKING:
    from dipy_tractoencoder.sims.labels import LabelledStreamlines

logger = logging.getLogger(__name__)

# Formats that can store the labels.
LABELLED_EXTENSIONS = (".trx", ".trk")
IMAGE_EXTENSIONS = (".nii", ".nii.gz")


class SimulateFiberCupFlow(TractoWorkflow):
    """Simulate streamlines of the FiberCup phantom."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "fibercup"

    def run(
        self,
        n_train=3112,
        n_validation=500,
        n_test=1000,
        implausible_fraction=0.3,
        plausible_train=False,
        tracked=False,
        algorithm="probabilistic",
        snr=20.0,
        save_signal=False,
        seed=0,
        out_dir="",
        out_train="train.trx",
        out_validation="validation.trx",
        out_test="test.trx",
        out_mask="mask.nii.gz",
        out_dwi="dwi.nii.gz",
        out_bval="dwi.bval",
        out_bvec="dwi.bvec",
        out_figure="fibercup.png",
    ):
        """Simulate labelled streamlines of a synthetic FiberCup phantom.

        Example: dipy_simulate_fibercup --tracked --snr 15 --out_dir fibercup

        Nothing is downloaded. Three tractograms for training, validation and test
        contain seven bundles that cross, touch and fork, and implausible streamlines:
        early stops, wrong turns, U-turns and loops. Labels are data per streamline:
        bundle (0 A, 1 U, 2 B, 3 S, 4 E1, 5 E2, 6 E3), plausible (1 or 0) and fault (0
        none, 1 early stop, 2 wrong turn, 3 U-turn, 4 loop); trx files have them as
        groups, too. With --tracked, streamlines come from tracking on a simulated
        diffusion signal and are labelled by their end regions.

        Parameters
        ----------
        n_train : int, optional
            Number of plausible training streamlines.
        n_validation : int, optional
            Number of plausible validation streamlines.
        n_test : int, optional
            Number of plausible test streamlines.
        implausible_fraction : float, optional
            Fraction of implausible streamlines, from 0 to below 1. With --tracked it
            is determined by the tracking.
        plausible_train : bool, optional
            Leave implausible streamlines out of the training set.
        tracked : bool, optional
            Simulate the diffusion signal and track on it, instead of generating
            streamlines directly.
        algorithm : string, optional
            Tracking algorithm: deterministic or probabilistic.
        snr : float, optional
            Signal-to-noise ratio of the b0 in the simulated signal; None for no noise.
        save_signal : bool, optional
            Also write the simulated signal, its b-values and its directions (along the
            axes of the image).
        seed : int, optional
            Seed of all random numbers.
        out_dir : string or Path, optional
            Output directory.
        out_train : string, optional
            Name of the training tractogram, ending in .trx or .trk.
        out_validation : string, optional
            Name of the validation tractogram.
        out_test : string, optional
            Name of the test tractogram.
        out_mask : string, optional
            Name of the white-matter mask, a reference for the tractograms.
        out_dwi : string, optional
            Name of the diffusion signal.
        out_bval : string, optional
            Name of the b-values.
        out_bvec : string, optional
            Name of the directions.
        out_figure : string, optional
            Name of the picture of all streamlines by bundle and fault.
        """
        outputs = {
            "out_train": out_train,
            "out_validation": out_validation,
            "out_test": out_test,
            "out_mask": out_mask,
            "out_dwi": out_dwi,
            "out_bval": out_bval,
            "out_bvec": out_bvec,
            "out_figure": out_figure,
        }
        if not save_signal:
            for name in ("out_dwi", "out_bval", "out_bvec"):
                del outputs[name]
        outputs = {name: Path(out_dir, file) for name, file in outputs.items()}
        sizes = {"train": n_train, "validation": n_validation, "test": n_test}
        _check_options(sizes, implausible_fraction, algorithm, snr, seed)
        _check_extensions(outputs)
        check_outputs(outputs, force=self._force_overwrite)

        import numpy as np

        from dipy_tractoencoder.sims.fibercup import make_fibercup
        from dipy_tractoencoder.sims.geometry import fibercup_mask
        from dipy_tractoencoder.sims.labels import join, split_streamlines
        from dipy_tractoencoder.viz.base import save_figure
        from dipy_tractoencoder.viz.phantom import phantom_figure

        rng = np.random.default_rng(seed)
        if tracked or save_signal:
            from dipy_tractoencoder.sims.tracking import (
                gradient_scheme,
                simulate_signal,
                track_fibercup,
            )

            logger.info("Simulating the diffusion signal.")
            gtab = gradient_scheme(seed=rng)
            signal = simulate_signal(gtab, snr=snr, seed=rng)
        if tracked:
            logger.info("Tracking, %s.", algorithm)
            pool = track_fibercup(
                signal, gtab, sum(sizes.values()), algorithm=algorithm, seed=rng
            )
            splits = split_streamlines(pool, sizes, seed=rng)
        else:
            splits = {
                name: make_fibercup(size, implausible_fraction, seed=rng)
                for name, size in sizes.items()
            }
        if plausible_train:
            splits["train"] = splits["train"][splits["train"].plausible == 1]
        how = f"{algorithm} tracking" if tracked else "generated streamlines"
        figure = phantom_figure(join(splits.values()), what=f"FiberCup-like, {how}")
        save_figure(figure, outputs["out_figure"])
        save_image(fibercup_mask().astype(np.uint8), outputs["out_mask"])
        if save_signal:
            save_image(signal, outputs["out_dwi"])
            with whole_file(outputs["out_bval"]) as partial:
                np.savetxt(partial, gtab.bvals[None], fmt="%g")
            with whole_file(outputs["out_bvec"]) as partial:
                np.savetxt(partial, gtab.bvecs.T, fmt="%.8f")
        for name, labelled in splits.items():
            path = outputs[f"out_{name}"]
            save_labelled(labelled, path)
            logger.info("%s: %s: %s", name.capitalize(), path, labelled.summary())
        logger.info("Mask: %s", outputs["out_mask"])
        if save_signal:
            logger.info("Signal: %s", outputs["out_dwi"])
        logger.info("Figure: %s", outputs["out_figure"])
        logger.info("Next: dipy_train_vae %s", shlex.quote(str(outputs["out_train"])))
        self.last_generated_outputs = {
            name: str(path) for name, path in outputs.items()
        }
        self.flat_outputs = list(self.last_generated_outputs.values())


def check_outputs(outputs: dict, *, force: bool = False) -> None:
    """Raise an error unless all outputs of a flow without inputs can be written.

    Parameters
    ----------
    outputs : dict of str to Path
        File of each output, by the name of the argument.
    force : bool, optional
        Whether existing files may be replaced.

    Raises
    ------
    OutputFileError
        If a file exists, two outputs are the same file, or one cannot be written.
    """
    targets = sorted(outputs.values())
    if len({target.resolve() for target in targets}) < len(targets):
        raise OutputFileError(
            "Two outputs have the same name: "
            f"{', '.join(map(str, targets))}. Nothing was done."
        )
    existing = [str(target) for target in targets if target.is_file()]
    if existing and not force:
        raise OutputFileError(
            f"Output exists: {', '.join(existing)}. Nothing was done. Add --force to "
            "replace, or choose another --out_dir."
        )
    for target in targets:
        check_writable(target)


def save_labelled(labelled: LabelledStreamlines, path: Path) -> None:
    """Save labelled streamlines, to a TRX file with groups; completely or not at all.

    Parameters
    ----------
    labelled : LabelledStreamlines
        Streamlines and labels.
    path : Path
        File to write, .trx or .trk.
    """
    import numpy as np

    from dipy_tractoencoder.io.mapped import MappedTractogram
    from dipy_tractoencoder.io.space import tractogram_space
    from dipy_tractoencoder.io.tractogram import save_tractogram
    from dipy_tractoencoder.io.writers import save_selection

    tractogram = labelled.tractogram()
    if path.suffix.lower() != ".trx":
        save_tractogram(tractogram, path, overwrite=True)
        return
    # DIPY's StatefulTractogram has no groups.
    source = MappedTractogram(
        tractogram.streamlines,
        tractogram_space(tractogram),
        dict(tractogram.data_per_streamline),
        dict(tractogram.data_per_point),
        labelled.groups(),
    )
    save_selection(source, np.arange(len(source)), path)


def save_image(data: np.ndarray, path: Path) -> None:
    """Save an image in the space of the phantom, completely or not at all.

    Parameters
    ----------
    data : ndarray, shape (64, 64, 3) or (64, 64, 3, any)
        Values of the voxels.
    path : Path
        File to write, .nii or .nii.gz.
    """
    import nibabel as nib

    from dipy_tractoencoder.sims.geometry import AFFINE

    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm")
    with whole_file(path) as partial:
        nib.save(image, partial)


def _check_options(sizes, implausible_fraction, algorithm, snr, seed):
    """Raise InvalidArgumentError for values that cannot be used."""
    from dipy_tractoencoder.sims.labels import check_fraction
    from dipy_tractoencoder.sims.tracking import ALGORITHMS

    for name, size in sizes.items():
        check_number(f"n_{name}", size, low=1, integer=True)
    check_fraction("implausible_fraction", implausible_fraction)
    check_choice("algorithm", algorithm, ALGORITHMS)
    if snr is not None:
        check_number("snr", snr, above=0)
    check_number("seed", seed, low=0, high=2**31 - 1, integer=True)


def _check_extensions(outputs):
    """Raise OutputFileError or InvalidArgumentError for names without a format."""
    from dipy_tractoencoder.io.tractogram import check_output_extension

    for name in ("out_train", "out_validation", "out_test"):
        check_output_extension(outputs[name], LABELLED_EXTENSIONS)
    for name in ("out_mask", "out_dwi"):
        path = outputs.get(name)
        if path is not None and not path.name.lower().endswith(IMAGE_EXTENSIONS):
            raise InvalidArgumentError(
                f"Cannot write {path}: an image's file ends in one of "
                f"{' '.join(IMAGE_EXTENSIONS)}."
            )
    check_figure_extension(outputs["out_figure"])
