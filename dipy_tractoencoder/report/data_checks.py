"""Checks of the data of a training or an evaluation, with messages in plain words.

Each function checks one thing and returns a `Check`: its rule and, if the rule applies,
what was found and what to do. It returns None if there is nothing to check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.provenance import TrainingRecord

PER_DIMENSION = 30  # Training streamlines per latent dimension.
FEWEST_HELD_OUT = 30
FEWEST_PER_BUNDLE = 20
FAULTY = 0.05  # Fraction of the streamlines read.
OUTSIDE_LIMITS = 0.5  # Fraction of the streamlines read.
MOST_NAMED = 5  # Files, bundles or dimensions named in a message.
BY_LIMITS = ("too_short", "too_long")
MEASURED = "Measured on"  # use of a file
REASONS = {
    "non_finite": "have coordinates that are not finite, or beyond 1e15 mm",
    "too_few_points": "have fewer than two different points",
    "too_short": "are shorter than min_length",
    "too_long": "are longer than max_length",
}


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes
    ----------
    code : str
        Short name of the check for programs; unlike the wording it does not change.
    name : str
        Name of the check.
    rule : str
        When the check gives a warning.
    found : str
        What was found and what it means; empty if nothing was found.
    advice : str
        What to do about it.
    data : dict
        Numbers and names in ``found`` and ``advice``; empty if nothing was found.

    Examples
    --------
    >>> from dipy_tractoencoder.report.data_checks import few_held_out
    >>> check = few_held_out(5)
    >>> check.code, check.data
    ('few-held-out', {'n_held_out': 5})
    """

    code: str
    name: str
    rule: str
    found: str = ""
    advice: str = ""
    data: dict = field(default_factory=dict)


def applicable(*checks: Any) -> tuple[Check, ...]:
    """Remove the checks that had nothing to check.

    Parameters
    ----------
    *checks : Check or None
        Results of the functions below.

    Returns
    -------
    checks : tuple of Check
        Those that are not None.
    """
    return tuple(check for check in checks if check is not None)


def few_streamlines(n_training: int, latent_dim: int) -> Check:
    """Check for too few training streamlines.

    Parameters
    ----------
    n_training : int
        Number of training streamlines.
    latent_dim : int
        Number of latent dimensions.

    Returns
    -------
    check : Check
        With a warning below 30 streamlines per dimension.
    """
    about = (
        "few-streamlines",
        "Few training streamlines",
        f"there are fewer than {PER_DIMENSION} per latent dimension.",
    )
    if n_training >= PER_DIMENSION * latent_dim:
        return Check(*about)
    found = (
        f"{counted(n_training, 'streamline')} for {counted(latent_dim, 'dimension')}: "
        "with so few, networks hardly have a lower error than PCA."
    )
    most = n_training // PER_DIMENSION
    fewer = f", or use at most {most} dimensions" if most else ""
    advice = f"Train on more streamlines or subjects{fewer}."
    data = {"n_training": n_training, "latent_dim": latent_dim, "most_dimensions": most}
    return Check(*about, found, advice, data)


def few_held_out(n_held_out: int) -> Check:
    """Check for too few validation streamlines.

    Parameters
    ----------
    n_held_out : int
        Number of streamlines held out in training.

    Returns
    -------
    check : Check
        With a warning if there are none, or few.
    """
    about = (
        "few-held-out",
        "Held-out streamlines",
        f"fewer than {FEWEST_HELD_OUT} streamlines were held out.",
    )
    if n_held_out >= FEWEST_HELD_OUT:
        return Check(*about)
    data = {"n_held_out": n_held_out}
    if not n_held_out:
        found = (
            "No streamline was held out: the last epoch was kept without validation, "
            "and errors are those of training streamlines, which are lower than those "
            "of new streamlines."
        )
        advice = "Hold streamlines out, for example with validation_fraction 0.1."
        return Check(*about, found, advice, data)
    found = (
        f"The best epoch was chosen on {counted(n_held_out, 'streamline')}, and errors "
        "are measured on them: with so few, both are uncertain."
    )
    advice = "Hold out more: a larger validation_fraction, or validation_files."
    return Check(*about, found, advice, data)


