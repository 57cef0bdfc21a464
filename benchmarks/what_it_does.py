"""Draw the figure of the start page: streamlines, their latents, reconstructions.

    KERAS_BACKEND=jax python benchmarks/what_it_does.py

Top: a model trained on four subjects that ship with DIPY, one of them held out to
choose the epoch; the figure shows the fifth. Bottom: test streamlines of the synthetic
FiberCup of the study. Writes ``doc/results/figures/what_it_does.png``.
"""

from study_data import TEST_SUBJECT, bundles_without, phantom
from study_main import RESULTS, main

from dipy_tractoencoder import encode, reconstruct, train
from dipy_tractoencoder.evaluation.projection import latent_map
from dipy_tractoencoder.sims.geometry import BUNDLES as PHANTOM_BUNDLES
from dipy_tractoencoder.viz.base import bundle_colours, save_figure
from dipy_tractoencoder.viz.latent import draw_latent_map
from dipy_tractoencoder.workflows.demo import BUNDLES

NAMES = {"AF_L": "left arcuate", "CST_R": "right corticospinal"}
NAMES["CC_ForcepsMajor"] = "forceps major"


def draw_lines(axis, points, labels, names, view, title):
    """Draw streamlines in a plane, coloured by bundle."""
    from matplotlib.collections import LineCollection

    colours = bundle_colours(names.values())
    for code, name in names.items():
        style = {"colors": [colours[name]], "linewidths": 0.6}
        lines = points[labels == code][..., view[0]]
        axis.add_collection(LineCollection(lines, **style))
    axis.autoscale()
    axis.set_aspect("equal")
    axis.set(title=title, xlabel=f"{view[1]} (mm)", ylabel=f"{view[2]} (mm)")


def draw_row(axes, data, names, view, what, **options):
    """Train, then draw test streamlines, their latents and reconstructions."""
    training = dict(data["training"])
    model = train(training.pop("tractograms"), seed=0, **training, **options)
    lines, labels = data["test"]
    latents = encode(model, lines)
    made = reconstruct(model, lines)
    assert len(latents) == len(lines)  # None was rejected, so labels fit the rows.
    errors = made.errors()
    error, pca_error = errors["error_mm"], errors["pca_error_mm"]
    left, middle, right = axes
    title = f"{what}: {len(lines)} streamlines"
    draw_lines(left, made.original, labels, names, view, title)
    flat, _ = latent_map(latents.mean)
    title = f"{model.latent_dim} numbers each (map)"
    draw_latent_map(middle, flat, labels, title=title, names=names)
    title = f"back: error {error:.2f} mm (PCA {pca_error:.2f} mm)"
    draw_lines(right, made.points, labels, names, view, title)
    right.set(xlim=left.get_xlim(), ylim=left.get_ylim())
    middle.title.set_fontsize(left.title.get_fontsize())
    print(f"{what}: {error:.3f} mm, PCA {pca_error:.3f} mm", flush=True)


def run(options):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    names = {code: NAMES[name] for code, name in enumerate(BUNDLES)}
    side = ([1, 2], "posterior - anterior", "inferior - superior")
    data = bundles_without(TEST_SUBJECT)
    draw_row(axes[0], data, names, side, "a new subject", latent_dim=16)
    names = dict(enumerate(PHANTOM_BUNDLES))
    above = ([0, 1], "x", "y")
    data = phantom()
    draw_row(axes[1], data, names, above, "FiberCup", latent_dim=6, epochs=50)
    save_figure(figure, options.out_dir / "what_it_does.png")


if __name__ == "__main__":
    main(run, __doc__, out_dir=RESULTS / "figures")
