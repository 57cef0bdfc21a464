"""Encode and decode whole files chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import check_names, save_selection, write_chunks
from dipy_tractoencoder.latent.codec import (
    aligned,
    check_same_model,
    decode,
    encode,
    to_subject,
)
from dipy_tractoencoder.latent.latents_file import (
    DATA_NAME,
    latents_reader,
    latents_writer,
    load_latents,
)
from dipy_tractoencoder.latent.reconstruction import ErrorTotals
from dipy_tractoencoder.streamlines.array import (
    CHUNK_SIZE,
    StreamlineArray,
    merge_rejects,
)
from dipy_tractoencoder.utils.prefetch import prefetch
from dipy_tractoencoder.utils.tables import nothing_encoded

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


def prepared_chunks(
    model: StreamlineAutoencoder,
    reader: TractogramChunks,
    alignment: Alignment | None = None,
) -> Iterator[StreamlineArray]:
    """Align, reject, orient and resample the chunks of a file in a background thread.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with the preprocessing.
    reader : TractogramChunks
        File to read.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model.

    Yields
    ------
    array : StreamlineArray
        Streamlines of one chunk, in the space of the model; ``index`` refers to the
        whole file.
    """

    def prepare():
        start = 0
        for chunk in reader:
            array = model.preprocessing.array(aligned(chunk, alignment))
            yield replace(array, index=array.index + start)
            start += array.n_streamlines

    yield from prefetch(prepare())


def encode_file(
    model: StreamlineAutoencoder,
    path: str | Path,
    out_latents: str | Path,
    *,
    alignment: Alignment | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Encode a tractogram file to a latents file.

    The file is processed in chunks; reading runs ahead of the network and writing.
    Memory depends on ``chunk_size``, not on the size of the file.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        Tractogram to read.
    out_latents : str or Path
        HDF5 file to write, completely or not at all. It holds the alignment.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model. The moved
        streamlines are encoded, and `decode_file` moves them back.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Number of streamlines per chunk.
    progress : callable, optional
        Called after each chunk with the number of its streamlines.

    Returns
    -------
    counts : dict
        "n_encoded", "n_streamlines", and "rejects", the number of rejected
        streamlines by reason.

    Raises
    ------
    EmptyDataError
        If no streamline of the file can be encoded.
    InputFileError, OutputFileError
        If a file cannot be read or written, or a latent is not finite.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made.tractogram(), "fibercup.trk")
    >>> counts = dte.encode_file(model, "fibercup.trk", "latents.h5")
    >>> counts["n_encoded"]
    43
    """
    reader = TractogramChunks(path, reference, chunk_size=chunk_size)
    n_streamlines, counts = 0, []
    try:
        with latents_writer(out_latents) as writer:
            for latents in _encoded_chunks(model, reader, alignment):
                if len(bad := np.flatnonzero(~np.isfinite(latents.mean).all(axis=1))):
                    raise InputFileError(
                        f"Cannot encode {path}: the latents of streamline "
                        f"{latents.index[bad[0]]} are not finite. Its coordinates are "
                        "too large for the model; remove it."
                    )
                writer.append(latents)
                n_streamlines += latents.n_streamlines
                counts.append(latents.rejects)
                if progress is not None:
                    progress(latents.n_streamlines)
            rejects = merge_rejects(counts)
            if writer.n_rows == 0:
                raise EmptyDataError(nothing_encoded(path, n_streamlines, rejects))
            writer.finish(n_streamlines, rejects)
    finally:
        reader.close()
    return {
        "n_encoded": writer.n_rows,
        "n_streamlines": n_streamlines,
        "rejects": rejects,
    }


def _encoded_chunks(model, reader, alignment):
    """Encode the chunks of a file; ``index`` refers to the whole file."""
    about = {"tractogram": reader.path.name, "space": reader.space}
    if model.backbone == "dense":  # It encodes each block right after resampling.
        start = 0
        for chunk in prefetch(reader):
            latents = encode(model, chunk, alignment=alignment)
            yield replace(latents, index=latents.index + start, **about)
            start += latents.n_streamlines
        return
    for array in prepared_chunks(model, reader, alignment):
        yield replace(encode(model, array), alignment=alignment, **about)


def copy_with_latents(
    path: str | Path,
    latents_path: str | Path,
    out_tractogram: str | Path,
    *,
    reference: str | Path | None = None,
) -> None:
    """Copy a tractogram file with all its data, and add its latents.

    Parameters
    ----------
    path : str or Path
        Tractogram that was encoded.
    latents_path : str or Path
        Latents of the tractogram.
    out_tractogram : str or Path
        File to write, completely or not at all. Latents of rejected streamlines are
        NaN. A TRX keeps its groups, and its data of every level and type.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Raises
    ------
    InputFileError, OutputFileError
        If a file cannot be read or written.
    """
    latents = load_latents(latents_path)
    with mapped_tractogram(path, reference) as source:
        shape = len(source), latents.mean.shape[1]
        values = np.full(shape, np.nan, dtype=np.float32)
        values[latents.index] = latents.mean
        data = {DATA_NAME: values}
        save_selection(source, np.arange(len(source)), out_tractogram, data=data)


