"""Learning-rate schedules."""

import keras

WARMUP_SHARE = 0.05


def learning_rate(settings, total_steps):
    """Rate of the optimiser, constant or warmed up and then falling by a cosine.

    Parameters
    ----------
    settings : TrainingSettings
        Its ``highest_rate`` and ``rate_schedule`` are used.
    total_steps : int
        Steps of the whole training.

    Returns
    -------
    rate : float or keras.optimizers.schedules.CosineDecay
        For a Keras optimiser.
    """
    highest = settings.highest_rate
    if not settings.rate_schedule:
        return highest
    warmup_steps = max(1, int(WARMUP_SHARE * total_steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=highest / 100,
        warmup_target=highest,
        warmup_steps=warmup_steps,
        decay_steps=max(1, total_steps - warmup_steps),
    )
