"""Label the streamlines of tractogram files by bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.io.formats import file_stem
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import check_names, save_selection
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_classifier import (
    N_NEIGHBORS,
    fit_latent_classifier,
)
from dipy_tractoencoder.segment.bundle_files import bundle_latents
from dipy_tractoencoder.segment.decisions import (
    ALPHA,
    SubjectFactor,
    check_alpha,
    chosen_factor,
)
from dipy_tractoencoder.segment.from_atlas import atlas_classifier, needed_atlas
from dipy_tractoencoder.segment.labels import ADDED, Labels
from dipy_tractoencoder.segment.votes import UNASSIGNED, Judgement
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence, merge_rejects
from dipy_tractoencoder.streamlines.metrics import curve_length
from dipy_tractoencoder.utils.atomic_files import check_free

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.io.mapped import MappedTractogram
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier


BESIDE = 2.0  # times as far; streamlines that would then belong are beside a bundle


def fit_bundle_classifier(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path] | None = None,
    *,
    n_neighbors: int = N_NEIGHBORS,
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
    paths : sequence of str or Path, optional
        Tractograms of one bundle each, named by file name (files with the same name are
        one bundle of several subjects), folders of them, TRX files with groups, or
        latents files. By default the bundles that the model holds, see `keep_bundles`.
    n_neighbors : int, optional
        Number of neighbours that vote.
    groups : sequence of str, optional
        Patterns that select groups of TRX files, or bundles that the model holds; all
        by default.
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
        If a number is out of range, or the model holds no bundles.
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
    if paths is None:
        atlas = needed_atlas(model)
        return atlas_classifier(atlas, n_neighbors=n_neighbors, groups=groups)
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
        n_neighbors=n_neighbors,
        length=known.length,
    )


def label_streamlines(
    model: StreamlineAutoencoder,
    streamlines: StatefulTractogram | ArraySequence | Sequence[np.ndarray],
    neighbors: BundleClassifier,
    *,
    alpha: float = ALPHA,
    factor: SubjectFactor | float | None = None,
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
    alpha : float, optional
        Largest p-value of streamlines that stay unassigned: the fraction of those that
        belong to a bundle which may be lost. 0 assigns all.
    factor : SubjectFactor or float, optional
        Subject factor, see `BundleClassifier.subject_factor`; by default it is
        estimated from these streamlines.
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
    check_alpha(alpha)
    streamlines = as_sequence(streamlines)
    n_streamlines = len(streamlines)
    found, rows, rejects, lengths = [], [], [], [np.empty(0)]
    for start in range(0, n_streamlines, chunk_size):
        chunk = streamlines[start : start + chunk_size]
        array = model.preprocessing.array(aligned(chunk, alignment))
        found.append(neighbors.judge(encode(model, array).mean))
        rows.append(start + array.index)
        rejects.append(array.rejects)
        lengths.append(curve_length(array.points))
        if progress is not None:
            progress(len(chunk))
    judged, encoded = _joined(found, neighbors), np.concatenate([[], *rows]).astype(int)
    found_factor = chosen_factor(neighbors.decisions, judged.remoteness, factor)
    p, second_p = neighbors.p_values(judged, found_factor.factor)
    assigned = np.where(p > alpha, judged.bundle, UNASSIGNED)
    further, _ = neighbors.p_values(judged, BESIDE * found_factor.factor)
    beside = judged.bundle[(p <= alpha) & (further > alpha)]

    def of_all(values, otherwise):
        every = np.full(n_streamlines, otherwise, dtype=values.dtype)
        every[encoded] = values
        return every

    return Labels(
        neighbors.names,
        of_all(assigned, UNASSIGNED),
        of_all(judged.vote_share, np.nan),
        of_all(judged.distance, np.nan),
        merge_rejects(rejects),
        p=of_all(p, np.nan),
        second=of_all(judged.second, UNASSIGNED),
        second_p=of_all(second_p, np.nan),
        factor=found_factor,
        missed=np.bincount(beside, minlength=len(neighbors.names)),
        median_length=_medians(np.concatenate(lengths), assigned, neighbors.names),
    )


def _medians(values, bundle, names):
    """Return the median of each bundle; nan if it has no streamline."""
    parts = [values[bundle == code] for code in range(len(names))]
    return np.array([np.median(part) if len(part) else np.nan for part in parts])


def _joined(found, classifier):
    """Join the judgements of chunks."""
    parts = found or [classifier.judge(classifier.mean[:0])]
    columns = zip(*(vars(part).values() for part in parts))
    return Judgement(*map(np.concatenate, columns))


def label_file(
    model: StreamlineAutoencoder,
    path: str | Path,
    neighbors: BundleClassifier,
    outputs: dict,
    *,
    alpha: float = ALPHA,
    factor: SubjectFactor | float | None = None,
    alignment: Alignment | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
    on_judged: Callable | None = None,
    on_labelled: Callable | None = None,
    overwrite: bool = False,
) -> Labels:
    """Label the streamlines of a tractogram file, and write the bundles.

    Streamlines keep their own points and all their data; the names of ``ADDED`` are
    added as data per streamline: ``vae_second`` is the number of the bundle in
    ``neighbors.names``, from 1; 0 is none.

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
    on_judged : callable, optional
        Function called with the `Labels` before anything is written; what it raises
        leaves nothing behind.
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
        new = dict.fromkeys(ADDED, np.empty(len(source)))
        for output in files:  # Before the work.
            check_names(output, {**source.per_streamline, **new}, source.per_point)
        labels = label_streamlines(
            model,
            source.streamlines,
            neighbors,
            alpha=alpha,
            factor=factor,
            alignment=alignment,
            chunk_size=chunk_size,
            progress=progress,
        )
        if on_judged is not None:
            on_judged(labels)
        members = labels.members()
        data = labels.per_streamline()
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
