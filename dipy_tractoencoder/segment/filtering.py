"""Filter tractogram files: split them into plausible and implausible streamlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.io.writers import check_names, save_selection
from dipy_tractoencoder.latent.latents_file import EXTENSIONS as LATENTS_EXTENSIONS
from dipy_tractoencoder.segment.bundle_files import bundle_chunks, bundle_latents
from dipy_tractoencoder.segment.decisions import (
    ALPHA,
    SubjectFactor,
    check_alpha,
    chosen_factor,
)
from dipy_tractoencoder.segment.filtered import Filtered
from dipy_tractoencoder.segment.from_atlas import atlas_density, needed_atlas
from dipy_tractoencoder.segment.plausibility_scores import (
    PlausibilityScorer,
    check_score,
    fit_latent_scorer,
    fit_scorer,
    judge_streamlines,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE
from dipy_tractoencoder.utils.atomic_files import check_free

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.io.mapped import MappedTractogram
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


P_NAME = "vae_p"


def fit_plausibility_scorer(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path] | None = None,
    *,
    score: str = "latent",
    groups: Sequence[str] = (),
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
) -> PlausibilityScorer:
    """Load plausible streamlines and fit the score that filters by plausibility.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    paths : sequence of str or Path, optional
        Tractograms of plausible streamlines, folders of them, TRX files with groups;
        for "latent" also latents files, and by default the bundles that the model
        holds, see `keep_bundles`.
    score : {"latent", "reconstruction", "likelihood"}, optional
        Distance to the nearest latent of the reference, reconstruction error in mm, or
        negative log-likelihood in nats.
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
    scorer : PlausibilityScorer
        The fitted score, for `plausibility_scores` and `filter_file`.

    Raises
    ------
    InvalidArgumentError
        If the score is unknown, or cannot be computed from latents files.
    FingerprintError
        If latents were made by another model.
    InputFileError, EmptyDataError
        If a file cannot be read, or holds no streamline that can be encoded.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made[made.plausible == 1].tractogram(), "plausible.trk")
    >>> scorer = dte.fit_plausibility_scorer(model, ["plausible.trk"])
    >>> scorer.score, len(scorer.own)
    ('latent', 30)
    """
    check_score(score, model)
    if paths is None:
        atlas = needed_atlas(model)
        if score != "latent":
            raise InvalidArgumentError(
                f"The score {score} needs streamlines, and the model holds latents. "
                "Give the tractograms of plausible streamlines."
            )
        density, own = atlas_density(atlas, groups=groups)
        return PlausibilityScorer(model, score, own, density)
    paths = tractogram_files(paths)
    options: dict[str, Any] = {
        "groups": groups,
        "reference": reference,
        "chunk_size": chunk_size,
        "progress": progress,
    }
    if score == "latent":
        known = bundle_latents(model, paths, **options)
        return fit_latent_scorer(model, known.mean)
    latents_files = [p for p in paths if file_format(p) in LATENTS_EXTENSIONS]
    if latents_files:
        raise InvalidArgumentError(
            f"The score {score} needs streamlines, and {latents_files[0]} holds "
            "latents. Give the tractogram they were encoded from."
        )

    def read():
        for chunk in bundle_chunks(model, paths, **options):
            yield chunk.array

    return fit_scorer(model, read, score=score)


def read_labelled_scores(
    scorer: PlausibilityScorer,
    path: str | Path,
    label_name: str,
    *,
    alignment: Alignment | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the scores of a file whose streamlines are labelled.

    Parameters
    ----------
    scorer : PlausibilityScorer
        From `fit_plausibility_scorer`.
    path : str or Path
        Tractogram with labels as ``data_per_streamline``: 1 is plausible, 0 is not.
    label_name : str
        Name of the labels in ``data_per_streamline``.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model.
    chunk_size : int, optional
        Streamlines processed at a time.

    Returns
    -------
    scores : ndarray, shape (n_streamlines,), float64
        Scores; nan for streamlines that cannot be encoded.
    plausible : ndarray, shape (n_streamlines,), bool
        Labels.
    remoteness : ndarray, shape (n_streamlines,), float64
        As of `judge_streamlines`, for `PlausibilityScorer.calibrated`.

    Raises
    ------
    InputFileError
        If labels are missing, or all labels are the same.
    """
    with mapped_tractogram(path) as source:
        plausible = read_labels(source, path, label_name)
        if plausible is None:
            present = ", ".join(source.per_streamline) or "none"
            raise InputFileError(
                f"{path} has no data per streamline called {label_name} (it has: "
                f"{present}). Give the name of the labels (1 plausible, 0 not) with "
                "`label_name`."
            )
        if plausible.all() or not plausible.any():
            raise InputFileError(
                f"{path}: all of its {len(plausible)} labels are {int(plausible[0])}. "
                "Finding a threshold needs both plausible and implausible streamlines."
                if len(plausible)
                else f"{path} has no streamlines."
            )
        scores, remoteness, _ = judge_streamlines(
            scorer, source.streamlines, alignment=alignment, chunk_size=chunk_size
        )
    return scores, plausible, remoteness


