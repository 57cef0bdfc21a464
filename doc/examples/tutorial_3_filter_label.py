"""
=================================
3. Filter and label a new subject
=================================

Tractography produces implausible streamlines. With a model and some plausible
streamlines, filter a new tractogram by the distance of each latent to the nearest
plausible one, as in FINTA :footcite:p:`Legarreta2021`. Then label the streamlines that
were kept by a vote of their nearest labelled neighbours, as in CINTA
:footcite:p:`Legarreta2022`. The filter is compared with the same rule without a model,
which uses distances between streamlines.

The first part uses the synthetic FiberCup, where the truth is known; the second part a
real subject.
"""

from pathlib import Path
import tempfile
import time

from dipy.data.fetcher import extract_example_tracts
import matplotlib.pyplot as plt

import dipy_tractoencoder as dte

###############################################################################
# The training set has 1,500 plausible streamlines, and 30 % of all are implausible. A
# second labelled set is used to choose the threshold. The new tractogram is generated
# with another seed and has more implausible streamlines.

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
# one. The threshold is where the labelled set has equal sensitivity and specificity.

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
# Without labels, the reference itself says how far streamlines that belong lie from the
# others. A p-value of at most 0.05 removes a streamline, and about 5 in 100 plausible
# ones are lost:

_, remoteness, _ = dte.judge_streamlines(scorer, new.streamlines)
p = scorer.density.p_values(remoteness)
figures = dte.filter_metrics(-p, new.plausible == 1, -0.05)
print(f"without labels: sensitivity {figures['sensitivity']:.3f}, ", end="")
print(f"specificity {figures['specificity']:.3f}")

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
# Both are accurate on generated streamlines; :doc:`/uses` has results for more and for
# tracked streamlines, and for PCA, which does as well as the VAE here. The figure shows
# the histogram of the scores of the new streamlines, and the receiver operating
# characteristic of the labelled ones.

figure = dte.filter_figure(
    scores, scorer.own, threshold, unit="mm", truth=(validation_scores, truth)
)

###############################################################################
# Streamlines kept, by kind of fault:

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
# The five nearest labelled streamlines vote. A streamline stays unassigned if its
# p-value is at most ``alpha``, by default 0.05; see :doc:`/decisions`.

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
print(f"fraction of kept streamlines labelled correctly: {right.mean():.3f}")

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
# Label a fifth subject with the bundles of four others, from files. Files with the same
# name in several folders are one bundle. That a new subject lies further from them than
# they from each other is estimated, and allowed for.

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
# These 150 streamlines are easy to label: the three bundles are far apart. Nearest
# neighbours by MDF also label all of them correctly, as quickly; for 100,000
# streamlines the latents take a twentieth of the time (:doc:`/uses`).
#
# On the command line::
#
#     dipy_filter_vae vae.keras new.trx --plausible_files good.trx \
#         --validation_file labelled.trx --out_dir filtered
#     dipy_label_vae vae.keras filtered/kept.trx --bundle_files atlas --out_dir bundles
#
# .. rubric:: References
#
# .. footbibliography::
