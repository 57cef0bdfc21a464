"""What can be wrong with a model and its training, said in plain words.

Pure functions that give a `report.data_checks.Check`, as the ones there.
"""

import numpy as np

from dipy_tractoencoder.report.data_checks import Check, counted, listed

# Of the prior's variance; as `evaluation.latent_metrics.active_dimensions`.
COLLAPSED_VARIANCE = 0.01
COLLAPSED_KL = 0.01  # nats
RISE = 0.10  # of the validation error above its best
FALL = 0.05  # of the error towards the end of the training
LATE = 0.75  # share of the epochs after which the best one is late
FEWEST_STEPS = 100
STATISTICS_GAP = 0.10  # of the error
SMALLEST_GAP = 0.01  # mm; less does not matter, whatever its share
WORSE_THAN_PCA = 1.02  # times PCA's error
UNFAMILIAR = 1.5  # times the error on known streamlines


def collapse(variance, kl):
    """Look for latent dimensions that hold nothing.

    Parameters
    ----------
    variance : ndarray, shape (latent_dim,)
        Of the posterior means, over the prior's variance.
    kl : ndarray, shape (latent_dim,), or None
        Mean Kullback-Leibler divergence from the prior, nats; None if the model is no
        VAE.

    Returns
    -------
    check : Check or None
        None if the model is no VAE.
    """
    if kl is None:
        return None
    about = (
        "posterior-collapse",
        "Posterior collapse",
        f"the posterior mean of a latent dimension varies by less than "
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
            "gives one average streamline, and latents, labels and scores from this "
            "model mean nothing."
        )
    else:
        found = (
            f"{len(collapsed)} of {len(kl)} latent dimensions ({named}) hold nothing: "
            "they are the same for every streamline. The model works as one with "
            f"{len(kl) - len(collapsed)} dimensions."
        )
    advice = (
        "If the error is good enough, train with fewer dimensions (latent_dim). If it "
        "is not, lower kl_weight or raise it slowly (kl_annealing warmup)."
    )
    data = {"dimensions": collapsed.tolist(), "latent_dim": len(kl)}
    return Check(*about, found, advice, data)


def overfitting(history):
    """Look for a validation error that rose while the training error fell.

    Parameters
    ----------
    history : dict of list
        "error_mm" and "val_error_mm" per epoch.

    Returns
    -------
    check : Check or None
        None without validation or with less than three epochs.
    """
    held_out, own = (history.get(key, ()) for key in ("val_error_mm", "error_mm"))
    if len(held_out) < 3 or len(own) != len(held_out):
        return None
    about = (
        "overfitting",
        "Overfitting",
        f"the validation error ended more than {RISE:.0%} above its best while the "
        "training error went on falling.",
    )
    best = int(np.argmin(held_out))
    rise = _end(held_out) / held_out[best] - 1
    if not (rise > RISE and _end(own) < own[best]):
        return Check(*about)
    found = (
        f"The error on held-out streamlines was least after epoch {best + 1} "
        f"({held_out[best]:.3g} mm) and ended {rise:.0%} higher, while that on "
        f"training streamlines fell from {own[best]:.3g} to {_end(own):.3g} mm: later "
        "epochs learned the training streamlines by heart. The weights kept are those "
        "of the best epoch, so the model is not spoiled by it."
    )
    advice = (
        "More streamlines or subjects help most, fewer latent dimensions also do. "
        f"About {best + 1} epochs are enough with this data; patience stops early."
    )
    data = {
        "best_epoch": best + 1,
        "best_mm": float(held_out[best]),
        "rise": float(rise),
        "training_mm": (float(own[best]), _end(own)),
    }
    return Check(*about, found, advice, data)


