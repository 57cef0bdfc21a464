"""Public names, for editors and type checkers; `__init__.py` imports them late."""

from dipy_tractoencoder.align.affine_files import load_alignment, save_affine
from dipy_tractoencoder.align.alignment import Alignment, save_alignment
from dipy_tractoencoder.align.check import check_alignment
from dipy_tractoencoder.align.fit import fit_alignment
from dipy_tractoencoder.align.reference import AlignmentReference
from dipy_tractoencoder.align.summary import fit_alignment_reference
from dipy_tractoencoder.errors import (
    AlignmentError,
    DoubtfulResultError,
    EmptyDataError,
    FingerprintError,
    ForkedProcessError,
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    TractoencoderError,
    TrainingDivergedError,
)
from dipy_tractoencoder.evaluation.evaluate import Evaluation, evaluate_model
from dipy_tractoencoder.evaluation.latent_metrics import distance_preservation
from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.explorer.page import explore
from dipy_tractoencoder.generation.bundle_density import (
    BundleDensity,
    fraction_inside,
    load_mask,
)
from dipy_tractoencoder.generation.density import Density, fit_density
from dipy_tractoencoder.generation.density_file import load_densities, save_densities
from dipy_tractoencoder.generation.local_density import LocalDensity
from dipy_tractoencoder.generation.sampling import (
    Samples,
    fit_bundle_density,
    sample_streamlines,
    sampled_nearest_mdf,
)
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.io.subjects import subjects_of
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram
from dipy_tractoencoder.io.vtk import Reference
from dipy_tractoencoder.latent.codec import Latents, decode, decode_tractogram, encode
from dipy_tractoencoder.latent.file_codec import (
    decode_file,
    encode_file,
    reconstruct_file,
)
from dipy_tractoencoder.latent.latents_file import load_latents, save_latents
from dipy_tractoencoder.latent.reconstruction import Reconstruction, reconstruct
from dipy_tractoencoder.nn.alignment import alignment_reference
from dipy_tractoencoder.nn.applied_file import load_applied_model
from dipy_tractoencoder.nn.atlas import Atlas, model_atlas
from dipy_tractoencoder.nn.autoencoder import StreamlineAutoencoder
from dipy_tractoencoder.nn.dense_model import DenseModel
from dipy_tractoencoder.nn.model_file import load_model, save_model
from dipy_tractoencoder.nn.provenance import TrainingRecord, fingerprint
from dipy_tractoencoder.nn.vae import StreamlineVAE
from dipy_tractoencoder.report.data_checks import Check
from dipy_tractoencoder.report.evaluation import evaluation_report
from dipy_tractoencoder.report.page import Report, save_report
from dipy_tractoencoder.report.training import training_report
from dipy_tractoencoder.segment.atlas import keep_bundles
from dipy_tractoencoder.segment.bundle_classifier import (
    BundleClassifier,
    fit_latent_classifier,
)
from dipy_tractoencoder.segment.bundle_files import bundle_arrays
from dipy_tractoencoder.segment.decisions import Decisions, SubjectFactor
from dipy_tractoencoder.segment.filtered import Filtered
from dipy_tractoencoder.segment.filtering import filter_file, fit_plausibility_scorer
from dipy_tractoencoder.segment.label_metrics import confusion_table, label_metrics
from dipy_tractoencoder.segment.labelling import (
    fit_bundle_classifier,
    label_file,
    label_streamlines,
)
from dipy_tractoencoder.segment.labels import Labels
from dipy_tractoencoder.segment.plausibility_scores import (
    PlausibilityScorer,
    fit_latent_scorer,
    judge_streamlines,
    plausibility_scores,
)
from dipy_tractoencoder.segment.thresholds import balanced_threshold, filter_metrics
from dipy_tractoencoder.segment.votes import Judgement
from dipy_tractoencoder.sims.fibercup import make_fibercup
from dipy_tractoencoder.sims.geometry import (
    AFFINE as FIBERCUP_AFFINE,
    BUNDLES as FIBERCUP_BUNDLES,
    VOXEL_SIZE as FIBERCUP_VOXEL_SIZE,
    fibercup_mask,
)
from dipy_tractoencoder.sims.labels import (
    LabelledStreamlines,
    score_phantom,
    split_streamlines,
)
from dipy_tractoencoder.sims.tracking import (
    gradient_scheme,
    simulate_signal,
    track_fibercup,
)
from dipy_tractoencoder.stats.comparison import BundleComparison, Comparison, compare
from dipy_tractoencoder.streamlines.array import StreamlineArray
from dipy_tractoencoder.streamlines.metrics import (
    bundle_metrics,
    curve_length,
    mdf_matrix,
    nearest_mdf,
    paired_mdf,
    point_distance,
    pooled_distance,
)
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.embedding import StreamlineEmbedding
from dipy_tractoencoder.training.fit import train_with_settings
from dipy_tractoencoder.training.run import TrainingRun
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import run_training, train
from dipy_tractoencoder.viz.alignment import alignment_figure
from dipy_tractoencoder.viz.base import (
    curves_figure,
    reconstruction_figure,
    save_figure,
    training_figure,
)
from dipy_tractoencoder.viz.comparison import comparison_figure
from dipy_tractoencoder.viz.evaluation import evaluation_figure, kl_figure
from dipy_tractoencoder.viz.filtering import filter_figure
from dipy_tractoencoder.viz.labels import bundles_figure
from dipy_tractoencoder.viz.latent import latent_figure
from dipy_tractoencoder.viz.phantom import phantom_figure
from dipy_tractoencoder.viz.sampling import samples_figure
from dipy_tractoencoder.workflows.compare import CompareVAEFlow
from dipy_tractoencoder.workflows.decode import DecodeVAEFlow
from dipy_tractoencoder.workflows.demo import VAEDemoFlow
from dipy_tractoencoder.workflows.encode import EncodeVAEFlow
from dipy_tractoencoder.workflows.evaluate import EvaluateVAEFlow
from dipy_tractoencoder.workflows.explore import ExploreVAEFlow
from dipy_tractoencoder.workflows.filter import FilterVAEFlow
from dipy_tractoencoder.workflows.label import LabelVAEFlow
from dipy_tractoencoder.workflows.reconstruct import ReconstructVAEFlow
from dipy_tractoencoder.workflows.sample import SampleVAEFlow
from dipy_tractoencoder.workflows.simulate import SimulateFiberCupFlow
from dipy_tractoencoder.workflows.train import TrainVAEFlow

