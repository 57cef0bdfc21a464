"""Tractogram files labelled by bundle."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.segment.bundle_classifier import (
    MARGIN,
    N_NEIGHBORS,
    UNASSIGNED,
    fit_latent_classifier,
)
from dipy_tractoencoder.segment.bundle_files import bundle_latents
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence, merge_rejects
from dipy_tractoencoder.utils.atomic_files import check_free
from dipy_tractoencoder.utils.short_repr import short_repr

UNASSIGNED_NAME = "unassigned"


@dataclass(frozen=True)
class Labels:
    """Bundle of each streamline of a tractogram.

    Attributes
    ----------
    names : tuple of str
        Bundles.
    bundle : ndarray, shape (n_streamlines,), int64
        Position in ``names``; -1 is unassigned.
    vote_share : ndarray, shape (n_streamlines,), float32
        Share of the neighbours' votes; nan for streamlines that cannot be encoded.
    distance : ndarray, shape (n_streamlines,), float32
        To the nearest neighbour of the bundle, in the latents' unit; nan likewise.
    rejects : dict of str to int
        Streamlines that cannot be encoded, by reason.
    truth : ndarray, shape (n_streamlines,), int64, or None
        Bundles that the file says; -1 for none of ``names``.
    """

    names: tuple
    bundle: np.ndarray
    vote_share: np.ndarray
    distance: np.ndarray
    rejects: dict
    truth: np.ndarray | None = None

    __repr__ = short_repr

    def members(self):
        """List the streamlines of each bundle.

        Returns
        -------
        members : dict of ndarray of int64
            Bundle, or "unassigned", to numbers of streamlines.
        """
        codes = {name: code for code, name in enumerate(self.names)}
        codes[UNASSIGNED_NAME] = UNASSIGNED
        return {name: np.flatnonzero(self.bundle == c) for name, c in codes.items()}


def fit_bundle_classifier(
    model, paths, *, n_neighbors=N_NEIGHBORS, margin=MARGIN, **options
):
    """Make ready to label streamlines, from files of labelled bundles.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path
        Tractograms (one bundle each; those of one name are one bundle of several
        subjects), folders of them, TRX files with groups, latents files.
    n_neighbors : int, optional
        Neighbours that vote.
    margin : float, optional
        Factor on the distances within a bundle; see
        `segment.bundle_classifier.fit_latent_classifier`.
    **options
        Those of `segment.bundle_files.bundle_chunks`.

    Returns
    -------
    neighbors : BundleClassifier
        To be given to `label_streamlines`.

    Raises
    ------
    InvalidArgumentError
        If a bundle has fewer streamlines than neighbours vote.
    FingerprintError
        If latents were made by another model.
    InputFileError, EmptyDataError
        If a file cannot be read or holds no streamline to encode.
    """
    known = bundle_latents(model, paths, **options)
    return fit_latent_classifier(
        known.mean,
        known.bundle,
        known.names,
        source=known.source,
        n_neighbors=n_neighbors,
        margin=margin,
    )


def label_streamlines(
    model, streamlines, neighbors, *, chunk_size=CHUNK_SIZE, progress=None
):
    """Label streamlines of any length by bundle, some at a time.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded the bundles.
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        RASMM, mm.
    neighbors : BundleClassifier
        From `fit_bundle_classifier` or
        `segment.bundle_classifier.fit_latent_classifier`.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.

    Returns
    -------
    labels : Labels
        Streamlines that cannot be encoded are unassigned.

    Raises
    ------
    InvalidArgumentError
        If they are no streamlines.
    """
    streamlines = as_sequence(streamlines)
    n_streamlines = len(streamlines)
    bundle = np.full(n_streamlines, UNASSIGNED)
    vote_share, distance = np.full((2, n_streamlines), np.nan, dtype=np.float32)
    rejects = []
    for start in range(0, n_streamlines, chunk_size):
        chunk = streamlines[start : start + chunk_size]
        array = model.preprocessing.array(chunk)
        rows = start + array.index
        if len(array):
            found = neighbors.label(encode(model, array).mean)
            bundle[rows], vote_share[rows], distance[rows] = found
        rejects.append(array.rejects)
        if progress is not None:
            progress(len(chunk))
    return Labels(neighbors.names, bundle, vote_share, distance, merge_rejects(rejects))


def label_file(
    model,
    path,
    neighbors,
    outputs,
    *,
    reference=None,
    chunk_size=CHUNK_SIZE,
    progress=None,
    on_labelled=None,
    overwrite=False,
):
    """Label a tractogram file by bundle, and write the bundles.

    Streamlines keep their own points and all their data, and get ``vae_vote_share``
    and ``vae_distance``.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded the bundles.
    path : str or Path
        Tractogram to read, RASMM, mm.
    neighbors : BundleClassifier
        From `fit_bundle_classifier`.
    outputs : dict of str to Path, or Path
        File of each bundle and of "unassigned"; or one TRX file, with a group for
        each. Each file is written whole or not at all.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.
    on_labelled : callable, optional
        Called with the tractogram (`MappedTractogram`) and its `Labels` while the
        file is still open, to draw it for example.
    overwrite : bool, optional
        Replace existing files.

    Returns
    -------
    labels : Labels
        With the truth, if the file says it: by groups, or its own name, called as the
        bundles.

    Raises
    ------
    InputFileError, OutputFileError
        If a file cannot be read or written, or exists and is not to be replaced.
    """
    files = outputs.values() if isinstance(outputs, dict) else [outputs]
    for output in files:
        check_free(output, overwrite)
    with mapped_tractogram(path, reference) as source:
        labels = label_streamlines(
            model,
            source.streamlines,
            neighbors,
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


def true_bundles(source, path, names):
    """Read off a tractogram which bundles its streamlines are of, if it says so.

    Parameters
    ----------
    source : MappedTractogram
        The tractogram.
    path : str or Path
        Its file.
    names : sequence of str
        Bundles.

    Returns
    -------
    truth : ndarray, shape (n_streamlines,), int64, or None
        Positions in ``names``, -1 outside of the groups of these names; None if
        neither groups nor the file are called like a bundle.
    """
    stem = Path(path).stem
    if stem in names:
        return np.full(len(source), list(names).index(stem))
    if not set(names) & set(source.groups):
        return None
    truth = np.full(len(source), UNASSIGNED)
    for code, name in enumerate(names):
        truth[source.groups.get(name, [])] = code
    return truth


def confusion_table(names, truth, bundle):
    """Count streamlines by true and by found bundle.

    Parameters
    ----------
    names : sequence of str
        Bundles.
    truth, bundle : ndarray, shape (n_streamlines,), int
        Positions in ``names``, -1 for none.

    Returns
    -------
    rows : list of dict
        Per true bundle: "true", and the number found for each bundle and for
        "unassigned".
    """
    columns = [*names, UNASSIGNED_NAME]
    codes = [*range(len(names)), UNASSIGNED]
    rows = []
    for true_name, true_code in zip(columns, codes):
        found = bundle[truth == true_code]
        if len(found):
            counts = {n: int((found == c).sum()) for n, c in zip(columns, codes)}
            rows.append({"true": true_name, **counts})
    return rows


def label_metrics(truth, bundle):
    """How well bundles were found.

    Parameters
    ----------
    truth, bundle : ndarray, shape (n_streamlines,), int
        True and found bundles, -1 for none.

    Returns
    -------
    figures : dict of float
        "accuracy" over streamlines that have a bundle, "macro_f1" over bundles, and,
        where streamlines have none, "outsiders_left_out", the share of these that
        stayed unassigned.
    """
    from sklearn.metrics import f1_score

    inside = truth != UNASSIGNED
    figures = {}
    if inside.any():
        figures["accuracy"] = float((truth == bundle)[inside].mean())
        figures["macro_f1"] = float(
            f1_score(truth, bundle, labels=np.unique(truth[inside]), average="macro")
        )
    if not inside.all():
        figures["outsiders_left_out"] = float((bundle[~inside] == UNASSIGNED).mean())
    return figures
