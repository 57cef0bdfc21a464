"""Data of the explorer's page: streamlines of each bundle, and their latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    format_received,
)
from dipy_tractoencoder.evaluation.encoded_bundles import (
    encode_side,
    encode_side_by_pca,
)
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.segment.bundle_files import bundle_chunks
from dipy_tractoencoder.streamlines.metrics import curve_length, point_distance
from dipy_tractoencoder.utils.reservoir import UniformSample
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class ExplorerData:
    """Streamlines of the explorer's page, one per row, sorted by bundle.

    Attributes
    ----------
    names : list of str
        Names of the bundles, sorted.
    bundle : ndarray, shape (n_rows,), int64
        Index in ``names`` of the bundle of each row.
    totals : list of int
        Number of streamlines of each bundle that can be encoded, shown or not.
    files : list of str
        Files of the streamlines; empty if they are not from files.
    source, number : ndarray, shape (n_rows,), int64
        Index in ``files`` of the file of each row (0 if there are none), and the index
        of the streamline in the file, from 0.
    points : ndarray, shape (n_rows, n_points, 3), float32
        Streamlines; RASMM, mm, in the model's orientation.
    latent : ndarray, shape (n_rows, latent_dim), float32
        Posterior means, in the unit of the latents.
    pca_latent : ndarray, shape (n_rows, latent_dim), float32
        The same number of principal coefficients, mm; see
        `evaluation.encoded_bundles.encode_side_by_pca`.
    length, error, pca_error : ndarray, shape (n_rows,), float64
        Length, and root mean squared point distance of the reconstructions by the model
        and by PCA, mm.
    """

    names: list
    bundle: np.ndarray
    totals: list
    files: list
    source: np.ndarray
    number: np.ndarray
    points: np.ndarray
    latent: np.ndarray
    pca_latent: np.ndarray
    length: np.ndarray
    error: np.ndarray
    pca_error: np.ndarray

    __repr__ = short_repr


class EvenSample:
    """Random sample with the same number of streamlines of each bundle, in one pass.

    Bundles with fewer streamlines leave their places to the others. Only the sample is
    held in memory.

    Parameters
    ----------
    n : int
        Largest number of streamlines over all bundles.
    seed : int, optional
        Seed of the random choice.
    """

    def __init__(self, n: int, *, seed: int = 0) -> None:
        self.n = n
        self.rng = np.random.default_rng(seed)
        self.samples: dict[str, UniformSample] = {}

    def add(
        self, name: str, points: np.ndarray, source: int, number: np.ndarray
    ) -> None:
        """Add streamlines of a bundle.

        Parameters
        ----------
        name : str
            Name of the bundle.
        points : ndarray, shape (n_rows, n_points, 3)
            Streamlines, mm.
        source : int
            Number of their file.
        number : ndarray, shape (n_rows,)
            Index of each streamline in the file.

        Raises
        ------
        InvalidArgumentError
            If there are more bundles than streamlines may be shown.
        """
        if name not in self.samples:
            self.samples[name] = UniformSample(self.n, self.rng)
        self.samples[name].add(points, np.full(len(points), source), number)
        totals = [sample.n_seen for sample in self.samples.values()]
        level = fair_share(totals, self.n)
        if level < 1:
            raise InvalidArgumentError(
                f"Invalid value received for `max_streamlines`. There are at least "
                f"{len(totals)} bundles. Expected at least one streamline for each. "
                f"Received: {self.n}."
            )
        for sample in self.samples.values():
            if len(sample) > level:  # The number per bundle only decreases.
                sample.shrink(level)


def fair_share(sizes: Sequence[int], n: int) -> int:
    """Return the largest number per group for which the total is at most n.

    Parameters
    ----------
    sizes : sequence of int
        Size of each group.
    n : int
        Largest total.

    Returns
    -------
    share : int
        The sum over min(size, share) is at most n; the largest size if all fit.
    """
    left = n
    sizes = sorted(sizes)
    for position, size in enumerate(sizes):
        among = len(sizes) - position
        if size * among > left:
            return left // among
        left -= size
    return sizes[-1]


def explorer_data(
    model: StreamlineAutoencoder,
    bundles: dict,
    *,
    groups: Sequence[str] | None = None,
    max_streamlines: int = 2000,
    reference: str | Path | None = None,
    seed: int = 0,
    progress: Callable | None = None,
    alignment_of: Callable | None = None,
) -> ExplorerData:
    """Sample streamlines of each bundle evenly, encode and reconstruct them.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    bundles : dict, or sequence of str or Path
        Streamlines of each bundle, by name (StatefulTractogram, or sequence of ndarray;
        RASMM, mm); or tractograms, of which each, or each group of a TRX file, is a
        bundle, and folders of them.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.
    max_streamlines : int, optional
        Largest number of streamlines over all bundles.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    seed : int, optional
        Seed of the random choice.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    alignment_of : callable, optional
        Function called with the path of each tractogram, or the name of each bundle of
        a dict, which returns the `Alignment` of its subject to the model, or None; by
        default nothing is moved. Streamlines are shown in the space of the model.

    Returns
    -------
    data : ExplorerData
        Data, for `explorer.page.explorer_page`.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    EmptyDataError
        If a bundle has no streamline that can be encoded, or there are fewer than three
        in all.
    InvalidArgumentError
        If there are more bundles than ``max_streamlines``, or streamlines without the
        name of their bundle.
    """
    chosen = EvenSample(max_streamlines, seed=seed)
    files: list[str] = []
    if isinstance(bundles, Mapping):
        for name, streamlines in bundles.items():
            moved = aligned(streamlines, alignment_of(name) if alignment_of else None)
            array = model.preprocessing.array(moved)
            if not len(array):
                raise EmptyDataError(f"No streamline of {name} can be encoded.")
            chosen.add(str(name), array.points, 0, array.index)
    else:
        try:
            paths = tractogram_files(bundles)
        except InvalidArgumentError as err:
            raise InvalidArgumentError(
                "Invalid value received for `bundles`. Expected streamlines by bundle, "
                "as {'AF_L': streamlines}, or paths of tractograms. Received: "
                f"{format_received(bundles)}."
            ) from err
        files = [str(Path(*path.parts[-2:])) for path in paths]
        for chunk in bundle_chunks(
            model,
            paths,
            groups=groups,
            reference=reference,
            progress=progress,
            alignment_of=alignment_of,
        ):
            array = chunk.array
            chosen.add(chunk.name, array.points, chunk.source, array.index)
    names = sorted(chosen.samples)
    samples = [chosen.samples[name] for name in names]
    points, source, number = (
        map(np.concatenate, zip(*(sample.columns() for sample in samples)))
        if names
        else np.empty((3, 0))
    )
    if len(points) < 3:
        raise EmptyDataError(
            f"The explorer needs at least three streamlines. Received: {len(points)}."
        )
    bundle = np.repeat(np.arange(len(names)), list(map(len, samples)))
    encoded = encode_side(model, points, bundle)
    linear = encode_side_by_pca(model, points, bundle)
    return ExplorerData(
        names=names,
        bundle=bundle,
        totals=[sample.n_seen for sample in samples],
        files=files,
        source=source,
        number=number,
        points=points,
        latent=encoded.latent,
        pca_latent=linear.latent,
        length=curve_length(points),
        error=point_distance(points, encoded.reconstructed),
        pca_error=point_distance(points, linear.reconstructed),
    )
