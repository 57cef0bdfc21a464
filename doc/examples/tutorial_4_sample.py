"""
=========================================
4. Sample streamlines for a sparse bundle
=========================================

Tracking finds some bundles only now and then. From the few streamlines of such a
bundle, a density over their latents is fitted; draws from it are decoded, and kept if
they are plausible (GESTA's way :footcite:p:`Legarreta2023`). We look at what that adds,
beside the simplest way to have more streamlines: copies of the known ones, shifted at
random.
"""

import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# A model of all bundles of the made FiberCup, by six numbers.

made = dte.make_fibercup(2000, 0.0, seed=0)
model = dte.train([made.streamlines], latent_dim=6, epochs=50, seed=0)

###############################################################################
# The sparse bundle: 25 streamlines of U, the arch at the top. All others of U stand for
# what the bundle really is, and are only used to judge.

whole = made.streamlines[made.bundle == dte.FIBERCUP_BUNDLES.index("U")]
rng = np.random.default_rng(0)
known_rows = rng.permutation(len(whole))[:25]
array = model.preprocessing.array(whole)
everything = array.points
known = everything[known_rows]
print(len(known), "of", len(whole), "streamlines are known")

###############################################################################
# The density is a mixture of Gaussians whose number the Bayesian information criterion
# chooses. Draws are kept if they are as likely, as long and no more sharply bent than
# the known ones, and lie in the white matter.

mask = (dte.fibercup_mask(), dte.FIBERCUP_AFFINE)
bundle = dte.fit_bundle_density(model, known, name="U")
new = dte.sample_streamlines(model, bundle, 500, mask=mask, min_inside=0.95, seed=0)
print(f"parts of the mixture: {bundle.density.n_parts}")
print(f"accepted {len(new)} of {new.n_tried} draws ({new.acceptance:.0%})")
print("left out:", new.rejects)

###############################################################################
# The simple way: known streamlines, each shifted by 1 mm (standard deviation) in each
# direction, and kept if they lie in the white matter, too.

shift = rng.normal(0, 1.0, (2000, 1, 3)).astype(np.float32)
copies = known[rng.integers(len(known), size=2000)] + shift
copies = copies[dte.fraction_inside(copies, *mask) >= 0.95][:500]

###############################################################################
# Three questions. Are the new streamlines near to real ones, and not copies? Distance
# (MDF) to the nearest *known* streamline, and to the nearest of the whole bundle. Are
# they as diverse? Mean distance of pairs. Do they cover more? Voxels that they and the
# known ones visit, over those of the known ones alone; and the share of the added
# voxels that the whole bundle does not visit, which is too much.


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
# Read it line by line. What is sampled lies about as far from the known streamlines as
# real unknown ones do, and as near to the rest of the bundle; copies stay nearer to
# what they were made of. What is sampled is less diverse than the real bundle, for one
# Gaussian fitted to 25 streamlines is narrow; copies do better there. Both visit voxels
# that the real bundle does not, and do not differ much in that. On a table like this
# shifted copies are not easily beaten; what they cannot do is to change shape.

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
# How many known streamlines does it take? Shares of draws accepted, and distance to the
# whole bundle, with fewer and more:

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
# Ten are enough to have plausible streamlines, not to have all kinds of them: a density
# cannot know what none of its streamlines shows.
#
# From the shell, which also writes the densities for later use::
#
#     dipy_sample_vae vae.keras --bundle_files U.trx --mask wm.nii.gz --out_dir new
#     dipy_sample_vae vae.keras --density_file new/densities.h5 --n_streamlines 5000 \
#         --out_dir more
#
# .. rubric:: Sources
#
# .. footbibliography::
