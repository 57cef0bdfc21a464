"""Sample new streamlines of a bundle: draw latents, decode, keep plausible streamlines.

This is the method of GESTA :footcite:p:`Legarreta2023`: fit a density to the latents of
a bundle, draw from it, decode, and keep the streamlines that fit anatomy and bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError, check_number
from dipy_tractoencoder.generation.bundle_density import (
    MIN_INSIDE,
    PLAUSIBLE,
    REASONS,
    describe_bundle,
)
from dipy_tractoencoder.generation.density import DEFAULT_DENSITY, MOST_PARTS
from dipy_tractoencoder.generation.local_density import LocalDensity
from dipy_tractoencoder.io.mapped import MappedTractogram
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.alignment import aligned, to_subject
from dipy_tractoencoder.latent.codec import decode, encode
from dipy_tractoencoder.streamlines.array import StreamlineArray, as_sequence
from dipy_tractoencoder.streamlines.metrics import mdf_matrix
from dipy_tractoencoder.utils.reservoir import sample_rows
from dipy_tractoencoder.utils.short_repr import short_repr
from dipy_tractoencoder.utils.tables import rejects_text

if TYPE_CHECKING:
    from dipy_tractoencoder.align.alignment import Alignment
    from dipy_tractoencoder.generation.bundle_density import BundleDensity
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

TRIES_PER_STREAMLINE = 20
BATCH = 1000  # Draws decoded together.
MOST_COMPARED = 1000  # Streamlines of a bundle for comparisons of all pairs.
COMPARED_POINTS = 32


@dataclass(frozen=True)
class Samples:
    """New streamlines of a bundle.

    Attributes
    ----------
    points : ndarray, shape (n_accepted, n_points, 3), float32
        Streamlines; RASMM, mm, in the model's orientation; in the space of the subject
        if the bundle was aligned to the model.
    latents : ndarray, shape (n_accepted, latent_dim), float32
        Latents that they were decoded from.
    log_density : ndarray, shape (n_accepted,), float64
        Log density of the latents, nats.
    n_tried : int
        Number of draws up to the last accepted one.
    rejects : dict of str to int
        Number of rejected draws, by reason.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, max_parts=1)
    >>> samples = dte.sample_streamlines(model, bundle, 5)
    >>> len(samples), samples.latents.shape, 0 < samples.acceptance <= 1
    (5, (5, 2), True)
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
    def acceptance(self) -> float:
        """Fraction of the draws that were accepted."""
        return len(self) / max(self.n_tried, 1)


def fit_bundle_density(
    model: StreamlineAutoencoder,
    points: np.ndarray,
    density: str = DEFAULT_DENSITY,
    *,
    max_parts: int = MOST_PARTS,
    name: str = "",
    space: dict | None = None,
    alignment: Alignment | None = None,
) -> BundleDensity:
    """Fit the density that new streamlines of a bundle are sampled from.

    The plausibility limits of the bundle (length, curvature, log density) are fitted
    too.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3), or as for `encode`
        Streamlines of the bundle, RASMM, mm. An array with the model's own ``n_points``
        is taken to be preprocessed, as from ``model.preprocessing.array``; anything
        else is aligned, oriented and resampled first.
    density : {"local", "mixture", "kernel", "prior"}, optional
        Kind of density; see `fit_density`.
    max_parts : int, optional
        Largest number of components of the mixture; see `fit_density`.
    name : str, optional
        Name of the bundle.
    space : dict, optional
        Image space, stored for the tractogram of new streamlines.
    alignment : Alignment, optional
        Transform from the space of the subject to that of the model. New streamlines
        are moved back to the subject. Points that are preprocessed are taken to be in
        the model's space already, as from `bundle_arrays`.

    Returns
    -------
    bundle : BundleDensity
        Density and limits, for `sample_streamlines`.

    Raises
    ------
    EmptyDataError
        If there are fewer than five streamlines.
    InvalidArgumentError
        If an argument is out of range, or ``points`` are not streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, name="all")
    >>> bundle.density.kind, bundle.n_streamlines
    ('local', 43)
    """
    points = _prepared(model, points, alignment)
    latents = encode(model, StreamlineArray.from_points(points)).mean
    return describe_bundle(
        latents,
        points,
        density,
        unit=model.latent_unit,
        max_parts=max_parts,
        name=name,
        space=space,
        alignment=alignment,
    )


def _prepared(model, streamlines, alignment):
    """Return points (n_streamlines, n_points, 3) as the model knows them, mm."""
    if isinstance(streamlines, StreamlineArray):
        return streamlines.points
    own = (model.preprocessing.n_points, 3)
    if isinstance(streamlines, np.ndarray) and streamlines.shape[1:] == own:
        return streamlines
    return model.preprocessing.array(aligned(streamlines, alignment)).points


