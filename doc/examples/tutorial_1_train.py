"""
=======================================================
1. Train on real bundles and look at the reconstruction
=======================================================

Train a variational autoencoder on the streamlines of four subjects, with 16 latent
dimensions. Then look at the training, and reconstruct a fifth subject that was not used
for training. The error is compared with that of principal component analysis (PCA) with
the same number of dimensions.

The data ship with DIPY: the left arcuate fasciculus, the right corticospinal tract and
the forceps major of five subjects, 50 streamlines each.
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
# `train` takes a list of tractograms. ``groups`` gives the subject of each tractogram,
# so that one whole subject is held out to choose the best epoch. With ``refit``, a
# second training then uses all four subjects for that number of epochs. ``seed`` makes
# the result reproducible.

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
# The record of the training is stored with the model. Look at the error on the held-out
# subject: it decreases little, or not at all, while the training error keeps
# decreasing, because the networks learn what is specific to the three training
# subjects. The best epoch is the one with the smallest error on the held-out subject;
# epoch 0 is the untrained model, which is PCA.

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
# Now the fifth subject. `reconstruct` encodes and decodes its streamlines with the
# model and with PCA. ``error_mm`` is the root mean squared distance of points, and
# ``pca_error_mm`` that of PCA with 16 components, fitted to the same training
# streamlines.

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
# With 600 streamlines of subjects that are not aligned, the two errors are about equal,
# and which one is smaller depends on bundle and subject: with 16 components PCA misses
# little, and there are too few data to learn it. The model is better than PCA with few
# dimensions or many data (see the next tutorial, and :doc:`/defaults` for the errors by
# number of dimensions).
#
# The figure shows input, reconstruction and error of the arcuate fasciculus in three
# views. Errors are largest at the ends, where streamlines fan out.

made = reconstructions["AF_L"]
figure = dte.reconstruction_figure(made.original, made.points, what="AF_L of sub_5")

###############################################################################
# The distribution of the errors over streamlines. Inspect the worst ones first.

fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, made in reconstructions.items():
    distance = np.sort(dte.point_distance(made.original, made.points))
    axis.plot(distance, np.linspace(0, 1, len(distance)), label=name)
axis.set(xlabel="error of a streamline (mm)", ylabel="fraction of streamlines")
axis.legend()
plt.show()

###############################################################################
# Save the model. The file contains everything needed to encode with it later: weights,
# preprocessing and the record of the training.

dte.save_model(model, folder / "vae.keras")
again = dte.load_model(folder / "vae.keras")
latents = dte.encode(again, tractograms["sub_5", "AF_L"])
print("latents:", latents.mean.shape, "left out:", latents.rejects or "none")
print(f"size of the model's file: {(folder / 'vae.keras').stat().st_size / 1e6:.1f} MB")

###############################################################################
# The same on the command line::
#
#     dipy_train_vae sub_[1-4]/*.trk --latent_dim 16 --epochs 60 --refit \
#         --validation_by folder --validation_fraction 0.25 --out_dir model
#     dipy_reconstruct_vae model/vae.keras sub_5/*.trk --out_dir check
