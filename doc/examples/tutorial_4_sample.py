"""
=========================================
4. Sample streamlines for a sparse bundle
=========================================

Tracking finds only few streamlines of some bundles. Fit a density to the latents of
these streamlines, sample from it, decode the samples, and keep plausible ones, as in
GESTA :footcite:p:`Legarreta2023`. The result is compared with the simplest way to get
more streamlines: randomly shifted copies of the known ones.
"""

import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# Train a model with six latent dimensions on all bundles of the synthetic FiberCup.

made = dte.make_fibercup(2000, 0.0, seed=0)
model = dte.train([made.streamlines], latent_dim=6, epochs=50, seed=0)

###############################################################################
# The sparse bundle has 25 streamlines of U, the arch at the top. All other streamlines
# of U represent the true bundle, and are used only for evaluation.

whole = made.streamlines[made.bundle == dte.FIBERCUP_BUNDLES.index("U")]
rng = np.random.default_rng(0)
known_rows = rng.permutation(len(whole))[:25]
array = model.preprocessing.array(whole)
everything = array.points
known = everything[known_rows]
print(len(known), "of", len(whole), "streamlines are known")

###############################################################################
# The density is a Gaussian mixture; the number of components is chosen by the Bayesian
# information criterion. Samples are kept if their likelihood, length and curvature are
# within the limits of the known streamlines, and if they lie in the white matter.

mask = (dte.fibercup_mask(), dte.FIBERCUP_AFFINE)
bundle = dte.fit_bundle_density(model, known, name="U")
new = dte.sample_streamlines(model, bundle, 500, mask=mask, min_inside=0.95, seed=0)
print(f"components of the mixture: {bundle.density.n_parts}")
print(f"accepted {len(new)} of {new.n_tried} samples ({new.acceptance:.0%})")
print("rejected:", new.rejects)

###############################################################################
# For comparison: copies of known streamlines, each shifted at random (standard
# deviation 1 mm in each direction), and kept if they lie in the white matter.

shift = rng.normal(0, 1.0, (2000, 1, 3)).astype(np.float32)
copies = known[rng.integers(len(known), size=2000)] + shift
copies = copies[dte.fraction_inside(copies, *mask) >= 0.95][:500]

###############################################################################
# Three measures:
#
# - *Similarity* to real streamlines: the distance (MDF) to the nearest *known*
#   streamline, which should not be too small (copies), and to the nearest streamline of
#   the whole bundle.
# - *Diversity*: the mean distance between pairs.
# - *Coverage*: the number of voxels visited by new and known streamlines, divided by
#   that of the known ones; and the fraction of the added voxels that the whole bundle
#   does not visit, which are errors.


def voxels(points):
    """Voxels that streamlines visit."""
    return {
        tuple(place)
        for place in np.rint(points.reshape(-1, 3) / dte.FIBERCUP_VOXEL_SIZE)
    }


def diversity(points):
    """Mean distance of pairs, mm."""
    some = points[:200, ::8]
    return dte.mdf_matrix(some, some)[np.triu_indices(len(some), 1)].mean()


rest = np.delete(everything, known_rows, axis=0)
print(f"{'':16} to known  to bundle  diversity  coverage  outside")
for name, points in (
    ("real, unknown", rest),
    ("sampled", new.points),
    ("copies", copies),
):
    added = voxels(points) - voxels(known)
    outside = len(added - voxels(everything)) / max(len(added), 1)
    gain = len(voxels(points) | voxels(known)) / len(voxels(known))
    to_known = np.median(dte.sampled_nearest_mdf(points, known))
    to_bundle = np.median(
        dte.sampled_nearest_mdf(points, None if points is rest else rest)
    )
    print(
        f"{name:16} {to_known:5.2f} mm  {to_bundle:6.2f} mm {diversity(points):7.2f} mm"
        f" {gain:9.2f} {outside:8.0%}"
    )

###############################################################################
# The sampled streamlines are about as far from the known streamlines, and as close to
# the rest of the bundle, as real unknown ones. Copies are closer to the known ones. The
# sampled streamlines are less diverse than the real bundle, since a Gaussian fitted to
# 25 streamlines is narrow; copies are better in this respect. Both visit voxels that
# the real bundle does not visit, to a similar extent. By these measures shifted copies
# are not easily improved upon, but they have no new shapes.

figure, axes = plt.subplots(1, 3, figsize=(13, 5), layout="constrained")
panels = {
    f"known: {len(known)}": known,
    f"known and sampled: {len(new)}": new.points,
    f"the whole bundle: {len(everything)}": everything,
}
for axis, (title, points) in zip(axes, panels.items()):
    axis.imshow(
        dte.fibercup_mask()[:, :, 1].T,
        origin="lower",
        extent=(-1.5, 190.5, -1.5, 190.5),
        cmap="Greys",
        vmax=4,
    )
    for line in points[:250]:
        axis.plot(*line[:, :2].T, color="C1", lw=0.5)
    for line in known:
        axis.plot(*line[:, :2].T, color="C0", lw=0.8)
    axis.set(title=title, xlabel="x (mm)", ylabel="y (mm)")
    axis.set(xlim=(55, 130), ylim=(100, 155))
plt.show()

###############################################################################
# How many known streamlines are needed? The fraction of samples accepted, and the
# distance to the whole bundle, with fewer and with more:

for count in (10, 25, 100):
    rows = rng.permutation(len(everything))[:count]
    fewer = dte.fit_bundle_density(model, everything[rows], name="U")
    drawn = dte.sample_streamlines(
        model, fewer, 200, mask=mask, min_inside=0.95, seed=0
    )
    others = np.delete(everything, rows, axis=0)
    to_bundle = np.median(dte.sampled_nearest_mdf(drawn.points, others))
    print(
        f"{count:4} known: {drawn.acceptance:5.0%} accepted, "
        f"{to_bundle:.2f} mm to the bundle, "
        f"diversity {diversity(drawn.points):.2f} mm"
    )

###############################################################################
# Ten are enough to sample plausible streamlines, but not to represent the whole bundle:
# a density describes only what its streamlines show.
#
# On the command line, which also saves the densities for later use::
#
#     dipy_sample_vae vae.keras --bundle_files U.trx --mask wm.nii.gz --out_dir new
#     dipy_sample_vae vae.keras --density_file new/densities.h5 --n_streamlines 5000 \
#         --out_dir more
#
# .. rubric:: References
#
# .. footbibliography::
