"""Settings of a training, in one frozen record."""

from dataclasses import asdict, dataclass
from typing import Any

from dipy_tractoencoder.errors import check_choice, check_number

MODELS = ("vae", "ae")
PRECISIONS = ("float32", "mixed_bfloat16")
COMPILING = ("auto", "on", "off")

DENSE_RATE = 2e-3
CONVOLUTION_RATE = 5e-4


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training.

    Names, defaults and descriptions are the same in `train`, `run_training`,
    `StreamlineEmbedding` and the training command; a test compares them with these.

    Attributes
    ----------
    model : {"vae", "ae"}
        Type of model: vae (variational autoencoder) or ae (autoencoder).
    backbone : {"dense", "compact", "finta"}
        Architecture of encoder and decoder: dense (fully connected), compact or finta
        (convolutional).
    linear_skip : bool
        Add a linear path through the principal components, so that the untrained model
        is PCA and the networks learn what PCA misses.
    upsampling : {"nearest", "linear"}
        Upsampling in the decoders of finta and compact: nearest or linear.
    n_points : int
        Number of points that streamlines are resampled to: a multiple of 32, at least
        64 for finta and 32 for compact; any number from 2 for dense.
    latent_dim : int
        Number of latent dimensions.
    epochs : int
        Largest number of passes over the streamlines; 0 gives PCA.
    batch_size : int
        Streamlines per training step.
    learning_rate : float or None
        Highest learning rate of the Adam optimiser; by default 0.002 for dense and
        0.0005 for compact and finta.
    rate_schedule : bool
        Warm the learning rate up over the first 5 % of the steps, then decay it by a
        cosine.
    clip_norm : float
        Largest norm of the gradient; 0 switches clipping off.
    loss : {"likelihood", "mse"}
        Reconstruction term of the loss: likelihood (Gaussian negative log-likelihood
        with the optimal noise level, nats) or mse (mean squared error, mm^2).
    kl_weight : float
        Weight of the Kullback-Leibler (KL) term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}
        Schedule of the KL weight: constant, warmup, cyclical or rise_and_fall.
    epsilon_std : float
        Standard deviation of the noise in the reparametrisation trick.
    orientation : {"canonical", "augment", "as_is"}
        Handling of the direction of streamlines: canonical (a streamline and its
        reverse get the same latent), augment (reversed at random in training) or as_is.
    normalise : bool
        Centre and scale coordinates.
    min_length : float
        Shortest streamline to use, in mm.
    max_length : float or None
        Longest streamline to use, in mm.
    validation_fraction : float
        Fraction held out to choose the best epoch; 0 for none.
    patience : int or None
        Epochs without improvement after which training stops; by default it runs to the
        end. The best epoch is kept in any case.
    refit : bool
        Train a second time on all streamlines, for as many epochs as validation chose.
    max_streamlines : int or None
        Train on a random subset of this size, which limits the memory needed.
    precision : {"float32", "mixed_bfloat16"}
        Number format of the networks' products: float32, or mixed_bfloat16 for devices
        that are faster with it.
    xla : {"auto", "on", "off"}
        Compile training steps with XLA: auto, on or off.
    alignment_sample : bool
        Store a sample of up to 2,500 training streamlines in the model, for aligning
        subjects to it; otherwise only centroids of clusters.
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
    alignment_sample: bool = True
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