def trained_on(record: TrainingRecord | None, files: list[dict]) -> Check | None:
    """Check whether the model was trained on files that it is evaluated on.

    Parameters
    ----------
    record : TrainingRecord or None
        Record of the model's training.
    files : list of dict
        "file", "use" and "digest" of each file read.

    Returns
    -------
    check : Check or None
        None for models without a record of their files.
    """
    if record is None:
        return None
    refit = record.settings.get("refit", False)
    tractograms = record.data.get("tractograms", ())
    known = {
        tractogram["digest"]
        for tractogram in tractograms
        if "digest" in tractogram and (refit or tractogram.get("n_training"))
    }
    if not known:
        return None
    about = (
        "trained-on",
        "Evaluated on training data",
        "a test file starts with streamlines that the model was trained on.",
    )
    seen = [
        file["file"]
        for file in files
        if file.get("use") == MEASURED and file.get("digest") in known
    ]
    if not seen:
        return Check(*about)
    found = (
        f"The model was trained on {listed(seen)}: errors of training streamlines do "
        "not tell how well it reconstructs new ones."
    )
    advice = "Evaluate on subjects that were not used for training."
    return Check(*about, found, advice, {"files": seen})


def few_per_bundle(counts: dict, what: str = "bundle") -> Check | None:
    """Check for bundles or files with very few streamlines.

    Parameters
    ----------
    counts : dict of str to int
        Number of usable streamlines, by name.
    what : str, optional
        Whether the names are of bundles or of files, in the singular.

    Returns
    -------
    check : Check or None
        None without names.
    """
    if not counts:
        return None
    about = (
        f"few-per-{what}",
        f"Few streamlines per {what}",
        f"a {what} has fewer than {FEWEST_PER_BUNDLE} usable streamlines.",
    )
    few = {key: n for key, n in counts.items() if n < FEWEST_PER_BUNDLE}
    if not few:
        return Check(*about)
    smallest = sorted(few, key=lambda key: few[key])
    named = listed([f"{key} ({few[key]})" for key in smallest])
    found = (
        f"{len(few)} of {counted(len(counts), what)}: {named}. Their errors and bundle "
        "metrics are uncertain, and a model hardly learns their shape."
    )
    advice = "Add streamlines or subjects, or interpret their metrics with care."
    data = {"few": {key: few[key] for key in smallest}, "n_all": len(counts)}
    return Check(*about, found, advice, data)


def rejects(n_read: int, counts: dict) -> Check | None:
    """Check for many rejected streamlines.

    Parameters
    ----------
    n_read : int
        Number of streamlines read.
    counts : dict of str to int
        Number of rejected streamlines, by reason.

    Returns
    -------
    check : Check or None
        None if nothing was read.
    """
    if not n_read:
        return None
    about = (
        "many-rejects",
        "Many rejected streamlines",
        f"more than {FAULTY:.0%} of the streamlines are faulty, or more than "
        f"{OUTSIDE_LIMITS:.0%} are outside the length limits.",
    )
    outside = sum(counts.get(reason, 0) for reason in BY_LIMITS)
    faulty = sum(counts.values()) - outside
    if faulty <= FAULTY * n_read and outside <= OUTSIDE_LIMITS * n_read:
        return Check(*about)
    reasons = "; ".join(f"{n:,} {REASONS.get(r, r)}" for r, n in counts.items())
    found = (
        f"{sum(counts.values()):,} of {n_read:,} streamlines "
        f"({sum(counts.values()) / n_read:.0%}) were rejected: {reasons}."
    )
    advice = []
    if faulty > FAULTY * n_read:
        advice.append(
            "View the files: a failed export or a wrong affine gives such streamlines."
        )
    if outside > OUTSIDE_LIMITS * n_read:
        advice.append(
            "Check that min_length and max_length are in mm and suit the data."
        )
    data = {
        "n_read": n_read,
        "rejects": dict(counts),
        "faulty": faulty > FAULTY * n_read,
        "outside_limits": outside > OUTSIDE_LIMITS * n_read,
    }
    return Check(*about, found, " ".join(advice), data)


def listed(names: list[str]) -> str:
    """Join names, at most five of them.

    Parameters
    ----------
    names : list of str
        Names to join.

    Returns
    -------
    text : str
        The names, separated by commas, and the number of the others.
    """
    rest = len(names) - MOST_NAMED
    text = ", ".join(names[:MOST_NAMED])
    return f"{text} and {rest} more" if rest > 0 else text


def counted(number: int, noun: str) -> str:
    """Format a number with its noun, in the plural if needed.

    Parameters
    ----------
    number : int
        Number.
    noun : str
        Noun in the singular.

    Returns
    -------
    text : str
        Number and noun.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
