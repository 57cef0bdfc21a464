"""Keep labelled bundles in a model: latents that cover them, and their distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import check_number
from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.nn.atlas import Atlas, store_atlas
from dipy_tractoencoder.segment.bundle_checks import length_quantiles
from dipy_tractoencoder.segment.bundle_classifier import (
    N_NEIGHBORS,
    classifier_of_thinned,
)
from dipy_tractoencoder.segment.bundle_files import LabelledLatents, bundle_latents
from dipy_tractoencoder.segment.neighbors import (
    SMALLEST_DISTANCE,
    different_rows,
    same_distance,
)
from dipy_tractoencoder.segment.reference_density import (
    N_LOCAL,
    N_NEAR,
    clustered_strangers,
    local_remoteness,
)
from dipy_tractoencoder.segment.thinning import thin_bundles
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE
from dipy_tractoencoder.utils.colours import distinct_colours

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

PER_BUNDLE = 500
FEWEST_PER_BUNDLE = 10


def keep_bundles(
    model: StreamlineAutoencoder,
    paths: Sequence[str | Path],
    *,
    per_bundle: int = PER_BUNDLE,
    groups: Sequence[str] | None = None,
    reference: str | Path | None = None,
    chunk_size: int = CHUNK_SIZE,
    seed: int = 0,
    progress: Callable | None = None,
    alignment_of: Callable | None = None,
) -> Atlas:
    """Store labelled bundles in a model, by which it labels and filters without files.

    Latents are chosen that cover each bundle. Whoever has the model can decode
    streamlines from them. The model's fingerprint changes, so that latents encoded
    before are not of this model any more.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model, changed in place; store it with `save_model` afterwards.
    paths : sequence of str or Path
        Tractograms of one bundle each, named by file name (files with the same name are
        one bundle of several subjects), folders of them, or TRX files with groups.
    per_bundle : int, optional
        Largest number of latents of a bundle, at least 10.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.
    reference : str, Path or Reference, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int, optional
        Streamlines processed at a time.
    seed : int, optional
        Seed of the choices.
    progress : callable, optional
        Function called with the number of streamlines of each chunk.
    alignment_of : callable, optional
        Function called with the path of each tractogram, which returns the `Alignment`
        of its subject to the model, or None; by default nothing is moved.

    Returns
    -------
    atlas : Atlas
        What is stored, as from `model_atlas`.

    Raises
    ------
    InvalidArgumentError
        If a number is out of range, or the latents are too many to store.
    InputFileError, EmptyDataError
        If a file cannot be read, or no streamline can be encoded.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(100, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> for code, name in ((1, "U"), (2, "B")):
    ...     dte.save_tractogram(made[made.bundle == code].tractogram(), f"{name}.trk")
    >>> atlas = dte.keep_bundles(model, ["U.trk", "B.trk"])
    >>> labels = dte.label_streamlines(
    ...     model, made.streamlines, dte.fit_bundle_classifier(model)
    ... )
    >>> labels.names
    ('B', 'U')
    """
    check_per_bundle(per_bundle)
    known = bundle_latents(
        model,
        paths,
        groups=groups,
        reference=reference,
        chunk_size=chunk_size,
        progress=progress,
        alignment_of=alignment_of,
    )
    atlas = fit_atlas(known, per_bundle=per_bundle, seed=seed)
    store_atlas(model, atlas)
    return atlas


def check_per_bundle(per_bundle: int) -> None:
    """Raise an error unless a number of latents per bundle is possible.

    Parameters
    ----------
    per_bundle : int
        Largest number of latents of a bundle.

    Raises
    ------
    InvalidArgumentError
        If it is too small, or not an integer.
    """
    check_number("per_bundle", per_bundle, low=FEWEST_PER_BUNDLE, integer=True)


def fit_atlas(
    latents: LabelledLatents,
    *,
    per_bundle: int = PER_BUNDLE,
    n_neighbors: int = N_NEIGHBORS,
    seed: int = 0,
) -> Atlas:
    """Choose latents that cover bundles, and measure all streamlines by them.

    Parameters
    ----------
    latents : LabelledLatents
        Latents of all streamlines.
    per_bundle : int, optional
        Largest number of latents of a bundle.
    n_neighbors : int, optional
        Number of neighbours that vote.
    seed : int, optional
        Seed of the choices.

    Returns
    -------
    atlas : Atlas
        The atlas.

    Raises
    ------
    EmptyDataError
        If no bundle has two different streamlines.
    """
    check_per_bundle(per_bundle)
    mean, n_bundles = np.asarray(latents.mean), len(latents.names)
    thinned = thin_bundles(
        mean,
        latents.bundle,
        n_bundles,
        per_bundle=per_bundle,
        n_neighbors=n_neighbors,
        seed=seed,
    )
    lengths = length_quantiles(latents.length, latents.bundle, n_bundles)
    classifier = classifier_of_thinned(
        mean,
        latents.names,
        thinned,
        n_neighbors=n_neighbors,
        lengths=lengths,
        seed=seed,
    )
    judged = classifier.decisions
    known, known_bundle = _thin_values(judged.known, judged.known_bundle, per_bundle)
    own, nearest, near, near_bundle, far = _densities(mean, thinned, seed)
    near, near_bundle = _thin_values(near, near_bundle, per_bundle)
    return Atlas(
        names=tuple(latents.names),
        mean=classifier.mean,
        bundle=classifier.bundle,
        length=latents.length[thinned.row],
        colours=distinct_colours(n_bundles),
        counts=thinned.counts,
        n_neighbors=n_neighbors,
        scale=classifier.scale,
        lengths=lengths,
        known=known,
        known_bundle=known_bundle,
        strangers=judged.strangers,
        strangers_bundle=judged.strangers_bundle,
        own=own,
        nearest=nearest,
        near_known=near,
        near_known_bundle=near_bundle,
        near_strangers=far,
    )


def _thin_values(values, bundle, most):
    """Keep evenly spaced quantiles of the values of each bundle."""
    rows = []
    for code in np.unique(bundle):
        own = np.flatnonzero(bundle == code)
        if len(own) > most:
            own = own[np.argsort(values[own], kind="stable")]
            own = own[((np.arange(most) + 0.5) * len(own) / most).astype(int)]
        rows.append(own)
    chosen = np.concatenate(rows)
    return values[chosen], bundle[chosen]


def _densities(mean, thinned, seed):
    """Measure latents by the others, and streamlines by all latents, for the filter.

    Returns distances of the latents from the five nearest and the nearest others;
    remotenesses of streamlines and their bundles; remotenesses of strangers.
    """
    kept, same = mean[thinned.row], same_distance(mean)
    rows, number = different_rows(kept, same)
    kept = kept[rows]
    search = NeighborSearch(kept)
    n_near = min(N_LOCAL, len(kept) - 1)
    # Without an argument a row is not counted as its own neighbour.
    distances, rows = search.kneighbors(n_neighbors=n_near)
    own = np.maximum(distances[:, :N_NEAR].mean(axis=1), SMALLEST_DISTANCE)
    judged_mean = mean[thinned.judged]
    once, _ = different_rows(judged_mean, same)
    place = thinned.place[once]
    inside, outside = once[place >= 0], once[place < 0]
    at = number[thinned.place[inside]]
    near = distances[at]
    both = np.column_stack([near[:, :N_NEAR], thinned.substitute[inside]])
    near[:, :N_NEAR] = np.sort(both, axis=1)[:, : min(N_NEAR, n_near)]
    known = [local_remoteness(near, own[rows[at]])]
    if len(outside):
        far, found = search.kneighbors(judged_mean[outside], n_neighbors=n_near)
        known.append(local_remoteness(far, own[found]))
    bundle = thinned.judged_bundle[np.concatenate([inside, outside])]
    strangers = clustered_strangers(kept, own, seed)
    return (
        own[number],
        distances[number, 0],
        np.concatenate(known),
        bundle,
        strangers,
    )
