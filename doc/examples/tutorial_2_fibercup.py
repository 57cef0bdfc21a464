"""
=================================================
2. The FiberCup, from diffusion signal to latents
=================================================

The FiberCup is a phantom of seven bundles that cross, touch and fork
:footcite:p:`Poupon2008,Fillard2011`. Here its diffusion signal is simulated,
streamlines are tracked on it by DIPY, scored by where they end, and a VAE learns to
describe each by six numbers.
"""

import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

###############################################################################
# The signal: a tensor for each fibre population of a voxel, free water around, 64
# directions at b = 1500 s/mm\ :sup:`2` and one b0, with Rician noise at a
# signal-to-noise ratio of 20. In the b0 water and fibres are alike, so that it shows
# nothing but noise; weighted by diffusion, bundles are bright where they run across the
# direction.

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
# Tracking: constrained spherical deconvolution and DIPY's probabilistic tracking, from
# seeds all over the white matter, until 900 streamlines are plausible, which is to say
# that they run from one end of a bundle to the other. What is met on the way and is not
# plausible is kept, with the kind of its fault.

tracked = dte.track_fibercup(signal, gtab, 900, algorithm="probabilistic", seed=0)
print(tracked.summary())
figure = dte.phantom_figure(tracked, what="tracked")

###############################################################################
# Tracking makes mostly faulty streamlines here, as it does on the real phantom: many
# stop early, or take a wrong turn where bundles cross.
#
# The model learns from plausible and implausible ones alike, as FINTA's does
# :footcite:p:`Legarreta2021`. Each kind is shared out alike to training, validation and
# test.

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
# On test streamlines, beside PCA with six numbers:

test = parts["test"]
right = test.plausible == 1
for what, chosen in (("plausible", right), ("implausible", ~right)):
    errors = dte.reconstruct(model, test.streamlines[chosen]).errors()
    print(
        f"{what:11} {chosen.sum():4} streamlines: VAE {errors['error_mm']:.2f} mm, "
        f"PCA {errors['pca_error_mm']:.2f} mm"
    )

###############################################################################
# The latent map of the plausible test streamlines. Bundles form groups; E1, E2 and E3,
# which share a trunk, lie side by side. The map shows the two main components of six
# numbers; groups that touch in it may be apart in the others.

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
# The order is kept nearly perfectly, here with six numbers. It cannot be perfect: MDF
# compares both directions of a streamline and takes the better one, while a latent
# knows one direction only.
#
# From the shell::
#
#     dipy_simulate_fibercup --tracked --snr 20 --out_dir fibercup
#     dipy_train_vae fibercup/train.trx --validation_files fibercup/validation.trx \
#         --latent_dim 6 --out_dir model
#     dipy_encode_vae model/vae.keras fibercup/test.trx --out_dir latents
#
# .. rubric:: Sources
#
# .. footbibliography::
