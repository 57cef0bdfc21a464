"""New streamlines of a bundle: drawn from a density, decoded, kept if plausible.

GESTA's way :footcite:p:`Legarreta2023`: fit a density to a bundle's latents, draw,
decode, and keep what fits the anatomy and the bundle.
"""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, check_number
from dipy_tractoencoder.generation.bundle_density import (
    MIN_INSIDE,
    PLAUSIBLE,
    REASONS,
    describe_bundle,
)
from dipy_tractoencoder.generation.density import DEFAULT_DENSITY
from dipy_tractoencoder.io.mapped import MappedTractogram
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.streamlines.array import StreamlineArray, as_sequence
from dipy_tractoencoder.streamlines.metrics import mdf_matrix
from dipy_tractoencoder.utils.reservoir import sample_rows
from dipy_tractoencoder.utils.short_repr import short_repr
from dipy_tractoencoder.utils.tables import rejects_text

TRIES_PER_STREAMLINE = 20
BATCH = 1000  # draws decoded together
MOST_COMPARED = 1000  # streamlines of a bundle, where all pairs are
COMPARED_POINTS = 32


@dataclass(frozen=True)
class Samples:
    """New streamlines of a bundle.

    Attributes
    ----------
    points : ndarray, shape (n_accepted, n_points, 3), float32
        RASMM, mm, in the model's orientation.
    latents : ndarray, shape (n_accepted, latent_dim), float32
        What they were decoded from.
    log_density : ndarray, shape (n_accepted,), float64
        Of the latents.
    n_tried : int
        Draws up to the last accepted one.
    rejects : dict of str to int
        Draws left out, by reason.
    """

    points: np.ndarray
    latents: np.ndarray
    log_density: np.ndarray
    n_tried: int
    rejects: dict

    __repr__ = short_repr

    def __len__(self):
        return len(self.points)

    @property
    def acceptance(self):
        """Share of the draws that were accepted: the yield."""
        return len(self) / self.n_tried


def fit_bundle_density(model, points, density=DEFAULT_DENSITY, **options):
    """Fit what new streamlines of a bundle are drawn from and judged by.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3), or as for `encode`
        Streamlines of the bundle, RASMM, mm. An array with the model's ``n_points``
        must be oriented already, as by `segment.bundle_files.bundle_arrays` or
        ``preprocessing.array``; all else is oriented and resampled first.
    density : {"mixture", "kernel", "prior"}, optional
        See `fit_density`.
    **options
        ``max_parts``, ``name`` and ``space`` of
        `generation.bundle_density.describe_bundle`.

    Returns
    -------
    bundle : BundleDensity
        To be given to `sample_streamlines`.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range, or ``points`` are no streamlines.
    """
    points = _prepared(model, points)
    rows = np.arange(len(points))
    array = StreamlineArray(points, rows, np.zeros(len(rows), dtype=bool), len(rows))
    latents = encode(model, array).mean
    return describe_bundle(latents, points, density, unit=model.latent_unit, **options)


def _prepared(model, streamlines):
    """Points (n_streamlines, n_points, 3) in the model's orientation, mm."""
    if isinstance(streamlines, StreamlineArray):
        return streamlines.points
    own = (model.preprocessing.n_points, 3)
    if isinstance(streamlines, np.ndarray) and streamlines.shape[1:] == own:
        return streamlines
    return model.preprocessing.array(streamlines).points


def sample_streamlines(model, bundle, n_streamlines, **options):
    """Draw new plausible streamlines of a bundle.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        The model that encoded the bundle.
    bundle : BundleDensity
        From `fit_bundle_density` or `load_densities`.
    n_streamlines : int
        Streamlines wanted.
    **options
        Those of `draw_plausible`.

    Returns
    -------
    samples : Samples
        With the yield and the rejects by reason; fewer than wanted if ``max_tries``
        was reached.

    Raises
    ------
    EmptyDataError
        If nothing is accepted.
    InvalidArgumentError
        If an option is out of range, or the latents are not of the model's size.
    """
    return draw_plausible(
        lambda latents: decode(model, latents), bundle, n_streamlines, **options
    )


