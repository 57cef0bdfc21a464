"""
==================================================
7. Into an existing DIPY script: RecoBundles, BUAN
==================================================

Suppose your script extracts bundles from a tractogram with RecoBundles
:footcite:p:`Garyfallidis2018` and compares profiles of fractional anisotropy along them
(BUAN :footcite:p:`Chandio2020a`). This tutorial replaces RecoBundles by filtering and
labelling in latent space, keeps the rest, and compares the results. The data are
simulated, so the true members of each bundle are known.
"""

import time

from dipy.core.gradients import unique_bvals_tolerance
from dipy.reconst.dti import TensorModel
from dipy.segment.bundles import RecoBundles, bundle_shape_similarity
from dipy.stats.analysis import buan_profile
from dipy.tracking.streamline import Streamlines
import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# The inputs are model bundles (an atlas), the tractogram of a subject, a third of which
# is implausible, and the subject's map of fractional anisotropy (FA).

atlas = dte.make_fibercup(700, 0.0, seed=0)
subject = dte.make_fibercup(900, 0.33, seed=1)
tractogram = Streamlines(subject.streamlines)
model_bundles = {
    name: Streamlines(atlas.streamlines[atlas.bundle == code])
    for code, name in enumerate(dte.FIBERCUP_BUNDLES)
}
gtab = dte.gradient_scheme(seed=0)
print("b-values (s/mm^2):", unique_bvals_tolerance(gtab.bvals))
signal = dte.simulate_signal(gtab, snr=30, seed=0)
fa = TensorModel(gtab).fit(signal, mask=dte.fibercup_mask()).fa
print("subject:", subject.summary())

###############################################################################
# Before: RecoBundles
# -------------------
#
# All data are in one space, so no registration is needed. RecoBundles can assign a
# streamline to several bundles.

start = time.perf_counter()
finder = RecoBundles(tractogram, greater_than=0, clust_thr=10, verbose=False)
before = {}
for name, bundle in model_bundles.items():
    _, rows = finder.recognize(bundle, 2.5, reduction_thr=25, pruning_thr=5, slr=False)
    before[name] = np.asarray(rows, dtype=int)
seconds_before = time.perf_counter() - start

###############################################################################
# After: latents
# --------------
#
# These lines change. The model is trained once, here on the atlas alone. The classifier
# of `fit_latent_classifier` leaves streamlines that are far from every bundle
# unassigned, so it filters and labels in one step.

start = time.perf_counter()
model = dte.train([atlas.streamlines], latent_dim=16, epochs=40, seed=0)
seconds_training = time.perf_counter() - start

start = time.perf_counter()
neighbors = dte.fit_latent_classifier(
    dte.encode(model, atlas.streamlines).mean,
    atlas.bundle.astype(int),
    dte.FIBERCUP_BUNDLES,
)
labels = dte.label_streamlines(model, tractogram, neighbors)
after = {
    name: rows
    for name, rows in labels.members().items()
    if name in dte.FIBERCUP_BUNDLES
}
seconds_after = time.perf_counter() - start
print(f"RecoBundles: {seconds_before:.1f} s")
print(f"latents: {seconds_after:.1f} s, after {seconds_training:.1f} s of training")

###############################################################################
# Which result is closer to the truth? *Recall* is the fraction of a bundle's true
# streamlines that were found, *precision* the fraction of true streamlines among those
# found, and *shape* BUAN's shape similarity with the true bundle at 5 mm.

truth = {
    name: np.flatnonzero((subject.bundle == code) & (subject.plausible == 1))
    for code, name in enumerate(dte.FIBERCUP_BUNDLES)
}


def scores(rows, true):
    """Recall, precision and shape similarity."""
    common = len(np.intersect1d(rows, true))
    shape = bundle_shape_similarity(
        tractogram[rows], tractogram[true], np.random.default_rng(0), threshold=5
    )
    return common / len(true), common / max(len(rows), 1), shape


print("        RecoBundles           latents")
print("bundle recall  prec.  shape recall  prec.  shape")
table = []
for name in dte.FIBERCUP_BUNDLES:
    row = [*scores(before[name], truth[name]), *scores(after[name], truth[name])]
    table.append(row)
    print(f"{name:6}", *(f"{value:6.2f}" for value in row))
print(f"{'mean':6}", *(f"{value:6.2f}" for value in np.mean(table, axis=0)))

###############################################################################
# Both find nearly all streamlines of every bundle. The streamlines found include
# implausible ones, slightly fewer with the latents: early stops and wrong turns that
# stay close to a bundle. RecoBundles needs no training and is faster on a tractogram of
# this size; for 100,000 streamlines, with a trained model, both take the same time
# (:doc:`/uses`).

###############################################################################
# BUAN profiles, unchanged
# ------------------------
#
# FA along each bundle with DIPY's `buan_profile`, for the true members, those found by
# RecoBundles and those found with the latents. The core is the bundle of the atlas in
# all three cases.

N_DISKS = 40


def profile(name, rows):
    """Mean FA per segment."""
    lines = tractogram[rows]
    return buan_profile(
        model_bundles[name], lines, lines, fa, dte.FIBERCUP_AFFINE, no_disks=N_DISKS
    )


shown = ("A", "S", "E1", "E3")
fig, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained", sharey=True)
for axis, name in zip(axes.ravel(), shown):
    for what, rows, style in (
        ("true members", truth[name], {"color": "k", "lw": 2.5}),
        ("RecoBundles", before[name], {"color": "C0"}),
        ("latents", after[name], {"color": "C1", "ls": "--"}),
    ):
        axis.plot(np.arange(1, N_DISKS + 1), profile(name, rows), label=what, **style)
    axis.set(title=f"bundle {name}", xlabel="segment", ylabel="FA")
axes[0, 0].legend()
plt.show()

###############################################################################
# Mean absolute difference in FA from the profile of the true members:

for what, found in (("RecoBundles", before), ("latents", after)):
    differences = [
        np.nanmean(np.abs(profile(name, found[name]) - profile(name, truth[name])))
        for name in dte.FIBERCUP_BUNDLES
    ]
    print(f"{what:12} {np.mean(differences):.4f} (at most {max(differences):.4f})")

###############################################################################
# The profiles hardly differ: FA is a property of the voxels, and implausible
# streamlines pass through the same voxels. What differs are the streamlines in each
# bundle, hence their number, shape and volume. If your script only compares FA along
# the core of well-known bundles, there is little to gain from changing it.
#
# To compare the position and shape of bundles, use ``dipy_compare_vae`` (:doc:`/uses`).
#
# .. rubric:: References
#
# .. footbibliography::
