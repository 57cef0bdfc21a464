"""Keras settings that a model's numbers depend on, fixed while it is built and used.

A user's ``~/.keras/keras.json``, or code that shares the process, may have chosen
another data format, float type or limit of epochs. A model would then compute other
numbers under the same fingerprint.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from typing import Any

import keras

from dipy_tractoencoder.errors import ForkedProcessError

# Value that our models are written for, by the name in Keras' configuration.
STANDARD = {
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


# Backends whose threads a forked process lacks.
THREADED = ("tensorflow", "jax")
_users: set[int] = set()  # Process that used the backend first, inherited by its forks.


def check_not_forked() -> None:
    """Raise an error in a process that was forked from one that used the backend.

    Threads of TensorFlow and JAX are not copied by a fork, and the first computation
    would wait for them for ever.

    Raises
    ------
    ForkedProcessError
        If this process was forked after its parent had used a model.
    """
    _users.add(os.getpid())
    if len(_users) > 1 and keras.backend.backend() in THREADED:
        raise ForkedProcessError(
            f"This process was forked from one that had already used "
            f"{keras.backend.backend()}, which would wait for ever here. Start "
            'processes by multiprocessing.get_context("spawn"), or load and use models '
            "only after the fork."
        )


class UnforkedModel(keras.Model):
    """Keras model that raises an error where a forked process would wait for ever."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute as Keras does, after `check_not_forked`."""
        check_not_forked()
        return super().__call__(*args, **kwargs)


@contextmanager
def standard_keras() -> Iterator[None]:
    """Compute with Keras' standard settings, and restore the user's afterwards.

    A context manager that is a decorator, too. The settings are the data format
    ("channels_last"), float type and dtype policy (float32), the smallest number
    added to denominators (1e-7), and no limit of epochs and steps.

    Examples
    --------
    >>> import keras
    >>> from dipy_tractoencoder.nn.keras_settings import standard_keras
    >>> with standard_keras():
    ...     print(keras.config.floatx())
    float32

    Raises
    ------
    ForkedProcessError
        If this process was forked after its parent had used a model.
    """
    check_not_forked()
    policy = keras.config.dtype_policy()
    before = {}
    for name, value in STANDARD.items():
        # Limits of epochs came with later versions of Keras.
        if hasattr(keras.config, f"set_{name}"):
            before[name] = getattr(keras.config, name)()
            getattr(keras.config, f"set_{name}")(value)
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)
        keras.config.set_dtype_policy(policy)
