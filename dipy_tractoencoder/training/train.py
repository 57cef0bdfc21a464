"""Train a model with settings given as keyword arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.training.fit import train_with_settings
from dipy_tractoencoder.training.settings import TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.training.run import TrainingRun


def train(
    tractograms: Any,
    *,
    model: str = "vae",
    backbone: str = "dense",
    linear_skip: bool = True,
    upsampling: str = "nearest",
    n_points: int = 256,
    latent_dim: int = 32,
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float | None = None,
    rate_schedule: bool = True,
    clip_norm: float = 1.0,
    loss: str = "likelihood",
    kl_weight: float = 1.0,
    kl_annealing: str = "constant",
    epsilon_std: float = 1.0,
    orientation: str = "canonical",
    normalise: bool = True,
    min_length: float = 0.0,
    max_length: float | None = None,
    validation_fraction: float = 0.1,
    patience: int | None = None,
    refit: bool = False,
    max_streamlines: int | None = None,
    precision: str = "float32",
    xla: str = "auto",
    alignment_sample: bool = True,
    seed: int = 0,
    validation: Any = None,
    groups: Sequence[Any] | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    bundles: Sequence[str] | None = None,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> StreamlineAutoencoder:
    """Train an autoencoder or VAE on streamlines.

    Parameters
    ----------
    tractograms : StatefulTractogram, or iterable of them or of sequences of ndarray
        Training tractograms, RASMM, mm; one item per file, for example. An array of
        shape (n_streamlines, n_points, 3) is one tractogram. An iterator can be read
        only once: resampled points are kept, 12 bytes times ``n_points`` per
        streamline. Otherwise a dense model keeps 260 bytes per streamline and reads
        three times.
    model : {"vae", "ae"}, optional
        Type of model: vae (variational autoencoder) or ae (autoencoder).
    backbone : {"dense", "compact", "finta"}, optional
        Architecture of encoder and decoder: dense (fully connected), compact or finta
        (convolutional).
    linear_skip : bool, optional
        Add a linear path through the principal components, so that the untrained model
        is PCA and the networks learn what PCA misses.
    upsampling : {"nearest", "linear"}, optional
        Upsampling in the decoders of finta and compact: nearest or linear.
    n_points : int, optional
        Number of points that streamlines are resampled to: a multiple of 32, at least
        64 for finta and 32 for compact; any number from 2 for dense.
    latent_dim : int, optional
        Number of latent dimensions.
    epochs : int, optional
        Largest number of passes over the streamlines; 0 gives PCA.
    batch_size : int, optional
        Streamlines per training step.
    learning_rate : float, optional
        Highest learning rate of the Adam optimiser; by default 0.002 for dense and
        0.0005 for compact and finta.
    rate_schedule : bool, optional
        Warm the learning rate up over the first 5 % of the steps, then decay it by a
        cosine.
    clip_norm : float, optional
        Largest norm of the gradient; 0 switches clipping off.
    loss : {"likelihood", "mse"}, optional
        Reconstruction term of the loss: likelihood (Gaussian negative log-likelihood
        with the optimal noise level, nats) or mse (mean squared error, mm^2).
    kl_weight : float, optional
        Weight of the Kullback-Leibler (KL) term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}, optional
        Schedule of the KL weight: constant, warmup, cyclical or rise_and_fall.
    epsilon_std : float, optional
        Standard deviation of the noise in the reparametrisation trick.
    orientation : {"canonical", "augment", "as_is"}, optional
        Handling of the direction of streamlines: canonical (a streamline and its
        reverse get the same latent), augment (reversed at random in training) or as_is.
    normalise : bool, optional
        Centre and scale coordinates.
    min_length : float, optional
        Shortest streamline to use, in mm.
    max_length : float, optional
        Longest streamline to use, in mm.
    validation_fraction : float, optional
        Fraction held out to choose the best epoch; 0 for none.
    patience : int, optional
        Epochs without improvement after which training stops; by default it runs to the
        end. The best epoch is kept in any case.
    refit : bool, optional
        Train a second time on all streamlines, for as many epochs as validation chose.
    max_streamlines : int, optional
        Train on a random subset of this size, which limits the memory needed.
    precision : {"float32", "mixed_bfloat16"}, optional
        Number format of the networks' products: float32, or mixed_bfloat16 for devices
        that are faster with it.
    xla : {"auto", "on", "off"}, optional
        Compile training steps with XLA: auto, on or off.
    alignment_sample : bool, optional
        Store a sample of up to 2,500 training streamlines in the model, for aligning
        subjects to it; otherwise only centroids of clusters.
    seed : int, optional
        Seed of all random numbers.
    validation : StatefulTractogram, or iterable as ``tractograms``, optional
        Validation tractograms, RASMM, mm, to choose the best epoch on; by default
        ``validation_fraction`` of the training streamlines is held out.
    groups : sequence, optional
        Label of each tractogram, such as its subject; tractograms with the same label
        are held out together.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space, for subjects in their own spaces;
        of the training tractograms, then of the validation tractograms.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram, so that subjects with the same bundles
        can be aligned by them.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    callbacks : sequence of keras.callbacks.Callback, optional
        Additional callbacks, called after those of this package. Their own state is
        not kept in the checkpoint.
    checkpoint : str or Path, optional
        File that stores the full training state every few seconds and when the
        training is interrupted. It stays when the training ends, and can be deleted
        once the model is saved.
    resume : bool, optional
        Resume the training from the checkpoint, if it exists. Given the same data,
        settings, backend and machine, the model is the same, bit for bit, as without
        the interruption.

    Returns
    -------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model with the weights of the best validation epoch, and
        ``model.record``.

    Raises
    ------
    InvalidArgumentError
        If a setting is out of range, or something given is not a tractogram.
    EmptyDataError
        If no streamline is left to train on.
    TrainingDivergedError
        If the loss stops being finite.
    InputFileError
        If the checkpoint is damaged, or of another training.

    See Also
    --------
    run_training : The same, returning the validation streamlines, too.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.tractogram(), n_points=32, latent_dim=2, epochs=1)
    >>> model.latent_dim
    2
    """
    given = dict(locals())  # All arguments, by name.
    return run_training(**given).model


def run_training(
    tractograms: Any,
    *,
    model: str = "vae",
    backbone: str = "dense",
    linear_skip: bool = True,
    upsampling: str = "nearest",
    n_points: int = 256,
    latent_dim: int = 32,
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float | None = None,
    rate_schedule: bool = True,
    clip_norm: float = 1.0,
    loss: str = "likelihood",
    kl_weight: float = 1.0,
    kl_annealing: str = "constant",
    epsilon_std: float = 1.0,
    orientation: str = "canonical",
    normalise: bool = True,
    min_length: float = 0.0,
    max_length: float | None = None,
    validation_fraction: float = 0.1,
    patience: int | None = None,
    refit: bool = False,
    max_streamlines: int | None = None,
    precision: str = "float32",
    xla: str = "auto",
    alignment_sample: bool = True,
    seed: int = 0,
    validation: Any = None,
    groups: Sequence[Any] | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    bundles: Sequence[str] | None = None,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> TrainingRun:
    """Train a model and return it with the held-out streamlines.

    Parameters
    ----------
    tractograms : StatefulTractogram, or iterable of them or of sequences of ndarray
        Training tractograms, RASMM, mm; one item per file, for example. An array of
        shape (n_streamlines, n_points, 3) is one tractogram. An iterator can be read
        only once: resampled points are kept, 12 bytes times ``n_points`` per
        streamline. Otherwise a dense model keeps 260 bytes per streamline and reads
        three times.
    model : {"vae", "ae"}, optional
        Type of model: vae (variational autoencoder) or ae (autoencoder).
    backbone : {"dense", "compact", "finta"}, optional
        Architecture of encoder and decoder: dense (fully connected), compact or finta
        (convolutional).
    linear_skip : bool, optional
        Add a linear path through the principal components, so that the untrained model
        is PCA and the networks learn what PCA misses.
    upsampling : {"nearest", "linear"}, optional
        Upsampling in the decoders of finta and compact: nearest or linear.
    n_points : int, optional
        Number of points that streamlines are resampled to: a multiple of 32, at least
        64 for finta and 32 for compact; any number from 2 for dense.
    latent_dim : int, optional
        Number of latent dimensions.
    epochs : int, optional
        Largest number of passes over the streamlines; 0 gives PCA.
    batch_size : int, optional
        Streamlines per training step.
    learning_rate : float, optional
        Highest learning rate of the Adam optimiser; by default 0.002 for dense and
        0.0005 for compact and finta.
    rate_schedule : bool, optional
        Warm the learning rate up over the first 5 % of the steps, then decay it by a
        cosine.
    clip_norm : float, optional
        Largest norm of the gradient; 0 switches clipping off.
    loss : {"likelihood", "mse"}, optional
        Reconstruction term of the loss: likelihood (Gaussian negative log-likelihood
        with the optimal noise level, nats) or mse (mean squared error, mm^2).
    kl_weight : float, optional
        Weight of the Kullback-Leibler (KL) term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}, optional
        Schedule of the KL weight: constant, warmup, cyclical or rise_and_fall.
    epsilon_std : float, optional
        Standard deviation of the noise in the reparametrisation trick.
    orientation : {"canonical", "augment", "as_is"}, optional
        Handling of the direction of streamlines: canonical (a streamline and its
        reverse get the same latent), augment (reversed at random in training) or as_is.
    normalise : bool, optional
        Centre and scale coordinates.
    min_length : float, optional
        Shortest streamline to use, in mm.
    max_length : float, optional
        Longest streamline to use, in mm.
    validation_fraction : float, optional
        Fraction held out to choose the best epoch; 0 for none.
    patience : int, optional
        Epochs without improvement after which training stops; by default it runs to the
        end. The best epoch is kept in any case.
    refit : bool, optional
        Train a second time on all streamlines, for as many epochs as validation chose.
    max_streamlines : int, optional
        Train on a random subset of this size, which limits the memory needed.
    precision : {"float32", "mixed_bfloat16"}, optional
        Number format of the networks' products: float32, or mixed_bfloat16 for devices
        that are faster with it.
    xla : {"auto", "on", "off"}, optional
        Compile training steps with XLA: auto, on or off.
    alignment_sample : bool, optional
        Store a sample of up to 2,500 training streamlines in the model, for aligning
        subjects to it; otherwise only centroids of clusters.
    seed : int, optional
        Seed of all random numbers.
    validation : StatefulTractogram, or iterable as ``tractograms``, optional
        Validation tractograms, RASMM, mm, to choose the best epoch on; by default
        ``validation_fraction`` of the training streamlines is held out.
    groups : sequence, optional
        Label of each tractogram, such as its subject; tractograms with the same label
        are held out together.
    alignments : sequence of Alignment or None, optional
        Transform of each tractogram to one space, for subjects in their own spaces;
        of the training tractograms, then of the validation tractograms.
    bundles : sequence of str, optional
        Name of the bundle in each tractogram, so that subjects with the same bundles
        can be aligned by them.
    tensorboard : str or Path, optional
        Folder for TensorBoard logs.
    callbacks : sequence of keras.callbacks.Callback, optional
        Additional callbacks, called after those of this package. Their own state is
        not kept in the checkpoint.
    checkpoint : str or Path, optional
        File that stores the full training state every few seconds and when the
        training is interrupted. It stays when the training ends, and can be deleted
        once the model is saved.
    resume : bool, optional
        Resume the training from the checkpoint, if it exists. Given the same data,
        settings, backend and machine, the model is the same, bit for bit, as without
        the interruption.

    Returns
    -------
    run : TrainingRun
        Trained model with the weights of the best validation epoch, and the held-out
        streamlines with their reconstructions.

    Raises
    ------
    InvalidArgumentError
        If a setting is out of range, or something given is not a tractogram.
    EmptyDataError
        If no streamline is left to train on.
    TrainingDivergedError
        If the loss stops being finite.
    InputFileError
        If the checkpoint is damaged, or of another training.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> run = dte.run_training(made.tractogram(), n_points=32, latent_dim=2, epochs=1)
    >>> run.held_out, run.points.shape
    (True, (4, 32, 3))
    """
    given = dict(locals())  # All arguments, by name.
    names = [field.name for field in fields(TrainingSettings)]
    settings = TrainingSettings(**{name: given.pop(name) for name in names})
    return train_with_settings(settings=settings, **given)
