"""What the explorer's page shows: streamlines of each bundle, and their latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
from dipy_tractoencoder.segment.bundle_files import bundle_chunks
from dipy_tractoencoder.segment.bundle_names import tractogram_paths
from dipy_tractoencoder.streamlines.metrics import curve_length, point_distance
from dipy_tractoencoder.utils.short_repr import short_repr


@dataclass(frozen=True)
class ExplorerData:
    """Streamlines to look at, one per row, in the order of their bundles.

    Attributes
    ----------
    names : list of str
        Bundles, sorted.
    bundle : ndarray, shape (n_rows,), int64
        Position of each row's bundle in ``names``.
    totals : list of int
        Streamlines of each bundle that could be encoded, shown or not.
    files : list of str
        Where the streamlines come from; empty if not from files.
    source, number : ndarray, shape (n_rows,), int64
        Position of each row's file in ``files`` (0 if there are none), and the
        streamline's number in it, from 0.
    points : ndarray, shape (n_rows, n_points, 3), float32
        RASMM, mm, in the model's orientation.
    latent : ndarray, shape (n_rows, latent_dim), float32
        Posterior means, in the unit of `latent_unit`.
    pca_latent : ndarray, shape (n_rows, latent_dim), float32
        As many principal coefficients, mm; see
        `evaluation.encoded_bundles.encode_side_by_pca`.
    length, error, pca_error : ndarray, shape (n_rows,), float64
        Length, and root mean squared point distance of the model's and of PCA's
        reconstruction; mm.
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
    """Random streamlines of each bundle, as many of each as the limit allows.

    Bundles that have few leave their room to the others. Memory is that of the sample.

    Parameters
    ----------
    n : int
        Streamlines at most, over all bundles.
    seed : int, optional
        Of the choice.
    """

    def __init__(self, n, *, seed=0):
        self.n = n
        self.rng = np.random.default_rng(seed)
        self.rows, self.keys, self.totals = {}, {}, {}

    def add(self, name, points, source, number):
        """Take in some streamlines of a bundle.

        Parameters
        ----------
        name : str
            Of the bundle.
        points : ndarray, shape (n_rows, n_points, 3)
            mm.
        source : int
            Number of their file.
        number : ndarray, shape (n_rows,)
            Their numbers in it.

        Raises
        ------
        InvalidArgumentError
            If there are more bundles than streamlines may be shown.
        """
        rows = (points, np.full(len(points), source), number)
        keys = self.rng.random(len(points))
        if name in self.rows:
            rows = tuple(np.concatenate(p) for p in zip(self.rows[name], rows))
            keys = np.concatenate([self.keys[name], keys])
        self.rows[name], self.keys[name] = rows, keys
        self.totals[name] = self.totals.get(name, 0) + len(points)
        level = fair_share(list(self.totals.values()), self.n)
        if level < 1:
            raise InvalidArgumentError(
                f"Invalid value received for `max_streamlines`. There are "
                f"{len(self.rows)} bundles or more. Expected at least one streamline "
                f"for each. Received: {self.n}."
            )
        # The share only shrinks while more come, and the smallest keys of the
        # smallest keys are a uniform sample of all.
        for other, keys in self.keys.items():
            if len(keys) > level:
                kept = np.sort(np.argsort(keys, kind="stable")[:level])
                self.rows[other] = tuple(part[kept] for part in self.rows[other])
                self.keys[other] = keys[kept]


def fair_share(sizes, n):
    """Largest number that each of several may have, for all to have n at most.

    Parameters
    ----------
    sizes : sequence of int
        What each of them has.
    n : int
        What all of them may have.

    Returns
    -------
    share : int
        The sum over min(size, share) is n at most; the largest size if all fits.
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
    model,
    bundles,
    *,
    groups=None,
    max_streamlines=2000,
    reference=None,
    seed=0,
    progress=None,
):
    """Draw streamlines of each bundle evenly, encode and reconstruct them.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    bundles : dict, or sequence of str or Path
        Bundle to its streamlines (StatefulTractogram, or sequence of ndarray; RASMM,
        mm); or tractograms, each one or each group of a TRX a bundle, and folders of
        them.
    groups : sequence of str, optional
        Patterns that choose among the groups of TRX files.
    max_streamlines : int, optional
        Streamlines at most, over all bundles.
    reference : str or Path, optional
        Image or tractogram whose space files without one are in.
    seed : int, optional
        Of the choice.
    progress : callable, optional
        Called with the number of streamlines read, chunk by chunk.

    Returns
    -------
    data : ExplorerData
        To be drawn with `explorer.page.explorer_page`.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    EmptyDataError
        If a bundle has no streamline that can be encoded, or there are fewer than
        three in all.
    InvalidArgumentError
        If there are more bundles than ``max_streamlines``, or streamlines without the
        name of their bundle.
    """
    sample, files = EvenSample(max_streamlines, seed=seed), []
    if isinstance(bundles, Mapping):
        for name, streamlines in bundles.items():
            array = model.preprocessing.array(streamlines)
            if not len(array):
                raise EmptyDataError(f"No streamline of {name} can be encoded.")
            sample.add(str(name), array.points, 0, array.index)
    else:
        try:
            paths = tractogram_paths(bundles)
        except InvalidArgumentError as err:
            raise InvalidArgumentError(
                "Invalid value received for `bundles`. Expected streamlines by bundle, "
                "as {'AF_L': streamlines}, or paths of tractograms. Received: "
                f"{format_received(bundles)}."
            ) from err
        files = [str(Path(*path.parts[-2:])) for path in paths]
        for chunk in bundle_chunks(
            model, paths, groups=groups, reference=reference, progress=progress
        ):
            array = chunk.array
            sample.add(chunk.name, array.points, chunk.source, array.index)
    names = sorted(sample.rows)
    points, source, number = (
        np.concatenate([sample.rows[name][part] for name in names])
        if names
        else np.empty(0)
        for part in range(3)
    )
    if len(points) < 3:
        raise EmptyDataError(
            f"Three streamlines or more are needed to explore. Received: {len(points)}."
        )
    bundle = np.repeat(np.arange(len(names)), [len(sample.keys[n]) for n in names])
    encoded = encode_side(model, points, bundle)
    linear = encode_side_by_pca(model, points, bundle)
    return ExplorerData(
        names=names,
        bundle=bundle,
        totals=[sample.totals[name] for name in names],
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
