"""Settings of a training, in one frozen record."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    UnknownArgumentError,
    check_choice,
    check_number,
    format_received,
)

MODELS = ("vae", "ae")
PRECISIONS = ("float32", "mixed_bfloat16")
COMPILING = ("auto", "on", "off")

DENSE_RATE = 2e-3
CONVOLUTION_RATE = 5e-4


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training; the defaults are those of the command line.

    Attributes
    ----------
    model : {"vae", "ae"}
        Variational autoencoder or plain autoencoder.
    backbone : {"dense", "compact", "finta"}
        Architecture of encoder and decoder: dense networks on principal components,
        or one of two convolutional networks.
    linear_skip : bool
        Add a linear path through the principal components, so that the untrained
        model is PCA and the networks learn what PCA misses.
    upsampling : {"nearest", "linear"}
        Upsampling of the convolutional decoders.
    n_points : int
        Points per resampled streamline.
    latent_dim : int
        Number of latent dimensions.
    epochs : int
        Passes over the training streamlines; 0 gives the untrained model.
    batch_size : int
        Streamlines per training step.
    learning_rate : float or None
        Highest learning rate of the Adam optimiser; None is 2e-3 for the dense backbone
        and 5e-4 for the convolutional ones, which diverge at higher rates.
    rate_schedule : bool
        Warm the learning rate up over the first 5 % of the steps, then decay it by a
        cosine; otherwise it is constant.
    clip_norm : float
        Largest norm of the gradient; 0 switches clipping off.
    loss : {"likelihood", "mse"}
        Reconstruction term of the loss: Gaussian negative log-likelihood with the noise
        level that is optimal for the batch, or mean squared error.
    kl_weight : float
        Weight of the Kullback-Leibler (KL) term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}
        Schedule of that weight over the training.
    epsilon_std : float
        Standard deviation of the noise when latents are sampled in training.
    orientation : {"canonical", "augment", "as_is"}
        Handling of the direction of streamlines, which is arbitrary: reverse them to
        one canonical direction, reverse them at random in training, or keep them.
    normalise : bool
        Centre and scale coordinates.
    min_length, max_length : float or None
        Shortest and longest streamline used, mm; None sets no limit.
    validation_fraction : float
        Fraction of the streamlines held out to choose the best epoch.
    patience : int or None
        Epochs without improvement after which training stops; None never stops early.
        Most of the gain of the rate schedule comes in the last epochs, and the best
        epoch is kept in any case, so stopping early only saves time.
    refit : bool
        Train a second time on all streamlines, for as many epochs as validation chose.
    max_streamlines : int or None
        Train on a random subset of this size; None uses all streamlines.
    precision : {"float32", "mixed_bfloat16"}
        Number format of the networks' products; weights, PCA and losses are float32.
    xla : {"auto", "on", "off"}
        Compile training steps with XLA; "auto" leaves the choice to Keras. With JAX
        they are always compiled.
    seed : int
        Seed of all random numbers.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> settings = dte.TrainingSettings(latent_dim=16, epochs=20)
    >>> settings.model, settings.latent_dim, settings.highest_rate
    ('vae', 16, 0.002)
    """

    model: str = "vae"
    backbone: str = "dense"
    linear_skip: bool = True
    upsampling: str = "nearest"
    n_points: int = 256
    latent_dim: int = 32
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float | None = None
    rate_schedule: bool = True
    clip_norm: float = 1.0
    loss: str = "likelihood"
    kl_weight: float = 1.0
    kl_annealing: str = "constant"
    epsilon_std: float = 1.0
    orientation: str = "canonical"
    normalise: bool = True
    min_length: float = 0.0
    max_length: float | None = None
    validation_fraction: float = 0.1
    patience: int | None = None
    refit: bool = False
    max_streamlines: int | None = None
    precision: str = "float32"
    xla: str = "auto"
    seed: int = 0

    def __post_init__(self):
        check_choice("model", self.model, MODELS)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("xla", self.xla, COMPILING)
        check_number("epochs", self.epochs, low=0, integer=True)
        check_number("batch_size", self.batch_size, low=1, integer=True)
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, above=0)
        check_number("clip_norm", self.clip_norm, low=0)
        if self.patience is not None:
            check_number("patience", self.patience, low=1, integer=True)
        check_number("seed", self.seed, low=0, high=2**31 - 1, integer=True)

    @property
    def highest_rate(self) -> float:
        """Highest learning rate; the default of the backbone where none was given."""
        if self.learning_rate is not None:
            return self.learning_rate
        return DENSE_RATE if self.backbone == "dense" else CONVOLUTION_RATE

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a plain dictionary."""
        return asdict(self)


def replace_settings(
    settings: TrainingSettings | None, options: dict, others: Iterable[str] = ()
) -> TrainingSettings:
    """Return a copy of settings with some fields replaced.

    Parameters
    ----------
    settings : TrainingSettings or None
        Settings to start from; None is the defaults.
    options : dict of object
        New value of each field to replace, by name.
    others : iterable of str, optional
        Other valid names, to suggest for a misspelt one.

    Returns
    -------
    settings : TrainingSettings
        The changed copy.

    Raises
    ------
    UnknownArgumentError
        If there is no setting of a name in ``options``.
    InvalidArgumentError
        If a value is out of range, or ``settings`` is not a TrainingSettings.
    """
    if not isinstance(settings, TrainingSettings | None):
        raise InvalidArgumentError(
            "Invalid value received for `settings`. Expected `TrainingSettings`, or "
            "its fields by name, as latent_dim=16. Received: "
            f"{format_received(settings)}."
        )
    known = [field.name for field in fields(TrainingSettings)]
    for name in options:
        if name not in known:
            known += others
            near = ", ".join(get_close_matches(name, known) or sorted(known))
            raise UnknownArgumentError(
                f"Invalid argument received: `{name}`. Expected arguments of "
                f"`run_training` or fields of `TrainingSettings`, as {near}."
            )
    return replace(settings or TrainingSettings(), **options)
