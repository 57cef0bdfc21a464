"""Checks of a model and its training, with messages in plain words.

Each function returns a `report.data_checks.Check`, as those of that module.
"""

import numpy as np

from dipy_tractoencoder.report.data_checks import Check, counted, listed

# Relative to the prior's variance, as `evaluation.latent_metrics.active_dimensions`.
COLLAPSED_VARIANCE = 0.01
COLLAPSED_KL = 0.01  # Nats.
RISE = 0.10  # Of the validation error, relative to its minimum.
FALL = 0.05  # Of the error towards the end of the training.
LATE = 0.75  # Fraction of the epochs after which the best epoch is late.
FEWEST_STEPS = 100
STATISTICS_GAP = 0.10  # Relative to the error.
SMALLEST_GAP = 0.01  # mm; smaller differences do not matter.
WORSE_THAN_PCA = 1.02  # Times the error of PCA.
UNFAMILIAR = 1.5  # Times the error on training streamlines.


def collapse(variance: np.ndarray, kl: np.ndarray | None) -> Check | None:
    """Check for latent dimensions without information.

    Parameters
    ----------
    variance : ndarray, shape (latent_dim,)
        Variance of the posterior means, relative to the variance of the prior.
    kl : ndarray, shape (latent_dim,), or None
        Mean Kullback-Leibler divergence from the prior, nats; None for an autoencoder.

    Returns
    -------
    check : Check or None
        None for an autoencoder.
    """
    if kl is None:
        return None
    about = (
        "posterior-collapse",
        "Posterior collapse",
        "the variance of the posterior mean of a latent dimension is below "
        f"{COLLAPSED_VARIANCE} of the prior's variance, or its KL is below "
        f"{COLLAPSED_KL} nats.",
    )
    collapsed = np.flatnonzero(
        (np.asarray(variance) < COLLAPSED_VARIANCE) | (np.asarray(kl) < COLLAPSED_KL)
    )
    if not len(collapsed):
        return Check(*about)
    named = listed([f"z[{number}]" for number in collapsed])
    if len(collapsed) == len(kl):
        found = (
            "All latent dimensions are the same for every streamline: the decoder "
            "always returns one average streamline, and latents, labels and scores of "
            "this model are meaningless."
        )
    else:
        found = (
            f"{len(collapsed)} of {len(kl)} latent dimensions ({named}) hold no "
            "information: they are the same for every streamline. The model is "
            f"equivalent to one with {len(kl) - len(collapsed)} dimensions."
        )
    advice = (
        "If the error is small enough, train with fewer dimensions (latent_dim). If "
        "not, lower kl_weight or raise it slowly (kl_annealing warmup)."
    )
    data = {"dimensions": collapsed.tolist(), "latent_dim": len(kl)}
    return Check(*about, found, advice, data)


def overfitting(history: dict) -> Check | None:
    """Check for a validation error that rose while the training error fell.

    Parameters
    ----------
    history : dict of list of float
        "error_mm" and "val_error_mm" per epoch.

    Returns
    -------
    check : Check or None
        None without validation, or with fewer than three epochs.
    """
    held_out, own = (history.get(key, ()) for key in ("val_error_mm", "error_mm"))
    if len(held_out) < 3 or len(own) != len(held_out):
        return None
    about = (
        "overfitting",
        "Overfitting",
        f"the validation error ended more than {RISE:.0%} above its minimum while the "
        "training error kept falling.",
    )
    best = int(np.argmin(held_out))
    rise = _end(held_out) / held_out[best] - 1
    if not (rise > RISE and _end(own) < own[best]):
        return Check(*about)
    found = (
        f"The error on held-out streamlines was lowest after epoch {best + 1} "
        f"({held_out[best]:.3g} mm) and ended {rise:.0%} higher, while that on "
        f"training streamlines fell from {own[best]:.3g} to {_end(own):.3g} mm: later "
        "epochs overfitted the training streamlines. The weights of the best epoch "
        "were kept, so the model is not affected."
    )
    advice = (
        "Train on more streamlines or subjects, or with fewer latent dimensions. "
        f"With these data about {best + 1} epochs are enough; patience stops early."
    )
    data = {
        "best_epoch": best + 1,
        "best_mm": float(held_out[best]),
        "rise": float(rise),
        "training_mm": (float(own[best]), _end(own)),
    }
    return Check(*about, found, advice, data)