def check_copy_with_latents(
    model: StreamlineAutoencoder, path: str | Path, out_tractogram: str | Path
) -> None:
    """Raise an error if the data of a TRX do not fit into the format of the copy.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model for encoding.
    path : str or Path
        Tractogram to encode; only TRX files are checked.
    out_tractogram : str or Path
        File to be written by `copy_with_latents`.

    Raises
    ------
    OutputFileError
        If ``out_tractogram`` is a TRK, which cannot hold all the data or their names.
    """
    if file_format(path) == ".trx" and file_format(out_tractogram) == ".trk":
        with mapped_tractogram(path) as source:
            new = {DATA_NAME: np.empty((0, model.latent_dim))}
            check_names(
                out_tractogram, {**source.per_streamline, **new}, source.per_point
            )


def decode_file(
    model: StreamlineAutoencoder,
    path: str | Path,
    out_tractogram: str | Path,
    *,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Decode a latents file to a tractogram in the space of the encoded tractogram.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that encoded the latents.
    path : str or Path
        Latents written by `encode_file` or `save_latents`.
    out_tractogram : str or Path
        File to write, completely or not at all; its extension determines the format.
        Streamlines that were aligned to the model are moved back.
    chunk_size : int, optional
        Number of latents per chunk.
    progress : callable, optional
        Called after each chunk with the number of its latents.

    Returns
    -------
    n_decoded : int
        Number of streamlines written.

    Raises
    ------
    FingerprintError
        If the latents come from another model.
    InvalidArgumentError
        If the latents have no image space, or are not finite.
    InputFileError, OutputFileError
        If a file cannot be read or written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_latents(dte.encode(model, made.tractogram()), "latents.h5")
    >>> dte.decode_file(model, "latents.h5", "decoded.trk")
    43
    """
    with latents_reader(path) as reader:
        first = reader.rows(0, 0)
        check_same_model(model, first)
        if not first.space:
            raise InvalidArgumentError(
                "its latents come without the space of a tractogram. Encode a "
                "tractogram instead of an array."
            )

        def decoded():
            for start in range(0, reader.n_rows, chunk_size):
                latents = reader.rows(start, start + chunk_size)
                yield decode(model, latents)
                if progress is not None:
                    progress(len(latents))

        n_points = model.preprocessing.n_points
        write_chunks(decoded(), out_tractogram, first.space, reader.n_rows, n_points)
        return reader.n_rows


def reconstruct_file(
    model: StreamlineAutoencoder,
    path: str | Path,
    out_tractogram: str | Path,
    *,
    alignment: Alignment | None = None,
    reference: str | Path | None = None,
    seed: int = 0,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable[[int], object] | None = None,
) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """Encode and decode a tractogram file, and compute reconstruction errors.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        Tractogram to read.
    out_tractogram : str or Path
        File to write, completely or not at all, without streamlines that cannot be
        encoded; in the space of the subject.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    seed : int, optional
        Seed of the sample and the clustering for the bundle metrics.
    chunk_size : int, optional
        Number of streamlines per chunk.
    progress : callable, optional
        Called after each chunk with the number of its streamlines.

    Returns
    -------
    errors : dict
        "n_streamlines", the result of `ErrorTotals.result`, and "rejected_REASON" for
        each reason that occurs. Errors are measured in the space of the model.
    sample : tuple of ndarray, shape (n_sample, n_points, 3)
        Input and reconstruction of at most 1000 streamlines, in the space of the model,
        mm.

    Raises
    ------
    EmptyDataError
        If no streamline of the file can be encoded.
    InputFileError, OutputFileError
        If a file cannot be read or written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made.tractogram(), "fibercup.trk")
    >>> errors, sample = dte.reconstruct_file(model, "fibercup.trk", "decoded.trk")
    >>> errors["n_reconstructed"], sample[0].shape
    (43, (43, 32, 3))
    """
    reader = TractogramChunks(path, reference, chunk_size=chunk_size)
    totals, rejects = ErrorTotals(seed=seed), []
    baseline = model.pca_baseline()
    n_streamlines = 0

    def reconstructed():
        nonlocal n_streamlines
        for array in prepared_chunks(model, reader, alignment):
            original = array.tractogram_order()
            points = decode(model, encode(model, array))
            pca_points = baseline.reconstruct(array.points)
            totals.add(original, points, array.tractogram_order(pca_points))
            n_streamlines += array.n_streamlines
            rejects.append(array.rejects)
            yield to_subject(points, alignment)
            if progress is not None:
                progress(array.n_streamlines)
        if not len(totals.sample):
            reasons = merge_rejects(rejects)
            raise EmptyDataError(nothing_encoded(path, n_streamlines, reasons))

    try:
        write_chunks(
            reconstructed(),
            out_tractogram,
            reader.space,
            reader.n_streamlines,
            model.preprocessing.n_points,
        )
    finally:
        reader.close()
    errors = {"n_streamlines": n_streamlines, **totals.result()}
    for reason, count in merge_rejects(rejects).items():
        errors[f"rejected_{reason}"] = count
    return errors, totals.sample.columns()
