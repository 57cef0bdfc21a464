"""Whole files through a model, some streamlines at a time, in bounded memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import check_names, save_selection, write_chunks
from dipy_tractoencoder.latent.codec import check_same_model, decode, encode
from dipy_tractoencoder.latent.latents_file import (
    DATA_NAME,
    latents_reader,
    latents_writer,
    load_latents,
)
from dipy_tractoencoder.latent.reconstruction import ErrorTotals
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, merge_rejects
from dipy_tractoencoder.utils.prefetch import prefetch
from dipy_tractoencoder.utils.tables import rejects_text


def prepared_chunks(model, reader):
    """Reject, orient and resample a file's chunks, ahead of what uses them.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its preprocessing is used.
    reader : TractogramChunks
        The file.

    Yields
    ------
    array : StreamlineArray
        Of one chunk; ``index`` counts from the file's first streamline.
    """

    def prepare():
        start = 0
        for chunk in reader:
            array = model.preprocessing.array(chunk)
            yield replace(array, index=array.index + start)
            start += array.n_streamlines

    yield from prefetch(prepare())


def encode_file(
    model, path, out_latents, *, reference=None, chunk_size=CHUNK_SIZE, progress=None
):
    """Encode a tractogram file into a latents file.

    Reading, resampling, the network and writing work on chunks, the first two ahead of
    the others; memory depends on ``chunk_size``, not on the file.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        Tractogram to read, RASMM, mm.
    out_latents : str or Path
        HDF5 file to write, whole or not at all.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.

    Returns
    -------
    counts : dict
        "n_encoded", "n_streamlines", and "rejects", a dict of reason to number.

    Raises
    ------
    EmptyDataError
        If no streamline of the file can be encoded.
    InputFileError, OutputFileError
        If a file cannot be read or written.
    """
    reader = TractogramChunks(path, reference, chunk_size=chunk_size)
    n_streamlines, rejects = 0, []
    try:
        with latents_writer(out_latents) as writer:
            for array in prepared_chunks(model, reader):
                latents = encode(model, array, tractogram=Path(path).name)
                writer.append(replace(latents, space=reader.space))
                n_streamlines += array.n_streamlines
                rejects.append(array.rejects)
                if progress is not None:
                    progress(array.n_streamlines)
            rejects = merge_rejects(rejects)
            if writer.n_rows == 0:
                raise EmptyDataError(nothing_left(path, n_streamlines, rejects))
            writer.finish(n_streamlines, rejects)
    finally:
        reader.close()
    return {
        "n_encoded": writer.n_rows,
        "n_streamlines": n_streamlines,
        "rejects": rejects,
    }


def copy_with_latents(path, latents_path, out_tractogram, *, reference=None):
    """Copy a tractogram file with all it holds, adding its latents.

    Parameters
    ----------
    path : str or Path
        The tractogram that was encoded.
    latents_path : str or Path
        Its latents.
    out_tractogram : str or Path
        File to write, whole or not at all. Rejected streamlines have NaN. A TRX keeps
        groups and data of every level and type.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.

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


def check_copy_with_latents(model, path, out_tractogram):
    """Raise, before the work, if a TRX's data do not fit into the copy's format.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that will encode.
    path : str or Path
        Tractogram to encode; formats other than TRX are not looked into.
    out_tractogram : str or Path
        File that `copy_with_latents` will write.

    Raises
    ------
    OutputFileError
        If the file is a TRK, which cannot hold all of the data or of their names.
    """
    if Path(path).suffix == ".trx" and Path(out_tractogram).suffix == ".trk":
        with mapped_tractogram(path) as source:
            new = {DATA_NAME: np.empty((0, model.latent_dim))}
            check_names(
                out_tractogram, {**source.per_streamline, **new}, source.per_point
            )


def decode_file(model, path, out_tractogram, *, chunk_size=CHUNK_SIZE, progress=None):
    """Decode a latents file into a tractogram file, in the space that was encoded.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded.
    path : str or Path
        Latents of `encode_file` or `save_latents`.
    out_tractogram : str or Path
        File to write, whole or not at all; its extension chooses the format.
    chunk_size : int, optional
        Latents worked on at a time.
    progress : callable, optional
        Called with the number of latents done, chunk by chunk.

    Returns
    -------
    n_decoded : int
        Streamlines written.

    Raises
    ------
    FingerprintError
        If the latents were made by another model.
    InvalidArgumentError
        If the latents have no space to write a tractogram in, or are not finite.
    InputFileError, OutputFileError
        If a file cannot be read or written.
    """
    with latents_reader(path) as reader:
        first = reader.rows(0, 0)
        check_same_model(model, first)
        if not first.space:
            raise InvalidArgumentError(
                "its latents come without the space of a tractogram. Encode a file "
                "rather than an array."
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
    model,
    path,
    out_tractogram,
    *,
    reference=None,
    seed=0,
    chunk_size=CHUNK_SIZE,
    progress=None,
):
    """Encode and decode a tractogram file, and measure the difference.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    path : str or Path
        Tractogram to read.
    out_tractogram : str or Path
        File to write, whole or not at all; streamlines that cannot be encoded are left
        out.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    seed : int, optional
        Of the sample and clustering of the bundle metrics.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.

    Returns
    -------
    errors : dict
        "n_streamlines", what `ErrorTotals.result` gives, and "rejected_REASON" for
        each reason that occurs.
    sample : tuple of ndarray, shape (n_sample, n_points, 3)
        Input and reconstruction of 1000 streamlines at most, mm.

    Raises
    ------
    EmptyDataError
        If no streamline of the file can be encoded.
    InputFileError, OutputFileError
        If a file cannot be read or written.
    """
    reader = TractogramChunks(path, reference, chunk_size=chunk_size)
    totals, rejects = ErrorTotals(seed=seed), []
    baseline = model.pca_baseline()
    n_streamlines = 0

    def reconstructed():
        nonlocal n_streamlines
        for array in prepared_chunks(model, reader):
            original = array.tractogram_order()
            points = decode(model, encode(model, array))
            pca_points = baseline.reconstruct(array.points)
            totals.add(original, points, array.tractogram_order(pca_points))
            n_streamlines += array.n_streamlines
            rejects.append(array.rejects)
            yield points
            if progress is not None:
                progress(array.n_streamlines)
        if not len(totals.sample):
            reasons = merge_rejects(rejects)
            raise EmptyDataError(nothing_left(path, n_streamlines, reasons))

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


def nothing_left(path, n_streamlines, rejects):
    """Say that, and why, no streamline of a file could be encoded.

    Parameters
    ----------
    path : str or Path
        The file.
    n_streamlines : int
        Streamlines read.
    rejects : dict of str to int
        Reason to number.

    Returns
    -------
    message : str
        For `EmptyDataError`.
    """
    return (
        f"{path}: none of its {n_streamlines} streamlines can be "
        f"encoded{rejects_text(rejects)}."
    )