def unsettled(
    history: dict, best_epoch: int, n_epochs: int, n_steps: int
) -> Check | None:
    """Check for a training that ended while its error was still falling.

    Parameters
    ----------
    history : dict of list of float
        "val_error_mm" per epoch, or "error_mm" where nothing was held out.
    best_epoch : int
        Epoch whose weights were kept.
    n_epochs : int
        Number of epochs requested.
    n_steps : int
        Training steps (batches) of the whole training.

    Returns
    -------
    check : Check or None
        None without epochs.
    """
    which = "val_error_mm" if "val_error_mm" in history else "error_mm"
    errors = history.get(which, ())
    n_done = len(errors)
    if not n_done:
        return None
    about = (
        "unsettled-training",
        "Training not converged",
        "the best epoch is in the last quarter of the training and the error fell by "
        f"more than {FALL:.0%} in its last quarter (in its last half, if the learning "
        f"rate decayed); or there were fewer than {FEWEST_STEPS} steps.",
    )
    rates = history.get("learning_rate", ())
    # When the learning rate decays to zero the error falls for that reason alone and
    # then stops falling: the gain since the middle of the training tells more.
    falling = len(rates) > 2 and rates[-1] < 0.5 * max(rates)
    back = max(1, round((0.5 if falling else 0.25) * n_done))
    before = max(0, n_done - 1 - back)
    fall = 1 - min(errors[before:]) / errors[before] if errors[before] > 0 else 0.0
    found: list[str] = []
    data: dict[str, object] = {}
    if best_epoch > LATE * n_done and fall > FALL:
        which = "held-out" if which == "val_error_mm" else "training"
        found.append(
            f"The best epoch is {best_epoch} of {n_done}, and the error on {which} "
            f"streamlines fell by {fall:.0%} over the last {n_done - 1 - before} "
            "epochs: the model was still improving."
        )
        data |= {"best_epoch": best_epoch, "fall": float(fall), "measured_on": which}
        data |= {"n_last": n_done - 1 - before}
    if n_steps < FEWEST_STEPS:
        found.append(
            f"The whole training had {counted(n_steps, 'step')}, which is too short, "
            "whatever the curves look like."
        )
        data["n_steps"] = n_steps
    if not found:
        return Check(*about)
    more = max(3 * n_epochs, round(n_epochs * 3 * FEWEST_STEPS / n_steps))
    advice = f"Train for longer, for example with epochs {more}."
    return Check(*about, " ".join(found), advice, {**data, "advised_epochs": more})


def statistics(error: float, error_by_batch: float | None) -> Check | None:
    """Check whether batch normalisation differs between training and inference.

    Parameters
    ----------
    error : float
        Error with the statistics stored in the model, mm.
    error_by_batch : float or None
        Error with the statistics of the batch, as in training, mm; None for models
        without batch normalisation.

    Returns
    -------
    check : Check or None
        None for models without batch normalisation.
    """
    if error_by_batch is None:
        return None
    about = (
        "unsettled-statistics",
        "Batch statistics not converged",
        "the error with the stored statistics of batch normalisation is above that "
        "with the statistics of these streamlines by more than "
        f"{STATISTICS_GAP:.0%} and {SMALLEST_GAP} mm.",
    )
    # The opposite only means that these streamlines do not resemble a training batch.
    gap = error - error_by_batch
    if not (gap > SMALLEST_GAP and gap > STATISTICS_GAP * error_by_batch):
        return Check(*about)
    found = (
        f"The error is {error:.3g} mm with the stored statistics of batch "
        f"normalisation, and {error_by_batch:.3g} mm with those of the batch, as in "
        "training: the stored statistics do not suit these streamlines."
    )
    advice = (
        "Train for longer or with larger batches, and check whether these streamlines "
        "differ from the training data (another space, another brain region). The "
        "dense backbone has no such statistics."
    )
    data = {"error_mm": float(error), "error_by_batch_mm": float(error_by_batch)}
    return Check(*about, found, advice, data)


