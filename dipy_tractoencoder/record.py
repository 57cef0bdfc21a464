"""How a model came about: settings, data, history and versions, kept in its file."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class TrainingRecord:
    """What a model was trained with, as plain values.

    Attributes
    ----------
    settings : dict
        Training settings, by name.
    data : dict
        Files, numbers of streamlines and rejects by reason.
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
