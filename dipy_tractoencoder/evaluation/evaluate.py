"""Quality metrics of a latent space, next to those of PCA of the same dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.evaluation.encoded_bundles import (
    Encoded,
    encode_side,
    encode_side_by_pca,
)
from dipy_tractoencoder.evaluation.latent_metrics import (
    active_dimensions,
    bundle_distances,
    distance_preservation,
    length_scores,
    neighbor_label_scores,
)
from dipy_tractoencoder.generation.density import fit_mixture
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

if TYPE_CHECKING:
    from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder

N_NEW = 300  # Streamlines drawn from the density over the latents.
STREAMLINES_PER_PART = 30  # of the mixture
MOST_PARTS = 60
SMALLEST_VARIANCE = 1e-4  # Added to those of the mixture, mm^2.


@dataclass(frozen=True)
class Evaluation:
    """Quality metrics of a model and of PCA, with the streamlines they are measured on.

    Attributes
    ----------
    rows : list of dict
        One row for the model and one for PCA: "latents" (which of the two), numbers of
        streamlines and metrics.
    bundles : list of dict
        One row per bundle, for the model and for PCA.
    names : list of str
        Names of the bundles.
    test, test_by_pca : Encoded
        Test streamlines, encoded by the model and by PCA.
    unit : str
        Unit of the model's latents: "mm" with the linear skip, empty without.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> points = model.preprocessing.array(made.streamlines).points
    >>> bundles = {"first": points[:20], "second": points[20:]}
    >>> evaluation = dte.evaluate_model(model, bundles)
    >>> evaluation.names, evaluation.unit
    (['first', 'second'], 'mm')
    """

    rows: list
    bundles: list
    names: list
    test: Encoded
    test_by_pca: Encoded
    unit: str = ""


def evaluate_model(
    model: StreamlineAutoencoder,
    test: dict[str, np.ndarray],
    *,
    train: dict[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure the quality of a model's latent space, next to that of PCA.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    test : dict of ndarray, shape (n_streamlines, n_points, 3)
        Test streamlines of each bundle, by name; RASMM, mm, in the model's orientation,
        as from `segment.bundle_files.bundle_arrays`.
    train : dict of ndarray, optional
        Reference streamlines of each bundle, that neighbours, length regression and
        density are fitted to. By default a random half of each bundle of ``test``; the
        other half is then the test set.
    seed : int, optional
        Seed of samples, halves and density.

    Returns
    -------
    evaluation : Evaluation
        Tables of metrics, and the encoded test streamlines.

    Raises
    ------
    EmptyDataError
        If there are fewer than three test or three reference streamlines.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> points = model.preprocessing.array(made.streamlines).points
    >>> bundles = {"first": points[:20], "second": points[20:]}
    >>> evaluation = dte.evaluate_model(model, bundles)
    >>> for row in evaluation.rows:
    ...     print(row["latents"], row["latent_dim"], row["n_streamlines"])
    model 2 22
    PCA 2 22
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
    rows: list[dict] = []
    bundles: list[dict] = []
    encoded: dict[str, Encoded] = {}
    for kind, encode_by, decoder in (
        ("model", encode_side, lambda latent: decode(model, latent)),
        ("PCA", encode_side_by_pca, model.pca_baseline().decode),
    ):
        known = encode_by(model, train_points, train_labels)
        encoded[kind] = measured = encode_by(model, points, labels)
        # The distance of test from reference streamlines is the same for both.
        held_out = rows[0]["held_out_mdf_mm"] if rows else None
        metrics = space_metrics(
            known, measured, decoder, seed=seed, held_out_mdf=held_out
        )
        if kind == "model":
            metrics.update(model_metrics(model, known, measured))
        counts = {"n_streamlines": len(points), "n_known": len(train_points)}
        about = {"latents": kind, "latent_dim": model.latent_dim, **counts}
        rows.append({**about, "known": learned_from, **metrics})
        for row in bundle_rows(measured, names, seed=seed):
            bundles.append({"latents": kind, **row})
    unit = "mm" if model.linear_skip else ""
    return Evaluation(rows, bundles, names, encoded["model"], encoded["PCA"], unit)


def _joined(bundles, names):
    """Concatenate the points of all bundles; return them with their bundle indices."""
    parts = [(names.index(name), points) for name, points in bundles.items()]
    codes, points = zip(*parts)
    return np.concatenate(points), np.repeat(codes, [len(part) for part in points])


def space_metrics(
    train: Encoded,
    test: Encoded,
    decoder: Callable,
    *,
    seed: int = 0,
    held_out_mdf: float | None = None,
) -> dict:
    """Measure the metrics that every latent space has.

    Parameters
    ----------
    train, test : Encoded
        Streamlines to fit neighbours, regressions and densities to, and others to
        measure on.
    decoder : callable
        Function of latents that returns points in mm.
    seed : int, optional
        Seed of random samples.
    held_out_mdf : float, optional
        Median MDF (mm) of test streamlines to the nearest training streamline, if it is
        known already.

    Returns
    -------
    metrics : dict of float
        Value of each metric, with the unit in its name; metrics that compare bundles
        are missing if there is one bundle only.

    Raises
    ------
    EmptyDataError
        If there are fewer than three training or three test streamlines.
    """
    from sklearn.preprocessing import PolynomialFeatures

    if min(len(train.latent), len(test.latent)) < 3:
        raise EmptyDataError(
            "Evaluating a latent space needs at least three reference and three test "
            f"streamlines. Received: {len(train.latent)} reference and "
            f"{len(test.latent)} test streamlines."
        )
    distance = point_distance(test.points, test.reconstructed)
    lengths, test_lengths = curve_length(train.points), curve_length(test.points)
    metrics = {
        "error_mm": pooled_distance(distance),
        "mdf_mm": float(paired_mdf(test.points, test.reconstructed).mean()),
        **distance_preservation(test.latent, test.points, seed=seed),
    }
    n_bundles = len(np.unique(test.labels))
    if n_bundles > 2:
        metrics.update(bundle_distances(test.latent, test.points, test.labels)[2])
    if n_bundles > 1:
        metrics.update(
            neighbor_label_scores(train.latent, train.labels, test.latent, test.labels)
        )
    metrics.update(length_scores(train.latent, lengths, test.latent, test_lengths))
    # Length is a sum of distances, so it is not linear in coordinates: squares help.
    squares = PolynomialFeatures(2, include_bias=False)
    of_squares = length_scores(
        squares.fit_transform(train.latent),
        lengths,
        squares.transform(test.latent),
        test_lengths,
    )
    metrics["length_r2_squares"] = of_squares["length_r2"]
    off = curve_length(test.reconstructed) - test_lengths
    variance = np.var(test_lengths)
    metrics["length_r2_reconstructed"] = float(1 - np.mean(off**2) / variance)
    new = decoder(draw_new(train.latent, N_NEW, seed=seed))
    metrics["new_mdf_mm"] = float(np.median(nearest_mdf(new, train.points)))
    if held_out_mdf is None:
        rows = sample_rows(len(test.points), seed)
        held_out_mdf = float(np.median(nearest_mdf(test.points[rows], train.points)))
    metrics["held_out_mdf_mm"] = held_out_mdf
    return metrics


def model_metrics(model: StreamlineAutoencoder, train: Encoded, test: Encoded) -> dict:
    """Measure the metrics that only a model has: training error, KL, log-likelihood.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Trained model.
    train, test : Encoded
        Reference and test streamlines, from `encode_side`.

    Returns
    -------
    metrics : dict of object
        Error on ``train`` in mm and number of active dimensions; for a VAE also KL in
        nats, its list per dimension in descending order, and log-likelihood in nats.
    """
    metrics = {
        "train_error_mm": pooled_distance(
            point_distance(train.points, train.reconstructed)
        ),
        "active_dimensions": active_dimensions(test.latent, model.latent_unit),
    }
    if model.variational:
        kl = kl_per_dimension(model, test)
        metrics["kl_nats"] = float(kl.sum(axis=1).mean())
        metrics["kl_per_dimension"] = np.sort(kl.mean(axis=0))[::-1].tolist()
        noise_std = best_noise_std(model, train.points)
        likelihood = log_likelihood(model, test.points, noise_std)
        metrics["log_likelihood_nats"] = float(likelihood.mean())
    return metrics


def bundle_rows(test: Encoded, names: Sequence[str], *, seed: int = 0) -> list[dict]:
    """Measure the reconstruction of each bundle.

    Parameters
    ----------
    test : Encoded
        Test streamlines with their reconstructions.
    names : sequence of str
        Names of the bundles, in the order of the labels.
    seed : int, optional
        Seed of the samples of the bundle metrics.

    Returns
    -------
    rows : list of dict
        Per bundle: "bundle", "n_streamlines", "error_mm", "mdf_mm", and
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


def draw_new(latent: np.ndarray, n_new: int, *, seed: int = 0) -> np.ndarray:
    """Draw latents from a Gaussian mixture fitted to latents of real streamlines.

    Parameters
    ----------
    latent : ndarray, shape (n_streamlines, latent_dim)
        Latents of real streamlines.
    n_new : int
        Number of latents to draw.
    seed : int, optional
        Seed of fit and draws.

    Returns
    -------
    new : ndarray, shape (n_new, latent_dim), float32
        New latents, in the same unit.
    """
    n_parts = max(1, min(MOST_PARTS, len(latent) // STREAMLINES_PER_PART))
    mixture = fit_mixture(
        latent.astype(np.float64),
        n_parts,
        smallest_variance=SMALLEST_VARIANCE,
        n_starts=1,
        seed=seed,
    )
    return mixture.sample(n_new)[0].astype(np.float32)