def pca_kept(
    best_epoch: int, n_epochs: int, linear_skip: bool, refit: bool = False
) -> Check | None:
    """Check for a training whose result is PCA.

    Parameters
    ----------
    best_epoch : int
        Epoch whose weights were kept; 0 is before the first.
    n_epochs : int
        Number of epochs requested.
    linear_skip : bool
        Whether the untrained model is PCA.
    refit : bool, optional
        Whether the model was trained a second time on all streamlines.

    Returns
    -------
    check : Check or None
        None if the untrained model is not PCA.
    """
    if not linear_skip:
        return None
    about = (
        "pca-kept",
        "The model is PCA",
        "no epoch had a lower error on held-out streamlines than PCA, from which "
        "training starts, or no epochs were requested.",
    )
    if best_epoch:
        return Check(*about)
    data = {"n_epochs": n_epochs, "refit": refit}
    if not n_epochs:
        found = "No epochs were requested, and the untrained model is PCA."
        return Check(*about, found, "Train for at least one epoch (epochs).", data)
    found = (
        "No epoch had a lower error on held-out streamlines than PCA, from which "
        "training starts, so the networks are not used: the model is PCA"
        f"{' of all streamlines' if refit else ''}. It may be the best model for these "
        "data, but it is no better than PCA."
    )
    advice = "Train on more streamlines, or with fewer dimensions (latent_dim)."
    return Check(*about, found, advice, data)


def worse_than_pca(errors: dict, linear_skip: bool) -> Check | None:
    """Check for errors above those of PCA with the same number of dimensions.

    Parameters
    ----------
    errors : dict of str to (float, float)
        Error of the model and of PCA, mm, by the name of the file or bundle.
    linear_skip : bool
        Whether training started from PCA.

    Returns
    -------
    check : Check or None
        None without errors.
    """
    if not errors:
        return None
    about = (
        "worse-than-pca",
        "Worse than PCA",
        f"an error is more than {WORSE_THAN_PCA - 1:.0%} above that of PCA with the "
        "same number of dimensions.",
    )
    worse = {
        key: pair for key, pair in errors.items() if pair[0] > WORSE_THAN_PCA * pair[1]
    }
    if not worse:
        return Check(*about)
    order = sorted(worse, key=lambda key: worse[key][1] / worse[key][0])
    named = listed(
        [f"{key} ({worse[key][0]:.3g} mm, PCA {worse[key][1]:.3g} mm)" for key in order]
    )
    found = f"PCA, which needs no training, has a lower error: {named}."
    advice = "Train with the linear skip, so that the model starts from PCA."
    if linear_skip:
        advice = (
            "The model was not worse on its validation streamlines, so these "
            "streamlines differ from them. Hold out whole files or subjects "
            "(validation_by), train on more streamlines, or use PCA."
        )
    data = {"errors": {key: worse[key] for key in order}, "linear_skip": linear_skip}
    return Check(*about, found, advice, data)


def unfamiliar(error: float, known_error: float | None) -> Check | None:
    """Check for streamlines that differ from the training data.

    Parameters
    ----------
    error : float
        Error on the test streamlines, mm.
    known_error : float or None
        Error on the training streamlines, mm, if it is known.

    Returns
    -------
    check : Check or None
        None if the error on training streamlines is not known.
    """
    if known_error is None:
        return None
    about = (
        "unfamiliar-streamlines",
        "Higher error on new streamlines",
        f"the error is more than {UNFAMILIAR:g} times that on the training files.",
    )
    if error <= UNFAMILIAR * known_error:
        return Check(*about)
    found = (
        f"The error is {error:.3g} mm here and {known_error:.3g} mm on the training "
        "files: these streamlines differ from those, or the model overfitted those."
    )
    advice = (
        "Check that both are in the same space (register subjects first), and train on "
        "more subjects."
    )
    data = {"error_mm": float(error), "training_error_mm": float(known_error)}
    return Check(*about, found, advice, data)


def _end(values):
    """Return the level at which a curve ends: the mean of its last 5 %."""
    return float(np.mean(values[-max(1, len(values) // 20) :]))
