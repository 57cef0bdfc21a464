"""Test one subject against a small group, corrected over segments and bundles."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import f as f_distribution, false_discovery_control, norm

from dipy_tractoencoder.errors import InvalidArgumentError

MIN_REFERENCE = 5  # Subjects needed to estimate the standard deviation of a group.
MIN_STREAMLINES = 10  # Of one bundle of one subject.
# Smallest standard deviation of a group, for displacements in mm and for logarithms.
SMALLEST_STD = {"mm": 0.1, "log": 0.01}
SMALLEST_P = 1e-300


def check_groups(reference: dict, subjects: dict) -> list[str]:
    """Check that every bundle can be compared, and list the bundles.

    Parameters
    ----------
    reference, subjects : dict of dict
        For each subject, by name, a dict with the names of its bundles as keys.

    Returns
    -------
    names : list of str
        Bundles to compare, sorted.

    Raises
    ------
    InvalidArgumentError
        If too few subjects of the reference group have a bundle, or there is no bundle
        to compare.
    """
    counts: dict[str, int] = {}
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
                f"{', '.join(sorted(counts)) or 'none'}. Use the same bundle names in "
                "both groups, or leave it out."
            )
        if counts[name] < MIN_REFERENCE:
            raise InvalidArgumentError(
                f"The reference group has {counts[name]} subjects with {name}. "
                f"Expected at least {MIN_REFERENCE} (20 are better)."
            )
    return names


def profile_p(
    profiles: np.ndarray, is_reference: np.ndarray, measure: str
) -> np.ndarray:
    """Compute p-values of profiles compared with the reference group.

    Parameters
    ----------
    profiles : ndarray, shape (n_subjects, n_segments, n_values)
        Profiles from `stats.profiles.bundle_profile`.
    is_reference : ndarray, shape (n_subjects,), bool
        True for the reference group; each member is compared with the others.
    measure : str
        Measure of the profiles; the test is one-sided (larger) for "error" and
        two-sided for the others.

    Returns
    -------
    p : ndarray, shape (n_subjects, n_segments)
        p-values; nan where too few subjects have points.
    """
    one_sided = measure == "error"
    values = np.log(np.maximum(profiles, 1e-6)) if one_sided else profiles
    return _group_p(values, is_reference, one_sided)


def deviation_size(profiles: np.ndarray, is_reference: np.ndarray) -> np.ndarray:
    """Compute the size of the difference from the mean of the reference group.

    Parameters
    ----------
    profiles : ndarray, shape (n_subjects, n_segments, n_values)
        Profiles, mm.
    is_reference : ndarray, shape (n_subjects,), bool
        True for the reference group; the mean for a member is that of the others.

    Returns
    -------
    sizes : ndarray, shape (n_subjects, n_segments)
        Norm of the difference, mm; nan for segments without points.
    """
    known = np.isfinite(profiles).all(axis=2) & is_reference[:, None]
    filled = np.where(known[..., None], profiles, 0)
    left_out = np.where(is_reference[:, None, None], filled, 0)
    counts = known.sum(axis=0) - known
    with np.errstate(invalid="ignore"):
        means = (filled.sum(axis=0) - left_out) / counts[..., None]
    return np.linalg.norm(profiles - means, axis=2)


def group_p(values: np.ndarray, is_reference: np.ndarray) -> np.ndarray:
    """Compute one-sided p-values of one number per subject.

    Parameters
    ----------
    values : ndarray, shape (n_subjects,)
        One number per subject; larger is more unusual.
    is_reference : ndarray, shape (n_subjects,), bool
        True for the reference group; each member is compared with the others.

    Returns
    -------
    p : ndarray, shape (n_subjects,)
        p-values from the t distribution of a new observation.
    """
    return _group_p(np.asarray(values)[:, None, None], is_reference, True)[:, 0]


def _group_p(values, is_reference, one_sided):
    options = {"one_sided": one_sided}
    options["smallest_std"] = SMALLEST_STD["log" if one_sided else "mm"]
    p = np.empty(values.shape[:2])
    p[~is_reference] = new_observation_p(
        values[is_reference], values[~is_reference], **options
    )
    for i in np.flatnonzero(is_reference):
        others = is_reference.copy()
        others[i] = False
        p[i] = new_observation_p(values[others], values[[i]], **options)[0]
    return p


def new_observation_p(
    reference: np.ndarray,
    new: np.ndarray,
    *,
    one_sided: bool = False,
    smallest_std: float = 0.01,
) -> np.ndarray:
    """Test new observations against a group with a normal distribution.

    This is Hotelling's T-squared test of one new observation; with one value per
    segment it is the t test with the standard deviation of a new observation,
    sd * sqrt(1 + 1 / n).

    Parameters
    ----------
    reference : ndarray, shape (n_reference, n_segments, n_values)
        Values of the group; nan is left out.
    new : ndarray, shape (n_new, n_segments, n_values)
        Values of subjects outside the group.
    one_sided : bool, optional
        Only larger values are unusual; needs one value per segment.
    smallest_std : float, optional
        Standard deviation whose square is added to the variance of the group.

    Returns
    -------
    p : ndarray, shape (n_new, n_segments)
        p-values; nan where ``new`` is nan, or fewer than four of the group are known.
    """
    d = reference.shape[2]
    known = np.isfinite(reference).all(axis=2)[..., None]
    n = known[..., 0].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, reference, 0).sum(axis=0) / n[:, None]
        centred = np.where(known, reference - mean, 0)
        covariance = np.einsum("nsi,nsj->sij", centred, centred)
        covariance /= np.maximum(n - 1, 1)[:, None, None]
        covariance += smallest_std**2 * np.eye(d)
        steps = new - mean
        squared = np.einsum("msi,sij,msj->ms", steps, np.linalg.inv(covariance), steps)
        ratio = squared * n / (n + 1) * (n - d) / (d * (n - 1))
        p = f_distribution.sf(ratio, d, np.maximum(n - d, 1))
    if one_sided:
        p = np.where(steps[..., 0] > 0, p / 2, 1 - p / 2)
    return np.where(np.isfinite(squared) & (n >= MIN_REFERENCE - 1), p, np.nan)


def correct_p_values(p: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Correct the p-values of one subject over segments and bundles.

    The p-value of a bundle is the smallest p-value of its segments after the
    Benjamini-Hochberg correction (Simes' test). It is corrected over bundles, and the
    p-values of its segments are multiplied by the same factor
    :footcite:p:`Benjamini2014`. This controls the false discovery rate of bundles,
    however many segments of one bundle are detected.

    Parameters
    ----------
    p : sequence of ndarray, shape (n_segments,)
        p-values of each bundle; nan is left out.

    Returns
    -------
    p_fdr : list of ndarray, shape (n_segments,)
        Corrected p-values of each bundle. A bundle is detected if one of them is below
        the false discovery rate.
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


def z_from_p(p: np.ndarray) -> np.ndarray:
    """Convert p-values to standard normal deviates.

    Parameters
    ----------
    p : ndarray
        One-sided p-values.

    Returns
    -------
    z : ndarray
        Standard normal deviates, large where p is small.
    """
    return norm.isf(np.clip(p, SMALLEST_P, 1 - 1e-16))
