"""Latents of streamlines as a scikit-learn transformer.

Imported when `StreamlineEmbedding` is first used: its bases are scikit-learn's classes.
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
import tempfile
from typing import Any, Self

from nibabel.streamlines import ArraySequence
import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    check_choice,
    format_received,
)
from dipy_tractoencoder.io.chunks import each_chunk, each_tractogram
from dipy_tractoencoder.streamlines.array import StreamlineArray, reject_codes
from dipy_tractoencoder.training.dataset import refuse_rejects
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.utils.again import Again

REJECTS = ("raise", "nan")


class StreamlineEmbedding(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Train an autoencoder or VAE and transform streamlines to its latents.

    A scikit-learn transformer around `train`, `encode` and `decode`, for a
    ``Pipeline`` with a clusterer or classifier. All parameters but the last two are
    those of `TrainingSettings`, which describes them in full; the defaults are the
    same.

    Everywhere, ``X`` is a StatefulTractogram, an ArraySequence, a list of arrays of
    shape (any, 3), an array of shape (n_streamlines, n_points, 3), the path of a
    tractogram file, or a list of several of these, whose streamlines follow each
    other. Coordinates are RASMM, mm. There is one row of latents per streamline, in the
    order of ``X``.

    Parameters
    ----------
    model : {"vae", "ae"}, optional
        Type of model: vae (variational autoencoder) or ae (autoencoder).
    backbone : {"dense", "compact", "finta"}, optional
        Architecture of encoder and decoder: dense (fully connected), compact or finta
        (convolutional).
    linear_skip : bool, optional
        Add a linear path through the principal components, so that the untrained model
        is PCA and the networks learn what PCA misses.
    upsampling : {"nearest", "linear"}, optional
        Upsampling in the decoders of finta and compact: nearest or linear.
    n_points : int, optional
        Number of points that streamlines are resampled to: a multiple of 32, at least
        64 for finta and 32 for compact; any number from 2 for dense.
    latent_dim : int, optional
        Number of latent dimensions.
    epochs : int, optional
        Largest number of passes over the streamlines; 0 gives PCA.
    batch_size : int, optional
        Streamlines per training step.
    learning_rate : float, optional
        Highest learning rate of the Adam optimiser; by default 0.002 for dense and
        0.0005 for compact and finta.
    rate_schedule : bool, optional
        Warm the learning rate up over the first 5 % of the steps, then decay it by a
        cosine.
    clip_norm : float, optional
        Largest norm of the gradient; 0 switches clipping off.
    loss : {"likelihood", "mse"}, optional
        Reconstruction term of the loss: likelihood (Gaussian negative log-likelihood
        with the optimal noise level, nats) or mse (mean squared error, mm^2).
    kl_weight : float, optional
        Weight of the Kullback-Leibler (KL) term.
    kl_annealing : {"constant", "warmup", "cyclical", "rise_and_fall"}, optional
        Schedule of the KL weight: constant, warmup, cyclical or rise_and_fall.
    epsilon_std : float, optional
        Standard deviation of the noise in the reparametrisation trick.
    orientation : {"canonical", "augment", "as_is"}, optional
        Handling of the direction of streamlines: canonical (a streamline and its
        reverse get the same latent), augment (reversed at random in training) or as_is.
    normalise : bool, optional
        Centre and scale coordinates.
    min_length : float, optional
        Shortest streamline to use, in mm.
    max_length : float, optional
        Longest streamline to use, in mm.
    validation_fraction : float, optional
        Fraction held out to choose the best epoch; 0 for none.
    patience : int, optional
        Epochs without improvement after which training stops; by default it runs to the
        end. The best epoch is kept in any case.
    refit : bool, optional
        Train a second time on all streamlines, for as many epochs as validation chose.
    max_streamlines : int, optional
        Train on a random subset of this size, which limits the memory needed.
    precision : {"float32", "mixed_bfloat16"}, optional
        Number format of the networks' products: float32, or mixed_bfloat16 for devices
        that are faster with it.
    xla : {"auto", "on", "off"}, optional
        Compile training steps with XLA: auto, on or off.
    alignment_sample : bool, optional
        Store a sample of up to 2,500 training streamlines in the model, for aligning
        subjects to it; otherwise only centroids of clusters.
    seed : int, optional
        Seed of all random numbers.
    rejects : {"raise", "nan"}, optional
        What becomes of streamlines that cannot be encoded: with fewer than two
        different points, coordinates that are not finite, or a length out of the
        limits. "raise" refuses ``X`` with an error that names them, before any
        training. "nan" leaves them out of training and `score`; their rows are nan.
    reference : str, Path or Reference, optional
        Image or tractogram whose space files without one (TCK, VTK, ...) are in.

    Attributes
    ----------
    model_ : StreamlineAutoencoder or StreamlineVAE
        Trained model; `save_model` writes it for the commands.
    n_features_out_ : int
        Number of latents per streamline.

    See Also
    --------
    dipy_tractoencoder.training.train.train : The training, without scikit-learn.

    Notes
    -----
    Pickles (and joblib's files) hold the model as the bytes of its .keras file.
    Cross-validation takes parts of ``X``: for folds of streamlines, load files first;
    with a list of paths the folds are of whole files.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.pipeline import make_pipeline
    >>> lines = dte.make_fibercup(60, seed=0).streamlines
    >>> embedding = dte.StreamlineEmbedding(latent_dim=4, n_points=32, epochs=1)
    >>> pipeline = make_pipeline(embedding, KMeans(3, n_init=1, random_state=0))
    >>> clusters = pipeline.fit_predict(lines)
    >>> embedding.transform(lines[:5]).shape
    (5, 4)
    """

    def __init__(
        self,
        *,
        model: str = "vae",
        backbone: str = "dense",
        linear_skip: bool = True,
        upsampling: str = "nearest",
        n_points: int = 256,
        latent_dim: int = 32,
        epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float | None = None,
        rate_schedule: bool = True,
        clip_norm: float = 1.0,
        loss: str = "likelihood",
        kl_weight: float = 1.0,
        kl_annealing: str = "constant",
        epsilon_std: float = 1.0,
        orientation: str = "canonical",
        normalise: bool = True,
        min_length: float = 0.0,
        max_length: float | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        refit: bool = False,
        max_streamlines: int | None = None,
        precision: str = "float32",
        xla: str = "auto",
        alignment_sample: bool = True,
        seed: int = 0,
        rejects: str = "raise",
        reference: str | Path | None = None,
    ):
        self.model = model
        self.backbone = backbone
        self.linear_skip = linear_skip
        self.upsampling = upsampling
        self.n_points = n_points
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.rate_schedule = rate_schedule
        self.clip_norm = clip_norm
        self.loss = loss
        self.kl_weight = kl_weight
        self.kl_annealing = kl_annealing
        self.epsilon_std = epsilon_std
        self.orientation = orientation
        self.normalise = normalise
        self.min_length = min_length
        self.max_length = max_length
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.refit = refit
        self.max_streamlines = max_streamlines
        self.precision = precision
        self.xla = xla
        self.alignment_sample = alignment_sample
        self.seed = seed
        self.rejects = rejects
        self.reference = reference

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a model on streamlines.

        Parameters
        ----------
        X : tractogram, path, or list of them
            Streamlines, RASMM, mm, in any form that the class takes.
        y : object, optional
            Not used; there for pipelines.

        Returns
        -------
        self : StreamlineEmbedding
            With the trained ``model_``.

        Raises
        ------
        InvalidArgumentError
            If a setting is out of range, ``X`` holds no streamlines, or some cannot
            be encoded and ``rejects`` is "raise".
        EmptyDataError
            If no streamline is left to train on.
        TrainingDivergedError
            If the loss stops being finite.
        InputFileError
            If a file is missing, broken, or lacks its reference.
        """
        values = self.get_params(deep=False)
        del values["rejects"], values["reference"]
        settings = TrainingSettings(**values)
        chunks = self._chunks(X)
        if self.rejects == "raise":
            limits = {k: values[k] for k in ("min_length", "max_length")}
            refuse_rejects([reject_codes(chunk, **limits) for chunk in chunks])
        from dipy_tractoencoder.training.fit import train_with_settings

        again = Again(lambda: each_tractogram(X, self.reference))
        self.model_ = train_with_settings(again, settings).model
        self.n_features_out_ = self._n_features_out = self.model_.latent_dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode streamlines.

        Parameters
        ----------
        X : tractogram, path, or list of them
            Streamlines, RASMM, mm, in any form that the class takes.

        Returns
        -------
        latents : ndarray, shape (n_streamlines, latent_dim), float32
            Posterior means (a VAE) or codes (an autoencoder), in mm with the linear
            skip; a row per streamline of ``X``, in its order, and of nan for those
            that cannot be encoded if ``rejects`` is "nan".

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        InvalidArgumentError
            If ``X`` holds no streamlines, or some cannot be encoded and ``rejects`` is
            "raise".
        InputFileError
            If a file is missing, broken, or lacks its reference.
        """
        check_is_fitted(self)
        from dipy_tractoencoder.latent.codec import encode

        rows = [np.empty((0, self.n_features_out_), dtype=np.float32)]
        for n_streamlines, array in self._arrays(X):
            rows.append(np.full((n_streamlines, self.n_features_out_), np.nan, "f4"))
            rows[-1][array.index] = encode(self.model_, array).mean
        return np.concatenate(rows)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latents to streamlines.

        Parameters
        ----------
        X : array_like, shape (n_streamlines, latent_dim)
            Latents, as `transform` gives them; rows of nan stay nan if ``rejects`` is
            "nan".

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Streamlines, RASMM, mm, in the model's orientation.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        InvalidArgumentError
            If the shape is not the model's or a latent is not finite.
        """
        check_is_fitted(self)
        from dipy_tractoencoder.latent.codec import decode

        if self.rejects != "nan":
            return decode(self.model_, X)
        latents = np.array(X, dtype=np.float32, ndmin=2)
        missing = np.isnan(latents).all(axis=1)
        latents[missing] = 0
        points = decode(self.model_, latents)
        points[missing] = np.nan
        return points

    def score(self, X: Any, y: Any = None) -> float:
        """Measure the reconstruction of streamlines; the larger the better.

        Parameters
        ----------
        X : tractogram, path, or list of them
            Streamlines, RASMM, mm, in any form that the class takes.
        y : object, optional
            Not used; there for pipelines.

        Returns
        -------
        score : float
            Negative root mean squared point distance of ``X`` and its reconstruction,
            mm.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        InvalidArgumentError
            If ``X`` holds no streamlines, or some cannot be encoded and ``rejects`` is
            "raise".
        EmptyDataError
            If no streamline is left to compare.
        """
        check_is_fitted(self)
        from dipy_tractoencoder.latent.reconstruction import reconstruct_points
        from dipy_tractoencoder.streamlines.metrics import (
            point_distance,
            pooled_distance,
        )

        distances = []
        for _, array in self._arrays(X):
            if len(array):
                rebuilt = reconstruct_points(self.model_, array.points)
                distances.append(point_distance(array.points, rebuilt))
        if not distances:
            raise EmptyDataError("No streamline is left to compare.")
        return -pooled_distance(np.concatenate(distances))

    def _chunks(self, X: Any) -> Iterator[ArraySequence]:
        """Give all streamlines, some at a time, RASMM, mm."""
        check_choice("rejects", self.rejects, REJECTS)
        if not isinstance(X, (str, PathLike)) and not hasattr(X, "__len__"):
            raise InvalidArgumentError(
                "Invalid value received for `X`. Expected streamlines that can be read "
                "twice: a tractogram, a list of arrays of shape (n_points, 3), in mm, "
                f"or paths of tractogram files. Received: {format_received(X)}."
            )
        return each_chunk(X, self.reference)

    def _arrays(self, X: Any) -> Iterator[tuple[int, StreamlineArray]]:
        """Give numbers of streamlines read, and the model's input made of them."""
        preprocessing, codes = self.model_.preprocessing, []
        limits = {k: getattr(preprocessing, k) for k in ("min_length", "max_length")}
        for chunk in self._chunks(X):
            codes.append(reject_codes(chunk, **limits))
            yield len(chunk), preprocessing.array(chunk)
        if self.rejects == "raise":
            refuse_rejects(codes)

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "model_" in state:
            from dipy_tractoencoder.nn.model_file import save_model

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                save_model(state["model_"], path)
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state):
        if isinstance(state.get("model_"), bytes):
            from dipy_tractoencoder.nn.model_file import load_model

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(state["model_"])
                state = {**state, "model_": load_model(path)}
        super().__setstate__(state)

    def __sklearn_tags__(self):  # From scikit-learn 1.6 on; `_more_tags` before.
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _more_tags(self):
        return {"X_types": ["3darray"], "preserves_dtype": ["float32"]}
