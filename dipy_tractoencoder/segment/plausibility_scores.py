"""Scores that tell plausible streamlines from others: the smaller, the more plausible.

``latent`` is the distance to the nearest latent of a plausible reference
:footcite:p:`Legarreta2021`, ``reconstruction`` the model's own error in mm,
``likelihood`` the negative log-likelihood in nats, by importance sampling.
"""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import (
    InvalidArgumentError,
    check_choice,
)
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.latent.reconstruction import reconstruct_points
from dipy_tractoencoder.nn.likelihood import best_noise_std, log_likelihood
from dipy_tractoencoder.segment.neighbors import (
    fit,
    nearest_distances,
    reference_distances,
)
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence, merge_rejects
from dipy_tractoencoder.streamlines.metrics import point_distance
from dipy_tractoencoder.utils.short_repr import short_repr

SCORES = {"latent": "mm", "reconstruction": "mm", "likelihood": "nats"}
N_DRAWS = 16  # of the posterior per streamline, for the likelihood


@dataclass(frozen=True)
class Scorer:
    """A score, ready to be taken of streamlines.

    Attributes
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    score : str
        One of ``SCORES``.
    own : ndarray, shape (n_reference,)
        Scores of the plausible reference itself; latent distances of each streamline
        to the others, of other files if there are several.
    neighbors : sklearn.neighbors.NearestNeighbors, optional
        Of the reference, for "latent".
    noise_std : float, optional
        Spread (mm) of the observation noise, for "likelihood".
    """

    model: object
    score: str
    own: np.ndarray
    neighbors: object = None
    noise_std: float | None = None

    __repr__ = short_repr

    def __call__(self, array):
        """Take the score of streamlines.

        Parameters
        ----------
        array : StreamlineArray
            In the model's orientation, as ``model.preprocessing.array`` gives.

        Returns
        -------
        scores : ndarray, shape (n_kept,), float64
            Small for plausible streamlines.
        """
        if self.score == "latent":
            return nearest_distances(encode(self.model, array).mean, self.neighbors)
        return _own_scores(self.model, self.score, array.points, self.noise_std)


def fit_scorer(model, read_reference, *, score="latent"):
    """Make a score ready, from streamlines known to be plausible.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    read_reference : callable
        Without arguments, gives the plausible streamlines as an iterable of
        StreamlineArray and number of the file (or subject) each comes from; it may be
        called twice.
    score : {"latent", "reconstruction", "likelihood"}, optional
        Which one.

    Returns
    -------
    scorer : Scorer
        Ready for use.

    Raises
    ------
    InvalidArgumentError
        If the score is unknown, or an autoencoder is asked for a likelihood.
    EmptyDataError
        If the reference is too small.
    """
    check_score(score, model)
    if score == "latent":
        means, sources = zip(
            *((encode(model, array).mean, source) for array, source in read_reference())
        )
        source = np.repeat(sources, [len(mean) for mean in means])
        return latent_scorer(model, np.concatenate(means), source)
    noise_std = None
    if score == "likelihood":
        sizes, spreads = zip(
            *((len(a), best_noise_std(model, a.points)) for a, _ in read_reference())
        )
        noise_std = float(np.sqrt(np.average(np.square(spreads), weights=sizes)))
    own = [
        _own_scores(model, score, array.points, noise_std)
        for array, _ in read_reference()
    ]
    return Scorer(model, score, np.concatenate(own), noise_std=noise_std)


def latent_scorer(model, mean, source=None):
    """Make the latent score ready, from latents of plausible streamlines.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    mean : ndarray, shape (n_reference, latent_dim)
        Latents made by it.
    source : ndarray, shape (n_reference,), int, optional
        Subject, or file, of each.

    Returns
    -------
    scorer : Scorer
        Ready for use.

    Raises
    ------
    EmptyDataError
        If there are fewer than two.
    """
    return Scorer(model, "latent", reference_distances(mean, source), fit(mean))


def check_score(score, model=None):
    """Raise unless a score exists, and a model has it.

    Parameters
    ----------
    score : str
        Its name.
    model : StreamlineAutoencoder or StreamlineVAE, optional
        The model.

    Raises
    ------
    InvalidArgumentError
        If there is no such score.
    """
    check_choice("score", score, tuple(SCORES))
    if score == "likelihood" and model is not None and not model.variational:
        raise InvalidArgumentError(
            "An autoencoder has no likelihood. Choose the score latent or "
            "reconstruction, or train a vae."
        )


def plausibility_scores(scorer, streamlines, *, chunk_size=CHUNK_SIZE, progress=None):
    """Take the score of streamlines of any length, some at a time.

    Parameters
    ----------
    scorer : Scorer
        From `fit_scorer`.
    streamlines : StatefulTractogram, ArraySequence, or sequence of ndarray
        RASMM, mm.
    chunk_size : int, optional
        Streamlines worked on at a time.
    progress : callable, optional
        Called with the number of streamlines done, chunk by chunk.

    Returns
    -------
    scores : ndarray, shape (n_streamlines,), float64
        Small for plausible streamlines, nan for those that cannot be encoded.
    rejects : dict of str to int
        How many cannot be encoded, by reason.

    Raises
    ------
    InvalidArgumentError
        If they are no streamlines.
    """
    streamlines = as_sequence(streamlines)
    scores = np.full(len(streamlines), np.nan)
    rejects = []
    for start in range(0, len(streamlines), chunk_size):
        chunk = streamlines[start : start + chunk_size]
        array = scorer.model.preprocessing.array(chunk)
        if len(array):
            scores[start + array.index] = scorer(array)
        rejects.append(array.rejects)
        if progress is not None:
            progress(len(chunk))
    return scores, merge_rejects(rejects)


def _own_scores(model, score, points, noise_std):
    """Scores that need no reference."""
    if score == "reconstruction":
        return point_distance(points, reconstruct_points(model, points))
    return -log_likelihood(model, points, noise_std, n_samples=N_DRAWS)
