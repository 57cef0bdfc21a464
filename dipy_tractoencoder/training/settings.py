"""Every choice of a training in one frozen record."""

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches

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
    """Settings of a training; the defaults are the command line's.

    Attributes
    ----------
    model : {"vae", "ae"}
        Variational autoencoder or autoencoder.
    backbone : {"dense", "compact", "finta"}
        Networks of the model.
    linear_skip : bool
        Start from principal components.
    upsampling : {"nearest", "linear"}
        Of the convolutional decoders.
    n_points : int
        Points per resampled streamline.
    latent_dim : int
        Size of the latent.
    epochs, batch_size : int
        Length of the training, in passes, and streamlines per step.
    learning_rate : float or None
        Highest rate of the Adam optimiser; None is 2e-3 for the dense backbone and
        5e-4 for convolutions, which go astray at more.
    rate_schedule : bool
        Warm the rate up over the first twentieth, then let it fall by a cosine.
    clip_norm : float
        Largest norm of the gradient; 0 leaves it as it is.
    loss : {"likelihood", "mse"}
        Form of the reconstruction term.
    kl_weight : float
        Factor on the Kullback-Leibler term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}
        Course of that factor.
    epsilon_std : float
        Spread of the sampling noise.
    orientation : {"canonical", "augment", "as_is"}
        What is done about streamlines having no direction.
    normalise : bool
        Centre and scale coordinates.
    min_length, max_length : float or None
        Limits in mm.
    validation_fraction : float
        Share held out to choose the best epoch.
    patience : int or None
        Epochs without improvement after which training stops; None never stops early.
        The rate schedule brings its gains at the end, and the best epoch is kept
        anyway, so stopping early only saves time.
    refit : bool
        Train once more on all streamlines, for as many epochs as validation chose.
    max_streamlines : int or None
        Train on a random subset of this many.
    precision : {"float32", "mixed_bfloat16"}
        Number format of the networks' products; weights, PCA and losses are float32.
    xla : {"auto", "on", "off"}
        Compile training steps by XLA; "auto" leaves it to Keras, which does so where
        the device gains. JAX always does.
    seed : int
        Of everything random.
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
    def highest_rate(self):
        """Highest learning rate, chosen by the backbone where none was given."""
        if self.learning_rate is not None:
            return self.learning_rate
        return DENSE_RATE if self.backbone == "dense" else CONVOLUTION_RATE

    def to_dict(self):
        """Attributes as a plain dictionary."""
        return asdict(self)


def replace_settings(settings, options, others=()):
    """Change some settings by name.

    Parameters
    ----------
    settings : TrainingSettings or None
        What to start from; None is the defaults.
    options : dict
        Field to its value.
    others : iterable of str, optional
        Names that could have been meant too, for the message.

    Returns
    -------
    settings : TrainingSettings
        A copy.

    Raises
    ------
    UnknownArgumentError
        If there is no such setting.
    InvalidArgumentError
        If a value is out of range, or ``settings`` are none.
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
