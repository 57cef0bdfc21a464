"""Errors that users of the package can meet, each with a message they can act on."""


class TractoencoderError(Exception):
    """Base of every error raised on purpose by this package."""


class InvalidArgumentError(TractoencoderError, ValueError):
    """An option or argument has a value that cannot be used."""


class UnknownArgumentError(InvalidArgumentError, TypeError):
    """A function has no argument of this name."""


class InputFileError(TractoencoderError, OSError):
    """A file given as input is missing, broken, or not what it should be."""


class OutputFileError(TractoencoderError, OSError):
    """An output cannot be written, or exists already."""


class EmptyDataError(TractoencoderError, ValueError):
    """No streamline is left to work on."""


class FingerprintError(TractoencoderError, ValueError):
    """Two files do not belong together, or one was changed after it was written."""


class TrainingDivergedError(TractoencoderError, ArithmeticError):
    """Training produced a value that is not finite."""


def format_received(value):
    """Say what was received, on one line of a message.

    Parameters
    ----------
    value : object
        Value received.

    Returns
    -------
    text : str
        Type and shape of an array, the beginning of anything else.
    """
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_choice(name, value, choices):
    """Raise unless ``value`` is one of ``choices``.

    Parameters
    ----------
    name : str
        Argument name, for the message.
    value : object
        Value received.
    choices : sequence of str
        Values allowed.

    Raises
    ------
    InvalidArgumentError
        If ``value`` is not allowed.
    """
    if value not in choices:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected one of "
            f"{', '.join(map(str, choices))}. Received: {value!r}."
        )


def check_number(name, value, *, low=None, high=None, above=None, integer=False):
    """Raise unless ``value`` is a finite number within bounds.

    Parameters
    ----------
    name : str
        Argument name, for the message.
    value : int or float
        Value received.
    low, high : float, optional
        Smallest and largest value allowed.
    above : float, optional
        The value must be greater than this.
    integer : bool, optional
        The value must be a whole number.

    Raises
    ------
    InvalidArgumentError
        If ``value`` is not such a number.
    """
    wanted = ["a whole number" if integer else "a finite number"]
    if low is not None:
        wanted.append(f"at least {low}")
    if above is not None:
        wanted.append(f"greater than {above}")
    if high is not None:
        wanted.append(f"at most {high}")
    try:
        fine = not isinstance(value, bool) and value - value == 0  # inf, nan: False
        fine = fine and (not integer or int(value) == value)
        fine = fine and (low is None or value >= low)
        fine = fine and (above is None or value > above)
        fine = fine and (high is None or value <= high)
    except TypeError:
        fine = False
    if not fine:
        raise InvalidArgumentError(
            f"Invalid value received for `{name}`. Expected {', '.join(wanted)}. "
            f"Received: {value!r}."
        )


def check_model(model):
    """Raise unless something can encode.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        As given by the user.

    Raises
    ------
    InvalidArgumentError
        If it is something else.
    """
    if not hasattr(model, "preprocessing"):
        raise InvalidArgumentError(
            "Invalid value received for `model`. Expected what `train` or `load_model` "
            f"gives. Received: {format_received(model)}."
        )
