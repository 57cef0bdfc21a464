"""
=======================================================
1. Train on real bundles and look at the reconstruction
=======================================================

A variational autoencoder learns from the streamlines of four subjects to describe each
streamline by 16 numbers. We look at the training, then at what it makes of a fifth
subject that it has never seen, beside the simplest answer there is, principal component
analysis (PCA) with as many numbers.

The data ship inside DIPY: the left arcuate fasciculus, the right corticospinal tract
and the forceps major of five subjects, 50 streamlines each.
"""

from pathlib import Path
import tempfile

from dipy.data.fetcher import extract_example_tracts
import matplotlib.pyplot as plt
import numpy as np

import dipy_tractoencoder as dte

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
extract_example_tracts(folder)

BUNDLES = ("AF_L", "CST_R", "CC_ForcepsMajor")
subjects = [f"sub_{number}" for number in range(1, 6)]
tractograms = {
    (subject, name): dte.load_tractogram(folder / subject / f"{name}.trk")
    for subject in subjects
    for name in BUNDLES
}
lengths = {len(line) for sft in tractograms.values() for line in sft.streamlines}
print(len(tractograms), "files; points per streamline:", sorted(lengths))

###############################################################################
# Training takes a list of tractograms. ``groups`` says which of them belong together:
# one whole subject is held out, and the epoch that is best on it is the one that
# counts. With ``refit``, a second training then uses all four subjects for that many
# epochs. ``seed`` makes all of this repeatable.

training = [key for key in tractograms if key[0] != "sub_5"]
model = dte.train(
    [tractograms[key] for key in training],
    groups=[subject for subject, _ in training],
    validation_fraction=0.25,
    refit=True,
    latent_dim=16,
    epochs=60,
    seed=0,
)
record = model.record
counts = ("n_read", "n_training", "n_validation", "rejects")
print({name: record.data[name] for name in counts})
print("best epoch:", record.best_epoch)

###############################################################################
# The record of the training is kept with the model. Below, the error on the held-out
# subject is the one to look at. It falls little, or not at all, while that of the
# training goes on falling: the networks learn what is particular to three subjects. The
# best epoch is the one whose weights count; epoch 0 would be the untrained model, which
# is PCA.

history = record.history
epochs = np.arange(1, len(history["error_mm"]) + 1)
fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
axis.plot(epochs, history["error_mm"], label="training (latents drawn at random)")
axis.plot(epochs, history["val_error_mm"], label="subject held out")
axis.axvline(record.best_epoch, color="0.6", label=f"best epoch: {record.best_epoch}")
axis.set(xlabel="epoch", ylabel="root mean squared error of points (mm)")
axis.legend()
plt.show()

###############################################################################
# Now the fifth subject. `reconstruct` encodes and decodes, and does the same with PCA.
# ``error_mm`` is the root mean squared distance of points; ``pca_error_mm`` that of PCA
# with 16 numbers, from the same training streamlines.

reconstructions = {
    name: dte.reconstruct(model, tractograms["sub_5", name]) for name in BUNDLES
}
for name, made in reconstructions.items():
    errors = made.errors()
    print(
        f"{name:16} VAE {errors['error_mm']:.2f} mm, "
        f"PCA {errors['pca_error_mm']:.2f} mm, "
        f"bundle adjacency at 5 mm {errors['bundle_adjacency']:.2f}"
    )

###############################################################################
# On 600 streamlines of unaligned subjects the two are about equal, and which one is
# ahead changes with bundle and subject: with so many numbers PCA leaves little that can
# be learned from so little. :doc:`/defaults` has the table by number of dimensions; the
# model gains where numbers are scarce or data plenty (see the next tutorial).
#
# The picture shows input, reconstruction and error of the arcuate in three views.
# Errors are largest at the ends, where streamlines fan out.

made = reconstructions["AF_L"]
figure = dte.reconstruction_figure(made.original, made.points, what="AF_L of sub_5")

###############################################################################
# How are the errors spread over streamlines? The worst ones are what to look at first.

fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, made in reconstructions.items():
    distance = np.sort(dte.point_distance(made.original, made.points))
    axis.plot(distance, np.linspace(0, 1, len(distance)), label=name)
axis.set(xlabel="error of a streamline (mm)", ylabel="share of streamlines below")
axis.legend()
plt.show()

###############################################################################
# One file holds all that is needed to encode with this model later: weights,
# preprocessing, and the record.

dte.save_model(model, folder / "vae.keras")
again = dte.load_model(folder / "vae.keras")
latents = dte.encode(again, tractograms["sub_5", "AF_L"])
print("latents:", latents.mean.shape, "left out:", latents.rejects or "none")
print(f"size of the model's file: {(folder / 'vae.keras').stat().st_size / 1e6:.1f} MB")

###############################################################################
# The same from the shell::
#
#     dipy_train_vae sub_[1-4]/*.trk --latent_dim 16 --epochs 60 --refit \
#         --validation_by folder --validation_fraction 0.25 --out_dir model
#     dipy_reconstruct_vae model/vae.keras sub_5/*.trk --out_dir check
