"""Plausibility scores of streamlines: the smaller the score, the more plausible.

``latent`` is the distance to the nearest latent of a plausible reference streamline
:footcite:p:`Legarreta2021`, ``reconstruction`` the reconstruction error in mm,
``likelihood`` the negative log-likelihood in nats, by importance sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    check_choice,
)
from dipy_tractoencoder.latent.alignment import aligned
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.latent.reconstruction import reconstruct_points
from dipy_tractoencoder.nn.likelihood import best_noise_std, log_likelihood
from dipy_tractoencoder.segment.decisions import SubjectFactor
from dipy_tractoencoder.segment.neighbors import reference_distances
from dipy_tractoencoder.segment.reference_density import (
    ReferenceDensity,
    fit_reference_density,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence, merge_rejects
from dipy_tractoencoder.streamlines.metrics import point_distance
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram
    from nibabel.streamlines import ArraySequence

    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
    from dipy_tractoencoder.streamlines.array import StreamlineArray

SCORES = {"latent": "mm", "reconstruction": "mm", "likelihood": "nats"}
N_DRAWS = 16  # Samples of the posterior per streamline, for the likelihood.


@dataclass(frozen=True)
class PlausibilityScorer:
    """Plausibility score, fitted to plausible reference streamlines.

    Attributes
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    score : str
        Name of the score, one of ``SCORES``.
    own : ndarray, shape (n_reference,)
        Scores of the reference streamlines themselves; for "latent" the distance to the
        nearest other one.
    density : ReferenceDensity, optional
        Reference latents with their local density, for "latent".
    noise_std : float, optional
        Standard deviation of the observation noise, mm, for "likelihood".

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made[made.plausible == 1].tractogram(), "plausible.trk")
    >>> scorer = dte.fit_plausibility_scorer(model, ["plausible.trk"])
    >>> scorer(model.preprocessing.array(made.streamlines)).shape
    (43,)
    """

    model: StreamlineAutoencoder
    score: str
    own: np.ndarray
    density: ReferenceDensity | None = None
    noise_std: float | None = None

    __repr__ = short_repr

    def __call__(self, array):
        """Compute the score of preprocessed streamlines.

        Parameters
        ----------
        array : StreamlineArray
            Streamlines from ``model.preprocessing.array``.

        Returns
        -------
        scores : ndarray, shape (n_kept,), float64
            Scores, small for plausible streamlines.
        """
        return self.judge(array)[0]

    def judge(self, array: StreamlineArray) -> tuple[np.ndarray, np.ndarray]:
        """Compute scores, and how far streamlines lie from the reference.

        Parameters
        ----------
        array : StreamlineArray
            Streamlines from ``model.preprocessing.array``.

        Returns
        -------
        scores : ndarray, shape (n_kept,), float64
            Scores, small for plausible streamlines.
        remoteness : ndarray, shape (n_kept,), float64
            See `ReferenceDensity.judge`; nan for scores other than "latent".
        """
        if self.density is not None:
            return self.density.judge(encode(self.model, array).mean)
        scores = _own_scores(self.model, self.score, array.points, self.noise_std)
        return scores, np.full(len(scores), np.nan)

    def calibrated(
        self,
        remoteness: np.ndarray,
        plausible: np.ndarray,
        subject: np.ndarray | None = None,
    ) -> PlausibilityScorer:
        """Return a score whose p-values are calibrated by labelled streamlines.

        See `ReferenceDensity.calibrated`.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            Of streamlines of other subjects, from `judge`.
        plausible : ndarray, shape (n_streamlines,), bool
            Which of them are plausible.
        subject : ndarray, shape (n_streamlines,), optional
            Subject of each; one by default.

        Returns
        -------
        scorer : PlausibilityScorer
            The calibrated one; the same for scores other than "latent".
        """
        if self.density is None:
            return self
        density = self.density.calibrated(remoteness, plausible, subject)
        return replace(self, density=density)

    def subject_factor(self, streamlines: Any) -> SubjectFactor:
        """Estimate how much further a subject lies from the reference than itself.

        Parameters
        ----------
        streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
            Streamlines of the subject, from all its files, a random few thousand for
            example; RASMM of the model, mm.

        Returns
        -------
        found : SubjectFactor
            The factor; 1 for scores other than "latent".
        """
        if self.density is None:
            return SubjectFactor(1.0, 1.0, 0.0, 0)
        _, remoteness = self.judge(self.model.preprocessing.array(streamlines))
        return self.density.decisions.fit_factor(remoteness)


def fit_scorer(
    model: StreamlineAutoencoder, read_reference: Callable, *, score: str = "latent"
) -> PlausibilityScorer:
    """Fit a plausibility score to streamlines known to be plausible.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    read_reference : callable
        Function without arguments that returns an iterable over StreamlineArrays of
        plausible streamlines. It may be called twice.
    score : {"latent", "reconstruction", "likelihood"}, optional
        Name of the score.

    Returns
    -------
    scorer : PlausibilityScorer
        The fitted score.

    Raises
    ------
    InvalidArgumentError
        If the score is unknown, or "likelihood" for an autoencoder.
    EmptyDataError
        If there are too few reference streamlines.
    """
    check_score(score, model)
    if score == "latent":
        means = [encode(model, array).mean for array in read_reference()]
        return fit_latent_scorer(model, np.concatenate(means))
    noise_std = None
    if score == "likelihood":
        sizes, stds = zip(
            *((len(a), best_noise_std(model, a.points)) for a in read_reference())
        )
        noise_std = float(np.sqrt(np.average(np.square(stds), weights=sizes)))
    own = [
        _own_scores(model, score, array.points, noise_std) for array in read_reference()
    ]
    return PlausibilityScorer(model, score, np.concatenate(own), noise_std=noise_std)


def fit_latent_scorer(
    model: StreamlineAutoencoder, mean: np.ndarray, *, seed: int = 0
) -> PlausibilityScorer:
    """Fit the latent score to latents of plausible streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    mean : ndarray, shape (n_reference, latent_dim)
        Latents from this model; those that are there twice count once.
    seed : int, optional
        Seed of the groups of the reference, see `fit_reference_density`.

    Returns
    -------
    scorer : PlausibilityScorer
        The fitted score.

    Raises
    ------
    EmptyDataError
        If there are fewer than two different latents.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> plausible = made[made.plausible == 1]
    >>> latents = dte.encode(model, plausible.streamlines)
    >>> scorer = dte.fit_latent_scorer(model, latents.mean)
    >>> scorer.own.shape
    (30,)
    """
    density = fit_reference_density(mean, seed=seed)
    own = reference_distances(density.mean)
    return PlausibilityScorer(model, "latent", own, density)


def check_score(score: str, model: StreamlineAutoencoder | None = None) -> None:
    """Raise an error unless a score exists and is available for a model.

    Parameters
    ----------
    score : str
        Name of the score.
    model : StreamlineAutoencoder or StreamlineVAE, optional
        Model to score with.

    Raises
    ------
    InvalidArgumentError
        If the score is unknown, or "likelihood" for an autoencoder.
    """
    check_choice("score", score, tuple(SCORES))
    if score == "likelihood" and model is not None and not model.variational:
        raise InvalidArgumentError(
            "The score likelihood needs a VAE; this model is an autoencoder. Choose "
            "the score latent or reconstruction, or train a VAE."
        )


def plausibility_scores(
    scorer: PlausibilityScorer,
    streamlines: StatefulTractogram | ArraySequence | Sequence[np.ndarray],
    *,
    alignment: Alignment | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
) -> tuple[np.ndarray, dict]:
    """Compute the plausibility score of streamlines of any length.

    Parameters
    ----------
    scorer : PlausibilityScorer
        From `fit_plausibility_scorer`.
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        Streamlines to score; RASMM, mm.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model, where distances
        and errors are measured.
    chunk_size : int, optional
        Streamlines processed at a time.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.

    Returns
    -------
    scores : ndarray, shape (n_streamlines,), float64
        Scores, small for plausible streamlines; nan for those that cannot be encoded.
    rejects : dict of str to int
        Number of streamlines that cannot be encoded, by reason.

    Raises
    ------
    InvalidArgumentError
        If ``streamlines`` are not streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_tractogram(made[made.plausible == 1].tractogram(), "plausible.trk")
    >>> scorer = dte.fit_plausibility_scorer(model, ["plausible.trk"])
    >>> scores, rejects = dte.plausibility_scores(scorer, made.streamlines)
    >>> scores.shape, rejects
    ((43,), {})
    """
    scores, _, rejects = judge_streamlines(
        scorer,
        streamlines,
        alignment=alignment,
        chunk_size=chunk_size,
        progress=progress,
    )
    return scores, rejects


def judge_streamlines(
    scorer: PlausibilityScorer,
    streamlines: StatefulTractogram | ArraySequence | Sequence[np.ndarray],
    *,
    alignment: Alignment | None = None,
    chunk_size: int = CHUNK_SIZE,
    progress: Callable | None = None,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Compute scores of streamlines of any length, and how far they lie away.

    Parameters
    ----------
    scorer, streamlines, alignment, chunk_size, progress
        As for `plausibility_scores`.

    Returns
    -------
    scores : ndarray, shape (n_streamlines,), float64
        Scores, small for plausible streamlines; nan for those that cannot be encoded.
    remoteness : ndarray, shape (n_streamlines,), float64
        See `ReferenceDensity.judge`; nan where there is none.
    rejects : dict of str to int
        Number of streamlines that cannot be encoded, by reason.

    Raises
    ------
    InvalidArgumentError
        If ``streamlines`` are not streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made[made.plausible == 1].streamlines)
    >>> scorer = dte.fit_latent_scorer(model, latents.mean)
    >>> scores, remoteness, _ = dte.judge_streamlines(scorer, made.streamlines)
    >>> p = scorer.density.p_values(remoteness)
    >>> p.shape, bool((p > 0).all())
    ((43,), True)
    """
    streamlines = as_sequence(streamlines)
    scores, remoteness = np.full((2, len(streamlines)), np.nan)
    rejects = []
    for start in range(0, len(streamlines), chunk_size):
        chunk = streamlines[start : start + chunk_size]
        array = scorer.model.preprocessing.array(aligned(chunk, alignment))
        if len(array):
            rows = start + array.index
            scores[rows], remoteness[rows] = scorer.judge(array)
        rejects.append(array.rejects)
        if progress is not None:
            progress(len(chunk))
    return scores, remoteness, merge_rejects(rejects)


def _own_scores(model, score, points, noise_std):
    """Compute a score that needs no reference."""
    if score == "reconstruction":
        return point_distance(points, reconstruct_points(model, points))
    return -log_likelihood(model, points, noise_std, n_samples=N_DRAWS)
