"""Labelled bundles from files: one tractogram per bundle, or the groups of a TRX."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.latent.codec import check_same_model, encode
from dipy_tractoencoder.latent.file_codec import prepared_chunks
from dipy_tractoencoder.latent.latents_file import (
    EXTENSIONS as LATENTS_EXTENSIONS,
    load_latents,
)
from dipy_tractoencoder.segment.bundle_names import bundle_members, tractogram_paths
from dipy_tractoencoder.streamlines.array import (
    CHUNK_SIZE,
    StreamlineArray,
    merge_rejects,
)
from dipy_tractoencoder.utils.reservoir import smallest_keys
from dipy_tractoencoder.utils.tables import rejects_text


@dataclass(frozen=True)
class LabelledLatents:
    """Latents of streamlines whose bundles are known.

    Attributes
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim), float32
        As `encode` gives them.
    bundle : ndarray, shape (n_streamlines,), int64
        Position of each one's bundle in ``names``.
    names : tuple of str
        Bundles, sorted.
    source : ndarray, shape (n_streamlines,), int64
        Number of the file that each one comes from.
    """

    mean: np.ndarray
    bundle: np.ndarray
    names: tuple
    source: np.ndarray


class BundleChunk(NamedTuple):
    """Some streamlines of one bundle of one file."""

    name: str
    array: StreamlineArray
    space: dict
    source: int


def bundle_chunks(
    model,
    paths,
    *,
    groups=None,
    reference=None,
    chunk_size=CHUNK_SIZE,
    progress=None,
    on_read=None,
):
    """Read bundles chunk by chunk, rejected, oriented and resampled.

    Files of one name in several folders (subjects, say) are one bundle.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its preprocessing is used.
    paths : sequence of str or Path
        Tractograms, folders of them, TRX files with groups.
    groups : sequence of str, optional
        Patterns that choose among the groups of TRX files.
    reference : str or Path, optional
        Image or tractogram whose space files without one are in.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.
    on_read : callable, optional
        Called with the file's path and each StreamlineArray read of it, which says
        how many streamlines were left out.

    Yields
    ------
    chunk : BundleChunk
        ``name`` of the bundle, ``array`` of some of its streamlines (StreamlineArray,
        RASMM, mm, in the model's orientation), ``space`` of the file (see
        `io.space.tractogram_space`), and ``source``, the file's number.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    EmptyDataError
        If a bundle has no streamline that can be encoded.
    """
    counts = {}
    for source, path in enumerate(tractogram_paths(paths)):
        members = bundle_members(path, groups)
        reader = TractogramChunks(
            path, reference, chunk_size=chunk_size, progress=progress
        )
        for name in members:
            counts.setdefault(name, [path, 0, []])
        try:
            for array in prepared_chunks(model, reader):
                if on_read is not None:
                    on_read(path, array)
                for name, numbers in members.items():
                    part = array
                    if numbers is not None:
                        part = _rows(array, np.isin(array.index, numbers))
                    if len(part):
                        yield BundleChunk(name, part, reader.space, source)
                    counts[name][1] += len(part)
                    counts[name][2].append(array.rejects)
        finally:
            reader.close()
    for name, (path, count, rejects) in counts.items():
        if not count:
            raise EmptyDataError(
                f"{path}: no streamline of {name} can be encoded"
                f"{rejects_text(merge_rejects(rejects))}."
            )


def bundle_arrays(model, paths, *, max_streamlines=None, seed=0, **options):
    """Read bundles whole, or a random part of each; rejected, oriented, resampled.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Its preprocessing is used.
    paths : sequence of str or Path
        As for `bundle_chunks`.
    max_streamlines : int, optional
        Streamlines taken of each bundle, at random; all by default.
    seed : int, optional
        Of that choice.
    **options
        Other arguments of `bundle_chunks`.

    Returns
    -------
    points : dict of ndarray, shape (n_streamlines, n_points, 3), float32
        Bundle, sorted, to its streamlines: RASMM, mm, in the model's orientation.
    spaces : dict of dict
        Bundle to the image space of the first file that has it.
    """
    rng = np.random.default_rng(seed)
    found, spaces = {}, {}
    for chunk in bundle_chunks(model, paths, **options):
        spaces.setdefault(chunk.name, chunk.space)
        parts, keys = found.get(chunk.name, ([], np.empty(0)))
        parts = [*parts, (chunk.array.points, chunk.array.index)]
        keys = np.append(keys, rng.random(len(chunk.array)))
        if max_streamlines is not None and len(keys) > max_streamlines:
            parts, keys = smallest_keys(parts, keys, max_streamlines)
        found[chunk.name] = parts, keys
    points = {
        name: np.concatenate([points for points, _ in found[name][0]])
        for name in sorted(found)
    }
    return points, spaces


def bundle_latents(model, paths, **options):
    """Read bundles and encode them, chunk by chunk.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path
        As for `bundle_chunks`; latents files of this model, too.
    **options
        Its other arguments.

    Returns
    -------
    latents : LabelledLatents
        Of all streamlines that can be encoded.

    Raises
    ------
    FingerprintError
        If a latents file was made by another model.
    """
    found = {}
    latents_files = [p for p in paths if Path(p).suffix in LATENTS_EXTENSIONS]
    paths = [path for path in paths if path not in latents_files]
    for source, path in enumerate(latents_files):
        latents = load_latents(path)
        check_same_model(model, latents)
        name = Path(latents.tractogram or path).stem
        found.setdefault(name, []).append((latents.mean, -1 - source))
    for chunk in bundle_chunks(model, paths, **options):
        mean = encode(model, chunk.array).mean
        found.setdefault(chunk.name, []).append((mean, chunk.source))
    names = tuple(sorted(found))
    parts = [(code, *part) for code, name in enumerate(names) for part in found[name]]
    bundle, means, source = zip(*parts)
    sizes = [len(mean) for mean in means]
    return LabelledLatents(
        mean=np.concatenate(means),
        bundle=np.repeat(bundle, sizes),
        names=names,
        source=np.repeat(source, sizes),
    )


def _rows(array, chosen):
    """Take some rows of a StreamlineArray."""
    return replace(
        array,
        points=array.points[chosen],
        index=array.index[chosen],
        is_reversed=array.is_reversed[chosen],
    )
