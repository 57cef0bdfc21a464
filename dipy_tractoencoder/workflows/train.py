"""The command that trains a model on tractograms."""

from __future__ import annotations

import logging
from pathlib import Path
import shlex

from dipy_tractoencoder.errors import OutputFileError, check_choice, check_number
from dipy_tractoencoder.io.paths import existing, has_wildcard, tractogram_files
from dipy_tractoencoder.io.subjects import SUBJECT_BY
from dipy_tractoencoder.report.page import check_report_extension
from dipy_tractoencoder.training.checkpoint import checkpoint_path
from dipy_tractoencoder.training.settings import TrainingSettings as Defaults
from dipy_tractoencoder.utils.atomic_files import check_writable
from dipy_tractoencoder.workflows.alignment_options import ALIGN
from dipy_tractoencoder.workflows.base import (
    TractoWorkflow,
    as_list,
    check_figure_extension,
    chosen_options,
)
from dipy_tractoencoder.workflows.inputs import as_reference
from dipy_tractoencoder.workflows.train_files import train_files
from dipy_tractoencoder.workflows.training_subjects import (
    MEAN,
    VALIDATION_BY,
    TrainingSubjects,
    file_bundles,
    validation_groups,
)

logger = logging.getLogger(__name__)


class TrainVAEFlow(TractoWorkflow):
    """Train a variational autoencoder, or an autoencoder, on tractograms."""

    @classmethod
    def get_short_name(cls) -> str:
        """Prefix of this flow's options in a combined workflow."""
        return "train"

    def run(
        self,
        input_files,
        model=Defaults.model,
        backbone=Defaults.backbone,
        no_linear_skip=False,
        upsampling=Defaults.upsampling,
        n_points=Defaults.n_points,
        latent_dim=Defaults.latent_dim,
        epochs=Defaults.epochs,
        batch_size=Defaults.batch_size,
        learning_rate=Defaults.learning_rate,
        no_rate_schedule=False,
        clip_norm=Defaults.clip_norm,
        loss=Defaults.loss,
        kl_weight=Defaults.kl_weight,
        kl_annealing=Defaults.kl_annealing,
        epsilon_std=Defaults.epsilon_std,
        orientation=Defaults.orientation,
        no_normalization=False,
        min_length=Defaults.min_length,
        max_length=Defaults.max_length,
        validation_fraction=Defaults.validation_fraction,
        validation_by="streamline",
        validation_files=None,
        patience=Defaults.patience,
        refit=False,
        resume=False,
        max_streamlines=Defaults.max_streamlines,
        precision=Defaults.precision,
        xla=Defaults.xla,
        reference=None,
        vtk_space=None,
        seed=Defaults.seed,
        tensorboard=None,
        no_alignment_sample=False,
        keep_bundles=False,
        per_bundle=500,
        align="check",
        align_to=None,
        subject_by="auto",
        align_anyway=False,
        out_dir="",
        out_model="vae.keras",
        out_history="history.csv",
        out_figure="training.png",
        out_report="report.html",
    ):
        """Train a variational autoencoder on the streamlines of tractograms.

        The model file contains everything that dipy_encode_vae, dipy_decode_vae and
        dipy_reconstruct_vae need. Errors are root mean squared distances of points in
        mm, measured on held-out streamlines. Every error is shown next to that of PCA
        with the same number of dimensions.

        Example: dipy_train_vae sub-*/whole_brain.trx --latent_dim 16 --out_dir model

        Parameters
        ----------
        input_files : variable string or Path
            Training tractograms (trk, tck, trx, vtk, vtp, fib, dpy, trk.gz, tck.gz,
            tt.gz), or folders of them. Wildcards can be used; 'FOLDER/**' also reads
            the folders in it.
        model : string, optional
            Type of model: vae (variational autoencoder) or ae (autoencoder).
        backbone : string, optional
            Architecture of encoder and decoder: dense (fully connected), compact or
            finta (convolutional).
        no_linear_skip : bool, optional
            Do not start from principal components: the networks learn the whole
            mapping. With finta this is the model of the GSoC 2024 project.
        upsampling : string, optional
            Upsampling in the decoders of finta and compact: nearest or linear.
        n_points : int, optional
            Number of points that streamlines are resampled to: a multiple of 32, at
            least 64 for finta and 32 for compact; any number from 2 for dense.
        latent_dim : int, optional
            Number of latent dimensions.
        epochs : int, optional
            Largest number of passes over the streamlines; 0 gives PCA.
        batch_size : int, optional
            Streamlines per training step.
        learning_rate : float, optional
            Highest learning rate of the Adam optimiser; by default 0.002 for dense and
            0.0005 for compact and finta.
        no_rate_schedule : bool, optional
            Keep the learning rate constant, without warm-up and cosine decay.
        clip_norm : float, optional
            Largest norm of the gradient; 0 switches clipping off.
        loss : string, optional
            Reconstruction term of the loss: likelihood (Gaussian negative
            log-likelihood with the optimal noise level, nats) or mse (mean squared
            error, mm^2).
        kl_weight : float, optional
            Weight of the Kullback-Leibler (KL) term.
        kl_annealing : string, optional
            Schedule of the KL weight: constant, warmup, cyclical or rise_and_fall.
        epsilon_std : float, optional
            Standard deviation of the noise in the reparametrisation trick.
        orientation : string, optional
            Handling of the direction of streamlines: canonical (a streamline and its
            reverse get the same latent), augment (reversed at random in training) or
            as_is.
        no_normalization : bool, optional
            Train on coordinates in mm that are not centred and scaled.
        min_length : float, optional
            Shortest streamline to use, in mm.
        max_length : float, optional
            Longest streamline to use, in mm.
        validation_fraction : float, optional
            Fraction held out to choose the best epoch; 0 for none.
        validation_by : string, optional
            What is held out together: streamline, file, folder or subject (all files
            and sessions of one person).
        validation_files : variable string or Path, optional
            Validation tractograms, or folders of them, instead of a fraction of the
            input files.
        patience : int, optional
            Epochs without improvement after which training stops; by default it runs to
            the end. The best epoch is kept in any case.
        refit : bool, optional
            Train a second time on all streamlines, for as many epochs as validation
            chose.
        resume : bool, optional
            Resume an interrupted training; files and options must be unchanged. The
            model is the same as without the interruption. Until the training is done,
            its state is in <name>.checkpoint.npz, in the folder of the model.
        max_streamlines : int, optional
            Train on a random subset of this size, which limits the memory needed.
        precision : string, optional
            Number format of the networks' products: float32, or mixed_bfloat16 for
            devices that are faster with it.
        xla : string, optional
            Compile training steps with XLA: auto, on or off.
        reference : string or Path, optional
            Reference image or TRK for formats without a header (TCK, VTK, ...).
        vtk_space : string, optional
            Space of the points in VTK, VTP and FIB files, ras or lps; by default that
            which a file names, otherwise ras.
        seed : int, optional
            Seed of all random numbers.
        tensorboard : string or Path, optional
            Folder for TensorBoard logs.
        no_alignment_sample : bool, optional
            Store only centroids of clusters in the model, for aligning subjects to it,
            and no training streamlines.
        keep_bundles : bool, optional
            Store bundles in the model, by which dipy_label_vae, dipy_filter_vae,
            dipy_sample_vae and dipy_explore_vae work without files of bundles. Each
            training file, or group of a trx file, is a bundle; files with the same
            name in several folders are one. Whoever has the model can decode
            streamlines from them.
        per_bundle : int, optional
            Largest number of latents of a bundle that --keep_bundles stores; they are
            drawn so that they cover the bundle.
        align : string, optional
            off; check (measure whether the subjects lie in one space, and warn if they
            do not); or rigid, similarity or affine (align each subject to the first, or
            as --align_to says).
        align_to : variable string or Path, optional
            Tractograms, or a model, to align the subjects to; or mean, for the mean of
            the subjects in the space of the first.
        subject_by : string, optional
            How to tell which files are of one subject, and are aligned together: auto,
            entity (as sub-01), folder or file.
        align_anyway : bool, optional
            Use an alignment that cannot be relied on, with a warning.
        out_dir : string or Path, optional
            Output directory.
        out_model : string, optional
            Name of the model file, ending in .keras.
        out_history : string, optional
            Name of the table of losses per epoch.
        out_figure : string, optional
            Name of the figure of loss curves and reconstructions.
        out_report : string, optional
            Name of the report, one HTML file with settings, warnings, errors, loss
            curves and pictures.
        """
        io_it = self.get_io_iterator()
        chosen, defaults = chosen_options(self.run, locals())
        reference = as_reference(reference, vtk_space)
        check_report_extension(out_report)
        check_choice("validation_by", validation_by, VALIDATION_BY)
        check_figure_extension(out_figure)
        outputs = ("out_model", "out_history", "out_figure", "out_report")
        validation_paths = tractogram_files(as_list(validation_files)) or None
        check_number("per_bundle", per_bundle, low=10, integer=True)
        check_choice("align", align, ALIGN)
        check_choice("subject_by", subject_by, SUBJECT_BY)
        others = [path for path in as_list(align_to) if str(path) != MEAN]
        known = [existing(path) for path in others if not has_wildcard(path)]
        read = (reference, *(validation_paths or ()), *known)
        model_path = Path(io_it.outputs[0][io_it.out_keys.index("out_model")])
        kept = checkpoint_path(model_path)
        if kept.is_file() and resume:
            self._force_overwrite = True  # For outputs of the interrupted training.
        elif kept.is_file() and not self._force_overwrite:
            raise OutputFileError(
                f"There is an interrupted training in {kept}. Nothing was done. Add "
                "--resume to resume it, or --force to start anew."
            )
        rows = self.plan(io_it, inputs=0, gathered=outputs, read=read)
        check_writable(kept)  # Its name is longer than the model's.
        paths = [path for path, _ in rows]
        target = rows[0][1]
        settings = Defaults(
            model=model,
            backbone=backbone,
            linear_skip=not no_linear_skip,
            upsampling=upsampling,
            n_points=n_points,
            latent_dim=latent_dim,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            rate_schedule=not no_rate_schedule,
            clip_norm=clip_norm,
            loss=loss,
            kl_weight=kl_weight,
            kl_annealing=kl_annealing,
            epsilon_std=epsilon_std,
            orientation=orientation,
            normalise=not no_normalization,
            min_length=min_length,
            max_length=max_length,
            validation_fraction=validation_fraction,
            patience=patience,
            refit=refit,
            max_streamlines=max_streamlines,
            precision=precision,
            xla=xla,
            alignment_sample=not no_alignment_sample,
            seed=seed,
        )
        subjects = TrainingSubjects(
            [*paths, *(validation_paths or ())],
            align=align,
            align_to=align_to,
            subject_by=subject_by,
            align_anyway=align_anyway,
            seed=seed,
            image=reference,
        )
        self.report = train_files(
            paths,
            settings,
            target["out_model"],
            target["out_history"],
            target["out_figure"],
            target["out_report"],
            about={"settings": chosen, "defaults": defaults, "command": self.command},
            reference=reference,
            validation_paths=validation_paths,
            groups=validation_groups(paths, validation_by, subject_by),
            subjects=subjects,
            bundles=file_bundles(paths, subject_by),
            tensorboard=tensorboard,
            resume=resume,
            per_bundle=per_bundle if keep_bundles else None,
        )
        logger.info("Next: dipy_encode_vae %s FILES", shlex.quote(str(model_path)))
