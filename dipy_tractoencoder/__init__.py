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

# Public name to the module that has it; `__init__.pyi` says the same to editors.
_HOME = {
    "Alignment": "align.alignment",
    "AlignmentError": "errors",
    "AlignmentReference": "align.reference",
    "Atlas": "nn.atlas",
    "BundleClassifier": "segment.bundle_classifier",
    "BundleComparison": "stats.comparison",
    "BundleDensity": "generation.bundle_density",
    "Check": "report.data_checks",
    "CompareVAEFlow": "workflows.compare",
    "Comparison": "stats.comparison",
    "Decisions": "segment.decisions",
    "DecodeVAEFlow": "workflows.decode",
    "DenseModel": "nn.dense_model",
    "Density": "generation.density",
    "DoubtfulResultError": "errors",
    "EmptyDataError": "errors",
    "EncodeVAEFlow": "workflows.encode",
    "EvaluateVAEFlow": "workflows.evaluate",
    "Evaluation": "evaluation.evaluate",
    "ExploreVAEFlow": "workflows.explore",
    "FIBERCUP_AFFINE": "sims.geometry",
    "FIBERCUP_BUNDLES": "sims.geometry",
    "FIBERCUP_VOXEL_SIZE": "sims.geometry",
    "FilterVAEFlow": "workflows.filter",
    "Filtered": "segment.filtered",
    "FingerprintError": "errors",
    "ForkedProcessError": "errors",
    "InputFileError": "errors",
    "InvalidArgumentError": "errors",
    "Judgement": "segment.votes",
    "LabelVAEFlow": "workflows.label",
    "LabelledStreamlines": "sims.labels",
    "Labels": "segment.labels",
    "Latents": "latent.codec",
    "LocalDensity": "generation.local_density",
    "OutputFileError": "errors",
    "PlausibilityScorer": "segment.plausibility_scores",
    "Preprocessing": "streamlines.preprocessing",
    "ReconstructVAEFlow": "workflows.reconstruct",
    "Reconstruction": "latent.reconstruction",
    "Reference": "io.vtk",
    "Report": "report.page",
    "SampleVAEFlow": "workflows.sample",
    "Samples": "generation.sampling",
    "SimulateFiberCupFlow": "workflows.simulate",
    "StreamlineArray": "streamlines.array",
    "StreamlineAutoencoder": "nn.autoencoder",
    "StreamlineEmbedding": "training.embedding",
    "StreamlineVAE": "nn.vae",
    "SubjectFactor": "segment.decisions",
    "TractoencoderError": "errors",
    "TractogramChunks": "io.chunks",
    "TrainVAEFlow": "workflows.train",
    "TrainingDivergedError": "errors",
    "TrainingRecord": "nn.provenance",
    "TrainingRun": "training.run",
    "TrainingSettings": "training.settings",
    "VAEDemoFlow": "workflows.demo",
    "alignment_figure": "viz.alignment",
    "alignment_reference": "nn.alignment",
    "balanced_threshold": "segment.thresholds",
    "bundle_arrays": "segment.bundle_files",
    "bundle_metrics": "streamlines.metrics",
    "bundles_figure": "viz.labels",
    "check_alignment": "align.check",
    "compare": "stats.comparison",
    "comparison_figure": "viz.comparison",
    "confusion_table": "segment.label_metrics",
    "curve_length": "streamlines.metrics",
    "curves_figure": "viz.base",
    "decode": "latent.codec",
    "decode_file": "latent.file_codec",
    "decode_tractogram": "latent.codec",
    "distance_preservation": "evaluation.latent_metrics",
    "encode": "latent.codec",
    "encode_file": "latent.file_codec",
    "evaluate_model": "evaluation.evaluate",
    "evaluation_figure": "viz.evaluation",
    "evaluation_report": "report.evaluation",
    "explore": "explorer.page",
    "fibercup_mask": "sims.geometry",
    "filter_figure": "viz.filtering",
    "filter_file": "segment.filtering",
    "filter_metrics": "segment.thresholds",
    "fingerprint": "nn.provenance",
    "fit_alignment": "align.fit",
    "fit_alignment_reference": "align.summary",
    "fit_bundle_classifier": "segment.labelling",
    "fit_bundle_density": "generation.sampling",
    "fit_density": "generation.density",
    "fit_latent_classifier": "segment.bundle_classifier",
    "fit_latent_scorer": "segment.plausibility_scores",
    "fit_plausibility_scorer": "segment.filtering",
    "fraction_inside": "generation.bundle_density",
    "gradient_scheme": "sims.tracking",
    "judge_streamlines": "segment.plausibility_scores",
    "keep_bundles": "segment.atlas",
    "kl_figure": "viz.evaluation",
    "label_file": "segment.labelling",
    "label_metrics": "segment.label_metrics",
    "label_streamlines": "segment.labelling",
    "latent_figure": "viz.latent",
    "latent_map": "evaluation.projection",
    "load_alignment": "align.affine_files",
    "load_applied_model": "nn.applied_file",
    "load_densities": "generation.density_file",
    "load_latents": "latent.latents_file",
    "load_mask": "generation.bundle_density",
    "load_model": "nn.model_file",
    "load_tractogram": "io.tractogram",
    "make_fibercup": "sims.fibercup",
    "mdf_matrix": "streamlines.metrics",
    "model_atlas": "nn.atlas",
    "nearest_mdf": "streamlines.metrics",
    "paired_mdf": "streamlines.metrics",
    "phantom_figure": "viz.phantom",
    "plausibility_scores": "segment.plausibility_scores",
    "point_distance": "streamlines.metrics",
    "pooled_distance": "streamlines.metrics",
    "reconstruct": "latent.reconstruction",
    "reconstruct_file": "latent.file_codec",
    "reconstruction_figure": "viz.base",
    "run_training": "training.train",
    "sample_streamlines": "generation.sampling",
    "sampled_nearest_mdf": "generation.sampling",
    "samples_figure": "viz.sampling",
    "save_affine": "align.affine_files",
    "save_alignment": "align.alignment",
    "save_densities": "generation.density_file",
    "save_figure": "viz.base",
    "save_latents": "latent.latents_file",
    "save_model": "nn.model_file",
    "save_report": "report.page",
    "save_tractogram": "io.tractogram",
    "score_phantom": "sims.labels",
    "simulate_signal": "sims.tracking",
    "split_streamlines": "sims.labels",
    "subjects_of": "io.subjects",
    "track_fibercup": "sims.tracking",
    "tractogram_files": "io.paths",
    "train": "training.train",
    "train_with_settings": "training.fit",
    "training_figure": "viz.base",
    "training_report": "report.training",
}

# Public names of constants whose own name says too little outside of their module.
_OWN_NAME = {
    "FIBERCUP_AFFINE": "AFFINE",
    "FIBERCUP_BUNDLES": "BUNDLES",
    "FIBERCUP_VOXEL_SIZE": "VOXEL_SIZE",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name):
    """Import a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    globals()[name] = value = getattr(module, _OWN_NAME.get(name, name))
    return value


def __dir__():
    """Public names, imported or not."""
    return __all__
