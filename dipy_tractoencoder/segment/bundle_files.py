"""Read labelled bundles: one tractogram per bundle, or the groups of a TRX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.formats import file_format, file_stem
from dipy_tractoencoder.io.open_file import check_common_space
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.latent.codec import check_same_model, decode, encode
from dipy_tractoencoder.latent.file_codec import prepared_chunks
from dipy_tractoencoder.latent.latents_file import (
    EXTENSIONS as LATENTS_EXTENSIONS,
    load_latents,
)
from dipy_tractoencoder.segment.bundle_names import bundle_members, check_case
from dipy_tractoencoder.streamlines.array import (
    CHUNK_SIZE,
    StreamlineArray,
    merge_rejects,
)
from dipy_tractoencoder.streamlines.metrics import curve_length
from dipy_tractoencoder.utils.reservoir import UniformSample
from dipy_tractoencoder.utils.tables import rejects_text

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class LabelledLatents:
    """Latents of labelled streamlines.

    Attributes
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim), float32
        Latents (posterior means).
    bundle : ndarray, shape (n_streamlines,), int64
        Index in ``names`` of the bundle of each streamline.
    names : tuple of str
        Names of the bundles, sorted.
    length : ndarray, shape (n_streamlines,), float32
        Length of each streamline, mm, along its resampled points.
    """

    mean: np.ndarray
    bundle: np.ndarray
    names: tuple
    length: np.ndarray


class BundleChunk(NamedTuple):
    """Chunk of the streamlines of one bundle of one file."""

    name: str
    array: StreamlineArray
    source: int
    space: dict


def bundle_chunks(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path],
    *,
    groups: Sequence[str] | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
    on_read: Callable | None = None,
    alignment_of: Callable | None = None,
) -> Iterator[BundleChunk]:
    """Read and preprocess labelled bundles, chunk by chunk.

    Files with the same name in several folders (of subjects, for example) are one
    bundle. One without a streamline that can be encoded has a last chunk without rows.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose preprocessing is used.
    paths : sequence of str or Path
        Tractograms, TRX files with groups, and folders and wildcards as for
        `io.paths.tractogram_files`.
    groups : sequence of str, optional
        Patterns, such as ``AF*``, that select groups of TRX files; all by default.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines per chunk.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    on_read : callable, optional
        Function called with the path of the file and each StreamlineArray read from
        it, which holds the numbers of rejected streamlines.
    alignment_of : callable, optional
        Function called with the path of each tractogram, which returns the `Alignment`
        of its subject to the model, or None; by default nothing is moved.

    Yields
    ------
    chunk : BundleChunk
        ``name`` of the bundle; ``array``, a StreamlineArray in RASMM, mm, in the
        model's space and orientation; ``source``, the position of the file among those
        of `io.paths.tractogram_files`; and ``space`` of the file (see
        `io.space.tractogram_space`).

    Raises
    ------
    InputFileError
        If a file cannot be read.
    EmptyDataError
        If no streamline of any bundle can be encoded.
    InvalidArgumentError
        If names of bundles differ in case only.
    """
    counts: dict[str, list] = {}
    files = tractogram_files(paths)
    check_common_space(files, reference)
    for source, path in enumerate(files):
        members = bundle_members(path, groups)
        reader = TractogramChunks(
            path, reference, chunk_size=chunk_size, progress=progress
        )
        for name in members:
            counts.setdefault(name, [path, 0, [], source, reader.space])
        check_case({name: found[0] for name, found in counts.items()})
        try:
            alignment = alignment_of(path) if alignment_of is not None else None
            for array in prepared_chunks(model, reader, alignment):
                if on_read is not None:
                    on_read(path, array)
                for name, numbers in members.items():
                    part = array
                    if numbers is not None:
                        part = _rows(array, np.isin(array.index, numbers))
                    if len(part):
                        yield BundleChunk(name, part, source, reader.space)
                    counts[name][1] += len(part)
                    counts[name][2].append(array.rejects)
        finally:
            reader.close()
    for name, (path, count, rejects, source, space) in counts.items():
        if not any(found[1] for found in counts.values()):
            raise EmptyDataError(
                f"{path}: no streamline of {name} can be encoded"
                f"{rejects_text(merge_rejects(rejects))}."
            )
        if not count:
            nothing = np.empty((0, model.preprocessing.n_points, 3), np.float32)
            yield BundleChunk(name, StreamlineArray.from_points(nothing), source, space)


def bundle_arrays(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path],
    *,
    groups: Sequence[str] | None = None,
    max_streamlines: int | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    seed: int = 0,
    progress: Callable | None = None,
    on_read: Callable | None = None,
    alignment_of: Callable | None = None,
) -> tuple[dict[str, np.ndarray], dict]:
    """Read and preprocess labelled bundles, or a random subset of each.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model whose preprocessing is used.
    paths : sequence of str or Path
        As for `bundle_chunks`.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.
    max_streamlines : int, optional
        Number of random streamlines per bundle; all by default.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.
    seed : int, optional
        Seed of the random subset.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    on_read : callable, optional
        Function called with the path of the file and each StreamlineArray read of it.
    alignment_of : callable, optional
        Function called with the path of each tractogram, which returns the `Alignment`
        of its subject to the model, or None; by default nothing is moved.

    Returns
    -------
    points : dict of ndarray, shape (n_streamlines, n_points, 3), float32
        Streamlines of each bundle, by name, sorted; RASMM, mm, in the model's
        orientation.
    spaces : dict of dict
        Image space of each bundle, that of its first file.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made[made.bundle == 1].tractogram(), "U.trk")
    >>> points, spaces = dte.bundle_arrays(model, ["U.trk"])
    >>> points["U"].shape
    (8, 32, 3)
    """
    rng = np.random.default_rng(seed)
    found: dict[str, UniformSample] = {}
    spaces: dict[str, dict] = {}
    for chunk in bundle_chunks(
        model,
        paths,
        groups=groups,
        reference=reference,
        chunk_size=chunk_size,
        progress=progress,
        on_read=on_read,
        alignment_of=alignment_of,
    ):
        spaces.setdefault(chunk.name, chunk.space)
        if chunk.name not in found:
            found[chunk.name] = UniformSample(max_streamlines, rng)
        found[chunk.name].add(chunk.array.points)
    return {name: found[name].columns()[0] for name in sorted(found)}, spaces


def bundle_latents(
    model: StreamlineAutoencoder, paths: Sequence[str | Path], **options: Any
) -> LabelledLatents:
    """Read labelled bundles and encode them, chunk by chunk.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path
        As for `bundle_chunks`; latents files of this model are accepted too.
    **options
        Other arguments of `bundle_chunks`.

    Returns
    -------
    latents : LabelledLatents
        Latents of all streamlines that can be encoded.

    Raises
    ------
    FingerprintError
        If a latents file was made by another model.
    """
    found: dict[str, list] = {}
    paths = tractogram_files(paths)
    latents_files = [p for p in paths if file_format(p) in LATENTS_EXTENSIONS]
    paths = [path for path in paths if path not in latents_files]
    for path in latents_files:
        latents = load_latents(path)
        check_same_model(model, latents)
        name = file_stem(latents.tractogram or path)
        length = curve_length(decode(model, latents))
        found.setdefault(name, []).append((latents.mean, length))
    for chunk in bundle_chunks(model, paths, **options):
        mean = encode(model, chunk.array).mean
        length = curve_length(chunk.array.points)
        found.setdefault(chunk.name, []).append((mean, length))
    names = tuple(sorted(found))
    parts = [(code, *part) for code, name in enumerate(names) for part in found[name]]
    bundle, means, lengths = zip(*parts)
    sizes = [len(mean) for mean in means]
    return LabelledLatents(
        mean=np.concatenate(means),
        bundle=np.repeat(bundle, sizes),
        names=names,
        length=np.concatenate(lengths).astype(np.float32),
    )


def _rows(array, chosen):
    """Return a subset of the rows of a StreamlineArray."""
    return replace(
        array,
        points=array.points[chosen],
        index=array.index[chosen],
        is_reversed=array.is_reversed[chosen],
    )
