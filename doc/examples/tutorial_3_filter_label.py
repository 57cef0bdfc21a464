"""
=================================
3. Filter and label a new subject
=================================

Tractography makes streamlines that cannot be. With a model and some plausible
streamlines, a new tractogram is filtered by the distance of each latent to the nearest
plausible one (FINTA's rule :footcite:p:`Legarreta2021`); what is left is labelled by
the vote of its nearest labelled neighbours (CINTA's rule :footcite:p:`Legarreta2022`).
Both rules are run beside the same rules without a model, on distances of streamlines.

First on the made FiberCup, where the truth is known; then on a real subject.
"""

from pathlib import Path
import tempfile
import time

from dipy.data.fetcher import extract_example_tracts
import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# Known streamlines to learn from: 1,500 plausible ones and 30 % faulty ones. A labelled
# set finds the threshold. The new tractogram is another draw, with more faults.

known = dte.make_fibercup(1500, 0.3, seed=0)
labelled = dte.make_fibercup(300, 0.3, seed=1)
new = dte.make_fibercup(700, 0.5, seed=2)
print("new:", new.summary())

model = dte.train([known.streamlines], latent_dim=16, epochs=30, seed=0)

###############################################################################
# Filter
# ------
#
# The score of a streamline is the distance (mm) of its latent to the nearest plausible
# one. The threshold is where as large a share of plausible as of implausible
# streamlines is judged rightly, on the labelled set.

plausible = known.streamlines[known.plausible == 1]
start = time.perf_counter()
scorer = dte.fit_latent_scorer(model, dte.encode(model, plausible).mean)
truth = labelled.plausible == 1
validation_scores, _ = dte.plausibility_scores(scorer, labelled.streamlines)
threshold = dte.balanced_threshold(validation_scores, truth)
scores, rejects = dte.plausibility_scores(scorer, new.streamlines)
seconds = time.perf_counter() - start
figures = dte.filter_metrics(scores, new.plausible == 1, threshold)
print(f"threshold {threshold:.2f} mm; cannot be encoded: {rejects or 'none'}")
print("latents: ", {k: round(v, 3) for k, v in figures.items()}, f"{seconds:.1f} s")

###############################################################################
# Without labels the threshold is what 99 % of the plausible streamlines have to each
# other:

without = float(np.quantile(scorer.own, 0.99))
figures = dte.filter_metrics(scores, new.plausible == 1, without)
print(f"threshold without labels {without:.2f} mm, accuracy {figures['accuracy']:.3f}")

###############################################################################
# The same rule without a model: the MDF distance to the nearest plausible streamline.


def nearest_mdf(lines):
    """Distance (mm) to the nearest plausible streamline, 32 points each."""
    first, second = (
        model.preprocessing.array(some).points[:, ::8] for some in (lines, plausible)
    )
    return dte.mdf_matrix(first, second).min(axis=1)


start = time.perf_counter()
mdf_threshold = dte.balanced_threshold(nearest_mdf(labelled.streamlines), truth)
mdf_scores = nearest_mdf(new.streamlines)
seconds = time.perf_counter() - start
figures = dte.filter_metrics(mdf_scores, new.plausible == 1, mdf_threshold)
print("MDF:     ", {k: round(v, 3) for k, v in figures.items()}, f"{seconds:.1f} s")

###############################################################################
# Both are good on made faults; :doc:`/uses` has larger numbers, tracked streamlines and
# PCA, which does as well as the VAE here. The histogram shows where the scores of the
# new streamlines lie, and the operating characteristic is that of the labelled ones.

figure = dte.filter_figure(
    scores, scorer.own, threshold, unit="mm", truth=(validation_scores, truth)
)

###############################################################################
# What was judged wrongly, by kind of fault:

kept = scores <= threshold
for code, name in enumerate(
    ("plausible", "early stop", "wrong turn", "U-turn", "loop")
):
    members = new.fault == code
    print(f"{name:10} kept {kept[members].sum():3} of {members.sum():3}")

###############################################################################
# Label
# -----
#
# The five nearest labelled streamlines vote; a streamline stays unassigned if it is too
# far from its bundle, or the vote is too close.

chosen = known.plausible == 1
neighbors = dte.fit_latent_classifier(
    dte.encode(model, plausible).mean,
    known.bundle[chosen].astype(int),
    dte.FIBERCUP_BUNDLES,
)
labels = dte.label_streamlines(model, new.streamlines[kept], neighbors)
for name, rows in labels.members().items():
    print(f"{name:10} {len(rows):4}")
right = (new.plausible[kept] == 1) & (labels.bundle == new.bundle[kept])
print(f"rightly labelled, of those kept: {right.mean():.3f}")

fig, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
for line in new.streamlines:
    axes[0].plot(*line[:, :2].T, color="0.5", lw=0.3)
for code, line in zip(labels.bundle, new.streamlines[kept]):
    axes[1].plot(*line[:, :2].T, color=f"C{code}" if code >= 0 else "k", lw=0.4)
axes[0].set_title(f"new: {len(new)} streamlines")
axes[1].set_title(f"kept and labelled: {kept.sum()}")
for axis in axes:
    axis.set(xlabel="x (mm)", ylabel="y (mm)", aspect="equal")
plt.show()

###############################################################################
# A real subject
# --------------
#
# Bundles of four subjects label a fifth, from files. Files of one name in several
# folders are one bundle of several subjects, and thresholds come from distances
# *between* subjects: with those within subjects up to half of a new subject stayed
# unassigned.

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
extract_example_tracts(folder)
atlas = [folder / f"sub_{number}" for number in range(1, 5)]
files = sorted(path for subject in atlas for path in subject.glob("*.trk"))
model = dte.train(
    [dte.load_tractogram(path) for path in files],
    groups=[path.parent.name for path in files],
    epochs=20,
    seed=0,
)
neighbors = dte.fit_bundle_classifier(model, atlas)
for path in sorted((folder / "sub_5").glob("*.trk")):
    labels = dte.label_streamlines(
        model, dte.load_tractogram(path).streamlines, neighbors
    )
    print(path.stem, {name: len(rows) for name, rows in labels.members().items()})

###############################################################################
# All 150 are easy: three bundles that lie apart. MDF neighbours label them without a
# fault, too, and as quickly; on 100,000 streamlines latents take a twentieth of the
# time (:doc:`/uses`).
#
# From the shell::
#
#     dipy_filter_vae vae.keras new.trx --plausible_files good.trx \
#         --validation_file labelled.trx --out_dir filtered
#     dipy_label_vae vae.keras filtered/kept.trx --bundle_files atlas --out_dir bundles
#
# .. rubric:: Sources
#
# .. footbibliography::
