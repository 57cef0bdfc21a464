"""Subjects' bundles against those of a reference group: tests, distances, tables."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import (
    EmptyDataError,
    check_choice,
    check_number,
)
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.stats.group_distances import group_distances, surprise
from dipy_tractoencoder.stats.group_statistics import (
    MIN_STREAMLINES,
    check_groups,
    correct_p_values,
    deviation_size,
    group_p,
    profile_p,
    z_from_p,
)
from dipy_tractoencoder.stats.profiles import (
    MEASURES,
    RECONSTRUCTING,
    BundleCore,
    bundle_profile,
    few_dimensional,
    fit_core,
)
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.utils.short_repr import short_repr


@dataclass(frozen=True)
class BundleComparison:
    """One bundle of all subjects against the reference group.

    The reference subjects come first, each compared with the others.

    Attributes
    ----------
    subjects : list of str
        Names.
    is_reference : ndarray, shape (n_subjects,), bool
        Members of the reference group.
    n_streamlines : ndarray, shape (n_subjects,), int
        That could be used.
    core : BundleCore
        Of the reference group.
    profiles : ndarray, shape (n_subjects, n_segments)
        The error, or the size of the difference from the reference group's mean, mm;
        nan without points.
    p : ndarray, shape (n_subjects, n_segments)
        Of each segment by itself; nan where it cannot be tested.
    numbers, numbers_p : dict of ndarray, shape (n_subjects,)
        "surprise" (mean minus log density of the latents under the reference group's
        Gaussian, nats), "latent_distance" (Wasserstein, in the latents' unit) and
        "bmd" (bundle-minimum distance, mm) from the reference group, and their
        one-sided p-values.
    """

    subjects: list
    is_reference: np.ndarray
    n_streamlines: np.ndarray
    core: BundleCore
    profiles: np.ndarray
    p: np.ndarray
    numbers: dict
    numbers_p: dict

    __repr__ = short_repr


@dataclass(frozen=True)
class Comparison:
    """All bundles of all subjects against the reference group.

    Attributes
    ----------
    bundles : dict of BundleComparison
        By name.
    p_fdr : dict of ndarray, shape (n_subjects, n_segments)
        p-values corrected over the segments and bundles of each subject (`correct`).
    measure : str
        What the profiles show, one of `stats.profiles.MEASURES`.
    alpha : float
        Corrected p-values below this count as found.
    """

    bundles: dict
    p_fdr: dict
    measure: str
    alpha: float

    __repr__ = short_repr

    def profile_rows(self):
        """Give a row per bundle, subject and segment, named as BUAN's profiles.

        Returns
        -------
        rows : list of dict
            "bundle", "subject", "group" (0 reference, 1 compared), "disk" (segment,
            from 1), the measure in mm, "z" (standard normal deviate of the p-value),
            "p" and "p_fdr".
        """
        rows = []
        for name, bundle in self.bundles.items():
            z = z_from_p(bundle.p)
            for i, subject in enumerate(bundle.subjects):
                group = 0 if bundle.is_reference[i] else 1
                first = {"bundle": name, "subject": subject, "group": group}
                columns = (bundle.profiles[i], z[i], bundle.p[i], self.p_fdr[name][i])
                for disk, values in enumerate(zip(*columns), start=1):
                    names = (f"{self.measure}_mm", "z", "p", "p_fdr")
                    values = dict(zip(names, map(float, values)))
                    rows.append({**first, "disk": disk, **values})
        return rows

    def summary_rows(self):
        """Give a row per bundle and subject.

        Returns
        -------
        rows : list of dict
            "largest_z" and its "disk", smallest "p_fdr", "detected", "disks" (those
            found, as "12-20 31"), and `BundleComparison.numbers`, each with its z.
        """
        rows = []
        for name, bundle in self.bundles.items():
            z = z_from_p(bundle.p)
            for i, subject in enumerate(bundle.subjects):
                p_fdr = self.p_fdr[name][i]
                found = p_fdr < self.alpha
                # Where nothing could be tested, the first segment stands for all.
                largest = int(np.nan_to_num(z[i], nan=-np.inf).argmax())
                row = {
                    "bundle": name,
                    "subject": subject,
                    "group": 0 if bundle.is_reference[i] else 1,
                    "n_streamlines": int(bundle.n_streamlines[i]),
                    "largest_z": float(z[i, largest]),
                    "disk": largest + 1,
                    "p_fdr": float(p_fdr[largest]),
                    "detected": "yes" if found.any() else "no",
                    "disks": runs_text(np.flatnonzero(found) + 1),
                }
                for key, values in bundle.numbers.items():
                    row[key] = float(values[i])
                    row[f"{key}_z"] = float(z_from_p(bundle.numbers_p[key][i]))
                rows.append(row)
        return rows


def compare(
    model,
    reference,
    subjects,
    *,
    measure="residual",
    n_dims=12,
    n_segments=100,
    alpha=0.05,
    seed=0,
    read=None,
    progress=None,
):
    """Compare subjects' bundles with those of a reference group.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    reference, subjects : dict of dict
        Subject to bundle to its streamlines (StatefulTractogram, or sequence of
        ndarray; RASMM, mm), registered to each other.
    measure : {"residual", "error", "displacement", "local_displacement"}, optional
        See `stats.profiles.bundle_profile`.
    n_dims : int, optional
        Dimensions of the reconstruction, 0 for the model's own; see
        `stats.profiles.few_dimensional`.
    n_segments : int, optional
        Segments along each bundle.
    alpha : float, optional
        False discovery rate.
    seed : int, optional
        Of the samples between which distances are measured.
    read : callable, optional
        Gives streamlines for what stands in the dictionaries (paths, say), bundle by
        bundle.
    progress : callable, optional
        Called with 1 after each bundle of each subject.

    Returns
    -------
    comparison : Comparison
        Bundles in alphabetical order.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range, or the reference group has too few subjects.
    EmptyDataError
        If a bundle has too few streamlines.
    """
    check_choice("measure", measure, MEASURES)
    check_number("alpha", alpha, above=0, high=1)
    check_number("n_dims", n_dims, low=0, integer=True)
    check_number("seed", seed, low=0, integer=True)
    names = check_groups(reference, subjects)
    bundles = {}
    for name in names:
        arrays, owners = [], []
        for group in (reference, subjects):
            for subject, given in group.items():
                if name not in given:
                    continue
                lines = read(given[name]) if read else given[name]
                array = lines
                if not isinstance(array, StreamlineArray):
                    array = model.preprocessing.array(lines)
                if len(array) < MIN_STREAMLINES:
                    raise EmptyDataError(
                        f"{name} of {subject} has {len(array)} streamlines that can "
                        f"be used. Expected at least {MIN_STREAMLINES}. Leave it out."
                    )
                arrays.append(array)
                owners.append((subject, group is reference))
                if progress is not None:
                    progress(1)
        bundles[name] = _compare_bundle(
            model, arrays, owners, measure, n_dims, n_segments, seed
        )
    return Comparison(bundles, _correct_all(bundles), measure, alpha)


def _compare_bundle(model, arrays, owners, measure, n_dims, n_segments, seed):
    """Profiles, distances and their p-values of one bundle of all subjects."""
    is_reference = np.array([owner[1] for owner in owners])
    points = [array.points for array in arrays]
    core = fit_core([p for p, known in zip(points, is_reference) if known], n_segments)
    profiles = []
    for bundle in points:
        new = None
        if measure in RECONSTRUCTING:
            new = few_dimensional(model, bundle, n_dims)
        profiles.append(bundle_profile(bundle, core, measure, new))
    profiles = np.array(profiles)
    means = [encode(model, array).mean for array in arrays]
    numbers = {
        "surprise": surprise(means, is_reference),
        **group_distances(means, points, is_reference, seed=seed),
    }
    # The logarithms of positive numbers are nearer to normal.
    numbers_p = {
        key: group_p(
            v if key == "surprise" else np.log(np.maximum(v, 1e-6)), is_reference
        )
        for key, v in numbers.items()
    }
    return BundleComparison(
        subjects=[owner[0] for owner in owners],
        is_reference=is_reference,
        n_streamlines=np.array([len(p) for p in points]),
        core=core,
        # An error has no direction: it is shown as it is.
        profiles=profiles[..., 0]
        if measure == "error"
        else deviation_size(profiles, is_reference),
        p=profile_p(profiles, is_reference, measure),
        numbers=numbers,
        numbers_p=numbers_p,
    )


def _correct_all(bundles):
    """Corrected p-values by bundle, each subject by itself."""
    rows = {}
    for name, bundle in bundles.items():
        for i, subject in enumerate(zip(bundle.subjects, bundle.is_reference)):
            rows.setdefault(subject, []).append((name, i))
    p_fdr = {name: np.full(b.p.shape, np.nan) for name, b in bundles.items()}
    for places in rows.values():
        corrected = correct_p_values([bundles[name].p[i] for name, i in places])
        for (name, i), values in zip(places, corrected):
            p_fdr[name][i] = values
    return p_fdr


def runs_text(numbers):
    """Write ascending whole numbers as runs, as in "12-20 31"."""
    numbers = np.asarray(numbers)
    if len(numbers) == 0:
        return ""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return " ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
