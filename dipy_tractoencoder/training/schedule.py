"""Learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from dipy_tractoencoder.training.settings import TrainingSettings

WARMUP_FRACTION = 0.05


def learning_rate(
    settings: TrainingSettings, total_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate: constant, or linear warm-up and cosine decay.

    Parameters
    ----------
    settings : TrainingSettings
        Its ``highest_rate`` and ``rate_schedule`` are used.
    total_steps : int
        Steps of the whole training.

    Returns
    -------
    rate : float or keras.optimizers.schedules.CosineDecay
        Learning rate for a Keras optimiser.
    """
    highest = settings.highest_rate
    if not settings.rate_schedule:
        return highest
    warmup_steps = max(1, int(WARMUP_FRACTION * total_steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=highest / 100,
        warmup_target=highest,
        warmup_steps=warmup_steps,
        decay_steps=max(1, total_steps - warmup_steps),
    )
