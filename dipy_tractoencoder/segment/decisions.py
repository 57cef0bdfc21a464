"""Decide what belongs to a reference: conformal p-values of relative distances.

Everything is computed from one number per streamline, its *remoteness*: the logarithm
of its distance to the reference, relative to the distances of the reference from
itself. All remotenesses are natural logarithms and have no unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, check_number
from dipy_tractoencoder.utils.short_repr import short_repr

ALPHA = 0.05
# Streamlines of all bundles count as this many of each bundle, so that the p-values of
# small bundles are not coarse.
POOLED_WEIGHT = 50
# The subject factor: a grid, the kernel (natural logarithm), what is flat in the
# strangers, and the prior, which says that most subjects lie 1.5 times as far.
FACTORS = np.exp(np.linspace(0.0, np.log(3.0), 56))
KERNEL, FLAT, PRIOR_WEIGHT, PRIOR_FACTOR = 0.2, 0.2, 8.0, 1.5
# With few streamlines that belong, strangers would raise the factor until they do: no
# allowance is made for an estimate that only strangers can explain.
SMALLEST_FRACTION, IMPLAUSIBLE_FACTOR = 0.15, 2.5
LOW, HIGH, STEP = -4.0, 9.0, 0.02


@dataclass(frozen=True)
class SubjectFactor:
    """How much further a subject lies from the reference than the reference itself.

    Attributes
    ----------
    factor : float
        Used for decisions.
    estimate : float
        Before the guard for subjects of which little belongs to the reference.
    fraction : float
        Estimated fraction of streamlines that belong to the reference.
    n_streamlines : int
        Number of streamlines that it was estimated from.

    Examples
    --------
    >>> from dipy_tractoencoder.segment.decisions import SubjectFactor
    >>> SubjectFactor(1.4, 1.4, 0.9, 5000).factor
    1.4
    """

    factor: float
    estimate: float
    fraction: float
    n_streamlines: int


@dataclass(frozen=True)
class Decisions:
    """Remotenesses of a reference, and the p-values of others judged by them.

    The p-value of a streamline is the fraction of streamlines of its bundle that lie
    at least as far away: a class-conditional conformal p-value :footcite:p:`Vovk2005`.
    If streamlines of the bundle and new ones are exchangeable, at most a fraction alpha
    of those that belong have a p-value up to alpha.

    Attributes
    ----------
    known : ndarray, shape (n_known,)
        Remoteness of streamlines of the reference, each judged without itself.
    known_bundle : ndarray, shape (n_known,), int
        Bundle of each.
    strangers : ndarray, shape (n_strangers,)
        Remoteness of streamlines of the reference, each judged without its bundle.
    strangers_bundle : ndarray, shape (n_strangers,), int
        Bundle that each was taken for.
    n_bundles : int
        Number of bundles.
    prior_factor : float
        Subject factor that is expected of a subject.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.segment.decisions import Decisions
    >>> known = np.linspace(-1, 1, 101)
    >>> decisions = Decisions(known, np.zeros(101, int), known + 3, known * 0, 1)
    >>> p = decisions.p_values(np.array([0.0, 2.0]), np.array([0, 0]))
    >>> p.round(3).tolist()
    [0.507, 0.003]
    """

    known: np.ndarray
    known_bundle: np.ndarray
    strangers: np.ndarray
    strangers_bundle: np.ndarray
    n_bundles: int
    prior_factor: float = PRIOR_FACTOR

    __repr__ = short_repr

    @cached_property
    def _pooled(self):
        return np.sort(self.known)

    @cached_property
    def _of_bundle(self):
        """Sorted remotenesses of each bundle."""
        order = np.lexsort((self.known, self.known_bundle))
        cuts = np.searchsorted(self.known_bundle[order], np.arange(1, self.n_bundles))
        return np.split(self.known[order], cuts)

    @property
    def smallest_p(self) -> float:
        """Smallest p-value that a streamline far from everything can have.

        It belongs to the largest bundle. With a smaller alpha nothing is rejected.
        """
        sizes = np.bincount(self.known_bundle, minlength=self.n_bundles)
        pooled = POOLED_WEIGHT / (len(self.known) + 1)
        return float(pooled / (POOLED_WEIGHT + sizes.max(initial=0)))

    def p_values(
        self, remoteness: np.ndarray, bundle: np.ndarray, factor: float = 1.0
    ) -> np.ndarray:
        """Compute the p-value that each streamline belongs to its bundle.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            Remoteness from the bundle.
        bundle : ndarray, shape (n_streamlines,), int
            Bundle of each.
        factor : float, optional
            Subject factor, by which distances are divided.

        Returns
        -------
        p : ndarray, shape (n_streamlines,), float64
            p-values, above 0.
        """
        shifted = np.asarray(remoteness, dtype=np.float64) - np.log(factor)
        # The streamline itself counts as one of the pooled ones: p is never 0.
        pooled = (_n_above(self._pooled, shifted) + 1) / (len(self._pooled) + 1)
        p, n_own = POOLED_WEIGHT * pooled, np.zeros(len(shifted))
        for code in np.unique(bundle):
            own, rows = self._of_bundle[code], bundle == code
            n_own[rows] = len(own)
            p[rows] += _n_above(own, shifted[rows])
        return p / (POOLED_WEIGHT + n_own)

    def calibrated(
        self,
        remoteness: np.ndarray,
        bundle: np.ndarray,
        belongs: np.ndarray,
        subject: np.ndarray | None = None,
    ) -> Decisions:
        """Add labelled streamlines of other subjects to what decides.

        Streamlines of the reference lie in it otherwise than those of a new subject.
        Those of other subjects, of which is known what belongs, lie like these, once
        the factor of each subject is divided out: the median of its own remotenesses
        over that of the reference. They are added to those of the reference, because a
        few subjects do not show how different subjects can be.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            Of each streamline, from the bundle that it belongs to or else is taken
            for; those that are not finite are left out.
        bundle : ndarray, shape (n_streamlines,), int
            That bundle.
        belongs : ndarray, shape (n_streamlines,), bool
            False for strangers.
        subject : ndarray, shape (n_streamlines,), optional
            Subject of each; one by default.

        Returns
        -------
        decisions : Decisions
            With more known streamlines and strangers; subjects are expected to lie as
            far away as these.

        Raises
        ------
        EmptyDataError
            If nothing of a subject belongs.

        Examples
        --------
        >>> import numpy as np
        >>> from dipy_tractoencoder.segment.decisions import Decisions
        >>> known = np.linspace(-1, 1, 101)
        >>> decisions = Decisions(known, np.zeros(101, int), known + 3, known * 0, 1)
        >>> twice = 2 * known + np.log(1.8)  # Further away, and more scattered.
        >>> more = decisions.calibrated(twice, np.zeros(101, int), known < 2)
        >>> len(more.known), round(more.prior_factor, 3)
        (202, 1.8)
        """
        subject = np.zeros(len(remoteness)) if subject is None else np.asarray(subject)
        finite = np.isfinite(remoteness)
        shifted = np.asarray(remoteness, dtype=np.float64).copy()
        middle, factors = np.median(self.known), []
        for one in np.unique(subject[finite]):
            rows = finite & (subject == one)
            if not (rows & belongs).any():
                raise EmptyDataError(
                    "Nothing of a subject for validation belongs to the reference, or "
                    "can be encoded. Give labelled streamlines that belong."
                )
            log_factor = np.median(shifted[rows & belongs]) - middle
            shifted[rows] -= log_factor
            factors.append(np.exp(log_factor))
        own, others = finite & belongs, finite & ~np.asarray(belongs)
        return replace(
            self,
            known=np.concatenate([self.known, shifted[own]]),
            known_bundle=np.concatenate([self.known_bundle, bundle[own]]),
            strangers=np.concatenate([self.strangers, shifted[others]]),
            strangers_bundle=np.concatenate([self.strangers_bundle, bundle[others]]),
            prior_factor=float(np.median(factors)) if factors else self.prior_factor,
        )

    def labelled_strangers(self, alpha: float = ALPHA, factor: float = 1.0) -> float:
        """Predict the fraction of strangers that would be labelled.

        Parameters
        ----------
        alpha : float, optional
            Largest p-value of streamlines that stay unassigned.
        factor : float, optional
            Subject factor.

        Returns
        -------
        fraction : float
            Of streamlines whose bundle is missing from the reference; nan if it has
            one bundle only.
        """
        if not len(self.strangers):
            return float("nan")
        p = self.p_values(self.strangers, self.strangers_bundle, factor)
        return float((p > alpha).mean())

    def fit_factor(self, remoteness: np.ndarray) -> SubjectFactor:
        """Estimate the subject factor from streamlines of a subject.

        Remotenesses of the subject are modelled as a mixture of those of the reference,
        shifted by the logarithm of the factor, and of those of strangers. Fraction and
        factor maximise the likelihood, with a prior for ``prior_factor``.

        Parameters
        ----------
        remoteness : ndarray, shape (n_streamlines,)
            Remoteness of streamlines of the subject, of all its files together.

        Returns
        -------
        found : SubjectFactor
            The factor.
        """
        remoteness = remoteness[np.isfinite(remoteness)]
        if not len(remoteness):
            return SubjectFactor(1.0, 1.0, 0.0, 0)
        counts = _histogram(remoteness)
        seen = np.flatnonzero(counts)
        counts = counts[seen]
        known, width = _density(self.known), HIGH - LOW
        others = (1 - FLAT) * _density(self.strangers)[seen] + FLAT / width
        fractions = np.linspace(0.0, 1.0, 101)[1:-1]
        best: tuple[float, float, float] = (-np.inf, 1.0, 0.0)
        for factor in FACTORS:
            moved = np.interp(_CENTRES[seen] - np.log(factor), _CENTRES, known)
            mixed = fractions[:, None] * moved + (1 - fractions[:, None]) * others
            likelihood = np.log(mixed) @ counts
            likelihood -= PRIOR_WEIGHT * abs(np.log(factor / self.prior_factor))
            at = int(likelihood.argmax())
            best = max(best, (float(likelihood[at]), float(factor), fractions[at]))
        _, factor, fraction = best
        used = factor
        if fraction < SMALLEST_FRACTION:
            plausible = factor < IMPLAUSIBLE_FACTOR
            used = min(factor, PRIOR_FACTOR) if plausible else 1.0
        return SubjectFactor(used, factor, float(fraction), len(remoteness))


def chosen_factor(
    decisions: Decisions,
    remoteness: np.ndarray,
    factor: SubjectFactor | float | None = None,
) -> SubjectFactor:
    """Return a subject factor that is given, or estimate it.

    Parameters
    ----------
    decisions : Decisions
        Of the reference.
    remoteness : ndarray, shape (n_streamlines,)
        Remoteness of streamlines of the subject.
    factor : SubjectFactor or float, optional
        The factor, if it is known.

    Returns
    -------
    found : SubjectFactor
        The factor.

    Raises
    ------
    InvalidArgumentError
        If it is not a number above 0.
    """
    if factor is None:
        return decisions.fit_factor(remoteness)
    return factor if isinstance(factor, SubjectFactor) else given_factor(factor)


def given_factor(factor: float) -> SubjectFactor:
    """Return a subject factor that is known.

    Parameters
    ----------
    factor : float
        How much further the subject lies from the reference than the reference itself.

    Returns
    -------
    found : SubjectFactor
        The factor; its fraction is nan.

    Raises
    ------
    InvalidArgumentError
        If it is not a number above 0.
    """
    check_number("subject_factor", factor, above=0, high=100)
    return SubjectFactor(float(factor), float(factor), float("nan"), 0)


def check_alpha(alpha: float) -> None:
    """Raise an error unless a number can be the significance level.

    Parameters
    ----------
    alpha : float
        Fraction of right streamlines that may be lost.

    Raises
    ------
    InvalidArgumentError
        If it is not between 0 and 1.
    """
    check_number("alpha", alpha, low=0, high=1)


_CENTRES = np.arange(LOW, HIGH, STEP) + STEP / 2


def _n_above(known, values):
    """Count the sorted known values that are at least each value."""
    return len(known) - np.searchsorted(known, values, side="left")


def _histogram(values):
    """Count values in bins; values beyond go into the first and the last."""
    rows = np.clip((values - LOW) / STEP, 0, len(_CENTRES) - 1).astype(int)
    return np.bincount(rows, minlength=len(_CENTRES)).astype(np.float64)


def _density(values):
    """Kernel density of values at the centres of the bins."""
    if not len(values):
        return np.full(len(_CENTRES), 1 / (HIGH - LOW))
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(_histogram(values), KERNEL / STEP, mode="constant")
    return np.maximum(smooth / (smooth.sum() * STEP), 1e-12)
