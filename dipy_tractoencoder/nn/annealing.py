"""Annealing of the Kullback-Leibler weight, as a function of the training step."""

from __future__ import annotations

from typing import Any

from keras import ops

from dipy_tractoencoder.errors import check_choice, check_number
from dipy_tractoencoder.nn.architecture import KL_ANNEALINGS


def anneal(
    kl_annealing: str,
    progress: Any,
    *,
    rise: float = 0.3,
    n_cycles: int = 4,
    floor: float = 0.1,
) -> Any:
    """Compute the fraction of the full KL weight at a point of the training.

    Parameters
    ----------
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}
        "constant" is always 1. "warmup" grows linearly from 0 to 1 over the first
        ``rise`` of the training, then stays at 1. "cyclical" repeats ``n_cycles``
        times: a linear growth from 0 to 1 over half of the cycle, then 1
        :footcite:p:`Fu2019`, eqs. 6-7, R = 0.5. "rise_and_fall" grows linearly from
        0 to 1 over the first ``rise`` of the training, then decreases linearly to
        ``floor`` at the end.
    progress : float or tensor
        Number of steps done, divided by the number of all steps of the training.
    rise : float, optional
        Fraction of the training in which the weight grows, in (0, 1).
    n_cycles : int, optional
        Number of cycles of the "cyclical" schedule.
    floor : float, optional
        Fraction at the end of "rise_and_fall".

    Returns
    -------
    fraction : tensor, shape of ``progress``
        Between 0 and 1.

    Raises
    ------
    InvalidArgumentError
        If the schedule is unknown or a number is out of range.
    """
    check_choice("kl_annealing", kl_annealing, KL_ANNEALINGS)
    check_number("rise", rise, above=0, high=1)
    check_number("n_cycles", n_cycles, low=1, integer=True)
    progress = ops.clip(ops.convert_to_tensor(progress, dtype="float32"), 0.0, 1.0)
    if kl_annealing == "constant":
        return ops.ones_like(progress)
    if kl_annealing == "warmup":
        return ops.minimum(progress / rise, 1.0)
    if kl_annealing == "cyclical":
        # At the very end, the phase would return to the start of a cycle.
        cycle = ops.minimum(ops.floor(progress * n_cycles), n_cycles - 1.0)
        return ops.minimum((progress * n_cycles - cycle) / 0.5, 1.0)
    falling = 1.0 - (1.0 - floor) * (progress - rise) / max(1.0 - rise, 1e-6)
    return ops.minimum(progress / rise, falling)
