import os

from flow_data import run_python
from matplotlib.collections import LineCollection
from matplotlib.image import imread
import numpy as np
import pytest
from slow import slow_but

from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.viz.base import (
    MOST_STREAMLINES,
    bundle_colours,
    curves_figure,
    reconstruction_figure,
    save_figure,
    training_figure,
)
from dipy_tractoencoder.viz.filtering import filter_figure
from dipy_tractoencoder.viz.labels import bundles_figure
from dipy_tractoencoder.viz.latent import latent_figure
from dipy_tractoencoder.viz.sampling import samples_figure

HISTORY = {
    "loss": [9.0, 5.0, 4.0],
    "error_mm": [3.0, 0.5, 0.2],
    "val_loss": [9.5, 6.0, 5.0],
    "val_error_mm": [3.1, 0.6, 0.4],
    "kl_nats": [10.0, 11.0, 12.0],
    "kl_weight": [0.0, 0.5, 1.0],
    "learning_rate": [1e-3, 5e-4, 1e-5],
}
VIEWS = 9 + 1  # three views of input, reconstruction and error, and a colour bar


@pytest.fixture
def points(data):
    return data.preprocessing.denormalise(data.points[:12])


def drawn(figure):
    """Streamlines of each view (a colour bar holds empty collections)."""
    return [
        found
        for axes in figure.axes
        for found in axes.collections
        if isinstance(found, LineCollection) and found.get_segments()
    ]


def test_reconstruction_figure_is_a_picture(points, tmp_path):
    figure = reconstruction_figure(points, points + 1, what="AF_L.trk")
    assert len(figure.axes) == VIEWS
    save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    picture = imread(tmp_path / "a.png")
    assert picture.shape[0] > 1000 and picture.shape[1] > 1000
    assert picture.std() > 0.01  # something is on it
    title = figure.get_suptitle()
    assert "AF_L.trk" in title and "1.73 mm" in title and "12 streamlines" in title


