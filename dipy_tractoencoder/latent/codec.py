"""Encode streamlines to latents and decode them, with a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    FingerprintError,
    InvalidArgumentError,
    check_model,
    format_received,
)
from dipy_tractoencoder.io.space import tractogram_like, tractogram_space
from dipy_tractoencoder.latent.alignment import aligned, to_subject
from dipy_tractoencoder.nn.applied import (
    applied_network,
    encode_points,
    encode_streamlines,
)
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class Latents:
    """Latents of a tractogram, with the information needed to decode them.

    Attributes
    ----------
    mean : ndarray, shape (n_kept, latent_dim), float32
        Posterior means (VAE) or codes (autoencoder); in mm with the linear skip.
    log_var : ndarray, shape (n_kept, latent_dim), float32, or None
        Logarithms of the posterior variances (of mm^2 with the skip); None for an
        autoencoder.
    index : ndarray, shape (n_kept,), int64
        Position of each row's streamline in the tractogram.
    is_reversed : ndarray, shape (n_kept,), bool
        Rows whose model orientation is the reverse of that in the tractogram.
    n_streamlines : int
        Number of streamlines in the tractogram, including rejected ones.
    rejects : dict of str to int
        Number of rejected streamlines by reason.
    fingerprint : str
        Fingerprint of the model.
    tractogram : str
        Name of the tractogram file, if any.
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order" of the tractogram;
        empty if it has no image space.
    alignment : Alignment or None
        Transform that streamlines were moved by before they were encoded; None if they
        were encoded where they are.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.streamlines)
    >>> len(latents), len(latents[:5])
    (43, 5)
    >>> latents[[4, 2]].index.tolist()
    [4, 2]
    """

    mean: np.ndarray
    log_var: np.ndarray | None
    index: np.ndarray
    is_reversed: np.ndarray
    n_streamlines: int
    rejects: dict = field(default_factory=dict)
    fingerprint: str = ""
    tractogram: str = ""
    space: dict = field(default_factory=dict)
    alignment: Alignment | None = None

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: Any) -> Latents:
        """Select rows.

        Parameters
        ----------
        rows : slice, or array_like of int or bool
            Rows by index, or a mask of all rows.

        Returns
        -------
        latents : Latents
            Selected rows, which can be decoded and saved like the whole. ``index``
            still refers to the tractogram, and ``n_streamlines`` and ``rejects`` still
            describe it.

        Raises
        ------
        InvalidArgumentError
            If ``rows`` has another type.
        IndexError
            If a row does not exist.
        """
        if not isinstance(rows, slice):
            given, rows = rows, np.asarray(rows)
            if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iub"):
                raise InvalidArgumentError(
                    "Invalid value received for `rows`. Expected a slice, or a list of "
                    "integers or booleans. Received: "
                    f"{format_received(given)}; select a single row n by [n : n + 1]."
                )
            rows = rows if rows.size else rows.astype(np.int64)
        names = ("mean", "log_var", "index", "is_reversed")
        values = {name: getattr(self, name) for name in names}
        chosen: dict[str, Any] = {
            name: value if value is None else value[rows]
            for name, value in values.items()
        }
        return replace(self, **chosen)


def encode(
    model: StreamlineAutoencoder,
    streamlines: Any,
    *,
    tractogram: str = "",
    batch_size: int | None = None,
    alignment: Alignment | None = None,
) -> Latents:
    """Encode streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    streamlines : StatefulTractogram, StreamlineArray, or sequence of ndarray
        Streamlines, RASMM, mm.
    tractogram : str, optional
        Name of the file, stored with the latents.
    batch_size : int, optional
        Number of streamlines per batch; by default, a fast value for the backbone.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model, of
        `fit_alignment` for example. The moved streamlines are encoded; `decode` moves
        them back.

    Returns
    -------
    latents : Latents
        One row per streamline that is not rejected.

    Raises
    ------
    InvalidArgumentError
        If ``model`` is not a model or ``streamlines`` are not streamlines, or
        ``alignment`` is given for a StreamlineArray, which is oriented in its space
        already.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.encode(model, made.streamlines).mean.shape
    (43, 2)
    """
    check_model(model)
    made_by = fingerprint(model)
    how: dict[str, Any] = {"made_by": made_by, "batch_size": batch_size}
    rows: Any = streamlines
    if not isinstance(rows, StreamlineArray):
        moved = aligned(streamlines, alignment)
        rows, mean, log_var = encode_streamlines(model, moved, **how)
    elif alignment is not None:
        raise InvalidArgumentError(
            "Invalid value received for `alignment`. Expected None for a "
            "StreamlineArray, which is oriented in its space already. Align the "
            "streamlines that it was made from."
        )
    else:
        mean, log_var = encode_points(model, rows.points, **how)
    if log_var is not None:
        log_var += 2 * np.log(model.latent_unit)
    return Latents(
        mean=mean,
        log_var=log_var,
        index=rows.index,
        is_reversed=rows.is_reversed,
        n_streamlines=rows.n_streamlines,
        rejects=rows.rejects,
        fingerprint=made_by,
        tractogram=str(tractogram),
        space=tractogram_space(streamlines),
        alignment=alignment,
    )


def decode(
    model: StreamlineAutoencoder,
    latents: Latents | np.ndarray,
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Decode latents to points.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that encoded the latents.
    latents : Latents, or ndarray of shape (n_streamlines, latent_dim)
        Latents as returned by `encode`; those of an array are decoded in the model's
        orientation.
    batch_size : int, optional
        Number of latents per batch; by default, a fast value for the backbone.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        Streamlines, RASMM, mm; for `Latents`, in the direction of the tractogram and,
        if they hold an alignment, in the space of the subject. Latents of an array are
        decoded in the space of the model.

    Raises
    ------
    FingerprintError
        If the latents come from another model.
    InvalidArgumentError
        If ``model`` is not a model, or ``latents`` have a wrong shape or values that
        are not finite.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.streamlines)
    >>> dte.decode(model, latents).shape
    (43, 32, 3)
    """
    check_model(model)
    mean, is_reversed, own = latents, None, None
    if isinstance(latents, Latents):
        own = check_same_model(model, latents)
        mean, is_reversed = latents.mean, latents.is_reversed
    try:
        mean = np.asarray(mean, dtype=np.float32)
    except (TypeError, ValueError) as err:
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected the result of `encode` or "
            f"`load_latents`, or an array. Received: {format_received(latents)}."
        ) from err
    if mean.ndim != 2 or mean.shape[1] != model.latent_dim:
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected shape (n_streamlines, "
            f"{model.latent_dim}). Received: shape={mean.shape}."
        )
    if not np.isfinite(mean).all():
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected finite numbers. Received: "
            f"NaN or infinity in row {int((~np.isfinite(mean)).any(axis=1).argmax())}."
        )
    network = applied_network(model, own or fingerprint(model))
    points = network.decode(mean, batch_size)
    if is_reversed is not None:
        points[is_reversed] = points[is_reversed, ::-1]
    return to_subject(points, getattr(latents, "alignment", None))


