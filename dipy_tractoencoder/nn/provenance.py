"""How a model came about: settings, data, history and versions, kept in its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

N_RECOGNISED = 50  # streamlines that tell a tractogram from others


@dataclass(frozen=True)
class TrainingRecord:
    """What a model was trained with, as plain values.

    Attributes
    ----------
    settings : dict
        Training settings, by name.
    data : dict
        Files, numbers of streamlines and rejects by reason; of each tractogram also
        its `source_digest`; errors of the model and of PCA.
    history : dict of list
        A list per quantity, one number per epoch.
    best_epoch : int
        Epoch whose weights the model has; 0 is before the first.
    versions : dict of str
        Package to version, and the backend.
    """

    settings: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    best_epoch: int = 0
    versions: dict = field(default_factory=dict)

    def to_dict(self):
        """Attributes as a plain dictionary."""
        return asdict(self)


def source_digest(points):
    """Short name of a tractogram, by which it is recognised in another file.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Its streamlines from the first on, RASMM, mm, in any direction; the ends of the
        first 50 count, to 0.1 mm.

    Returns
    -------
    digest : str
        16 hexadecimal digits.
    """
    ends = np.rint(10 * np.asarray(points[:N_RECOGNISED, [0, -1]], dtype=np.float64))
    turned = [sorted(pair) for pair in (ends + 0.0).tolist()]  # No minus zero.
    return hashlib.sha256(np.array(turned).tobytes()).hexdigest()[:16]


def software_versions():
    """Versions of what a model depends on, and the backend in use.

    Returns
    -------
    versions : dict of str
        Package to version; "backend" to its name.
    """
    from importlib.metadata import version

    import keras

    from dipy_tractoencoder import __version__

    backend = keras.backend.backend()
    return {
        "dipy_tractoencoder": __version__,
        **{name: version(name) for name in ("dipy", "keras", "numpy", backend)},
        "backend": backend,
    }


def fingerprint(model):
    """SHA-256 of a model's architecture, preprocessing and weights.

    It is computed once and kept with the model, together with all that went into it.
    Every call compares that, byte by byte, with what the model has now: there are many
    ways to change weights, and none goes unseen.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Returns
    -------
    fingerprint : str
        64 hexadecimal digits; equal for models that compute the same by the same
        weights.
    """
    config = {**model.architecture(), "class": type(model).__name__}
    text = json.dumps(config, sort_keys=True)
    arrays = [_numbers(w) for w in model.weights if "seed_generator" not in w.path]
    # Past Keras' attribute tracking, which would save it with the model.
    known = model.__dict__.get("_fingerprinted")
    if known is None or not known.matches(text, arrays):
        known = _Fingerprinted(text, arrays)
        model.__dict__["_fingerprinted"] = known
    return known.digest


class _Fingerprinted:
    """A fingerprint, and a copy of all that it was computed from."""

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
        """Tell whether these would give the same fingerprint."""
        return (
            config == self.config
            and self.heads == [f"{array.dtype}{array.shape}" for array in arrays]
            and all(a.tobytes() == b for a, b in zip(arrays, self.contents))
        )


def _numbers(weight):
    """Read a weight, without a copy where the backend lets us."""
    from keras import ops

    value = weight.value
    if hasattr(value, "read_value"):  # TensorFlow's variable around its tensor.
        value = value.value()
    try:
        return np.ascontiguousarray(value)
    except (TypeError, RuntimeError):  # PyTorch's, with a gradient or on a device.
        return np.ascontiguousarray(ops.convert_to_numpy(weight))


def describe_model(model: keras.Model) -> str:
    """Describe a model in one line: kind, size, training and error beside PCA's.

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
    streamlines; held-out error ... mm, PCA ... mm>
    """
    skip = "with" if model.linear_skip else "without"
    text = (
        f"{type(model).__name__}: {model.latent_dim} latent dimensions, "
        f"{model.backbone} backbone {skip} linear skip"
    )
    data = getattr(model.record, "data", None)
    if not isinstance(data, dict) or not data:
        return f"<{text}, no record of a training>"
    if "n_training" in data:
        text += f", trained on {data['n_training']} streamlines"
    errors = data.get("errors")
    if isinstance(errors, dict):
        which = "held-out" if errors.get("held_out") else "training"
        own, pca = (errors.get(name) for name in ("error_mm", "pca_error_mm"))
        if isinstance(own, float) and isinstance(pca, float):
            text += f"; {which} error {own:.3g} mm, PCA {pca:.3g} mm"
    return f"<{text}>"
