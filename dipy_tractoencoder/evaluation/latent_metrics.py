"""Metrics of a latent space: active dimensions, distances, bundles, lengths."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import pearsonr, spearmanr

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.metrics import mdf_matrix
from dipy_tractoencoder.utils.reservoir import sample_rows

ACTIVE_VARIANCE = 0.01  # Relative to the variance of the prior.


def active_dimensions(mean: np.ndarray, unit: np.ndarray) -> int:
    """Count the active latent dimensions: those that vary between streamlines.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Posterior means from `encode`.
    unit : ndarray, shape (latent_dim,)
        Standard deviation of the prior in each dimension, the model's ``latent_unit``.

    Returns
    -------
    n_active : int
        Number of dimensions whose variance is above 0.01 of the variance of the prior
        :footcite:p:`Burda2016`.
    """
    return int((np.var(mean / unit, axis=0) > ACTIVE_VARIANCE).sum())


def distance_preservation(
    mean: np.ndarray, points: np.ndarray, *, seed: int = 0
) -> dict:
    """Correlate latent distances with MDF over all pairs of a random sample.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines of the latents, mm.
    seed : int, optional
        Seed of the sample of at most 300 streamlines.

    Returns
    -------
    correlations : dict of float
        "spearman" and "pearson" correlation coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> shift = np.arange(20.0)[:, None]
    >>> line = np.linspace([0, 0, 0], [60, 0, 0], 8)
    >>> points = line + shift[:, None] * [0, 1, 0]
    >>> scores = dte.distance_preservation(shift, points)
    >>> round(scores["spearman"], 3)
    1.0
    """
    rows = sample_rows(len(mean), seed)
    distances = mdf_matrix(points[rows], points[rows])[np.triu_indices(len(rows), 1)]
    latent = pdist(mean[rows])
    return {
        "spearman": float(spearmanr(latent, distances).statistic),
        "pearson": float(pearsonr(latent, distances).statistic),
    }


def bundle_distances(
    mean: np.ndarray,
    points: np.ndarray,
    labels: np.ndarray,
    *,
    n_per_bundle: int = 100,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Compare the distances between bundles in latent space with those in mm.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines of the latents, mm.
    labels : ndarray, shape (n_streamlines,)
        Bundle of each streamline.
    n_per_bundle : int, optional
        Number of streamlines drawn from each bundle; fewer if a bundle has fewer.
    seed : int, optional
        Seed of samples and permutations.

    Returns
    -------
    latent : ndarray, shape (n_bundles, n_bundles)
        Wasserstein distances of the latents (first order, exact on the sample).
    reference : ndarray, shape (n_bundles, n_bundles)
        Bundle-minimum distances :footcite:p:`Garyfallidis2015`, mm: mean distance to
        the nearest streamline of the other bundle, averaged over both bundles.
    mantel : dict of float
        "mantel_r", the correlation of the two matrices, and "mantel_p", its p-value
        from 999 permutations of the bundles :footcite:p:`Mantel1967`.
    """
    rng = np.random.default_rng(seed)
    names = np.unique(labels)
    smallest = min(int((labels == name).sum()) for name in names)
    size = min(n_per_bundle, smallest)
    rows = [
        rng.choice(np.flatnonzero(labels == name), size, replace=False)
        for name in names
    ]
    latent, reference = np.zeros((2, len(names), len(names)))
    for i in range(len(names)):
        for j in range(i):
            costs = cdist(mean[rows[i]], mean[rows[j]])
            # With equal sizes the optimal transport is an assignment.
            latent[i, j] = latent[j, i] = costs[linear_sum_assignment(costs)].mean()
            mdf = mdf_matrix(points[rows[i]], points[rows[j]])
            nearest = (mdf.min(axis=0).mean() + mdf.min(axis=1).mean()) / 2
            reference[i, j] = reference[j, i] = nearest
    return latent, reference, mantel_test(latent, reference, seed=seed)


def mantel_test(
    first: np.ndarray, second: np.ndarray, *, n_permutations: int = 999, seed: int = 0
) -> dict:
    """Correlate two distance matrices, with a permutation test.

    Parameters
    ----------
    first, second : ndarray, shape (n, n)
        Symmetric matrices with zero diagonal; n is at least 3.
    n_permutations : int, optional
        Number of permutations of the second matrix.
    seed : int, optional
        Seed of the permutations.

    Returns
    -------
    result : dict of float
        "mantel_r" and the one-sided "mantel_p" :footcite:p:`Mantel1967`.

    Raises
    ------
    InvalidArgumentError
        If there are fewer than three items.
    """
    if len(first) < 3:
        raise InvalidArgumentError(
            f"A Mantel test needs three bundles or more. Received: {len(first)}."
        )
    rng = np.random.default_rng(seed)
    pairs = squareform(first, checks=False)
    observed = pearsonr(pairs, squareform(second, checks=False)).statistic
    as_large = 0
    for _ in range(n_permutations):
        order = rng.permutation(len(second))
        shuffled = squareform(second[np.ix_(order, order)], checks=False)
        as_large += pearsonr(pairs, shuffled).statistic >= observed - 1e-12
    p_value = (1 + as_large) / (1 + n_permutations)
    return {"mantel_r": float(observed), "mantel_p": float(p_value)}


def neighbor_label_scores(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    metric: str = "euclidean",
) -> dict:
    """Score the bundle labels that the nearest neighbour predicts.

    Parameters
    ----------
    train, test : ndarray, shape (n, latent_dim), or (n, n_points, 3) for "mdf"
        Latents, or streamlines in mm.
    train_labels, test_labels : ndarray, shape (n,)
        Bundle of each streamline.
    metric : {"euclidean", "mdf"}, optional
        Distance between neighbours.

    Returns
    -------
    scores : dict of float
        "accuracy" and "macro_f1", 0 to 1.
    """
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.neighbors import NearestNeighbors

    if metric == "mdf":
        nearest = mdf_matrix(test, train).argmin(axis=1)
    else:
        neighbors = NearestNeighbors(n_neighbors=1).fit(train)
        nearest = neighbors.kneighbors(test, return_distance=False)[:, 0]
    predicted = np.asarray(train_labels)[nearest]
    return {
        "accuracy": float(accuracy_score(test_labels, predicted)),
        "macro_f1": float(f1_score(test_labels, predicted, average="macro")),
    }


def length_scores(
    train: np.ndarray,
    train_lengths: np.ndarray,
    test: np.ndarray,
    test_lengths: np.ndarray,
) -> dict:
    """Score a ridge regression of streamline length on the latents.

    Parameters
    ----------
    train, test : ndarray, shape (n, latent_dim)
        Latents.
    train_lengths, test_lengths : ndarray, shape (n,)
        Lengths of the streamlines, mm.

    Returns
    -------
    scores : dict of float
        "length_r2" and "length_rmse_mm" on the test latents.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-4, 3, 15)))
    model.fit(train, train_lengths)
    error = model.predict(test) - test_lengths
    return {
        "length_r2": float(1 - np.mean(error**2) / np.var(test_lengths)),
        "length_rmse_mm": float(np.sqrt(np.mean(error**2))),
    }
