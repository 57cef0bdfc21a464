"""All quality figures of a latent space, beside PCA's with as many dimensions."""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.evaluation.encoded_bundles import (
    Encoded,
    encode_side,
    encode_side_by_pca,
    pca_decoder,
)
from dipy_tractoencoder.evaluation.latent_metrics import (
    active_dimensions,
    bundle_distances,
    distance_preservation,
    length_scores,
    neighbor_label_scores,
)
from dipy_tractoencoder.latent.codec import decode
from dipy_tractoencoder.nn.likelihood import (
    best_noise_std,
    kl_per_dimension,
    log_likelihood,
)
from dipy_tractoencoder.streamlines.metrics import (
    bundle_metrics,
    curve_length,
    nearest_mdf,
    paired_mdf,
    point_distance,
    pooled_distance,
)
from dipy_tractoencoder.utils.reservoir import sample_rows

N_NEW = 300  # streamlines drawn from the density over the latents
STREAMLINES_PER_PART = 30  # of the mixture
MOST_PARTS = 60


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model and of PCA, and the streamlines they were measured on.

    Attributes
    ----------
    rows : list of dict
        Of the model, and of PCA: "latents", which of the two, counts and figures.
    bundles : list of dict
        Of each bundle, for the model and for PCA.
    names : list of str
        Bundles.
    test, test_by_pca : Encoded
        Streamlines measured on.
    unit : str
        Of the model's latents: "mm" with the linear skip, none without.
    """

    rows: list
    bundles: list
    names: list
    test: Encoded
    test_by_pca: Encoded
    unit: str = ""


def evaluate_model(model, test, *, train=None, seed=0):
    """Measure all quality figures of a model, with PCA's beside.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    test : dict of ndarray, shape (n_streamlines, n_points, 3)
        Bundle to its streamlines, RASMM, mm, in the model's orientation, as
        `segment.bundle_files.bundle_arrays` gives.
    train : dict of ndarray, optional
        Likewise, to learn neighbours, lengths and density from; a random half of each
        bundle of ``test``, which is then measured by the other half, if not given.
    seed : int, optional
        Of samples, halves and density.

    Returns
    -------
    evaluation : Evaluation
        Tables and streamlines.

    Raises
    ------
    EmptyDataError
        If there are fewer than three streamlines on a side.
    """
    learned_from = "training"
    if train is None:
        learned_from = "half of the input"
        rng = np.random.default_rng(seed)
        train, rest = {}, {}
        for name, points in test.items():
            order, half = rng.permutation(len(points)), len(points) // 2
            train[name], rest[name] = points[order[:half]], points[order[half:]]
        test = rest
    names = sorted({*train, *test})
    (train_points, train_labels), (points, labels) = (
        _joined(side, names) for side in (train, test)
    )
    rows, bundles, encoded = [], [], {}
    for kind, encode_by, decoder in (
        ("model", encode_side, lambda latent: decode(model, latent)),
        ("PCA", encode_side_by_pca, pca_decoder(model)),
    ):
        known = encode_by(model, train_points, train_labels)
        encoded[kind] = measured = encode_by(model, points, labels)
        # How far held-out streamlines are from known ones is the same for both.
        held_out = rows[0]["held_out_mdf_mm"] if rows else None
        figures = space_metrics(
            known, measured, decoder, seed=seed, held_out_mdf=held_out
        )
        if kind == "model":
            figures.update(model_metrics(model, known, measured))
        counts = {"n_streamlines": len(points), "n_known": len(train_points)}
        about = {"latents": kind, "latent_dim": model.latent_dim, **counts}
        rows.append({**about, "known": learned_from, **figures})
        for row in bundle_rows(measured, names, seed=seed):
            bundles.append({"latents": kind, **row})
    unit = "mm" if model.linear_skip else ""
    return Evaluation(rows, bundles, names, encoded["model"], encoded["PCA"], unit)


def _joined(bundles, names):
    """Points of all bundles, and the position of each one's bundle in ``names``."""
    parts = [(names.index(name), points) for name, points in bundles.items()]
    codes, points = zip(*parts)
    return np.concatenate(points), np.repeat(codes, [len(part) for part in points])


