"""The reference for alignment of a model, in one of its sections."""

from __future__ import annotations

from typing import Any

from dipy_tractoencoder.align.reference import AlignmentReference
from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    check_model,
    format_received,
)

SECTION = "alignment"
LARGEST = 2**20  # bytes


def alignment_reference(model: Any) -> AlignmentReference | None:
    """Return what subjects are aligned to: streamlines that define a model's space.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.

    Returns
    -------
    reference : AlignmentReference or None
        Centroids and a sample of the training streamlines; None if the model has none,
        as those of older versions.

    Raises
    ------
    InvalidArgumentError
        If ``model`` is not a model of this package.
    InputFileError
        If the reference is damaged.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.alignment_reference(model).holds_streamlines
    True
    """
    check_model(model)
    content = model.sections.get(SECTION)
    if content is None:
        return None
    try:
        if len(content) > LARGEST:
            raise ValueError(f"its alignment reference has {len(content)} bytes")
        return AlignmentReference.from_bytes(content)
    except (ValueError, RecursionError) as err:
        raise InputFileError(
            f"Cannot align to this model: {str(err).rstrip('.')}. Train it again, or "
            "align to a tractogram."
        ) from err


def store_alignment_reference(model: Any, reference: AlignmentReference | None) -> None:
    """Store a reference in a model, which changes the model's fingerprint.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model, changed in place.
    reference : AlignmentReference or None
        Reference, of `align.fit.fit_alignment_reference`; None removes that which the
        model has.

    Raises
    ------
    InvalidArgumentError
        If ``model`` or ``reference`` are something else, or the reference is larger
        than 1 MiB.
    """
    check_model(model)
    if reference is None:
        model.sections.pop(SECTION, None)
        return
    if not isinstance(reference, AlignmentReference):
        raise InvalidArgumentError(
            "Invalid value received for `reference`. Expected an AlignmentReference, "
            f"of `fit_alignment_reference`. Received: {format_received(reference)}."
        )
    content = reference.to_bytes()
    if len(content) > LARGEST:
        raise InvalidArgumentError(
            f"The reference has {len(content)} bytes, but up to {LARGEST} can be "
            "stored. Use a smaller sample, or fewer names."
        )
    model.sections[SECTION] = content