def test_every_view_shows_all_of_its_streamlines(points):
    moved = points + np.float32([0, 5, 0])
    figure = reconstruction_figure(points, moved, what="x")
    collections = drawn(figure)
    assert len(collections) == 9
    n_segments = len(points) * (points.shape[1] - 1)
    for lines in collections:
        segments = np.array(lines.get_segments())
        assert len(segments) == n_segments
        axes = lines.axes
        if not axes.get_title().startswith("reconstruction"):
            (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
            assert left < segments[..., 0].min() < segments[..., 0].max() < right
            assert low < segments[..., 1].min() < segments[..., 1].max() < high
    # The axial views (third column): x to the right, y upwards.
    axial = [np.array(lines.get_segments()) for lines in collections[2::3]]
    step = axial[1] - axial[0]
    np.testing.assert_allclose(step, np.broadcast_to([0, 5], step.shape), atol=1e-4)
    np.testing.assert_allclose(collections[-1].get_array(), 5, rtol=1e-5)


def test_large_sets_are_drawn_in_part(points):
    many = np.repeat(points, 40, axis=0)
    figure = reconstruction_figure(many, many, what="x")
    expected = MOST_STREAMLINES * (many.shape[1] - 1)
    assert {len(lines.get_segments()) for lines in drawn(figure)} == {expected}
    assert "480 streamlines, 300 drawn" in figure.get_suptitle()


def test_one_streamline(points, tmp_path):
    figure = reconstruction_figure(points[:1], points[:1], what="x")
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


def test_training_figure_shows_what_the_history_holds(points, tmp_path):
    figure = training_figure(
        HISTORY, points, points, pca_error=0.3, best_epoch=2, what="Held-out"
    )
    error, terms, schedules = figure.axes[:3]
    assert len(figure.axes) == 3 + 1 + VIEWS  # KL weight has an axis of its own
    labels = [text.get_text() for text in error.get_legend().get_texts()]
    assert labels == [
        "training",
        "validation",
        "PCA, same dimensions",
        "kept: epoch 2",
    ]
    np.testing.assert_array_equal(
        error.get_lines()[1].get_ydata(), HISTORY["val_error_mm"]
    )
    assert len(terms.get_lines()) == 3
    np.testing.assert_array_equal(schedules.get_lines()[0].get_xdata(), [1, 2, 3])
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0.01


def test_training_figure_of_an_autoencoder_without_validation(points):
    history = {name: HISTORY[name] for name in ("loss", "error_mm", "learning_rate")}
    figure = training_figure(
        history, points, points, pca_error=0.3, best_epoch=3, what="Training"
    )
    assert len(figure.axes) == 3 + VIEWS
    assert [len(axes.get_lines()) for axes in figure.axes[:3]] == [3, 1, 1]


@pytest.mark.parametrize(
    ("loss", "kl", "unit"),
    [
        ("likelihood", True, "nats per streamline"),
        ("mse", True, "mm$^2$, KL in nats"),
        ("mse", False, "mm$^2$"),
    ],
)
def test_curves_say_their_units(loss, kl, unit):
    history = {k: v for k, v in HISTORY.items() if kl or not k.startswith("kl")}
    figure = curves_figure(history, pca_error=0.3, best_epoch=2, loss=loss)
    labels = [axis.get_ylabel() for axis in figure.axes]
    expected = ["error (mm)", f"loss ({unit})", "learning rate", "KL weight"]
    assert labels == expected[: 4 if kl else 3]


@pytest.mark.parametrize("first", [9.5, 40, 2000])
def test_every_error_has_a_labelled_tick_nearby(first):
    errors = [first, 3.0, 1.7]
    history = {**HISTORY, "error_mm": errors, "val_error_mm": errors}
    error = curves_figure(history, pca_error=1.7, best_epoch=2).axes[0]
    error.figure.draw_without_rendering()
    assert error.get_yscale() == "log"
    low, high = error.get_ylim()
    ticks = {
        tick.get_loc(): tick.label1.get_text() for tick in error.yaxis.get_major_ticks()
    }
    ticks = {place: text for place, text in ticks.items() if low <= place <= high}
    assert all(float(text) == place for place, text in ticks.items())
    for value in errors:
        assert min(max(value / place, place / value) for place in ticks) <= 2


def test_training_figure_without_an_epoch(points, tmp_path):
    figure = training_figure(
        {}, points, points, pca_error=0.3, best_epoch=0, what="Training"
    )
    assert len(figure.axes) == VIEWS  # Nothing to draw curves of.
    assert "No epoch of training" in figure.get_suptitle()
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


@pytest.mark.parametrize("suffix, start", [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_other_formats(points, tmp_path, suffix, start):
    figure = reconstruction_figure(points[:2], points[:2], what="x")
    save_figure(figure, tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes().startswith(start)


def test_a_failure_leaves_the_older_picture(points, tmp_path):
    figure = reconstruction_figure(points[:2], points[:2], what="x")
    (tmp_path / "a.foo").write_text("older")
    with pytest.raises(ValueError, match="foo"):
        save_figure(figure, tmp_path / "a.foo")
    assert (tmp_path / "a.foo").read_text(encoding="utf-8") == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.foo"]
    with pytest.raises(OutputFileError):
        save_figure(figure, tmp_path / "a.foo" / "a.png")


def test_bundles_have_one_colour_in_all_figures(points):
    from matplotlib.colors import to_rgb

    names = ["CST", "AF", "UF"]
    bundles = {name: points[4 * k : 4 * k + 4] for k, name in enumerate(names)}
    members = {name: np.arange(4) for name in [*names, "unassigned"]}
    codes = np.repeat([0, 1, 2], 4)
    figures = [
        bundles_figure(points, members, what="x"),
        samples_figure(bundles),
        latent_figure(points[:, 0], labels=codes, names=dict(enumerate(names))),
    ]
    for figure in figures:
        legend = next(
            found
            for found in (*figure.legends, *(axis.get_legend() for axis in figure.axes))
            if found is not None
        )
        found = {}
        for handle, text in zip(legend.legend_handles, legend.get_texts()):
            colour = (
                handle.get_color()
                if hasattr(handle, "get_color")
                else handle.get_facecolor()[0]
            )
            found[text.get_text().split(":")[0]] = to_rgb(colour)
        # As the explorer has them.
        for number, name in enumerate(sorted(names)):
            assert found[name] == pytest.approx(to_rgb(f"C{number}")), name
        assert found.get("unassigned", (0.75,) * 3) == (0.75,) * 3


@pytest.mark.parametrize(("n_true", "n_bundles"), [(1, 3), (4, 4), (81, 80)])
def test_cells_of_a_confusion_have_one_size(points, n_true, n_bundles, tmp_path):
    names = [*(f"bundle_{number}" for number in range(n_bundles)), "unassigned"]
    rows = [{"true": name, **dict.fromkeys(names, 1)} for name in names[:n_true]]
    members = {name: [0] for name in names}
    figure = bundles_figure(points, members, what="x", confusion=rows)
    save_figure(figure, tmp_path / "a.png")
    matrix = next(axis for axis in figure.axes if axis.images)
    box = matrix.get_window_extent()
    width, height = box.width / figure.dpi, box.height / figure.dpi
    assert width < 13 and height < 13 and figure.get_figheight() < 20
    if n_true < 10:  # As tall as its rows ask for, not as there is room for.
        assert 0.3 < height / n_true < 0.5
        assert 1 < width / len(names) < 1.7


def test_many_bundles_have_different_colours():
    names = [f"b{number:02d}" for number in range(20)]
    colours = bundle_colours([*names, "unassigned"])
    assert len(set(colours.values())) == 21
    assert bundle_colours(reversed(names)) == colours


@pytest.mark.parametrize("labelled", [False, True])
def test_filter_figure_has_no_empty_panel(labelled, tmp_path):
    scores = np.linspace(0.5, 9, 40)
    truth = (scores, scores < 5) if labelled else None
    figure = filter_figure(scores, scores[:20], 4.0, unit="mm", truth=truth)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["Scores", "Labelled streamlines"][: 1 + labelled]
    assert figure.get_figwidth() == 6 * len(titles)
    save_figure(figure, tmp_path / "a.png")


def test_no_display_and_no_window_are_needed(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from dipy_tractoencoder.viz.base import reconstruction_figure, save_figure\n"
        "points = np.random.default_rng(0).normal(size=(3, 8, 3))\n"
        "save_figure(reconstruction_figure(points, points, what='x'), sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    path = tmp_path / "a.png"
    assert not path.exists()
    # A backend that needs a screen, and none there.
    result = run_python("-c", script, path, MPLBACKEND="TkAgg", DISPLAY="")
    assert result.code == 0, result.err
    assert result.out.strip() == "False"
    assert os.path.getsize(path) > 1000


@pytest.mark.parametrize("shift", slow_but([1e6, 1e15, 1e32], 1e15))
def test_one_streamline_far_out_is_drawn(points, shift, tmp_path):
    """In views to scale, the other axis would have no height left."""
    far = points.copy()
    far[0, :, 1] += shift
    members = {"one": [0, 1, 2], "unassigned": [3, 4]}
    figures = {"labels": bundles_figure(far, members, what="Far")}
    if shift < 1e20:  # Beyond, nothing is encoded.
        figures["views"] = reconstruction_figure(far, far, what="Far")
        figures["samples"] = samples_figure({"one": far}, {"one": far})
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png")
        assert imread(tmp_path / f"{name}.png").std() > 0
