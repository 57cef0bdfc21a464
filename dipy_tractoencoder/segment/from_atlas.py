"""Label, filter and sample by the bundles that a model holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InvalidArgumentError, check_number
from dipy_tractoencoder.latent.codec import decode
from dipy_tractoencoder.latent.search import NeighborSearch
from dipy_tractoencoder.nn.atlas import Atlas, model_atlas
from dipy_tractoencoder.segment.bundle_checks import warn_of_bundles
from dipy_tractoencoder.segment.bundle_classifier import (
    BundleClassifier,
    fit_latent_classifier,
    with_strangers,
)
from dipy_tractoencoder.segment.decisions import Decisions
from dipy_tractoencoder.segment.neighbors import different_rows, same_distance
from dipy_tractoencoder.segment.reference_density import (
    ReferenceDensity,
    fit_reference_density,
)

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder


def atlas_classifier(
    atlas: Atlas,
    *,
    n_neighbors: int | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> BundleClassifier:
    """Make the classifier of the bundles that a model holds.

    Parameters
    ----------
    atlas : Atlas
        From `model_atlas`.
    n_neighbors : int, optional
        Number of neighbours that vote; by default that of the atlas. Another number
        needs an atlas that holds all streamlines of its bundles.
    groups : sequence of str, optional
        Patterns that select bundles by name; all by default.
    seed : int, optional
        Seed of the choice of streamlines that are judged as strangers, for some of the
        bundles.

    Returns
    -------
    classifier : BundleClassifier
        The classifier.

    Raises
    ------
    InvalidArgumentError
        If the atlas does not know the distances of so many neighbours.
    InputFileError
        If no bundle matches.
    """
    n_neighbors = atlas.n_neighbors if n_neighbors is None else n_neighbors
    check_number("n_neighbors", n_neighbors, low=1, integer=True)
    codes = atlas.chosen(groups)
    chosen = np.isin(atlas.bundle, codes)
    names = tuple(atlas.names[code] for code in codes)
    mean, bundle = atlas.mean[chosen], np.searchsorted(codes, atlas.bundle[chosen])
    everything = len(codes) == len(atlas.names) and n_neighbors == atlas.n_neighbors
    if not everything and not atlas.thinned:
        return fit_latent_classifier(
            mean,
            bundle,
            names,
            n_neighbors=n_neighbors,
            length=atlas.length[chosen],
            seed=seed,
        )
    if n_neighbors != atlas.n_neighbors:
        raise InvalidArgumentError(
            f"The bundles in the model were measured with {atlas.n_neighbors} "
            f"neighbours. Received for `n_neighbors`: {n_neighbors}. Leave it out, or "
            "give the files of the bundles."
        )
    known = np.isin(atlas.known_bundle, codes)
    decisions = Decisions(
        atlas.known[known].astype(np.float64),
        np.searchsorted(codes, atlas.known_bundle[known]),
        atlas.strangers.astype(np.float64),
        atlas.strangers_bundle.astype(np.int64),
        len(codes),
    )
    classifier = BundleClassifier(
        names=names,
        mean=mean,
        bundle=bundle,
        n_neighbors=n_neighbors,
        scale=atlas.scale[codes],
        decisions=decisions,
        length=atlas.lengths[codes],
    )
    if not everything:
        classifier = with_strangers(classifier, mean, bundle, seed=seed)
    warn_of_bundles(names, mean, bundle, atlas.counts[codes], n_neighbors)
    return classifier


def atlas_density(
    atlas: Atlas, *, groups: Sequence[str] | None = None, seed: int = 0
) -> tuple[ReferenceDensity, np.ndarray]:
    """Make the local density of the bundles that a model holds, for the filter.

    Parameters
    ----------
    atlas : Atlas
        From `model_atlas`.
    groups : sequence of str, optional
        Patterns that select bundles by name; all by default.
    seed : int, optional
        Seed of the groups of the reference, for some of the bundles.

    Returns
    -------
    density : ReferenceDensity
        The density.
    nearest : ndarray, shape (n_latents,)
        Distance of each latent to the nearest other one.

    Raises
    ------
    InputFileError
        If no bundle matches.
    """
    codes = atlas.chosen(groups)
    known = np.isin(atlas.near_known_bundle, codes)
    near = atlas.near_known[known].astype(np.float64)
    if len(codes) < len(atlas.names):
        mean = atlas.mean[np.isin(atlas.bundle, codes)]
        density = fit_reference_density(mean, seed=seed)
        strangers, far = density.decisions.strangers, NeighborSearch(density.mean)
        nearest = far.kneighbors(n_neighbors=1)[0][:, 0]
        if not atlas.thinned:
            return density, nearest
        mean, own = density.mean, density.own
    else:
        first, _ = different_rows(atlas.mean, same_distance(atlas.mean))
        mean = atlas.mean[first]
        own, nearest = (a[first].astype(float) for a in (atlas.own, atlas.nearest))
        strangers = atlas.near_strangers.astype(np.float64)
    nothing = np.zeros(len(near), int), np.zeros(len(strangers), int)
    decisions = Decisions(near, nothing[0], strangers, nothing[1], 1)
    return ReferenceDensity(mean, own, decisions), nearest


def atlas_points(
    model: StreamlineAutoencoder, groups: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Decode the streamlines of the bundles that a model holds.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with an atlas.
    groups : sequence of str, optional
        Patterns that select bundles by name; all by default.

    Returns
    -------
    points : dict of ndarray, shape (n_streamlines, n_points, 3), float32
        Streamlines of each bundle, by name; RASMM of the model, mm.

    Raises
    ------
    InvalidArgumentError
        If the model has no atlas.
    InputFileError
        If no bundle matches.
    """
    atlas = needed_atlas(model)
    return {
        atlas.names[code]: decode(model, atlas.mean[atlas.bundle == code])
        for code in atlas.chosen(groups)
    }


def needed_atlas(model: Any) -> Atlas:
    """Return the atlas of a model that has to have one.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.

    Returns
    -------
    atlas : Atlas
        The atlas.

    Raises
    ------
    InvalidArgumentError
        If the model has none.
    """
    atlas = model_atlas(model)
    if atlas is None:
        raise InvalidArgumentError(
            "The model holds no bundles. Give files of bundles, or store some in the "
            "model with `keep_bundles`."
        )
    return atlas
