"""Streamlines to latents and back, with a trained model."""

from dataclasses import dataclass, field, replace

import numpy as np

from dipy_tractoencoder.errors import (
    FingerprintError,
    InvalidArgumentError,
    check_model,
    format_received,
)
from dipy_tractoencoder.io.space import tractogram_like, tractogram_space
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.utils.short_repr import short_repr

# Streamlines per call: enough to make the call itself cheap, few enough for the caches.
BATCH_SIZES = {"dense": 4096, "compact": 1024, "finta": 1024}


@dataclass(frozen=True)
class Latents:
    """Latents of a tractogram, and what is needed to go back to it.

    Attributes
    ----------
    mean : ndarray, shape (n_kept, latent_dim), float32
        Posterior means (a VAE) or codes (an autoencoder); mm with the linear skip.
    log_var : ndarray, shape (n_kept, latent_dim), float32, or None
        Logarithms of the posterior variances (of mm^2 with the skip); None for an
        autoencoder.
    index : ndarray, shape (n_kept,), int64
        Number of each row's streamline in the tractogram.
    is_reversed : ndarray, shape (n_kept,), bool
        Rows whose model orientation runs against the tractogram's.
    n_streamlines : int
        Streamlines of the tractogram, encoded or not.
    rejects : dict of str to int
        How many were left out, by reason.
    fingerprint : str
        Of the model that encoded.
    tractogram : str
        Name of the tractogram file, if there is one.
    space : dict
        "affine", "dimensions", "voxel_sizes", "voxel_order" of the tractogram; empty
        if it came without.
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

    __repr__ = short_repr

    def __len__(self):
        return len(self.mean)

    def __getitem__(self, rows):
        """Take some rows; what is said of the whole tractogram stays.

        Parameters
        ----------
        rows : slice, or array_like of int or bool
            Which ones, by number or by a mask of all.

        Returns
        -------
        latents : Latents
            With ``index`` still the streamlines' numbers in the tractogram, and
            ``n_streamlines`` and ``rejects`` still the tractogram's. It decodes, and is
            saved, as the whole does.

        Raises
        ------
        InvalidArgumentError
            If ``rows`` are something else.
        IndexError
            If there are no such rows.
        """
        if not isinstance(rows, slice):
            given, rows = rows, np.asarray(rows)
            if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iub"):
                raise InvalidArgumentError(
                    "Invalid value received for `rows`. Expected a slice, or a list of "
                    "whole numbers or of True and False. Received: "
                    f"{format_received(given)}; one row n is [n : n + 1]."
                )
            rows = rows if rows.size else rows.astype(np.int64)
        names = ("mean", "log_var", "index", "is_reversed")
        values = {name: getattr(self, name) for name in names}
        return replace(
            self, **{k: v if v is None else v[rows] for k, v in values.items()}
        )


def encode(model, streamlines, *, tractogram="", batch_size=None):
    """Encode streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    streamlines : StatefulTractogram, StreamlineArray, or sequence of ndarray
        RASMM, mm.
    tractogram : str, optional
        Name of the file, kept with the latents.
    batch_size : int, optional
        Streamlines that go through the network at a time; by default what was found
        to be fast for the backbone.

    Returns
    -------
    latents : Latents
        One row per streamline that was not rejected.

    Raises
    ------
    InvalidArgumentError
        If there is no model, or no streamlines.
    """
    from dipy_tractoencoder.nn.inference import folded_encoder
    from dipy_tractoencoder.nn.keras_settings import standard_keras
    from dipy_tractoencoder.nn.layers import LOG_VAR_MAX, LOG_VAR_MIN

    check_model(model)
    array = streamlines
    if not isinstance(array, StreamlineArray):
        array = model.preprocessing.array(streamlines)
    made_by = fingerprint(model)
    with standard_keras():
        encoder = _network(model, folded_encoder, made_by)
        heads = _run(encoder, array.points, batch_size or BATCH_SIZES[model.backbone])
    mean, log_var = heads[:, : model.latent_dim], None
    if model.variational:
        log_var = np.clip(heads[:, model.latent_dim :], LOG_VAR_MIN, LOG_VAR_MAX)
        log_var += 2 * np.log(model.latent_unit)
    return Latents(
        mean=np.ascontiguousarray(mean),
        log_var=log_var,
        index=array.index,
        is_reversed=array.is_reversed,
        n_streamlines=array.n_streamlines,
        rejects=array.rejects,
        fingerprint=made_by,
        tractogram=str(tractogram),
        space=tractogram_space(streamlines),
    )


def decode(model, latents, *, batch_size=None):
    """Decode latents to points.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded.
    latents : Latents, or ndarray of shape (n_streamlines, latent_dim)
        As `encode` gives them; of an array, the orientation stays the model's.
    batch_size : int, optional
        Latents that go through the network at a time, as for `encode`.

    Returns
    -------
    points : ndarray, shape (n_streamlines, n_points, 3), float32
        RASMM, mm; for `Latents`, running as in the tractogram.

    Raises
    ------
    FingerprintError
        If the latents come from another model.
    InvalidArgumentError
        If there is no model, their size is not the model's, or one is not finite.
    """
    from dipy_tractoencoder.nn.inference import folded_decoder
    from dipy_tractoencoder.nn.keras_settings import standard_keras

    check_model(model)
    mean, is_reversed, own = latents, None, None
    if isinstance(latents, Latents):
        own = check_same_model(model, latents)
        mean, is_reversed = latents.mean, latents.is_reversed
    try:
        mean = np.asarray(mean, dtype=np.float32)
    except (TypeError, ValueError) as err:
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected what `encode` or "
            f"`load_latents` gives, or an array. Received: {format_received(latents)}."
        ) from err
    if mean.ndim != 2 or mean.shape[1] != model.latent_dim:
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected shape (n_streamlines, "
            f"{model.latent_dim}). Received: shape={mean.shape}."
        )
    if not np.isfinite(mean).all():
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected finite numbers. Received: "
            f"nan or infinity in row {int((~np.isfinite(mean)).any(axis=1).argmax())}."
        )
    with standard_keras():
        decoder = _network(model, folded_decoder, own or fingerprint(model))
        points = _run(decoder, mean, batch_size or BATCH_SIZES[model.backbone])
    if is_reversed is not None:
        points[is_reversed] = points[is_reversed, ::-1]
    return points


def decode_tractogram(model, latents):
    """Decode latents to a tractogram in the space of the one that was encoded.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded.
    latents : Latents
        With their ``space``.

    Returns
    -------
    tractogram : StatefulTractogram
        RASMM, mm; one streamline per latent, in the order of the rows.

    Raises
    ------
    InvalidArgumentError
        If they are no `Latents`, or have no space.
    """
    if not isinstance(latents, Latents) or not latents.space:
        what = "none" if isinstance(latents, Latents) else format_received(latents)
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected what `encode` gives, with "
            f"the space of a tractogram. Received: {what}; use `decode` to get the "
            "points."
        )
    return tractogram_like(decode(model, latents), latents.space)


def check_same_model(model, latents):
    """Raise unless the latents were made by this model.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model at hand.
    latents : Latents
        Latents at hand.

    Returns
    -------
    fingerprint : str
        The model's.

    Raises
    ------
    FingerprintError
        If they do not belong together.
    """
    expected = fingerprint(model)
    if latents.fingerprint != expected:
        of = f" of {latents.tractogram}" if latents.tractogram else ""
        raise FingerprintError(
            f"The latents{of} were made by another model (fingerprint "
            f"{latents.fingerprint[:12]}, this one's is {expected[:12]}). Decode with "
            "the model that encoded, or encode again."
        )
    return expected


def _network(model, make, made_by):
    """Give a model's folded encoder or decoder, made and compiled once per weights."""
    # Past Keras' attribute tracking, which would save them with the model.
    networks = model.__dict__.setdefault("_inference_networks", {})
    if networks.get("fingerprint") != made_by:
        networks.clear()
        networks["fingerprint"] = made_by
    if make not in networks:
        networks[make] = make(model)
    return networks[make]


def _run(network, inputs, batch_size):
    """Run a network over rows, in batches of few different sizes."""
    outputs = np.empty((len(inputs), *network.output_shape[1:]), dtype=np.float32)
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        size = len(batch)
        # Each size is compiled once: the last batch is filled up to a power of two.
        full = min(batch_size, 1 << max(5, (size - 1).bit_length()))
        if size < full:
            filling = np.zeros((full - size, *batch.shape[1:]), dtype=batch.dtype)
            batch = np.concatenate([batch, filling])
        outputs[start : start + size] = network.predict_on_batch(batch)[:size]
    return outputs
