"""How far a reconstruction is from what went in, in mm."""

from dipy.segment.bundles import bundle_adjacency, bundle_shape_similarity
from dipy.tracking.streamline import Streamlines, set_number_of_points
import numpy as np

# Bundle adjacency compares all pairs; larger sets are represented by a sample.
LARGEST_BUNDLE = 1000
BUNDLE_THRESHOLD = 5.0  # mm, for bundle adjacency and BUAN shape similarity
BUNDLE_POINTS = 20

MDF_POINTS = 64  # of streamlines compared by MDF


def point_distance(first, second):
    """Root mean squared distance of corresponding points, per streamline.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        mm, running the same way.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        mm.
    """
    step = np.subtract(first, second, dtype=np.float64)
    return np.sqrt(np.einsum("ijk,ijk->i", step, step) / first.shape[1])


def pooled_distance(distance):
    """Root mean square over streamlines of their root mean squared distances.

    Parameters
    ----------
    distance : ndarray, shape (n_streamlines,)
        As from `point_distance`, mm.

    Returns
    -------
    distance : float
        mm, over all points of all streamlines; nan without any.
    """
    return float(np.sqrt(np.mean(np.square(distance)))) if len(distance) else np.nan


def paired_mdf(first, second):
    """Minimum average direct-flip distance of corresponding streamlines.

    :footcite:p:`Garyfallidis2012a`; DIPY's ``bundles_distances_mdf`` gives all pairs,
    of which these are the diagonal.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,), float64
        mm.
    """
    ways = [
        np.linalg.norm(np.subtract(first, other, dtype=np.float64), axis=2).mean(axis=1)
        for other in (second, second[:, ::-1])
    ]
    return np.minimum(*ways)


def curve_length(points):
    """Length of each streamline.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        mm.

    Returns
    -------
    length : ndarray, shape (n_streamlines,), float64
        mm.
    """
    steps = np.diff(points, axis=1).astype(np.float64)
    return np.sqrt(np.einsum("ijk,ijk->ij", steps, steps)).sum(axis=1)


def bundle_metrics(first, second, *, seed=0):
    """Metrics of DIPY between two sets of streamlines taken as bundles.

    Parameters
    ----------
    first, second : ndarray, shape (n_streamlines, n_points, 3)
        Corresponding streamlines (input and reconstruction, say), mm.
    seed : int, optional
        Of the sample taken from large sets and of the clustering.

    Returns
    -------
    metrics : dict of float
        "bundle_adjacency" (0 to 1, :footcite:p:`Garyfallidis2012a`),
        "shape_similarity" (0 to 1, BUAN :footcite:p:`Chandio2020a`), both with a
        threshold of 5 mm on 1000 streamlines at most; "length_mm",
        "reconstructed_length_mm" (means) and "length_difference_mm" (mean of the
        second's length less the first's).
    """
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
        "bundle_adjacency": float(bundle_adjacency(*bundles, BUNDLE_THRESHOLD)),
        "shape_similarity": float(
            bundle_shape_similarity(*bundles, rng, threshold=BUNDLE_THRESHOLD)
        ),
        "length_mm": float(lengths[0].mean()),
        "reconstructed_length_mm": float(lengths[1].mean()),
        "length_difference_mm": float((lengths[1] - lengths[0]).mean()),
    }


def nearest_mdf(points, reference):
    """Distance of each streamline to the nearest one of some others.

    Parameters
    ----------
    points, reference : ndarray, shape (any, n_points, 3)
        mm.

    Returns
    -------
    distance : ndarray, shape (n_streamlines,)
        MDF over at most 64 of the points, mm.
    """
    step = max(1, points.shape[1] // MDF_POINTS)
    return mdf_matrix(points[:, ::step], reference[:, ::step]).min(axis=1)


def mdf_matrix(first, second):
    """Minimum average direct-flip distances between all pairs of streamlines.

    Parameters
    ----------
    first, second : ndarray, shape (n_first, n_points, 3) and (n_second, n_points, 3)
        mm.

    Returns
    -------
    distances : ndarray, shape (n_first, n_second), float64
        mm :footcite:p:`Garyfallidis2012a`, by DIPY.
    """
    from dipy.tracking.distances import bundles_distances_mdf

    lists = [list(points.astype(np.float32)) for points in (first, second)]
    return np.asarray(bundles_distances_mdf(*lists), dtype=np.float64)
