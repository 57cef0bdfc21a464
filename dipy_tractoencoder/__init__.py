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
    "Latents": "latent.codec",
    "Preprocessing": "streamlines.preprocessing",
    "StreamlineArray": "streamlines.array",
    "StreamlineAutoencoder": "nn.autoencoder",
    "StreamlineEmbedding": "training.embedding",
    "StreamlineVAE": "nn.vae",
    "TractoencoderError": "errors",
    "TrainingSettings": "training.settings",
    "balanced_threshold": "segment.thresholds",
    "compare": "stats.comparison",
    "decode": "latent.codec",
    "decode_tractogram": "latent.codec",
    "encode": "latent.codec",
    "explore": "explorer.page",
    "filter_file": "segment.filtering",
    "fit_bundle_density": "generation.sampling",
    "fit_latent_classifier": "segment.bundle_classifier",
    "fit_density": "generation.density",
    "label_file": "segment.labelling",
    "label_streamlines": "segment.labelling",
    "fit_bundle_classifier": "segment.labelling",
    "load_densities": "generation.density_file",
    "load_latents": "latent.latents_file",
    "load_model": "nn.model_file",
    "fit_plausibility_scorer": "segment.filtering",
    "load_tractogram": "io.tractogram",
    "make_fibercup": "sims.fibercup",
    "plausibility_scores": "segment.plausibility_scores",
    "point_distance": "streamlines.metrics",
    "reconstruct": "latent.reconstruction",
    "sample_streamlines": "generation.sampling",
    "save_densities": "generation.density_file",
    "save_latents": "latent.latents_file",
    "save_model": "nn.model_file",
    "save_tractogram": "io.tractogram",
    "score_phantom": "sims.labels",
    "split_streamlines": "sims.labels",
    "train": "training.fit",
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