def space_metrics(train, test, decoder, *, seed=0, held_out_mdf=None):
    """Measure what a latent space of any kind has.

    Parameters
    ----------
    train, test : Encoded
        Streamlines to learn neighbours, regressions and densities from, and others to
        measure on.
    decoder : callable
        Latents to points in mm.
    seed : int, optional
        Of samples.
    held_out_mdf : float, optional
        Median MDF (mm) of test streamlines to the nearest training one, if it is known
        already.

    Returns
    -------
    figures : dict of float
        Units in the names; those that need several bundles only where there are.

    Raises
    ------
    EmptyDataError
        If there are fewer than three streamlines on a side.
    """
    from sklearn.preprocessing import PolynomialFeatures

    if min(len(train.latent), len(test.latent)) < 3:
        raise EmptyDataError(
            "Three streamlines or more are needed to measure a latent space. Received: "
            f"{len(train.latent)} to learn from, {len(test.latent)} to measure on."
        )
    distance = point_distance(test.points, test.reconstructed)
    lengths, test_lengths = curve_length(train.points), curve_length(test.points)
    figures = {
        "error_mm": pooled_distance(distance),
        "mdf_mm": float(paired_mdf(test.points, test.reconstructed).mean()),
        **distance_preservation(test.latent, test.points, seed=seed),
    }
    n_bundles = len(np.unique(test.labels))
    if n_bundles > 2:
        figures.update(bundle_distances(test.latent, test.points, test.labels)[2])
    if n_bundles > 1:
        figures.update(
            neighbor_label_scores(train.latent, train.labels, test.latent, test.labels)
        )
    figures.update(length_scores(train.latent, lengths, test.latent, test_lengths))
    # Length is a sum of distances, hence not linear in coordinates: squares help.
    squares = PolynomialFeatures(2, include_bias=False)
    of_squares = length_scores(
        squares.fit_transform(train.latent),
        lengths,
        squares.transform(test.latent),
        test_lengths,
    )
    figures["length_r2_squares"] = of_squares["length_r2"]
    off = curve_length(test.reconstructed) - test_lengths
    spread = np.var(test_lengths)
    figures["length_r2_reconstructed"] = float(1 - np.mean(off**2) / spread)
    new = decoder(draw_new(train.latent, N_NEW, seed=seed))
    figures["new_mdf_mm"] = float(np.median(nearest_mdf(new, train.points)))
    if held_out_mdf is None:
        rows = sample_rows(len(test.points), seed)
        held_out_mdf = float(np.median(nearest_mdf(test.points[rows], train.points)))
    figures["held_out_mdf_mm"] = held_out_mdf
    return figures


def model_metrics(model, train, test):
    """Measure what only a model has, and a VAE above all.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    train, test : Encoded
        From `encode_side`.

    Returns
    -------
    figures : dict
        Error on ``train`` in mm, active dimensions; of a VAE, KL in nats, its list per
        dimension from the largest, and the log-likelihood in nats.
    """
    figures = {
        "train_error_mm": pooled_distance(
            point_distance(train.points, train.reconstructed)
        ),
        "active_dimensions": active_dimensions(test.latent, model.latent_unit),
    }
    if model.variational:
        kl = kl_per_dimension(model, test)
        figures["kl_nats"] = float(kl.sum(axis=1).mean())
        figures["kl_per_dimension"] = np.sort(kl.mean(axis=0))[::-1].tolist()
        noise_std = best_noise_std(model, train.points)
        likelihood = log_likelihood(model, test.points, noise_std)
        figures["log_likelihood_nats"] = float(likelihood.mean())
    return figures


def bundle_rows(test, names, *, seed=0):
    """Measure the reconstruction of each bundle.

    Parameters
    ----------
    test : Encoded
        Streamlines.
    names : sequence of str
        Bundles, in the order of the labels.
    seed : int, optional
        Of the bundle metrics' samples.

    Returns
    -------
    rows : list of dict
        "bundle", "n_streamlines", "error_mm", "mdf_mm", and
        `streamlines.metrics.bundle_metrics` between input and reconstruction.
    """
    rows = []
    for code, name in enumerate(names):
        own = test[test.labels == code]
        if not len(own.points):
            continue
        distance = point_distance(own.points, own.reconstructed)
        rows.append(
            {
                "bundle": name,
                "n_streamlines": len(own.points),
                "error_mm": pooled_distance(distance),
                "mdf_mm": float(paired_mdf(own.points, own.reconstructed).mean()),
                **bundle_metrics(own.points, own.reconstructed, seed=seed),
            }
        )
    return rows


def draw_new(latent, n_new, *, seed=0):
    """Draw latents from a Gaussian mixture over those of real streamlines.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Of real streamlines.
    n_new : int
        Latents wanted.
    seed : int, optional
        Of fit and draw.

    Returns
    -------
    new : ndarray, shape (n_new, latent_dim), float32
        In the same unit.
    """
    from sklearn.mixture import GaussianMixture

    n_parts = max(1, min(MOST_PARTS, len(latent) // STREAMLINES_PER_PART))
    mixture = GaussianMixture(n_parts, reg_covar=1e-4, random_state=seed)
    return mixture.fit(latent.astype(np.float64)).sample(n_new)[0].astype(np.float32)
