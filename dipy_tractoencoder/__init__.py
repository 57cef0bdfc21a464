"""Variational autoencoders for brain tractograms, as DIPY workflows and in Python.

Everything public is reached from here and imported when first used, so that
``import dipy_tractoencoder`` loads neither Keras nor matplotlib.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dipy_tractoencoder")
except PackageNotFoundError:  # A source tree that was never installed.
    __version__ = "0+unknown"

_HOME = {
    "Latents": "latent",
    "Preprocessing": "preprocessing",
    "StreamlineArray": "streamlines",
    "StreamlineAutoencoder": "autoencoder",
    "StreamlineVAE": "vae",
    "TractoencoderError": "errors",
    "TrainingSettings": "settings",
    "balanced_threshold": "neighbors",
    "compare": "comparison",
    "decode": "latent",
    "decode_tractogram": "latent",
    "encode": "latent",
    "explore": "explorer",
    "filter_file": "filtering",
    "fit_bundle_density": "sampling",
    "fit_bundles": "neighbors",
    "fit_density": "density",
    "label_file": "labelling",
    "label_streamlines": "labelling",
    "load_bundles": "labelling",
    "load_densities": "density_file",
    "load_latents": "latents_file",
    "load_model": "model_file",
    "load_scorer": "filtering",
    "load_tractogram": "tractogram_file",
    "make_fibercup": "phantom",
    "plausibility_scores": "scores",
    "point_distance": "metrics",
    "reconstruct": "reconstruction",
    "sample_streamlines": "sampling",
    "save_densities": "density_file",
    "save_latents": "latents_file",
    "save_model": "model_file",
    "save_tractogram": "tractogram_file",
    "score_streamlines": "phantom_labels",
    "split_streamlines": "phantom_labels",
    "train": "training",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name):
    """Import a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    globals()[name] = value = getattr(module, name)
    return value


def __dir__():
    """Public names, imported or not."""
    return __all__
