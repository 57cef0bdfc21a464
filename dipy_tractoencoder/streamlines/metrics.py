"""Distances between streamlines, in mm, and similarity of bundles."""

from __future__ import annotations

from dipy.tracking.streamline import Streamlines, set_number_of_points
import numpy as np

# Bundle adjacency compares all pairs; of larger sets a sample is used.
LARGEST_BUNDLE = 1000
BUNDLE_THRESHOLD = 5.0  # mm, for bundle adjacency and BUAN shape similarity
BUNDLE_POINTS = 20

MEASURED = 5000  # streamlines whose lengths are measured
MDF_POINTS = 64  # largest number of points compared by `nearest_mdf`


def point_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the root mean squared distance of corresponding points per streamline.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        Corresponding streamlines in the same direction, mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Distance per streamline, mm.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> line = np.linspace([0, 0, 0], [30, 0, 0], 4)
    >>> dte.point_distance(np.array([line]), np.array([line + [0, 3, 4]])).tolist()
    [5.0]
    """
    step = np.subtract(first, second, dtype=np.float64)
    return np.sqrt(np.einsum("ijk,ijk->i", step, step) / first.shape[1])


def pooled_distance(distance: np.ndarray) -> float:
    """Pool distances per streamline to one root mean squared distance.

    Parameters
    ----------
    distance : ndarray, shape (n_streamlines,)
        Root mean squared distances returned by `point_distance`, mm.

    Returns
    -------
    distance : float
        Root mean squared distance over all points of all streamlines, mm; NaN for no
        streamlines.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import pooled_distance
    >>> pooled_distance(np.array([1.0, 7.0]))
    5.0
    """
    return float(np.sqrt(np.mean(np.square(distance)))) if len(distance) else np.nan


def paired_mdf(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the minimum average direct-flip distance of corresponding streamlines.

    The distance (MDF, :footcite:p:`Garyfallidis2012a`) does not depend on the direction
    of the streamlines. The result is the diagonal of `mdf_matrix`.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        Corresponding streamlines, mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Distance per streamline, mm.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import paired_mdf
    >>> line = np.linspace([0, 0, 0], [30, 0, 0], 4)
    >>> paired_mdf(np.array([line]), np.array([line[::-1] + [0, 3, 4]])).tolist()
    [5.0]
    """
    ways = [
        np.linalg.norm(np.subtract(first, other, dtype=np.float64), axis=2).mean(axis=1)
        for other in (second, second[:, ::-1])
    ]
    return np.minimum(*ways)


def curve_length(points: np.ndarray) -> np.ndarray:
    """Compute the length of each streamline.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    length : ndarray, shape (n_streamlines,), float64
        Length per streamline, mm.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import curve_length
    >>> line = np.linspace([0, 0, 0], [30, 0, 0], 4)
    >>> curve_length(np.array([line])).tolist()
    [30.0]
    """
    steps = np.diff(points, axis=1).astype(np.float64)
    return np.sqrt(np.einsum("ijk,ijk->ij", steps, steps)).sum(axis=1)


def length_range(points: np.ndarray) -> list[float]:
    """Describe the lengths of streamlines by three quantiles.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, at least one, mm.

    Returns
    -------
    range : list of float
        Quantiles 0.01, 0.5 and 0.99 of the lengths, mm; of many streamlines, of some
        thousands spread evenly.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import length_range
    >>> lines = [np.linspace([0, 0, 0], [n, 0, 0], 4) for n in range(1, 102)]
    >>> length_range(np.array(lines))
    [2.0, 51.0, 100.0]
    """
    some = points[:: -(-len(points) // MEASURED)]
    return np.quantile(curve_length(some), (0.01, 0.5, 0.99)).tolist()


def bundle_metrics(
    first: np.ndarray, second: np.ndarray, *, seed: int = 0
) -> dict[str, float]:
    """Compare two sets of streamlines as bundles, with DIPY's metrics.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        Corresponding streamlines, such as input and reconstruction, mm.
    seed : int, optional
        Seed of the sample drawn from large sets, and of the clustering.

    Returns
    -------
    metrics : dict of float
        "bundle_adjacency" (0 to 1, :footcite:p:`Garyfallidis2012a`) and
        "shape_similarity" (0 to 1, BUAN :footcite:p:`Chandio2020a`), both with a
        threshold of 5 mm on at most 1000 streamlines; "length_mm" and
        "reconstructed_length_mm", the mean lengths of ``first`` and ``second``;
        "length_difference_mm", the mean length of ``second`` minus that of ``first``.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> from dipy_tractoencoder.streamlines.metrics import bundle_metrics
    >>> made = dte.make_fibercup(30, seed=0)
    >>> points = dte.Preprocessing(n_points=32).array(made.streamlines).points
    >>> metrics = bundle_metrics(points, points + 1)
    >>> round(metrics["bundle_adjacency"], 2)
    1.0
    """
    from dipy.segment.bundles import bundle_adjacency, bundle_shape_similarity

    rng = np.random.default_rng(seed)
    rows = np.arange(len(first))
    if len(rows) > LARGEST_BUNDLE:
        rows = np.sort(rng.choice(rows, LARGEST_BUNDLE, replace=False))
    bundles = [
        Streamlines(
            set_number_of_points(
                Streamlines(list(points[rows].astype(np.float32))),
                nb_points=BUNDLE_POINTS,
            )
        )
        for points in (first, second)
    ]
    lengths = [curve_length(points) for points in (first, second)]
    return {
        "bundle_adjacency": float(
            bundle_adjacency(bundles[0], bundles[1], BUNDLE_THRESHOLD)
        ),
        "shape_similarity": float(
            bundle_shape_similarity(*bundles, rng, threshold=BUNDLE_THRESHOLD)
        ),
        "length_mm": float(lengths[0].mean()),
        "reconstructed_length_mm": float(lengths[1].mean()),
        "length_difference_mm": float((lengths[1] - lengths[0]).mean()),
    }


def nearest_mdf(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the distance of each streamline to its nearest reference streamline.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    reference : ndarray, shape (n_reference, n_points, 3)
        Reference streamlines, mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        Minimum average direct-flip distance to the nearest reference streamline,
        computed on a subset of the points if there are many, mm.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import nearest_mdf
    >>> line = np.linspace([0, 0, 0], [30, 0, 0], 4)
    >>> reference = np.array([line + [0, 3, 4], line + [0, 30, 40]])
    >>> nearest_mdf(np.array([line]), reference).tolist()
    [5.0]
    """
    step = max(1, points.shape[1] // MDF_POINTS)
    return mdf_matrix(points[:, ::step], reference[:, ::step]).min(axis=1)


def mdf_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute minimum average direct-flip distances of all pairs of streamlines.

    Parameters
    ----------
    first, second : ndarray, shape (n_first, n_points, 3) and (n_second, n_points, 3)
        Streamlines, mm.

    Returns
    -------
    distances : ndarray, shape (n_first, n_second), float64
        Distances (MDF, :footcite:p:`Garyfallidis2012a`), mm.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.streamlines.metrics import mdf_matrix
    >>> line = np.linspace([0, 0, 0], [30, 0, 0], 4)
    >>> mdf_matrix(np.array([line]), np.array([line, line + [0, 3, 4]])).tolist()
    [[0.0, 5.0]]
    """
    from dipy.tracking.distances import bundles_distances_mdf

    lists = [list(points.astype(np.float32)) for points in (first, second)]
    return np.asarray(bundles_distances_mdf(*lists), dtype=np.float64)
