"""What a latent space keeps: distances, bundles, lengths, likelihood."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import pearsonr, spearmanr

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.streamlines.metrics import mdf_matrix
from dipy_tractoencoder.utils.reservoir import sample_rows

ACTIVE_VARIANCE = 0.01  # of the prior's


def active_dimensions(mean, unit):
    """Count latent dimensions that vary from streamline to streamline.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Posterior means, as `encode` reports them.
    unit : ndarray, shape (latent_dim,)
        The model's ``latent_unit``, the prior's standard deviations.

    Returns
    -------
    n_active : int
        Dimensions whose variance is above 0.01 of the prior's
        :footcite:p:`Burda2016`.
    """
    return int((np.var(mean / unit, axis=0) > ACTIVE_VARIANCE).sum())


def distance_preservation(mean, points, *, seed=0):
    """Correlation of latent distance with MDF over all pairs of a sample.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Their streamlines, mm.
    seed : int, optional
        Of the sample, 300 streamlines at most.

    Returns
    -------
    correlations : dict of float
        "spearman" and "pearson".
    """
    rows = sample_rows(len(mean), seed)
    distances = mdf_matrix(points[rows], points[rows])[np.triu_indices(len(rows), 1)]
    latent = pdist(mean[rows])
    return {
        "spearman": float(spearmanr(latent, distances).statistic),
        "pearson": float(pearsonr(latent, distances).statistic),
    }


def bundle_distances(mean, points, labels, *, n_per_bundle=100, seed=0):
    """Distances between bundles in latent space and in mm, and how they agree.

    Parameters
    ----------
    mean : ndarray, shape (n_streamlines, latent_dim)
        Latents.
    points : ndarray, shape (n_streamlines, n_points, 3)
        Their streamlines, mm.
    labels : ndarray, shape (n_streamlines,)
        Bundle of each.
    n_per_bundle : int, optional
        Streamlines drawn of each bundle, fewer if it has fewer.
    seed : int, optional
        Of the draws and the permutations.

    Returns
    -------
    latent : ndarray, shape (n_bundles, n_bundles)
        Wasserstein distances of the latents (first order, exact on the sample).
    reference : ndarray, shape (n_bundles, n_bundles)
        Bundle-minimum distances :footcite:p:`Garyfallidis2015`, mm: the mean of both
        ways' mean distance to the nearest streamline.
    mantel : dict of float
        "mantel_r", the correlation of the two matrices, and "mantel_p", its p-value by
        999 permutations of the bundles :footcite:p:`Mantel1967`.
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
            # Equal sizes: the best transport is an assignment.
            latent[i, j] = latent[j, i] = costs[linear_sum_assignment(costs)].mean()
            mdf = mdf_matrix(points[rows[i]], points[rows[j]])
            nearest = (mdf.min(axis=0).mean() + mdf.min(axis=1).mean()) / 2
            reference[i, j] = reference[j, i] = nearest
    return latent, reference, mantel_test(latent, reference, seed=seed)


def mantel_test(first, second, *, n_permutations=999, seed=0):
    """Correlation of two distance matrices, with a permutation test.

    Parameters
    ----------
    first, second : ndarray, shape (n, n)
        Symmetric, zero diagonals; n is 3 at least.
    n_permutations : int, optional
        Orders of the second matrix tried.
    seed : int, optional
        Of the permutations.

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


def neighbor_label_scores(train, train_labels, test, test_labels, metric="euclidean"):
    """Bundle labels by the nearest neighbour.

    Parameters
    ----------
    train, test : ndarray, shape (n, latent_dim), or (n, n_points, 3) for "mdf"
        Latents, or streamlines in mm.
    train_labels, test_labels : ndarray, shape (n,)
        Bundle of each.
    metric : {"euclidean", "mdf"}, optional
        Distance that neighbours are nearest in.

    Returns
    -------
    scores : dict of float
        "accuracy" and "macro_f1".
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


def length_scores(train, train_lengths, test, test_lengths):
    """How well a ridge regression reads a streamline's length off its latent.

    Parameters
    ----------
    train, test : ndarray, shape (n, latent_dim)
        Latents.
    train_lengths, test_lengths : ndarray, shape (n,)
        mm.

    Returns
    -------
    scores : dict of float
        "length_r2" and "length_rmse_mm", on ``test``.
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
