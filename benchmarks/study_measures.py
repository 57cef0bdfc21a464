"""What the FiberCup study measures of a model, of PCA and of MDF neighbours."""

import contextlib
import importlib
import time

import keras
from keras import ops
import numpy as np

from dipy_tractoencoder.errors import TrainingDivergedError
from dipy_tractoencoder.evaluation.encoded_bundles import Encoded, encode_side
from dipy_tractoencoder.evaluation.evaluate import model_metrics, space_metrics
from dipy_tractoencoder.evaluation.latent_metrics import neighbor_label_scores
from dipy_tractoencoder.latent.codec import decode
from dipy_tractoencoder.streamlines.metrics import (
    curve_length,
    point_distance,
    pooled_distance,
)
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing, fit_axis
from dipy_tractoencoder.training.fit import settle_statistics
from dipy_tractoencoder.training.train import run_training
from dipy_tractoencoder.utils.reservoir import sample_rows

N_POINTS = 256


class Watch(keras.callbacks.Callback):
    """Time the epochs, and keep the best weights of the first ones.

    Parameters
    ----------
    snapshot : int, optional
        Epochs after which the best weights so far are put aside.
    """

    def __init__(self, snapshot=None):
        super().__init__()
        self.snapshot = snapshot
        self.seconds = []
        self.best, self.best_epoch = np.inf, 0
        self.best_weights = self.snapshot_weights = self.snapshot_epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)
        if self.snapshot is None:
            return
        if logs.get("val_error_mm", np.inf) < self.best:
            self.best, self.best_epoch = logs["val_error_mm"], epoch + 1
            self.best_weights = self.model.get_weights()
        if epoch + 1 == self.snapshot:
            self.snapshot_weights = self.best_weights
            self.snapshot_epoch = self.best_epoch


@contextlib.contextmanager
def changed_constants(constants):
    """Give constants of the package's modules other values for a while."""
    before = []
    for name, value in (constants or {}).items():
        module, constant = name.rsplit(".", 1)
        module = importlib.import_module(f"dipy_tractoencoder.{module}")
        before.append((module, constant, getattr(module, constant)))
        setattr(module, constant, value)
    try:
        yield
    finally:
        for module, constant, value in before:
            setattr(module, constant, value)


def run_model(run, data, snapshot_epochs=None):
    """Train one model and measure it.

    Parameters
    ----------
    run : dict
        "settings", and perhaps "constants".
    data : dict
        Of `study_data`.
    snapshot_epochs : int, optional
        Measure the model after so many epochs too.

    Returns
    -------
    results : list of dict
        "figures", "history" and "examples" of the run, and of the snapshot.
    """
    watch = Watch(snapshot_epochs)
    options = {**data["training"], **run["settings"]}
    tractograms = options.pop("tractograms")
    diverged = None
    start = time.perf_counter()
    with changed_constants(run.get("constants")):
        try:
            model = run_training(tractograms, callbacks=[watch], **options).model
        except TrainingDivergedError as error:
            if watch.best_weights is None:
                raise
            diverged, model = str(error), watch.model
            model.set_weights(watch.best_weights)
            settle(model, data, options)
    record = model.record
    history = record.history if record else model.history.history
    results = [{"history": history, **measure(model, data, run["settings"])}]
    figures = results[0]["figures"]
    figures["training_s"] = time.perf_counter() - start
    figures["seconds_per_epoch"] = float(np.median(watch.seconds))
    figures["epochs_run"] = len(watch.seconds)
    figures["best_epoch"] = record.best_epoch if record else watch.best_epoch
    values = [value for values in history.values() for value in values]
    figures["finite"] = bool(diverged is None and np.isfinite(values).all())
    if diverged:
        figures["diverged"] = diverged
    if watch.snapshot_weights is not None:
        model.set_weights(watch.snapshot_weights)
        settle(model, data, options)
        shorter = {name: v[:snapshot_epochs] for name, v in history.items()}
        results.append({"history": shorter, **measure(model, data, run["settings"])})
        results[1]["figures"].update(
            seconds_per_epoch=figures["seconds_per_epoch"],
            epochs_run=snapshot_epochs,
            best_epoch=watch.snapshot_epoch,
            finite=True,
        )
    return results


