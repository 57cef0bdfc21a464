"""What can be wrong with the data of a training or a measurement, in plain words.

Each function looks for one thing, in numbers that are there anyway, and gives a
`Check`: when it warns, and, if it does, what was seen and what to do. It gives None
where there is nothing to look at.
"""

from dataclasses import dataclass, field

PER_DIMENSION = 30  # training streamlines
FEWEST_HELD_OUT = 30
FEWEST_PER_BUNDLE = 20
FAULTY = 0.05  # share of what was read
OUTSIDE_LIMITS = 0.5  # share of what was read
MOST_NAMED = 5  # of files, bundles or dimensions
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
    """One thing that was looked for.

    Attributes
    ----------
    code : str
        Stable short name of the check, for programs: its wording may change.
    name : str
        What it is.
    rule : str
        When it warns.
    found : str
        What was seen and what it means; empty if nothing was.
    advice : str
        What to do about it.
    data : dict
        The numbers and names that `found` and `advice` are written from; empty if
        nothing was found.
    """

    code: str
    name: str
    rule: str
    found: str = ""
    advice: str = ""
    data: dict = field(default_factory=dict)


def applicable(*checks):
    """Leave out checks that had nothing to look at.

    Parameters
    ----------
    *checks : Check or None
        From the functions below.

    Returns
    -------
    checks : tuple of Check
        Without the Nones.
    """
    return tuple(check for check in checks if check is not None)


def few_streamlines(n_training, latent_dim):
    """Look for too few streamlines to learn from.

    Parameters
    ----------
    n_training : int
        Streamlines trained on.
    latent_dim : int
        Latent dimensions.

    Returns
    -------
    check : Check
        Warns below 30 per dimension.
    """
    about = (
        "few-streamlines",
        "Few streamlines to train on",
        f"there are fewer than {PER_DIMENSION} per latent dimension.",
    )
    if n_training >= PER_DIMENSION * latent_dim:
        return Check(*about)
    found = (
        f"{counted(n_training, 'streamline')} for {counted(latent_dim, 'dimension')}: "
        "from so few, networks hardly learn more than PCA knows."
    )
    most = n_training // PER_DIMENSION
    fewer = f", or take {most} dimensions or fewer" if most else ""
    advice = f"Train on more streamlines or subjects{fewer}."
    data = {"n_training": n_training, "latent_dim": latent_dim, "most_dimensions": most}
    return Check(*about, found, advice, data)


def few_held_out(n_held_out):
    """Look for too few streamlines to choose the best epoch by.

    Parameters
    ----------
    n_held_out : int
        Streamlines held out in training.

    Returns
    -------
    check : Check
        Warns if there are none, or few.
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
            "No streamline was held out: the last epoch was kept whatever it is worth, "
            "and errors are those on training streamlines, better than new ones will "
            "have."
        )
        return Check(*about, found, "Set validation_fraction to 0.1, say.", data)
    found = (
        f"The best epoch was chosen by {counted(n_held_out, 'streamline')}, and the "
        "errors are those of so few: both may be chance."
    )
    advice = "Hold out more: a larger validation_fraction, or validation_files."
    return Check(*about, found, advice, data)


def trained_on(record, files):
    """Look for files to be measured on that the model was trained on.

    Parameters
    ----------
    record : TrainingRecord
        Of the model.
    files : list of dict
        "file", "use" and "digest" of what was read.

    Returns
    -------
    check : Check or None
        None for models that do not know their files.
    """
    refit = record.settings.get("refit", False)
    tractograms = record.data.get("tractograms", ())
    known = {
        tractogram["digest"]
        for tractogram in tractograms
        if "digest" in tractogram and (refit or tractogram["n_training"])
    }
    if not known:
        return None
    about = (
        "trained-on",
        "Measured on training data",
        "a file to be measured on starts with streamlines the model was trained on.",
    )
    seen = [
        file["file"]
        for file in files
        if file.get("use") == MEASURED and file.get("digest") in known
    ]
    if not seen:
        return Check(*about)
    found = (
        f"The model was trained on {listed(seen)}: the errors are of streamlines that "
        "it has seen, and say nothing of new ones."
    )
    advice = "Measure on subjects that took no part in it."
    return Check(*about, found, advice, {"files": seen})


def few_per_bundle(counts, what="bundle"):
    """Look for bundles or files of very few streamlines.

    Parameters
    ----------
    counts : dict of str to int
        Name to its usable streamlines.
    what : str, optional
        What the names are of.

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
    smallest = sorted(few, key=few.get)
    named = listed([f"{key} ({few[key]})" for key in smallest])
    found = (
        f"{len(few)} of {counted(len(counts), what)}: {named}. Their errors and bundle "
        "metrics are uncertain, and a model can hardly learn their shape."
    )
    advice = "Add streamlines or subjects, or do not read much into their figures."
    data = {"few": {key: few[key] for key in smallest}, "n_all": len(counts)}
    return Check(*about, found, advice, data)


def rejects(n_read, counts):
    """Look for many streamlines that were left out.

    Parameters
    ----------
    n_read : int
        Streamlines read.
    counts : dict of str to int
        Streamlines left out, by reason.

    Returns
    -------
    check : Check or None
        None if nothing was read.
    """
    if not n_read:
        return None
    about = (
        "many-rejects",
        "Many streamlines left out",
        f"more than {FAULTY:.0%} of the streamlines are faulty, or more than "
        f"{OUTSIDE_LIMITS:.0%} lie outside of the limits of length.",
    )
    outside = sum(counts.get(reason, 0) for reason in BY_LIMITS)
    faulty = sum(counts.values()) - outside
    if faulty <= FAULTY * n_read and outside <= OUTSIDE_LIMITS * n_read:
        return Check(*about)
    reasons = "; ".join(f"{n:,} {REASONS.get(r, r)}" for r, n in counts.items())
    found = (
        f"{sum(counts.values()):,} of {n_read:,} streamlines "
        f"({sum(counts.values()) / n_read:.0%}) were left out: {reasons}."
    )
    advice = []
    if faulty > FAULTY * n_read:
        advice.append(
            "Look at the files in a viewer: a broken export or a wrong affine makes "
            "such streamlines."
        )
    if outside > OUTSIDE_LIMITS * n_read:
        advice.append(
            "Check that min_length and max_length are meant in mm and fit the data."
        )
    data = {
        "n_read": n_read,
        "rejects": dict(counts),
        "faulty": faulty > FAULTY * n_read,
        "outside_limits": outside > OUTSIDE_LIMITS * n_read,
    }
    return Check(*about, found, " ".join(advice), data)


def listed(names):
    """Join names, not too many of them.

    Parameters
    ----------
    names : list of str
        At most five are said.

    Returns
    -------
    text : str
        With the number of the others.
    """
    rest = len(names) - MOST_NAMED
    text = ", ".join(names[:MOST_NAMED])
    return f"{text} and {rest} more" if rest > 0 else text


def counted(number, noun):
    """Write a number and its noun.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        What, in the singular.

    Returns
    -------
    text : str
        In the plural where it is due.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