def draw_plausible(
    decoder,
    bundle,
    n_streamlines,
    *,
    mask=None,
    min_inside=MIN_INSIDE,
    max_tries=None,
    seed=0,
    progress=None,
):
    """Draw from a density and decode until enough streamlines are plausible.

    Parameters
    ----------
    decoder : callable
        Latents (n, latent_dim) to points (n, n_points, 3) in mm.
    bundle : BundleDensity
        What to draw from and to judge by.
    n_streamlines : int
        Streamlines wanted.
    mask : tuple of ndarray, optional
        Boolean image, and its affine, in which streamlines have to lie.
    min_inside : float, optional
        Share of a streamline's points that have to lie inside.
    max_tries : int, optional
        Most draws, 20 per streamline wanted by default.
    seed : int, optional
        Of the draws; each bundle has draws of its own, by its name.
    progress : callable, optional
        Called with the number of streamlines accepted, batch by batch.

    Returns
    -------
    samples : Samples
        As from `sample_streamlines`.
    """
    check_number("n_streamlines", n_streamlines, low=1, integer=True)
    check_number("min_inside", min_inside, low=0, high=1)
    check_number("seed", seed, low=0, integer=True)
    if max_tries is None:
        max_tries = TRIES_PER_STREAMLINE * n_streamlines
    check_number("max_tries", max_tries, low=1, integer=True)
    rng = np.random.default_rng([seed, *bundle.name.encode()])
    kept, n_kept, n_tried = [], 0, 0
    rejects = dict.fromkeys(REASONS, 0)
    while n_kept < n_streamlines and n_tried < max_tries:
        latents = bundle.density.sample(BATCH, rng)[: max_tries - n_tried]
        log_density = bundle.density.log_density(latents)
        points = decoder(latents)
        code = bundle.judge(points, log_density, mask, min_inside)
        rows = np.flatnonzero(code == PLAUSIBLE)[: n_streamlines - n_kept]
        # Draws after the last one needed were not needed.
        tried = len(latents) if n_kept + len(rows) < n_streamlines else rows[-1] + 1
        for number, reason in enumerate(REASONS):
            rejects[reason] += int((code[:tried] == number).sum())
        kept.append((points[rows], latents[rows], log_density[rows]))
        n_kept, n_tried = n_kept + len(rows), n_tried + int(tried)
        if progress is not None:
            progress(len(rows))
    rejects = {reason: count for reason, count in rejects.items() if count}
    if not n_kept:
        raise EmptyDataError(
            f"None of {n_tried} draws for the bundle {bundle.name} was accepted"
            f"{rejects_text(rejects)}. Choose another density, allow more tries, or "
            "look at the mask."
        )
    columns = (np.concatenate(column) for column in zip(*kept))
    return Samples(*columns, n_tried=n_tried, rejects=rejects)


def nearest_mdf(points, reference=None, *, seed=0):
    """Distance of each streamline to the nearest of some others.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        mm.
    reference : ndarray, shape (n_reference, n_points, 3), optional
        mm; by default ``points``, each without itself.
    seed : int, optional
        Of samples: at most 1000 of either are compared.

    Returns
    -------
    distance : ndarray, shape (at most 1000,), float64
        MDF, mm, over about 32 points.
    """
    step = max(points.shape[1] // COMPARED_POINTS, 1)
    points = points[sample_rows(len(points), seed, MOST_COMPARED), ::step]
    if reference is None:
        distances = mdf_matrix(points, points)
        np.fill_diagonal(distances, np.inf)
    else:
        rows = sample_rows(len(reference), seed, MOST_COMPARED)
        distances = mdf_matrix(points, reference[rows, ::step])
    return distances.min(axis=1)


def save_samples(samples, spaces, outputs):
    """Write new streamlines, a tractogram per bundle or a TRX with a group for each.

    Parameters
    ----------
    samples : dict of Samples
        By bundle.
    spaces : dict of dict
        Image space of each bundle; one file is in that of the first.
    outputs : dict of Path, or Path
        File of each bundle, or the one file.
    """

    def save(points, log_density, space, path, groups=None):
        source = MappedTractogram(as_sequence(points), space)
        data = {"vae_log_density": log_density.astype(np.float32)}
        rows = np.arange(len(points))
        save_selection(source, rows, path, data=data, groups=groups)

    if isinstance(outputs, dict):
        for name, new in samples.items():
            save(new.points, new.log_density, spaces[name], outputs[name])
        return
    ends = np.cumsum([len(new) for new in samples.values()])
    groups = {
        name: np.arange(end - len(new), end)
        for end, (name, new) in zip(ends, samples.items())
    }
    points = np.concatenate([new.points for new in samples.values()])
    log_density = np.concatenate([new.log_density for new in samples.values()])
    save(points, log_density, next(iter(spaces.values())), outputs, groups)
