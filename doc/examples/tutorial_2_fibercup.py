"""
=================================================
2. The FiberCup, from diffusion signal to latents
=================================================

The FiberCup is a phantom of seven bundles that cross, touch and fork
:footcite:p:`Poupon2008,Fillard2011`. Simulate its diffusion signal, track streamlines
with DIPY, classify them as plausible or implausible by the regions where they end, and
train a VAE with six latent dimensions.
"""

import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# The signal has a tensor for each fibre population of a voxel, surrounded by free
# water. There are 64 directions at b = 1500 s/mm\ :sup:`2` and one b0, with Rician
# noise at a signal-to-noise ratio of 20. Water and fibres have the same b0 signal, so
# the b0 image shows only noise. In diffusion-weighted images, bundles are bright where
# they are perpendicular to the gradient direction.

gtab = dte.gradient_scheme(seed=0)
signal = dte.simulate_signal(gtab, snr=20, seed=0)
print("signal:", signal.shape, signal.dtype)

fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for axis, number in zip(axes, (0, 1, 40)):
    axis.imshow(signal[:, :, 1, number].T, origin="lower", cmap="gray")
    direction = np.round(gtab.bvecs[number], 2)
    axis.set_title("b0" if number == 0 else f"direction {direction}", fontsize="small")
    axis.set_axis_off()
plt.show()

###############################################################################
# Track with constrained spherical deconvolution and DIPY's probabilistic tracking, from
# seeds in the whole white matter, until there are 900 plausible streamlines, that is,
# streamlines that run from one end of a bundle to the other. Implausible streamlines
# are kept as well, with the kind of their fault.

tracked = dte.track_fibercup(signal, gtab, 900, algorithm="probabilistic", seed=0)
print(tracked.summary())
figure = dte.phantom_figure(tracked, what="tracked")

###############################################################################
# Most tracked streamlines are implausible, as on the real phantom: many stop early, or
# take a wrong turn where bundles cross.
#
# The model is trained on plausible and implausible streamlines, as in FINTA
# :footcite:p:`Legarreta2021`. Training, validation and test sets have the same
# proportions of each kind.

parts = dte.split_streamlines(
    tracked, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=0
)
model = dte.train(
    [parts["train"].streamlines],
    validation=[parts["validation"].streamlines],
    latent_dim=6,
    epochs=30,
    seed=0,
)

###############################################################################
# Errors on test streamlines, next to those of PCA with six components:

test = parts["test"]
right = test.plausible == 1
for what, chosen in (("plausible", right), ("implausible", ~right)):
    errors = dte.reconstruct(model, test.streamlines[chosen]).errors()
    print(
        f"{what:11} {chosen.sum():4} streamlines: VAE {errors['error_mm']:.2f} mm, "
        f"PCA {errors['pca_error_mm']:.2f} mm"
    )

###############################################################################
# The map of the latents of the plausible test streamlines. Bundles form groups; E1, E2
# and E3, which share a trunk, are next to each other. The map shows only the first two
# principal components of six dimensions: groups that touch in the map may be apart in
# the other dimensions.

latents = dte.encode(model, test.streamlines)
print("encoded:", latents.mean.shape, "left out:", latents.rejects or "none")
array = model.preprocessing.array(test.streamlines)
shown = right[latents.index]
figure = dte.latent_figure(
    latents.mean[shown],
    labels=test.bundle[latents.index][shown],
    names=dict(enumerate(dte.FIBERCUP_BUNDLES)),
    lengths=dte.curve_length(array.points)[shown],
    unit="mm",
)

###############################################################################
# Latents are in mm. How well does the distance of two latents follow the distance of
# the two streamlines (MDF, the minimum average direct-flip distance)?

agreement = dte.distance_preservation(latents.mean, array.points)
print({name: round(value, 3) for name, value in agreement.items()})

###############################################################################
# With six dimensions the order of distances is preserved almost perfectly. It cannot be
# perfect: MDF compares both directions of a streamline and takes the smaller distance,
# while a latent is encoded from one direction only.
#
# On the command line::
#
#     dipy_simulate_fibercup --tracked --snr 20 --out_dir fibercup
#     dipy_train_vae fibercup/train.trx --validation_files fibercup/validation.trx \
#         --latent_dim 6 --out_dir model
#     dipy_encode_vae model/vae.keras fibercup/test.trx --out_dir latents
#
# .. rubric:: References
#
# .. footbibliography::
