"""
=============================
8. In a scikit-learn pipeline
=============================

Classify new streamlines with the bundles of known ones, and cluster streamlines without
labels. scikit-learn needs a row of fixed length for each streamline.
``StreamlineEmbedding`` is a transformer that returns the latents as these rows: it
trains the model in ``fit`` and works with every clusterer and classifier.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, confusion_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

import dipy_tractoencoder as dte

###############################################################################
# The data are streamlines of the seven bundles of the synthetic FiberCup: some for
# training, others to be classified.

known = dte.make_fibercup(300, 0.0, seed=0)
new = dte.make_fibercup(300, 0.0, seed=1)
print(len(known.streamlines), "known,", len(new.streamlines), "new streamlines")

###############################################################################
# Classify
# --------
#
# The parameters are the settings of `train`, with the same names and defaults. A grid
# search can choose them together with those of the classifier; here it chooses 2 or 6
# latent dimensions by cross-validation on the known streamlines. With ``epochs=0`` the
# model is PCA, which is sufficient for this choice.

pipeline = Pipeline(
    [
        ("embed", dte.StreamlineEmbedding(n_points=64, epochs=0)),
        ("classify", KNeighborsClassifier(5)),
    ]
)
search = GridSearchCV(pipeline, {"embed__latent_dim": [2, 6]}, cv=2, refit=False).fit(
    known.streamlines, known.bundle
)
for parameters, accuracy in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"]
):
    print(parameters, f"accuracy {accuracy:.3f}")

###############################################################################
# Train with the better choice, and classify the new streamlines.

pipeline.set_params(**search.best_params_, embed__epochs=10)
pipeline.fit(known.streamlines, known.bundle)
accuracy = pipeline.score(new.streamlines, new.bundle)
print(f"accuracy on new streamlines: {accuracy:.3f}")
print(confusion_matrix(new.bundle, pipeline.predict(new.streamlines)))

###############################################################################
# Cluster
# -------
#
# Without labels, use k-means on the latents, whose distances are in mm. The fitted
# transformer is taken from the pipeline, so the model is not trained again.

embedding = pipeline["embed"]
latents = embedding.transform(new.streamlines)
kmeans = KMeans(len(dte.FIBERCUP_BUNDLES), n_init=5, random_state=0).fit(latents)
agreement = adjusted_rand_score(new.bundle, kmeans.labels_)
print(f"agreement of clusters and bundles (adjusted Rand index): {agreement:.3f}")

###############################################################################
# The cluster centres are latents as well: ``inverse_transform`` decodes them to
# streamlines in mm.

centres = embedding.inverse_transform(kmeans.cluster_centers_)
fig, axis = plt.subplots(figsize=(7, 6), layout="constrained")
for line, label in zip(new.streamlines, kmeans.labels_):
    axis.plot(*line[:, :2].T, color=f"C{label}", lw=0.3, alpha=0.5)
for points in centres:
    axis.plot(*points[:, :2].T, color="k", lw=2)
axis.set(title="clusters and their centres", xlabel="x (mm)", ylabel="y (mm)")
axis.set_aspect("equal")
plt.show()

###############################################################################
# Streamlines that cannot be encoded
# ----------------------------------
#
# A pipeline needs a row for each label, so no streamline is dropped. By default an
# error lists the streamlines that cannot be encoded; with ``rejects="nan"`` their rows
# are nan.

faulty = [*new.streamlines[:3], np.zeros((1, 3))]
try:
    embedding.transform(faulty)
except dte.TractoencoderError as err:
    print(err)
rows = embedding.set_params(rejects="nan").transform(faulty)
print("rows of nan:", np.flatnonzero(np.isnan(rows).all(axis=1)))