def settle(model, data, options):
    """Batch normalisation's statistics for weights put back."""
    points = model.preprocessing.array(data["train"][0]).points
    batch_size = options.get("batch_size", 128)
    settle_statistics(model, model.preprocessing.normalise(points), batch_size)


def measure(model, data, settings):
    """Figures of a trained model, and held-out streamlines to draw."""
    sides = {}
    for name in ("train", "test"):
        lines, labels = data[name]
        array = model.preprocessing.array(lines)
        sides[name] = encode_side(model, array.points, labels[array.index])
    train, test = sides["train"], sides["test"]
    figures = judge(data, train, test, lambda latent: decode(model, latent))
    figures.update(model_metrics(model, train, test))
    figures["training_mode_error_mm"] = training_mode_error(
        model, train.points, settings.get("batch_size", 128)
    )
    kept = test[sample_rows(len(test.points), 0)]
    examples = {name: v for name, v in vars(kept).items() if v is not None}
    examples["length"] = curve_length(kept.points)
    return {"figures": figures, "examples": examples}


def judge(data, train, test, decoder):
    """Figures of a latent space; what is the same for all is kept in ``data``."""
    known = data.get("held_out_mdf_mm")
    figures = space_metrics(train, test, decoder, held_out_mdf=known)
    data["held_out_mdf_mm"] = figures["held_out_mdf_mm"]
    return figures


def training_mode_error(model, points, batch_size):
    """Error of posterior means, mm, with batch normalisation as in training."""
    normalised = model.preprocessing.normalise(points)
    rows = np.random.default_rng(0).permutation(len(normalised))
    n_batches = max(1, len(rows) // batch_size)
    # Batch normalisation updates itself in training mode.
    weights = model.get_weights()
    squared = []
    for batch in np.array_split(rows, n_batches):
        target = ops.convert_to_tensor(normalised[batch])
        mean = model.encode_tensors(target, training=True)["mean"]
        decoded = model.decode_tensors(mean, training=True)
        difference = ops.convert_to_numpy(decoded) - normalised[batch]
        squared.append(3 * np.square(difference, dtype=np.float64).mean(axis=(1, 2)))
    model.set_weights(weights)
    return float(np.sqrt(np.concatenate(squared).mean())) * model.preprocessing.scale


def canonical_arrays(data):
    """Make arrays of training and test streamlines as a model would see them, mm."""
    raw = Preprocessing(n_points=N_POINTS, orientation="as_is")
    preprocessing = Preprocessing(
        n_points=N_POINTS, axis=fit_axis(raw.array(data["train"][0]).points)
    )
    return {n: preprocessing.array(data[n][0]) for n in ("train", "test")}


def run_pca(n_components, data):
    """PCA with so many dimensions, measured the same way."""
    arrays = canonical_arrays(data)
    principal = fit_principal(arrays["train"].points, n_components)
    sides = {}
    for name, array in arrays.items():
        latent = principal.encode(array.points, n_components)
        back, labels = principal.decode(latent), data[name][1][array.index]
        sides[name] = Encoded(latent, array.points, back, labels)
    return judge(data, sides["train"], sides["test"], principal.decode)


def run_bundle_pca(n_components, data):
    """Error of a PCA for each bundle, told which bundle: what so few numbers allow."""
    arrays = canonical_arrays(data)
    distances = []
    for bundle in np.unique(data["train"][1]):
        train, test = (
            array.points[data[name][1][array.index] == bundle]
            for name, array in arrays.items()
        )
        principal = fit_principal(train, n_components)
        back = principal.decode(principal.encode(test, n_components))
        distances.append(point_distance(test, back))
    return {"error_mm": pooled_distance(np.concatenate(distances))}


def run_mdf(data):
    """Bundle labels by the nearest streamline, the answer without a latent space."""
    preprocessing = Preprocessing(n_points=32, orientation="as_is")
    arrays = [preprocessing.array(data[name][0]) for name in ("train", "test")]
    (train, train_labels), (test, test_labels) = (
        (array.points, data[name][1][array.index])
        for array, name in zip(arrays, ("train", "test"))
    )
    return neighbor_label_scores(train, train_labels, test, test_labels, "mdf")
