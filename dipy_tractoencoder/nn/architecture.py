"""Names and sizes of the architectures, and checks of them, without a backend."""

from __future__ import annotations

from dipy_tractoencoder.errors import InvalidArgumentError, check_choice, check_number

BACKBONES = ("dense", "compact", "finta")
UPSAMPLINGS = ("nearest", "linear")
LOSSES = ("likelihood", "mse")
KL_ANNEALINGS = ("constant", "warmup", "cyclical", "rise_and_fall")

FILTERS = (32, 64, 128, 256, 512)  # stride 2 each
LAST_FILTERS = 1024  # stride 1, FINTA only
KERNEL = 3
DENSE_UNITS = (256, 256)

# The dense network never saw whitened coefficients beyond this many standard
# deviations in training; with clipping, PCA alone represents such streamlines.
COEFFICIENT_BOUND = 10.0

# exp(23) is just below 1e10, the largest variance.
LOG_VAR_MAX = 23.0
LOG_VAR_MIN = -30.0


def check_points(backbone: str, n_points: int) -> None:
    """Raise an error unless a backbone can process a number of points.

    Parameters
    ----------
    backbone : {"dense", "compact", "finta"}
        Name of the backbone.
    n_points : int
        Number of points per streamline.

    Raises
    ------
    InvalidArgumentError
        If the backbone is unknown or does not fit the number of points.
    """
    check_choice("backbone", backbone, BACKBONES)
    stride = 2 ** len(FILTERS)
    # Reflection padding needs two points at the coarsest level.
    least = {"dense": 2, "compact": stride, "finta": 2 * stride}[backbone]
    if n_points < least or (backbone != "dense" and n_points % stride):
        raise InvalidArgumentError(
            f"Invalid value received for `n_points`. The {backbone} backbone needs "
            + (
                "2 or more."
                if least == 2
                else f"a multiple of {stride}, at least {least}."
            )
            + f" Received: {n_points}."
        )


def check_architecture(
    n_points: int,
    *,
    latent_dim: int,
    backbone: str,
    linear_skip: bool,
    upsampling: str,
    loss: str,
) -> None:
    """Raise an error unless a model can have these arguments.

    Parameters
    ----------
    n_points : int
        Number of points per streamline.
    latent_dim, backbone, linear_skip, upsampling, loss : object
        Arguments of `StreamlineAutoencoder`.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range or ``n_points`` does not fit the backbone.
    """
    check_points(backbone, n_points)
    check_number("latent_dim", latent_dim, low=1, integer=True)
    check_choice("upsampling", upsampling, UPSAMPLINGS)
    check_choice("loss", loss, LOSSES)
    if linear_skip and latent_dim > 3 * n_points:
        raise InvalidArgumentError(
            f"Invalid value received for `latent_dim`. With the linear skip, "
            f"{n_points} points have at most {3 * n_points} principal directions. "
            f"Received: {latent_dim}."
        )


def check_kl(kl_weight: float, kl_annealing: str, epsilon_std: float) -> None:
    """Raise an error unless a variational autoencoder can have these arguments.

    Parameters
    ----------
    kl_weight, kl_annealing, epsilon_std : object
        Arguments of `StreamlineVAE`.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range.
    """
    check_number("kl_weight", kl_weight, low=0)
    check_choice("kl_annealing", kl_annealing, KL_ANNEALINGS)
    check_number("epsilon_std", epsilon_std, low=0)
