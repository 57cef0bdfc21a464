"""Compare bundles of subjects with a reference group: tests, distances, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


@dataclass(frozen=True)
class BundleComparison:
    """Comparison of one bundle of all subjects with the reference group.

    Reference subjects come first; each is compared with the other reference subjects.

    Attributes
    ----------
    subjects : list of str
        Names of the subjects.
    is_reference : ndarray, shape (n_subjects,), bool
        True for members of the reference group.
    n_streamlines : ndarray, shape (n_subjects,), int
        Number of usable streamlines of each subject.
    core : BundleCore
        Mean course of the bundle in the reference group.
    profiles : ndarray, shape (n_subjects, n_segments)
        Along-tract profiles, mm: the error, or the size of the difference from the mean
        of the reference group; nan for segments without points.
    p : ndarray, shape (n_subjects, n_segments)
        Uncorrected p-value of each segment; nan where it cannot be tested.
    numbers, numbers_p : dict of ndarray, shape (n_subjects,)
        Distances from the reference group and their one-sided p-values: "surprise"
        (mean negative log density of the latents under the Gaussian of the reference
        group, nats), "latent_distance" (Wasserstein, in the unit of the latents) and
        "bmd" (bundle-minimum distance, mm).

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> rng = np.random.default_rng(0)
    >>> line = np.linspace([0, 0, 0], [60, 20, 0], 32)
    >>> def bundle():
    ...     return [line + rng.normal(scale=3, size=3) for _ in range(20)]
    >>> reference = {f"control{i}": {"AF": bundle()} for i in range(5)}
    >>> subjects = {"patient": {"AF": bundle()}}
    >>> found = dte.compare(model, reference, subjects, n_segments=9)
    >>> bundle = found.bundles["AF"]
    >>> bundle.profiles.shape, bundle.is_reference.sum().item(), bundle.subjects[-1]
    ((6, 9), 5, 'patient')
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
    """Comparison of all bundles of all subjects with the reference group.

    Attributes
    ----------
    bundles : dict of BundleComparison
        Comparison of each bundle, by name.
    p_fdr : dict of ndarray, shape (n_subjects, n_segments)
        p-values corrected over the segments and bundles of each subject; see
        `stats.group_statistics.correct_p_values`.
    measure : str
        Measure of the profiles, one of `stats.profiles.MEASURES`.
    alpha : float
        False discovery rate: a segment whose corrected p-value is below it is detected.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> rng = np.random.default_rng(0)
    >>> line = np.linspace([0, 0, 0], [60, 20, 0], 32)
    >>> def bundle():
    ...     return [line + rng.normal(scale=3, size=3) for _ in range(20)]
    >>> reference = {f"control{i}": {"AF": bundle()} for i in range(5)}
    >>> subjects = {"patient": {"AF": bundle()}}
    >>> found = dte.compare(model, reference, subjects, n_segments=9)
    >>> len(found.profile_rows()), len(found.summary_rows())
    (54, 6)
    """

    bundles: dict
    p_fdr: dict
    measure: str
    alpha: float

    __repr__ = short_repr

    def profile_rows(self) -> list[dict]:
        """Return one row per bundle, subject and segment, named as BUAN's profiles.

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
                    row = dict(zip(names, map(float, values)))
                    rows.append({**first, "disk": disk, **row})
        return rows

    def summary_rows(self) -> list[dict]:
        """Return one row per bundle and subject.

        Returns
        -------
        rows : list of dict
            "largest_z" and its "disk", smallest "p_fdr", "detected" ("yes" or "no"),
            "disks" (the detected segments, as "12-20 31"), and each of
            `BundleComparison.numbers` with its z.
        """
        rows = []
        for name, bundle in self.bundles.items():
            z = z_from_p(bundle.p)
            for i, subject in enumerate(bundle.subjects):
                p_fdr = self.p_fdr[name][i]
                found = p_fdr < self.alpha
                # Where nothing could be tested, this is the first segment.
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
    model: StreamlineAutoencoder,
    reference: dict,
    subjects: dict,
    *,
    measure: str = "residual",
    n_dims: int = 12,
    n_segments: int = 100,
    alpha: float = 0.05,
    seed: int = 0,
    read: Callable | None = None,
    progress: Callable | None = None,
) -> Comparison:
    """Compare bundles of subjects with those of a reference group.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    reference, subjects : dict of dict
        For each subject, by name, a dict of its bundles: bundle name to streamlines
        (StatefulTractogram, or sequence of ndarray; RASMM, mm). All subjects have to be
        registered to the same space.
    measure : {"residual", "error", "displacement", "local_displacement"}, optional
        Measure of the profiles; see `stats.profiles.bundle_profile`.
    n_dims : int, optional
        Dimensions of the reconstruction; 0 uses the model itself. See
        `stats.profiles.few_dimensional`.
    n_segments : int, optional
        Number of segments along each bundle.
    alpha : float, optional
        False discovery rate.
    seed : int, optional
        Seed of the samples that distances are measured on.
    read : callable, optional
        Function that returns the streamlines for a value of the dicts (a path, for
        example); called for one bundle of one subject at a time.
    progress : callable, optional
        Function called with 1 after each bundle of each subject.

    Returns
    -------
    comparison : Comparison
        Profiles, distances and p-values of all bundles, in alphabetical order.

    Raises
    ------
    InvalidArgumentError
        If an argument is out of range, or the reference group has too few subjects.
    EmptyDataError
        If a bundle has too few streamlines.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> rng = np.random.default_rng(0)
    >>> line = np.linspace([0, 0, 0], [60, 20, 0], 32)
    >>> def bundle(shift=0):
    ...     start = [0, 0, shift]
    ...     return [line + start + rng.normal(scale=3, size=3) for _ in range(20)]
    >>> reference = {f"control{i}": {"AF": bundle()} for i in range(5)}
    >>> found = dte.compare(
    ...     model,
    ...     reference,
    ...     {"patient": {"AF": bundle(shift=20)}},
    ...     measure="displacement",
    ...     n_segments=9,
    ... )
    >>> [row["detected"] for row in found.summary_rows()]
    ['no', 'no', 'no', 'no', 'no', 'yes']
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
                        f"{name} of {subject} has {len(array)} usable streamlines. "
                        f"Expected at least {MIN_STREAMLINES}. Leave it out."
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
    """Compute profiles, distances and p-values of one bundle of all subjects."""
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
    # Logarithms of positive numbers are closer to a normal distribution.
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
        # An error has no direction: its profile is the error itself.
        profiles=profiles[..., 0]
        if measure == "error"
        else deviation_size(profiles, is_reference),
        p=profile_p(profiles, is_reference, measure),
        numbers=numbers,
        numbers_p=numbers_p,
    )


def _correct_all(bundles):
    """Correct the p-values of each subject; return them by bundle."""
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


def runs_text(numbers: np.ndarray | Sequence[int]) -> str:
    """Format ascending integers as ranges, as in "12-20 31".

    Parameters
    ----------
    numbers : ndarray or sequence of int
        Ascending integers.

    Returns
    -------
    text : str
        The ranges, separated by spaces.
    """
    if len(numbers) == 0:
        return ""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return " ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