def unsettled(history, best_epoch, n_epochs, n_steps):
    """Look for a training that ended while it was still getting better.

    Parameters
    ----------
    history : dict of list
        "val_error_mm" per epoch, or "error_mm" where nothing was held out.
    best_epoch : int
        Epoch whose weights were kept.
    n_epochs : int
        Epochs that were asked for.
    n_steps : int
        Steps (batches) of the whole training.

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
        "Training that had not settled",
        f"the epoch kept is in the last quarter of the training and the error still "
        f"fell by more than {FALL:.0%} in its last quarter (its last half, if the "
        f"learning rate fell); or there were fewer than {FEWEST_STEPS} steps.",
    )
    rates = history.get("learning_rate", ())
    # A rate that goes to zero brings its last gains itself, and hides what a longer
    # training would: what was gained since the middle tells more.
    falling = len(rates) > 2 and rates[-1] < 0.5 * max(rates)
    back = max(1, round((0.5 if falling else 0.25) * n_done))
    before = max(0, n_done - 1 - back)
    fall = 1 - min(errors[before:]) / errors[before] if errors[before] > 0 else 0.0
    found, data = [], {}
    if best_epoch > LATE * n_done and fall > FALL:
        which = "held-out" if which == "val_error_mm" else "training"
        found.append(
            f"The best epoch is {best_epoch} of {n_done}, and the error on {which} "
            f"streamlines fell by {fall:.0%} over the last {n_done - 1 - before} "
            "epochs: the model was still getting better."
        )
        data |= {"best_epoch": best_epoch, "fall": float(fall), "measured_on": which}
        data |= {"n_last": n_done - 1 - before}
    if n_steps < FEWEST_STEPS:
        found.append(
            f"The whole training had {counted(n_steps, 'step')}: that is hardly a "
            "beginning, whatever the curves look like."
        )
        data["n_steps"] = n_steps
    if not found:
        return Check(*about)
    more = max(3 * n_epochs, round(n_epochs * 3 * FEWEST_STEPS / n_steps))
    advice = f"Train for longer, as with --epochs {more}."
    return Check(*about, " ".join(found), advice, {**data, "advised_epochs": more})


def statistics(error, error_by_batch):
    """Look for batch normalisation that disagrees between training and inference.

    Parameters
    ----------
    error : float
        By the statistics kept in the model, mm.
    error_by_batch : float or None
        By the statistics of the batch, as in training, mm; None for models without
        batch normalisation.

    Returns
    -------
    check : Check or None
        None for models without batch normalisation.
    """
    if error_by_batch is None:
        return None
    about = (
        "unsettled-statistics",
        "Unsettled statistics",
        "the error with the statistics that batch normalisation keeps for inference "
        "is above that with the statistics of these streamlines by more than "
        f"{STATISTICS_GAP:.0%} and {SMALLEST_GAP} mm.",
    )
    # The other way round says only that these streamlines are unlike a training batch.
    gap = error - error_by_batch
    if not (gap > SMALLEST_GAP and gap > STATISTICS_GAP * error_by_batch):
        return Check(*about)
    found = (
        f"The same streamlines are reconstructed with an error of {error:.3g} mm as "
        f"the model is used, and of {error_by_batch:.3g} mm as it ran in training: "
        "what batch normalisation keeps does not fit these streamlines."
    )
    advice = (
        "Train for longer or with larger batches, and look at whether these "
        "streamlines differ from those trained on (another space, another brain "
        "region). The dense backbone has no such statistics."
    )
    data = {"error_mm": float(error), "error_by_batch_mm": float(error_by_batch)}
    return Check(*about, found, advice, data)


def pca_kept(best_epoch, n_epochs, linear_skip, refit=False):
    """Look for a training that gave PCA.

    Parameters
    ----------
    best_epoch : int
        Epoch whose weights were kept; 0 is before the first.
    n_epochs : int
        Epochs that were asked for.
    linear_skip : bool
        Whether the untrained model is PCA.
    refit : bool, optional
        Whether the model was trained once more on everything.

    Returns
    -------
    check : Check or None
        None where the untrained model is not PCA.
    """
    if not linear_skip:
        return None
    about = (
        "pca-kept",
        "The model kept is PCA",
        "no epoch of training was better on held-out streamlines than the start, or "
        "none was asked for.",
    )
    if best_epoch:
        return Check(*about)
    data = {"n_epochs": n_epochs, "refit": refit}
    if not n_epochs:
        found = (
            "No epoch of training was asked for, and the untrained model is PCA, which "
            "a training starts from."
        )
        return Check(*about, found, "Train for some epochs (epochs).", data)
    found = (
        "No epoch was better on held-out streamlines than PCA, which the training "
        "starts from, so the networks were switched off: the model is PCA"
        f"{' of all streamlines' if refit else ''}. That is a good model where it is "
        "the best that this data gives, but no more than PCA."
    )
    advice = "More streamlines, or fewer dimensions (latent_dim), leave more to learn."
    return Check(*about, found, advice, data)


def worse_than_pca(errors, linear_skip):
    """Look for errors above those of PCA with as many dimensions.

    Parameters
    ----------
    errors : dict of str to (float, float)
        What was measured (a file, a bundle, or all) to the model's error and PCA's, mm.
    linear_skip : bool
        Whether the model started from PCA.

    Returns
    -------
    check : Check or None
        None if nothing was measured.
    """
    if not errors:
        return None
    about = (
        "worse-than-pca",
        "Worse than PCA",
        f"an error is more than {WORSE_THAN_PCA - 1:.0%} above that of PCA with as "
        "many dimensions.",
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
    found = f"PCA, which needs no training, reconstructs better here: {named}."
    advice = "Train with the linear skip, so that the model starts from PCA."
    if linear_skip:
        advice = (
            "The model was not worse on the streamlines that chose its epoch: these "
            "are different. Hold out whole files or subjects (validation_by), train on "
            "more streamlines, or use PCA."
        )
    data = {"errors": {key: worse[key] for key in order}, "linear_skip": linear_skip}
    return Check(*about, found, advice, data)


def unfamiliar(error, known_error):
    """Look for streamlines that are unlike those trained on.

    Parameters
    ----------
    error, known_error : float or None
        On the streamlines measured, and on those the model was trained on, mm.

    Returns
    -------
    check : Check or None
        None if the second is not known.
    """
    if known_error is None:
        return None
    about = (
        "unfamiliar-streamlines",
        "New streamlines are harder",
        f"the error is more than {UNFAMILIAR:g} times that on the training files.",
    )
    if error <= UNFAMILIAR * known_error:
        return Check(*about)
    found = (
        f"The error is {error:.3g} mm here and {known_error:.3g} mm on the training "
        "files: these streamlines are unlike those, or the model knows those by heart."
    )
    advice = (
        "Check that both are in one space (register subjects first), and train on more "
        "subjects."
    )
    data = {"error_mm": float(error), "training_error_mm": float(known_error)}
    return Check(*about, found, advice, data)


def _end(values):
    """Level that a curve ends at: the mean of its last twentieth."""
    return float(np.mean(values[-max(1, len(values) // 20) :]))