__version__: str

__all__ = [
    "__version__",
    "Alignment",
    "AlignmentError",
    "AlignmentReference",
    "Atlas",
    "BundleClassifier",
    "BundleComparison",
    "BundleDensity",
    "Check",
    "CompareVAEFlow",
    "Comparison",
    "Decisions",
    "DecodeVAEFlow",
    "DenseModel",
    "Density",
    "DoubtfulResultError",
    "EmptyDataError",
    "EncodeVAEFlow",
    "EvaluateVAEFlow",
    "Evaluation",
    "ExploreVAEFlow",
    "FIBERCUP_AFFINE",
    "FIBERCUP_BUNDLES",
    "FIBERCUP_VOXEL_SIZE",
    "FilterVAEFlow",
    "Filtered",
    "FingerprintError",
    "ForkedProcessError",
    "InputFileError",
    "InvalidArgumentError",
    "Judgement",
    "LabelVAEFlow",
    "LabelledStreamlines",
    "Labels",
    "Latents",
    "LocalDensity",
    "OutputFileError",
    "PlausibilityScorer",
    "Preprocessing",
    "ReconstructVAEFlow",
    "Reconstruction",
    "Reference",
    "Report",
    "SampleVAEFlow",
    "Samples",
    "SimulateFiberCupFlow",
    "StreamlineArray",
    "StreamlineAutoencoder",
    "StreamlineEmbedding",
    "StreamlineVAE",
    "SubjectFactor",
    "TractoencoderError",
    "TractogramChunks",
    "TrainVAEFlow",
    "TrainingDivergedError",
    "TrainingRecord",
    "TrainingRun",
    "TrainingSettings",
    "VAEDemoFlow",
    "alignment_figure",
    "alignment_reference",
    "balanced_threshold",
    "bundle_arrays",
    "bundle_metrics",
    "bundles_figure",
    "check_alignment",
    "compare",
    "comparison_figure",
    "confusion_table",
    "curve_length",
    "curves_figure",
    "decode",
    "decode_file",
    "decode_tractogram",
    "distance_preservation",
    "encode",
    "encode_file",
    "evaluate_model",
    "evaluation_figure",
    "evaluation_report",
    "explore",
    "fibercup_mask",
    "filter_figure",
    "filter_file",
    "filter_metrics",
    "fingerprint",
    "fit_alignment",
    "fit_alignment_reference",
    "fit_bundle_classifier",
    "fit_bundle_density",
    "fit_density",
    "fit_latent_classifier",
    "fit_latent_scorer",
    "fit_plausibility_scorer",
    "fraction_inside",
    "gradient_scheme",
    "judge_streamlines",
    "keep_bundles",
    "kl_figure",
    "label_file",
    "label_metrics",
    "label_streamlines",
    "latent_figure",
    "latent_map",
    "load_alignment",
    "load_applied_model",
    "load_densities",
    "load_latents",
    "load_mask",
    "load_model",
    "load_tractogram",
    "make_fibercup",
    "mdf_matrix",
    "model_atlas",
    "nearest_mdf",
    "paired_mdf",
    "phantom_figure",
    "plausibility_scores",
    "point_distance",
    "pooled_distance",
    "reconstruct",
    "reconstruct_file",
    "reconstruction_figure",
    "run_training",
    "sample_streamlines",
    "sampled_nearest_mdf",
    "samples_figure",
    "save_affine",
    "save_alignment",
    "save_densities",
    "save_figure",
    "save_latents",
    "save_model",
    "save_report",
    "save_tractogram",
    "score_phantom",
    "simulate_signal",
    "split_streamlines",
    "subjects_of",
    "track_fibercup",
    "tractogram_files",
    "train",
    "train_with_settings",
    "training_figure",
    "training_report",
]
