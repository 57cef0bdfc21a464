"""Tables and pictures of labelled tractograms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dipy_tractoencoder.io.mapped import MappedTractogram
    from dipy_tractoencoder.segment.decisions import Decisions
    from dipy_tractoencoder.segment.labels import Labels


def bundle_rows(
    name: str, labels: Labels, decisions: Decisions, alpha: float
) -> list[dict]:
    """Summarise the labels of a file in rows of the table.

    Parameters
    ----------
    name : str
        Name of the file.
    labels : Labels
        Labels of its streamlines.
    decisions : Decisions
        What decided which streamlines belong to their bundle.
    alpha : float
        Largest p-value of those that do not.

    Returns
    -------
    rows : list of dict
        A row per bundle, with the number that ``vae_second`` refers to, and a last one
        for unassigned streamlines.
    """
    factor: Any = labels.factor
    predicted = decisions.labelled_strangers(alpha, factor.factor)
    numbers = {bundle: n for n, bundle in enumerate(labels.names, start=1)}
    p: Any = labels.p
    return [
        {
            "file": name,
            "bundle": bundle,
            "number": numbers.get(bundle, 0),
            "n_streamlines": len(members),
            "mean_p": mean(p[members]),
            "mean_vote_share": mean(labels.vote_share[members]),
            "mean_distance": mean(labels.distance[members]),
            "subject_factor": factor.factor,
            "predicted_strangers": predicted if predicted == predicted else None,
        }
        for bundle, members in labels.members().items()
    ]


def draw_bundles(
    source: MappedTractogram,
    labels: Labels,
    *,
    path: Path,
    target: Path,
    colours: dict | None = None,
) -> None:
    """Plot the bundles of a labelled tractogram.

    Parameters
    ----------
    source : MappedTractogram
        Tractogram; RASMM, mm.
    labels : Labels
        Labels of its streamlines.
    path : Path
        File of the tractogram.
    target : Path
        Picture to write.
    colours : dict of tuple, optional
        Colour of each bundle, by name.
    """
    from dipy_tractoencoder.segment.label_metrics import confusion_table
    from dipy_tractoencoder.viz.base import save_figure
    from dipy_tractoencoder.viz.labels import bundles_figure

    confusion = []
    if labels.truth is not None:
        confusion = confusion_table(labels.names, labels.truth, labels.bundle)
    figure = bundles_figure(
        source.streamlines,
        labels.members(),
        what=path.name,
        confusion=confusion,
        colours=colours,
    )
    save_figure(figure, target)


def mean(values: Any) -> float | None:
    """Return the mean of the finite values, None if there are none."""
    import numpy as np

    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
