"""
============================
9. A subject in native space
============================

An atlas usually lies in the space of a template, MNI for example; a new subject lies in
the space of its own diffusion images. Align the subject to a model of the atlas by its
streamlines, label it, and get its bundles back where they were. Then do the same with
transforms that other programs made: ``dipy_slr``, and ANTs.

The data are those of a synthetic phantom, so that the truth is known.
"""

from pathlib import Path
import tempfile

from dipy.align.streamlinear import slr_with_qbx
import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.transform import Rotation

import dipy_tractoencoder as dte

folder = tempfile.TemporaryDirectory()
here = Path(folder.name)

###############################################################################
# An atlas, and a model of it
# ---------------------------
#
# The atlas has seven bundles by name. Training stores centroids of the streamlines in
# the model, which later subjects are aligned to.

atlas = dte.make_fibercup(1500, seed=0)
bundles = {
    name: atlas.streamlines[atlas.bundle == code]
    for code, name in enumerate(dte.FIBERCUP_BUNDLES)
}
model = dte.train(list(bundles.values()), latent_dim=16, epochs=20, seed=0)
neighbors = dte.fit_latent_classifier(
    dte.encode(model, atlas.streamlines).mean,
    atlas.bundle.astype(int),
    dte.FIBERCUP_BUNDLES,
)

###############################################################################
# A subject, somewhere else
# -------------------------
#
# The subject is turned by 25 degrees and shifted, as a head lies in a scanner: its
# points are some 20 mm from where the atlas has them. Its labels are wrong, or missing:
# the model knows no streamlines there.

pose = np.eye(4)
pose[:3, :3] = Rotation.from_rotvec([0, 0, 25], degrees=True).as_matrix()
pose[:3, 3] = 35, -25, 5
made = dte.make_fibercup(700, seed=1)
subject = dte.Alignment(pose).apply(made.streamlines)


def accuracy(alignment=None):
    """Label the subject; return the fraction of right labels."""
    labels = dte.label_streamlines(model, subject, neighbors, alignment=alignment)
    return (labels.bundle == made.bundle).mean()


print(f"right labels where it lies: {accuracy():.3f}")

###############################################################################
# `check_alignment` is what the commands do by default. It moves nothing.

reference = dte.alignment_reference(model)
checked = dte.check_alignment(reference, subject)
print(checked.verdict, *checked.reasons)

###############################################################################
# Align
# -----
#
# `fit_alignment` searches all poses. With ``alignment=``, the moved streamlines are
# labelled. The phantom lies in one plane and looks the same from its other side: left
# and right cannot be told, and the best other pose is not much worse (*gap*). Of a
# whole brain, the verdict is clearer.

alignment = dte.fit_alignment(reference, subject, transform="rigid", seed=0)
print(alignment.verdict, *alignment.reasons)
print("left and right", alignment.left_right)
print({name: round(value, 2) for name, value in alignment.quality.items()})
print(f"right labels after alignment: {accuracy(alignment):.3f}")

left = dte.Alignment(pose @ alignment.matrix).apply(made.streamlines)
steps = np.concatenate(left) - np.concatenate(made.streamlines)
print(f"left of the displacement: {np.linalg.norm(steps, axis=1).mean():.2f} mm")

figure = dte.alignment_figure(reference, subject, alignment, name="subject")

###############################################################################
# Back in native space
# --------------------
#
# Labelled streamlines are the subject's own. What is decoded is moved back: latents
# hold the alignment, and so do latents files.

latents = dte.encode(model, subject, alignment=alignment)
decoded = dte.decode(model, latents)
own = model.preprocessing.array(subject).points
print(f"distance of what is decoded: {dte.paired_mdf(own, decoded).mean():.2f} mm")
labels = dte.label_streamlines(model, subject, neighbors, alignment=alignment)
fig, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
for code, line in zip(atlas.bundle, atlas.streamlines):
    axes[0].plot(*line[:, :2].T, color=f"C{int(code)}", lw=0.3)
for code, line in zip(labels.bundle, subject):
    axes[1].plot(*line[:, :2].T, color=f"C{code}" if code >= 0 else "k", lw=0.4)
axes[0].set_title("atlas, in its space")
axes[1].set_title("subject, labelled, in native space")
for axis in axes:
    axis.set(xlabel="x (mm)", ylabel="y (mm)", aspect="equal")
plt.show()

###############################################################################
# With the transform of dipy_slr
# ------------------------------
#
# ``dipy_slr atlas.trk subject.trk`` writes ``affine.txt``, which maps the moving
# streamlines to the static ones: here from the subject to the atlas.

_, affine, _, _ = slr_with_qbx(
    atlas.streamlines,
    subject,
    x0="rigid",
    rm_small_clusters=2,
    greater_than=10,
    rng=np.random.default_rng(0),
)
np.savetxt(here / "affine.txt", affine)
known = dte.load_alignment(here / "affine.txt")
print(f"right labels with affine.txt: {accuracy(known):.3f}")

###############################################################################
# With the matrix of ANTs
# -----------------------
#
# ``antsRegistration`` with the template as fixed and the subject as moving image writes
# ``0GenericAffine.mat``, or text: it maps points of the *template* to the subject, with
# x and y of the other sign (LPS). `load_alignment` takes the inverse. This is such a
# file for our subject, as ITK writes it:

lps = np.diag([-1.0, -1.0, 1.0, 1.0])
to_subject = lps @ pose @ lps
numbers = [*to_subject[:3, :3].ravel(), *to_subject[:3, 3]]
lines = [
    "#Insight Transform File V1.0",
    "Transform: AffineTransform_double_3_3",
    f"Parameters: {' '.join(map(str, numbers))}",
    "FixedParameters: 0 0 0",
]
(here / "0GenericAffine.txt").write_text("\n".join(lines))
ants = dte.load_alignment(here / "0GenericAffine.txt")
print(f"right labels with the file of ANTs: {accuracy(ants):.3f}")
print("its inverse is the pose:", np.allclose(ants.inverse().matrix, pose))

###############################################################################
# On the command line::
#
#     dipy_label_vae vae.keras sub-06.trx --bundle_files atlas --align rigid
#     dipy_label_vae vae.keras sub-06.trx --bundle_files atlas \
#         --transform affine.txt --out_dir slr
#
# :doc:`/alignment` tells when to believe an alignment, and where results are written.
