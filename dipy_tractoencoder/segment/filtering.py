"""Tractogram files split into plausible streamlines and others."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.latents_file import EXTENSIONS as LATENTS_EXTENSIONS
from dipy_tractoencoder.segment.bundle_files import bundle_chunks, bundle_latents
from dipy_tractoencoder.segment.plausibility_scores import (
    check_score,
    fit_scorer,
    latent_scorer,
    plausibility_scores,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE
from dipy_tractoencoder.utils.atomic_files import check_free
from dipy_tractoencoder.utils.short_repr import short_repr


@dataclass(frozen=True)
class Filtered:
    """What a filter made of one file.

    Attributes
    ----------
    scores : ndarray, shape (n_streamlines,), float64
        nan for streamlines that cannot be encoded.
    n_kept : int
        Streamlines judged plausible.
    rejects : dict of str to int
        Streamlines that cannot be encoded, by reason.
    truth : ndarray, shape (n_streamlines,), bool, or None
        Labels that the file came with.
    """

    scores: np.ndarray
    n_kept: int
    rejects: dict
    truth: np.ndarray | None

    __repr__ = short_repr


def fit_plausibility_scorer(
    model, paths, *, score="latent", groups=(), progress=None, **options
):
    """Make a score ready from files of plausible streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path
        Tractograms, folders, TRX files with groups; for "latent", latents files too.
    score : {"latent", "reconstruction", "likelihood"}, optional
        Which one.
    groups : sequence of str, optional
        Patterns that choose among the groups of TRX files.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.
    **options
        ``reference`` and ``chunk_size`` of `segment.bundle_files.bundle_chunks`.

    Returns
    -------
    scorer : Scorer
        See `segment.plausibility_scores.fit_scorer`.

    Raises
    ------
    InvalidArgumentError
        If the score is unknown or needs more than latents.
    FingerprintError
        If latents were made by another model.
    InputFileError, EmptyDataError
        If a file cannot be read or holds no streamline to encode.
    """
    check_score(score, model)
    options = {**options, "groups": groups, "progress": progress}
    if score == "latent":
        known = bundle_latents(model, paths, **options)
        return latent_scorer(model, known.mean, known.source)
    latents_files = [p for p in paths if str(p).endswith(LATENTS_EXTENSIONS)]
    if latents_files:
        raise InvalidArgumentError(
            f"The score {score} needs streamlines, and {latents_files[0]} holds "
            "latents. Give the tractogram it was made from."
        )

    def read():
        for chunk in bundle_chunks(model, paths, **options):
            yield chunk.array, chunk.source

    return fit_scorer(model, read, score=score)


def read_labelled_scores(scorer, path, label_name, *, chunk_size=CHUNK_SIZE):
    """Take the scores of a file whose streamlines are labelled.

    Parameters
    ----------
    scorer : Scorer
        From `fit_plausibility_scorer`.
    path : str or Path
        Tractogram with labels as ``data_per_streamline``: 1 plausible, 0 not.
    label_name : str
        Name of the labels.
    chunk_size : int, optional
        Streamlines worked on at a time.

    Returns
    -------
    scores : ndarray, shape (n_streamlines,), float64
        nan for those that cannot be encoded.
    plausible : ndarray, shape (n_streamlines,), bool
        Labels.

    Raises
    ------
    InputFileError
        If labels are missing, or are of one kind only.
    """
    with mapped_tractogram(path) as source:
        if label_name not in source.per_streamline:
            present = ", ".join(source.per_streamline) or "none"
            raise InputFileError(
                f"{path} has no data per streamline called {label_name} (there: "
                f"{present}). Say by `label_name` (--label_name) which one tells "
                "plausible streamlines (1) from others (0)."
            )
        plausible = read_labels(source, path, label_name)
        if plausible.all() or not plausible.any():
            raise InputFileError(
                f"{path}: all of its {len(plausible)} labels are {int(plausible[0])}. "
                "Both kinds are needed to find a threshold."
                if len(plausible)
                else f"{path} has no streamlines."
            )
        scores, _ = plausibility_scores(
            scorer, source.streamlines, chunk_size=chunk_size
        )
    return scores, plausible


def read_labels(source, path, label_name):
    """Read the labels of a tractogram.

    Parameters
    ----------
    source : MappedTractogram
        The tractogram.
    path : str or Path
        Its file, for messages.
    label_name : str
        Its ``data_per_streamline`` that holds 1 for plausible, 0 for others.

    Returns
    -------
    plausible : ndarray, shape (n_streamlines,), bool, or None
        None if there is nothing of that name.

    Raises
    ------
    InputFileError
        If a label is neither 0 nor 1.
    """
    if label_name not in source.per_streamline:
        return None
    labels = np.asarray(source.per_streamline[label_name])[:, 0]
    wrong = np.flatnonzero(~np.isin(labels, (0, 1)))
    if len(wrong):
        raise InputFileError(
            f"{path}: the labels {label_name} have to be 1 (plausible) or 0; "
            f"{len(wrong)} are missing or others, the first at streamline {wrong[0]} "
            f"({labels[wrong[0]]})."
        )
    return labels == 1


def filter_file(
    scorer,
    path,
    threshold,
    out_kept,
    out_removed,
    *,
    score_name="vae_score",
    label_name="plausible",
    reference=None,
    chunk_size=CHUNK_SIZE,
    progress=None,
    overwrite=False,
):
    """Split a tractogram file into plausible streamlines and others.

    Streamlines keep their own points and all their data, and get their score.

    Parameters
    ----------
    scorer : Scorer
        From `fit_plausibility_scorer`.
    path : str or Path
        Tractogram to read, RASMM, mm.
    threshold : float
        Largest score that is kept.
    out_kept, out_removed : str or Path
        Files to write, whole or not at all.
    score_name : str, optional
        ``data_per_streamline`` that the score becomes.
    label_name : str, optional
        ``data_per_streamline`` of labels that are returned if there are any.
    reference : str or Path, optional
        Image or tractogram whose space a file without one is in.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.
    overwrite : bool, optional
        Replace existing files.

    Returns
    -------
    filtered : Filtered
        Scores and counts.

    Raises
    ------
    InputFileError, OutputFileError
        If a file cannot be read or written, or exists and is not to be replaced.
    """
    for output in (out_kept, out_removed):
        check_free(output, overwrite)
    with mapped_tractogram(path, reference) as source:
        truth = read_labels(source, path, label_name)
        scores, rejects = plausibility_scores(
            scorer, source.streamlines, chunk_size=chunk_size, progress=progress
        )
        kept = scores <= threshold
        data = {score_name: scores.astype(np.float32)}
        save_selection(source, np.flatnonzero(kept), out_kept, data=data)
        save_selection(source, np.flatnonzero(~kept), out_removed, data=data)
    return Filtered(scores, int(kept.sum()), rejects, truth)