def decode_tractogram(
    model: StreamlineAutoencoder, latents: Latents
) -> StatefulTractogram:
    """Decode latents to a tractogram in the image space of the encoded tractogram.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that encoded the latents.
    latents : Latents
        Latents with an image space.

    Returns
    -------
    tractogram : StatefulTractogram
        One streamline per row of the latents, in the same order, RASMM, mm; in the
        space of the subject, also if it was aligned to the model.

    Raises
    ------
    InvalidArgumentError
        If ``latents`` are not `Latents`, or have no image space.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.tractogram())
    >>> len(dte.decode_tractogram(model, latents).streamlines)
    43
    """
    if not isinstance(latents, Latents) or not latents.space:
        what = "none" if isinstance(latents, Latents) else format_received(latents)
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected the result of `encode` "
            f"with the space of a tractogram. Received: {what}; use `decode` to get "
            "the points."
        )
    return tractogram_like(decode(model, latents), latents.space)


def check_same_model(model: StreamlineAutoencoder, latents: Latents) -> str:
    """Raise an error unless latents come from a model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model to decode with.
    latents : Latents
        Latents to decode.

    Returns
    -------
    fingerprint : str
        Fingerprint of the model.

    Raises
    ------
    FingerprintError
        If the latents come from another model.
    """
    expected = fingerprint(model)
    if latents.fingerprint != expected:
        of = f" of {latents.tractogram}" if latents.tractogram else ""
        raise FingerprintError(
            f"The latents{of} were made by another model (fingerprint "
            f"{latents.fingerprint[:12]}, that of this model is {expected[:12]}). "
            "Decode with the model that encoded them, or encode again."
        )
    return expected