def read_labels(
    source: MappedTractogram, path: str | Path, label_name: str
) -> np.ndarray | None:
    """Read the plausibility labels of a tractogram.

    Parameters
    ----------
    source : MappedTractogram
        Tractogram to read from.
    path : str or Path
        File of the tractogram, for messages.
    label_name : str
        Name of the ``data_per_streamline`` with 1 for plausible and 0 for others.

    Returns
    -------
    plausible : ndarray, shape (n_streamlines,), bool, or None
        Labels; None if there is no data of that name.

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
            f"{len(wrong)} have another value or none, the first at streamline "
            f"{wrong[0]} ({labels[wrong[0]]})."
        )
    return labels == 1


def filter_file(
    scorer: PlausibilityScorer,
    path: str | Path,
    threshold: float | None,
    out_kept: str | Path,
    out_removed: str | Path,
    *,
    alpha: float = ALPHA,
    factor: SubjectFactor | float | None = None,
    score_name: str = "vae_score",
    label_name: str = "plausible",
    alignment: Alignment | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
    on_judged: Callable | None = None,
    overwrite: bool = False,
) -> Filtered:
    """Split a tractogram file into plausible and implausible streamlines.

    Streamlines keep their own points and all their data; their score is added.

    Parameters
    ----------
    scorer : PlausibilityScorer
        From `fit_plausibility_scorer`.
    path : str or Path
        Tractogram to filter.
    threshold : float or None
        Streamlines with a score up to this are kept; None decides by p-values, which
        only the score "latent" has.
    out_kept, out_removed : str or Path
        Tractograms to write; each is written completely or not at all.
    alpha : float, optional
        Largest p-value of streamlines that are removed, without a threshold.
    factor : SubjectFactor or float, optional
        Subject factor; by default it is estimated from the file.
    score_name : str, optional
        Name of the score in ``data_per_streamline``.
    label_name : str, optional
        Name of ground truth labels in ``data_per_streamline``, returned if present.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model. Only what is
        scored is moved, not what is written.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    on_judged : callable, optional
        Function called with the result before anything is written; what it raises
        leaves nothing behind.
    overwrite : bool, optional
        Replace existing files.

    Returns
    -------
    filtered : Filtered
        Scores, counts and ground truth.

    Raises
    ------
    InputFileError, OutputFileError
        If a file cannot be read or written, or exists and ``overwrite`` is False.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made.tractogram(), "all.trk")
    >>> dte.save_tractogram(made[made.plausible == 1].tractogram(), "plausible.trk")
    >>> scorer = dte.fit_plausibility_scorer(model, ["plausible.trk"])
    >>> outputs = ("kept.trk", "removed.trk")
    >>> result = dte.filter_file(scorer, "all.trk", None, *outputs, alpha=0.05)
    >>> len(dte.load_tractogram("kept.trk")) == result.n_kept
    True
    """
    check_alpha(alpha)
    density: Any = scorer.density
    if threshold is None and density is None:
        raise InvalidArgumentError(
            f"The score {scorer.score} has no p-values: give a `threshold`."
        )
    for output in (out_kept, out_removed):
        check_free(output, overwrite)
    with mapped_tractogram(path, reference) as source:
        added = (score_name,) if density is None else (score_name, P_NAME)
        data = dict.fromkeys(added, np.empty(len(source), dtype=np.float32))
        for output in (out_kept, out_removed):  # Before the work.
            check_names(output, {**source.per_streamline, **data}, source.per_point)
        truth = read_labels(source, path, label_name)
        scores, remoteness, rejects = judge_streamlines(
            scorer,
            source.streamlines,
            alignment=alignment,
            chunk_size=chunk_size,
            progress=progress,
        )
        data = {score_name: scores.astype(np.float32)}
        p = found = None
        if threshold is not None:
            kept = scores <= threshold
        if density is not None:
            found = chosen_factor(density.decisions, remoteness, factor)
            p = np.full(len(scores), np.nan)
            there = np.isfinite(remoteness)
            p[there] = density.p_values(remoteness[there], found.factor)
            kept = p > alpha if threshold is None else kept
            data[P_NAME] = p.astype(np.float32)
        filtered = Filtered(scores, int(kept.sum()), rejects, truth, p, found)
        if on_judged is not None:
            on_judged(filtered)
        save_selection(source, np.flatnonzero(kept), out_kept, data=data)
        save_selection(source, np.flatnonzero(~kept), out_removed, data=data)
    return filtered
