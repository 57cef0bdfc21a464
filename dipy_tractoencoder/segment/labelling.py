"""Label the streamlines of tractogram files by bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import check_names, save_selection
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_classifier import (
    MARGIN,
    N_NEIGHBORS,
    UNASSIGNED,
    fit_latent_classifier,
)
from dipy_tractoencoder.segment.bundle_files import bundle_latents
from dipy_tractoencoder.segment.label_metrics import UNASSIGNED_NAME
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence, merge_rejects
from dipy_tractoencoder.utils.atomic_files import check_free
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.io.mapped import MappedTractogram
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier


@dataclass(frozen=True)
class Labels:
    """Bundle of each streamline of a tractogram.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    bundle : ndarray, shape (n_streamlines,), int64
        Index in ``names``; -1 is unassigned.
    vote_share : ndarray, shape (n_streamlines,), float32
        Fraction of the neighbours that voted for the bundle; nan for streamlines that
        cannot be encoded.
    distance : ndarray, shape (n_streamlines,), float32
        Distance to the nearest neighbour of the bundle, in the unit of the latents; nan
        for streamlines that cannot be encoded.
    rejects : dict of str to int
        Number of streamlines that cannot be encoded, by reason.
    truth : ndarray, shape (n_streamlines,), int64, or None
        Ground truth, if the file has it: index in ``names``, -1 for no bundle.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> numbers = np.zeros(3, np.float32)
    >>> labels = dte.Labels(("AF", "UF"), np.array([0, 1, -1]), numbers, numbers, {})
    >>> {name: rows.tolist() for name, rows in labels.members().items()}
    {'AF': [0], 'UF': [1], 'unassigned': [2]}
    """

    names: tuple
    bundle: np.ndarray
    vote_share: np.ndarray
    distance: np.ndarray
    rejects: dict
    truth: np.ndarray | None = None

    __repr__ = short_repr

    def members(self) -> dict[str, np.ndarray]:
        """List the streamlines of each bundle.

        Returns
        -------
        members : dict of ndarray of int64
            Indices of the streamlines of each bundle and of "unassigned", by name.
        """
        codes = {name: code for code, name in enumerate(self.names)}
        codes[UNASSIGNED_NAME] = UNASSIGNED
        return {name: np.flatnonzero(self.bundle == c) for name, c in codes.items()}


def fit_bundle_classifier(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path],
    *,
    n_neighbors: int = N_NEIGHBORS,
    margin: float = MARGIN,
    groups: Sequence[str] | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
) -> BundleClassifier:
    """Load labelled bundles and fit the classifier that labels streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path
        Tractograms of one bundle each, named by file name (files with the same name are
        one bundle of several subjects), folders of them, TRX files with groups, or
        latents files.
    n_neighbors : int, optional
        Number of neighbours that vote.
    margin : float, optional
        Factor on the distances within a bundle; see `fit_latent_classifier`.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.

    Returns
    -------
    classifier : BundleClassifier
        The fitted classifier, for `label_streamlines` and `label_file`.

    Raises
    ------
    InvalidArgumentError
        If a bundle has too few streamlines for ``n_neighbors``.
    FingerprintError
        If latents were made by another model.
    InputFileError, EmptyDataError
        If a file cannot be read, or holds no streamline that can be encoded.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> for code, name in ((1, "U"), (2, "B")):
    ...     dte.save_tractogram(made[made.bundle == code].tractogram(), f"{name}.trk")
    >>> classifier = dte.fit_bundle_classifier(model, ["U.trk", "B.trk"], n_neighbors=3)
    >>> classifier.names, len(classifier.bundle)
    (('B', 'U'), 13)
    """
    known = bundle_latents(
        model,
        paths,
        groups=groups,
        reference=reference,
        chunk_size=chunk_size,
        progress=progress,
    )
    return fit_latent_classifier(
        known.mean,
        known.bundle,
        known.names,
        source=known.source,
        n_neighbors=n_neighbors,
        margin=margin,
    )


def label_streamlines(
    model: StreamlineAutoencoder,
    streamlines: StatefulTractogram | ArraySequence | Sequence[np.ndarray],
    neighbors: BundleClassifier,
    *,
    alignment: Alignment | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
) -> Labels:
    """Label streamlines of any length by bundle.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that the bundles were encoded with.
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        Streamlines to label; RASMM, mm.
    neighbors : BundleClassifier
        From `fit_bundle_classifier` or `fit_latent_classifier`.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model and the bundles.
    chunk_size : int, optional
        Streamlines processed at a time.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.

    Returns
    -------
    labels : Labels
        Bundle of each streamline; those that cannot be encoded are unassigned.

    Raises
    ------
    InvalidArgumentError
        If ``streamlines`` are not streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.streamlines)
    >>> known = made.bundle[latents.index] == 1
    >>> classifier = dte.fit_latent_classifier(
    ...     latents.mean, known.astype(int), ["other", "U"], n_neighbors=3
    ... )
    >>> labels = dte.label_streamlines(model, made.streamlines, classifier)
    >>> len(labels.bundle), sorted(labels.members())
    (43, ['U', 'other', 'unassigned'])
    """
    streamlines = as_sequence(streamlines)
    n_streamlines = len(streamlines)
    bundle = np.full(n_streamlines, UNASSIGNED)
    vote_share, distance = np.full((2, n_streamlines), np.nan, dtype=np.float32)
    rejects = []
    for start in range(0, n_streamlines, chunk_size):
        chunk = streamlines[start : start + chunk_size]
        array = model.preprocessing.array(aligned(chunk, alignment))
        rows = start + array.index
        if len(array):
            found = neighbors.label(encode(model, array).mean)
            bundle[rows], vote_share[rows], distance[rows] = found
        rejects.append(array.rejects)
        if progress is not None:
            progress(len(chunk))
    return Labels(neighbors.names, bundle, vote_share, distance, merge_rejects(rejects))


def label_file(
    model: StreamlineAutoencoder,
    path: str | Path,
    neighbors: BundleClassifier,
    outputs: dict,
    *,
    alignment: Alignment | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
    on_labelled: Callable | None = None,
    overwrite: bool = False,
) -> Labels:
    """Label the streamlines of a tractogram file, and write the bundles.

    Streamlines keep their own points and all their data; ``vae_vote_share`` and
    ``vae_distance`` are added.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that the bundles were encoded with.
    path : str or Path
        Tractogram to label.
    neighbors : BundleClassifier
        From `fit_bundle_classifier`.
    outputs : dict of str to Path, or Path
        Tractogram to write for each bundle and for "unassigned", by name; or one TRX
        file to write with a group for each. Each file is written completely or not at
        all.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model and the bundles.
        Only what is labelled is moved, not what is written.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    on_labelled : callable, optional
        Function called with the tractogram (`MappedTractogram`) and its `Labels` while
        the file is open, to plot it for example.
    overwrite : bool, optional
        Replace existing files.

    Returns
    -------
    labels : Labels
        Bundle of each streamline, with the ground truth if the file has groups named
        like the bundles, or is itself named like one.

    Raises
    ------
    InputFileError, OutputFileError
        If a file cannot be read or written, or exists and ``overwrite`` is False.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> for code, name in ((1, "U"), (2, "B")):
    ...     dte.save_tractogram(made[made.bundle == code].tractogram(), f"{name}.trk")
    >>> classifier = dte.fit_bundle_classifier(model, ["U.trk", "B.trk"], n_neighbors=3)
    >>> dte.save_tractogram(made.tractogram(), "all.trk")
    >>> labels = dte.label_file(model, "all.trk", classifier, "labelled.trx")
    >>> len(dte.load_tractogram("labelled.trx")) == len(labels.bundle)
    True
    """
    files = outputs.values() if isinstance(outputs, dict) else [outputs]
    for output in files:
        check_free(output, overwrite)
    with mapped_tractogram(path, reference) as source:
        new = dict.fromkeys(("vae_vote_share", "vae_distance"), np.empty(len(source)))
        for output in files:  # Before the work.
            check_names(output, {**source.per_streamline, **new}, source.per_point)
        labels = label_streamlines(
            model,
            source.streamlines,
            neighbors,
            alignment=alignment,
            chunk_size=chunk_size,
            progress=progress,
        )
        members = labels.members()
        data = {"vae_vote_share": labels.vote_share, "vae_distance": labels.distance}
        if isinstance(outputs, dict):
            for name, rows in members.items():
                save_selection(source, rows, outputs[name], data=data)
        else:
            groups = {**source.groups, **members}
            everything = np.arange(len(source))
            save_selection(source, everything, outputs, data=data, groups=groups)
        truth = true_bundles(source, path, neighbors.names)
        labels = replace(labels, truth=truth)
        if on_labelled is not None:
            on_labelled(source, labels)
    return labels


def true_bundles(
    source: MappedTractogram, path: str | Path, names: Sequence[str]
) -> np.ndarray | None:
    """Read the ground truth bundles from the groups or the name of a tractogram.

    Parameters
    ----------
    source : MappedTractogram
        Tractogram to read from.
    path : str or Path
        File of the tractogram.
    names : sequence of str
        Names of the bundles.

    Returns
    -------
    truth : ndarray, shape (n_streamlines,), int64, or None
        Index in ``names``, -1 outside the groups with these names; None if neither the
        groups nor the file are named like a bundle.
    """
    stem = file_stem(path)
    if stem in names:
        return np.full(len(source), list(names).index(stem))
    if not set(names) & set(source.groups):
        return None
    truth = np.full(len(source), UNASSIGNED)
    for code, name in enumerate(names):
        truth[source.groups.get(name, [])] = code
    return truth
