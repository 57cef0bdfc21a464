"""Tests of one subject against a small group, corrected over segments and bundles."""

import numpy as np
from scipy.stats import f as f_distribution, false_discovery_control, norm

from dipy_tractoencoder.errors import InvalidArgumentError

MIN_REFERENCE = 5  # subjects; with fewer the spread is not known
MIN_STREAMLINES = 10  # of one bundle of one subject
# No group counts as more alike than this: mm of a course, and shares of an error.
SMALLEST_SPREAD = {"mm": 0.1, "share": 0.01}
SMALLEST_P = 1e-300


def check_groups(reference, subjects):
    """Raise unless every bundle can be compared.

    Parameters
    ----------
    reference, subjects : dict of dict
        Subject to bundle to anything.

    Returns
    -------
    names : list of str
        Bundles to compare, sorted.

    Raises
    ------
    InvalidArgumentError
        If a bundle is in too few subjects of the reference group, or nobody is left.
    """
    counts = {}
    for given in reference.values():
        for name in given:
            counts[name] = counts.get(name, 0) + 1
    names = sorted({name for given in subjects.values() for name in given})
    if not names:
        raise InvalidArgumentError("No bundle of any subject was given to compare.")
    for name in names:
        if name not in counts:
            raise InvalidArgumentError(
                f"The reference group has no bundle {name}; it has "
                f"{', '.join(sorted(counts)) or 'none'}. Name files alike in both "
                "groups, or leave it out."
            )
        if counts[name] < MIN_REFERENCE:
            raise InvalidArgumentError(
                f"The reference group has {counts[name]} subjects with {name}. "
                f"Expected at least {MIN_REFERENCE} (20 are better)."
            )
    return names


def profile_p(profiles, is_reference, measure):
    """p-values of profiles against those of the reference group.

    Parameters
    ----------
    profiles : ndarray, shape (n_subjects, n_segments, n_values)
        Of `stats.profiles.bundle_profile`.
    is_reference : ndarray, shape (n_subjects,), bool
        Members of the reference group; each is compared with the others.
    measure : str
        An "error" has to be larger than the group's, others may differ either way.

    Returns
    -------
    p : ndarray, shape (n_subjects, n_segments)
        nan where too few are known.
    """
    one_sided = measure == "error"
    values = np.log(np.maximum(profiles, 1e-6)) if one_sided else profiles
    return _group_p(values, is_reference, one_sided)


def deviation_size(profiles, is_reference):
    """Size of profiles' differences from the reference group's mean.

    Parameters
    ----------
    profiles : ndarray, shape (n_subjects, n_segments, n_values)
        mm.
    is_reference : ndarray, shape (n_subjects,), bool
        Members of the reference group; each differs from the mean of the others.

    Returns
    -------
    sizes : ndarray, shape (n_subjects, n_segments)
        mm; nan without points.
    """
    known = np.isfinite(profiles).all(axis=2) & is_reference[:, None]
    filled = np.where(known[..., None], profiles, 0)
    left_out = np.where(is_reference[:, None, None], filled, 0)
    counts = known.sum(axis=0) - known
    with np.errstate(invalid="ignore"):
        means = (filled.sum(axis=0) - left_out) / counts[..., None]
    return np.linalg.norm(profiles - means, axis=2)


def group_p(values, is_reference):
    """One-sided p-values of one number per subject against the reference group.

    Parameters
    ----------
    values : ndarray, shape (n_subjects,)
        Larger is more unusual.
    is_reference : ndarray, shape (n_subjects,), bool
        Members of the reference group; each is compared with the others.

    Returns
    -------
    p : ndarray, shape (n_subjects,)
        By the t distribution of a new observation.
    """
    return _group_p(np.asarray(values)[:, None, None], is_reference, True)[:, 0]


def _group_p(values, is_reference, one_sided):
    options = {"one_sided": one_sided}
    options["smallest_spread"] = SMALLEST_SPREAD["share" if one_sided else "mm"]
    p = np.empty(values.shape[:2])
    p[~is_reference] = new_observation_p(
        values[is_reference], values[~is_reference], **options
    )
    for i in np.flatnonzero(is_reference):
        others = is_reference.copy()
        others[i] = False
        p[i] = new_observation_p(values[others], values[[i]], **options)[0]
    return p


def new_observation_p(reference, new, *, one_sided=False, smallest_spread=0.01):
    """Probability that a new member of a normal group lies as far out.

    Hotelling's test of one new observation; with one value per segment it is the t
    test whose spread is that of a new observation, sd * sqrt(1 + 1 / n).

    Parameters
    ----------
    reference : ndarray, shape (n_reference, n_segments, n_values)
        The group; nan is left out.
    new : ndarray, shape (n_new, n_segments, n_values)
        Not in the group.
    one_sided : bool, optional
        Only larger values are unusual; for one value per segment.
    smallest_spread : float, optional
        Standard deviation added (in squares) to that of the group.

    Returns
    -------
    p : ndarray, shape (n_new, n_segments)
        nan where ``new`` is, or fewer than four of the group are known.
    """
    d = reference.shape[2]
    known = np.isfinite(reference).all(axis=2)[..., None]
    n = known[..., 0].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, reference, 0).sum(axis=0) / n[:, None]
        centred = np.where(known, reference - mean, 0)
        covariance = np.einsum("nsi,nsj->sij", centred, centred)
        covariance /= np.maximum(n - 1, 1)[:, None, None]
        covariance += smallest_spread**2 * np.eye(d)
        steps = new - mean
        squared = np.einsum("msi,sij,msj->ms", steps, np.linalg.inv(covariance), steps)
        ratio = squared * n / (n + 1) * (n - d) / (d * (n - 1))
        p = f_distribution.sf(ratio, d, np.maximum(n - d, 1))
    if one_sided:
        p = np.where(steps[..., 0] > 0, p / 2, 1 - p / 2)
    return np.where(np.isfinite(squared) & (n >= MIN_REFERENCE - 1), p, np.nan)


def correct_p_values(p):
    """Correct the p-values of one subject over segments and bundles.

    A bundle's p-value is the smallest of its segments' after Benjamini and Hochberg's
    correction (Simes' test), and is corrected over bundles; its segments' are raised by
    the same factor :footcite:p:`Benjamini2014`. So bundles are falsely found no more
    often than segments, however many segments of one bundle are found.

    Parameters
    ----------
    p : sequence of ndarray, shape (n_segments,)
        Per bundle; nan is left out.

    Returns
    -------
    p_fdr : list of ndarray, shape (n_segments,)
        A bundle is found if one of its corrected p-values is below the rate wanted.
    """
    within = []
    for values in p:
        corrected = np.full(len(values), np.nan)
        known = np.isfinite(values)
        if known.any():
            corrected[known] = false_discovery_control(values[known])
        within.append(corrected)
    smallest = np.array(
        [np.nanmin(v) if np.isfinite(v).any() else 1.0 for v in within]
    ).clip(SMALLEST_P)
    factors = false_discovery_control(smallest) / smallest
    return [np.minimum(v * factor, 1.0) for v, factor in zip(within, factors)]


def z_from_p(p):
    """Turn p-values into deviates of the standard normal, large where p is small."""
    return norm.isf(np.clip(p, SMALLEST_P, 1 - 1e-16))