def sample_streamlines(
    model: StreamlineAutoencoder,
    bundle: BundleDensity,
    n_streamlines: int,
    *,
    mask: tuple[np.ndarray, ...] | None = None,
    min_inside: float = MIN_INSIDE,
    max_tries: int | None = None,
    seed: int = 0,
    progress: Callable | None = None,
) -> Samples:
    """Sample new plausible streamlines of a bundle.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model that the bundle was encoded with.
    bundle : BundleDensity
        From `fit_bundle_density` or `load_densities`.
    n_streamlines : int
        Number of streamlines to sample.
    mask : tuple of ndarray, optional
        Boolean image and its affine, as from `load_mask`, in which streamlines have to
        lie; in the space of the subject if the bundle was aligned.
    min_inside : float, optional
        Smallest fraction of the points of a streamline that lie inside the mask.
    max_tries : int, optional
        Largest number of draws, by default 20 per streamline.
    seed : int, optional
        Seed of the draws; bundles with different names get different draws.
    progress : callable, optional
        Function called with the number of streamlines accepted in each batch.

    Returns
    -------
    samples : Samples
        New streamlines and the number of rejected draws by reason; fewer streamlines
        than requested if ``max_tries`` was reached.

    Raises
    ------
    EmptyDataError
        If no draw is accepted.
    InvalidArgumentError
        If an option is out of range, or the latents do not have the dimensions of the
        model.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> bundle = dte.fit_bundle_density(model, made.streamlines, max_parts=1)
    >>> dte.sample_streamlines(model, bundle, 5, seed=1).points.shape
    (5, 32, 3)
    """
    return draw_plausible(
        lambda latents: decode(model, latents),
        bundle,
        n_streamlines,
        mask=mask,
        min_inside=min_inside,
        max_tries=max_tries,
        seed=seed,
        progress=progress,
    )


def draw_plausible(
    decoder: Callable,
    bundle: BundleDensity,
    n_streamlines: int,
    *,
    mask: tuple[np.ndarray, ...] | None = None,
    min_inside: float = MIN_INSIDE,
    max_tries: int | None = None,
    seed: int = 0,
    progress: Callable | None = None,
) -> Samples:
    """Draw from a density and decode until enough streamlines are plausible.

    Parameters
    ----------
    decoder : callable
        Function of latents (n, latent_dim) that returns points (n, n_points, 3) in mm.
    bundle : BundleDensity
        Density to draw from, with its plausibility limits.
    n_streamlines : int
        Number of streamlines to sample.
    mask : tuple of ndarray, optional
        Boolean image and its affine, in which streamlines have to lie; in the space of
        the subject if the bundle was aligned.
    min_inside : float, optional
        Smallest fraction of the points of a streamline that lie inside the mask.
    max_tries : int, optional
        Largest number of draws, by default 20 per streamline.
    seed : int, optional
        Seed of the draws; bundles with different names get different draws.
    progress : callable, optional
        Function called with the number of streamlines accepted in each batch.

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
    rng = np.random.default_rng([seed, *bundle.name.encode("utf-8", "surrogatepass")])
    kept, n_kept, n_tried = [], 0, 0
    rejects = dict.fromkeys(REASONS, 0)
    # A local density has one child of each parent before any has two.
    batch = min(max(bundle.density.n_parts, BATCH), max(2 * n_streamlines, BATCH))
    if not isinstance(bundle.density, LocalDensity):
        batch = BATCH
    if mask is not None and bundle.alignment is not None:
        mask = (mask[0], bundle.alignment.matrix @ mask[1])
    while n_kept < n_streamlines and n_tried < max_tries:
        latents = bundle.density.sample(batch, rng)[: max_tries - n_tried]
        log_density = bundle.density.log_density(latents)
        points = decoder(latents)
        code = bundle.judge(points, log_density, mask, min_inside)
        rows = np.flatnonzero(code == PLAUSIBLE)[: n_streamlines - n_kept]
        # Draws after the last streamline needed are not counted.
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
            "check the mask."
        )
    points, latents, log_density = (np.concatenate(column) for column in zip(*kept))
    points = to_subject(points, bundle.alignment)
    return Samples(points, latents, log_density, n_tried, rejects)


def sampled_nearest_mdf(
    points: np.ndarray, reference: np.ndarray | None = None, *, seed: int = 0
) -> np.ndarray:
    """Compute the distance of each streamline to the nearest of a reference.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    reference : ndarray, shape (n_reference, n_points, 3), optional
        Reference streamlines, mm; by default the other streamlines of ``points``.
    seed : int, optional
        Seed of the samples; at most 1000 streamlines of each are compared.

    Returns
    -------
    distance : ndarray, shape (at most 1000,), float64
        Minimum average direct-flip distance (MDF) over about 32 points, mm.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> line = np.linspace([0, 0, 0], [60, 0, 0], 32)
    >>> others = np.stack([line + [0, 3, 0], line + [0, 9, 0]])
    >>> dte.sampled_nearest_mdf(line[None], others).round(3)
    array([3.])
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


def save_samples(samples: dict, spaces: dict, outputs: dict) -> None:
    """Save new streamlines: a tractogram per bundle, or one TRX file with groups.

    Parameters
    ----------
    samples : dict of Samples
        New streamlines of each bundle, by name.
    spaces : dict of dict
        Image space of each bundle; a single file is in that of the first.
    outputs : dict of Path, or Path
        File to write for each bundle, by name, or the single TRX file.
    """

    def save(points, log_density, space, path, groups=None):
        source = MappedTractogram(as_sequence(points), space)
        data = {
            "vae_log_density": log_density.astype(np.float32),
            # Nobody should take them for tracked ones.
            "vae_sampled": np.ones(len(points), dtype=np.float32),
        }
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
