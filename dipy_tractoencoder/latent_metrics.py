"""What a latent space keeps: distances, bundles, lengths, likelihood."""

import keras
from keras import ops
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.special import logsumexp
from scipy.stats import pearsonr, spearmanr

from dipy_tractoencoder.errors import InvalidArgumentError

ACTIVE_VARIANCE = 0.01  # of the prior's
LARGEST_SAMPLE = 300


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


def log_likelihood(model, points, noise_std, *, n_samples=64, seed=0):
    """Log-likelihood of streamlines under a VAE, by importance sampling.

    log p(x) is estimated by the logarithm of the mean of p(x | z) p(z) / q(z | x) over
    draws z of the posterior q :footcite:p:`Burda2016`, eq. 8; p(x | z) is a Gaussian
    of one spread for all coordinates.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm, in the model's orientation.
    noise_std : float
        Spread of the observation noise, mm.
    n_samples : int, optional
        Draws per streamline.
    seed : int, optional
        Of the draws.

    Returns
    -------
    log_likelihood : ndarray, shape (n_streamlines,), float64
        Nats per streamline, for coordinates in mm.
    """
    scale = model.preprocessing.scale
    normalised = model.preprocessing.normalise(points)
    heads = model.encode_tensors(ops.convert_to_tensor(normalised))
    mean, log_var = (
        ops.convert_to_numpy(heads[name]).astype(np.float64)
        for name in ("mean", "log_var")
    )
    rng = np.random.default_rng(seed)
    log_weights = np.empty((n_samples, len(points)))
    n_coordinates = normalised[0].size
    constant = -0.5 * n_coordinates * np.log(2 * np.pi * noise_std**2)
    for row in log_weights:
        epsilon = rng.standard_normal(mean.shape)
        latent = mean + np.exp(log_var / 2) * epsilon
        decoded = model.decode_tensors(ops.convert_to_tensor(latent, dtype="float32"))
        error = (ops.convert_to_numpy(decoded) - normalised).astype(np.float64) * scale
        squared = np.einsum("ijk,ijk->i", error, error)
        # Prior over posterior; the factors of 2 pi cancel.
        ratio = 0.5 * (log_var + epsilon**2 - latent**2).sum(axis=1)
        row[:] = constant - 0.5 * squared / noise_std**2 + ratio
    return logsumexp(log_weights, axis=0) - np.log(n_samples)


def best_noise_std(model, points, *, seed=0):
    """Spread of the observation noise that is likeliest for some streamlines.

    The root mean squared coordinate error of decoded posterior draws, sigma-VAE's
    optimum :footcite:p:`Rybkin2021`.

    Parameters
    ----------
    model : StreamlineVAE
        Trained model.
    points : ndarray, shape (n_streamlines, n_points, 3)
        RASMM, mm; training streamlines, so that the held-out stay held out.
    seed : int, optional
        Of the draws.

    Returns
    -------
    noise_std : float
        mm.
    """
    normalised = model.preprocessing.normalise(points)
    heads = model.encode_tensors(ops.convert_to_tensor(normalised))
    epsilon = keras.random.normal(ops.shape(heads["mean"]), seed=seed)
    latent = heads["mean"] + ops.exp(heads["log_var"] / 2) * epsilon
    error = ops.convert_to_numpy(model.decode_tensors(latent)) - normalised
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))) * (
        model.preprocessing.scale
    )


def sample_rows(n_rows, seed, size=LARGEST_SAMPLE):
    """Draw some rows without repetition.

    Parameters
    ----------
    n_rows : int
        Rows to choose from.
    seed : int
        Of the draw.
    size : int, optional
        Rows wanted, all if there are fewer.

    Returns
    -------
    rows : ndarray of int
        In random order.
    """
    return np.random.default_rng(seed).permutation(n_rows)[:size]
