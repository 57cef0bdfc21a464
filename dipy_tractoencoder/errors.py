"""Errors raised by the package, and checks of arguments.

Messages name the argument or the file, and say what to do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class TractoencoderError(Exception):
    """Base class of all errors raised by this package."""


class InvalidArgumentError(TractoencoderError, ValueError):
    """An argument has an invalid value."""


class InputFileError(TractoencoderError, OSError):
    """An input file is missing, damaged, or of the wrong kind."""


class AlignmentError(InputFileError):
    """The alignment of a subject to a model's space cannot be relied on."""


class DoubtfulResultError(InputFileError):
    """The result for a file is doubtful, and doubts are to be errors."""


class OutputFileError(TractoencoderError, OSError):
    """An output file cannot be written, or exists already."""


class EmptyDataError(TractoencoderError, ValueError):
    """No streamlines are left to work on."""


class FingerprintError(TractoencoderError, ValueError):
    """Latents and model do not belong together, or a model file was altered."""


class ForkedProcessError(TractoencoderError, RuntimeError):
    """A model is used in a forked process, where its backend would wait for ever."""


class TrainingDivergedError(TractoencoderError, ArithmeticError):
    """Training produced a loss that is not finite."""


def format_received(value: object) -> str:
    """Describe a received value for an error message.

    Parameters
    ----------
    value : object
        Value received.

    Returns
    -------
    text : str
        Type and shape of an array; up to 80 characters of the ``repr`` of other
        values, on one line.
    """
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise an error unless ``value`` is one of ``choices``.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        Value received.
    choices : collection of str
        Allowed values.

    Raises
    ------
    InvalidArgumentError
        If ``value`` is not one of ``choices``.
    """
    if value not in choices:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected one of "
            f"{', '.join(map(str, choices))}. Received: {value!r}."
        )


def check_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    integer: bool = False,
) -> None:
    """Raise an error unless ``value`` is a finite number within bounds.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        Value received.
    low, high : float, optional
        Smallest and largest allowed value.
    above : float, optional
        Exclusive lower bound.
    integer : bool, optional
        Require a whole number.

    Raises
    ------
    InvalidArgumentError
        If ``value`` is not a number, not finite, or out of bounds.
    """
    wanted = ["a whole number" if integer else "a finite number"]
    if low is not None:
        wanted.append(f"at least {low}")
    if above is not None:
        wanted.append(f"greater than {above}")
    if high is not None:
        wanted.append(f"at most {high}")
    try:
        number: Any = value
        fine = not isinstance(value, bool) and number - number == 0  # inf, nan: False
        fine = fine and (not integer or int(number) == number)
        fine = fine and (low is None or number >= low)
        fine = fine and (above is None or number > above)
        fine = fine and (high is None or number <= high)
    except TypeError:
        fine = False
    if not fine:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected {', '.join(wanted)}. "
            f"Received: {value!r}."
        )


def check_model(model: object) -> None:
    """Raise an error unless ``model`` is a model of this package.

    Parameters
    ----------
    model : object
        Value received; a StreamlineAutoencoder or StreamlineVAE passes.

    Raises
    ------
    InvalidArgumentError
        If ``model`` is anything else.
    """
    if not hasattr(model, "preprocessing"):
        raise InvalidArgumentError(
            "Invalid value received for `model`. Expected a model returned by `train` "
            f"or `load_model`. Received: {format_received(model)}."
        )
