"""Training records of models, and fingerprints of models and tractograms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import InputFileError

if TYPE_CHECKING:
    import keras

N_RECOGNISED = 50  # streamlines used to recognise a tractogram


@dataclass(frozen=True)
class TrainingRecord:
    """Record of a training: settings, data, history and versions.

    Attributes
    ----------
    settings : dict
        Training settings by name.
    data : dict
        Files, numbers of streamlines, and numbers of rejected streamlines by reason;
        also the `source_digest` of each tractogram; errors of the model and of PCA.
    history : dict of list
        For each quantity, one number per epoch.
    best_epoch : int
        Epoch whose weights the model has; 0 is before the first epoch.
    versions : dict of str
        Version of each package, and the backend.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> record = model.record
    >>> record.settings["latent_dim"], record.best_epoch
    (2, 0)
    """

    settings: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    best_epoch: int = 0
    versions: dict = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return asdict(self)


def source_digest(points: np.ndarray) -> str:
    """Compute a digest to recognise the same tractogram in another file.

    It depends on the end points of the first 50 streamlines, rounded to 0.1 mm, in
    either direction.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines from the first one on, RASMM, mm.

    Returns
    -------
    digest : str
        16 hexadecimal digits.
    """
    ends = np.rint(10 * np.asarray(points[:N_RECOGNISED, [0, -1]], dtype=np.float64))
    pairs = [sorted(pair) for pair in (ends + 0.0).tolist()]  # Without minus zero.
    return hashlib.sha256(np.array(pairs).tobytes()).hexdigest()[:16]


def software_versions() -> dict[str, str]:
    """Return the versions of the packages that a model depends on.

    Returns
    -------
    versions : dict of str
        Version by package, and "backend", the name of the backend in use; "numpy", if
        Keras has not been imported.
    """
    from importlib.metadata import version

    from dipy_tractoencoder import __version__

    packages, backend = ["dipy", "numpy"], "numpy"
    if "keras" in sys.modules:
        backend = sys.modules["keras"].backend.backend()
        packages = ["dipy", "keras", "numpy", backend]
    return {
        "dipy_tractoencoder": __version__,
        **{name: version(name) for name in packages},
        "backend": backend,
    }


def fingerprint(model: Any) -> str:
    """Compute the SHA-256 digest of a model: architecture, preprocessing and weights.

    Sections of the model (`nn.sections`) are part of it.

    The digest is computed once and cached with the model, together with its input.
    Each call compares this input, byte by byte, with the current state of the model,
    so that every change of the weights is detected.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Returns
    -------
    fingerprint : str
        64 hexadecimal digits; equal for models with the same architecture,
        preprocessing, weights and sections.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.streamlines)
    >>> latents.fingerprint == dte.fingerprint(model)
    True
    """
    class_name = getattr(model, "class_name", None)
    if class_name is None:  # A Keras model, not one that is applied without.
        from dipy_tractoencoder.nn.keras_settings import check_not_forked

        check_not_forked()  # Reading weights may wait for ever, too.
        class_name = type(model).__name__
    config = {**model.architecture(), "class": class_name}
    if model.sections:  # Models without keep the fingerprint they have always had.
        config["sections"] = model.sections.digests
    text = json.dumps(config, sort_keys=True)
    arrays = [weight_array(w) for w in model.weights if "seed_generator" not in w.path]
    # Not through Keras' attribute tracking, which would save it with the model.
    known = model.__dict__.get("_fingerprinted")
    if known is None or not known.matches(text, arrays):
        known = _Fingerprinted(text, arrays)
        model.__dict__["_fingerprinted"] = known
    return known.digest


class _Fingerprinted:
    """A fingerprint, and a copy of everything it was computed from."""

    def __init__(self, config, arrays):
        self.config = config
        self.heads = [f"{array.dtype}{array.shape}" for array in arrays]
        self.contents = [array.tobytes() for array in arrays]
        digest = hashlib.sha256(config.encode())
        for head, content in zip(self.heads, self.contents):
            digest.update(head.encode())
            digest.update(content)
        self.digest = digest.hexdigest()

    def matches(self, config, arrays):
        """Return whether the input would give the same fingerprint."""
        return (
            config == self.config
            and self.heads == [f"{array.dtype}{array.shape}" for array in arrays]
            and all(a.tobytes() == b for a, b in zip(arrays, self.contents))
        )


def weight_array(weight: Any) -> np.ndarray:
    """Return the numbers of a weight, without a copy if the backend allows it.

    Parameters
    ----------
    weight : keras.Variable or StoredWeight
        Weight of a model.

    Returns
    -------
    values : ndarray
        Its numbers, not to be changed.
    """
    value = weight.value
    if hasattr(value, "read_value"):  # A TensorFlow variable.
        value = value.value()
    try:
        return np.ascontiguousarray(value)
    except (TypeError, RuntimeError):  # PyTorch, with a gradient or on a device.
        from keras import ops

        return np.ascontiguousarray(ops.convert_to_numpy(weight))


def describe_model(model: keras.Model) -> str:
    """Describe a model in one line: kind, size, training and error beside PCA's.

    It says how many training streamlines are stored in the model, since everyone who
    has the model can read them.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model, trained or not.

    Returns
    -------
    text : str
        Models that were trained by older versions have no errors in their record; the
        text leaves them out.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    <StreamlineVAE: 2 latent dimensions, dense backbone with linear skip, trained on 39
    streamlines; held-out error ... mm, PCA ... mm; stores 39 of the streamlines>
    """
    skip = "with" if model.linear_skip else "without"
    name = getattr(model, "class_name", type(model).__name__)
    text = (
        f"{name}: {model.latent_dim} latent dimensions, "
        f"{model.backbone} backbone {skip} linear skip"
    )
    data = getattr(model.record, "data", None)
    if not isinstance(data, dict) or not data:
        return f"<{text}, no record of a training{_stored(model)}>"
    if "n_training" in data:
        text += f", trained on {data['n_training']} streamlines"
    errors = data.get("errors")
    if isinstance(errors, dict):
        which = "held-out" if errors.get("held_out") else "training"
        own, pca = (errors.get(name) for name in ("error_mm", "pca_error_mm"))
        if isinstance(own, float) and isinstance(pca, float):
            text += f"; {which} error {own:.3g} mm, PCA {pca:.3g} mm"
    return f"<{text}{_stored(model)}>"


def _stored(model):
    """Describe the reference for alignment and the atlas in a few words."""
    from dipy_tractoencoder.nn.alignment import alignment_reference
    from dipy_tractoencoder.nn.atlas import model_atlas

    text = ""
    try:
        reference = alignment_reference(model)
        if reference is not None and reference.holds_streamlines:
            text = f"; stores {len(reference.sample)} of the streamlines"
    except InputFileError:
        text = "; its reference for alignment is damaged"
    try:
        atlas = model_atlas(model)
    except InputFileError:
        return f"{text}; its atlas is damaged"
    if atlas is None:
        return text
    return f"{text}; holds {len(atlas.mean)} latents of {len(atlas.names)} bundles"
