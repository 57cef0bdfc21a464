"""Names are drawn as they are, in every figure."""

import logging

from matplotlib import pyplot, rc_context
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np
import pytest

from dipy_tractoencoder.evaluation.evaluate import evaluate_model
from dipy_tractoencoder.report.page import picture
from dipy_tractoencoder.sims.fibercup import make_fibercup
from dipy_tractoencoder.stats.comparison import compare
from dipy_tractoencoder.viz.base import (
    reconstruction_figure,
    save_figure,
    training_figure,
)
from dipy_tractoencoder.viz.comparison import comparison_figure
from dipy_tractoencoder.viz.evaluation import evaluation_figure
from dipy_tractoencoder.viz.labels import bundles_figure
from dipy_tractoencoder.viz.latent import latent_figure
from dipy_tractoencoder.viz.phantom import phantom_figure
from dipy_tractoencoder.viz.sampling import samples_figure
from dipy_tractoencoder.viz.text import add_legend, draw_figure, literal, name_label

# Formulas that matplotlib cannot read and can read, dollars that are odd or escaped,
# what its legends leave out, what LaTeX would take.
NAMES = (
    r"$\frac{$",
    "a$_{$b",
    "$x^2$",
    "one$",
    r"\$a$b\$c$",
    "_hidden",
    "__",
    "100%_{&}~",
    "a\\b",
    "Üñ",
)
HISTORY = {"loss": [9.0, 8.0], "error_mm": [5.0, 4.0], "learning_rate": [2e-3, 1e-3]}


@pytest.fixture
def drawn(monkeypatch):
    """Text that reaches the picture; formulas are None."""
    seen = []
    draw = RendererAgg.draw_text

    def record(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        seen.append(None if ismath else s)
        return draw(self, gc, x, y, s, prop, angle, ismath=ismath, mtext=mtext)

    monkeypatch.setattr(RendererAgg, "draw_text", record)
    return seen


@pytest.fixture
def points(data):
    return data.preprocessing.denormalise(data.points[:40])


def training(model, points):
    known = {"pca_error": 1.0, "best_epoch": 1}
    figures = [
        reconstruction_figure(points, points, what=NAMES[0]),
        training_figure(HISTORY, points, points, **known, what=NAMES[1]),
    ]
    about = "error 0.00 mm over 40 streamlines, 40 drawn"
    return figures, [f"{name}: {about}" for name in NAMES[:2]]


def labels(model, points):
    members = {name: np.arange(k, k + 3) for k, name in enumerate(NAMES)}
    confusion = [
        {"true": name, **{other: 1 + (name == other) for other in NAMES}}
        for name in NAMES
    ]
    figure = bundles_figure(points, members, what=NAMES[0], confusion=confusion)
    title = f"{NAMES[0]}: up to 100 streamlines of each bundle drawn"
    return [figure], [title, *(f"{name}: 3" for name in NAMES), *NAMES]


def latents(model, points):
    groups = np.arange(len(points)) % len(NAMES)
    flat = points.reshape(len(points), -1)
    return [latent_figure(flat, labels=groups, names=dict(enumerate(NAMES)))], NAMES


def samples(model, points):
    bundles = {name: points[k : k + 2] for k, name in enumerate(NAMES)}
    return [samples_figure(bundles, bundles)], NAMES


def evaluation(model, points):
    bundles = {name: points[4 * k : 4 * k + 4] for k, name in enumerate(NAMES)}
    return [evaluation_figure(evaluate_model(model, bundles))], NAMES


def comparison(model, points):
    rng = np.random.default_rng(0)

    def subject(shift):
        def moved(line):
            return line + rng.normal(scale=1, size=3) + shift

        return {name: [moved(line) for line in points[:12]] for name in NAMES[:2]}

    reference = {f"control{k}": subject(0) for k in range(5)}
    subjects = {name: subject([0, 30, 0]) for name in NAMES}
    found = compare(model, reference, subjects, measure="displacement")
    return [comparison_figure(found)], [*NAMES[:2], *NAMES]


def phantom(model, points):
    made = make_fibercup(30, seed=0)
    figure = phantom_figure(made, what=NAMES[0])
    return [figure], [f"{NAMES[0]}: {made.summary()}"]


@pytest.mark.parametrize(
    "make", [training, labels, latents, samples, evaluation, comparison, phantom]
)
def test_names_are_drawn_as_they_are(make, trained_vae, points, drawn, tmp_path):
    figures, expected = make(trained_vae, points)
    for figure in figures:
        save_figure(figure, tmp_path / "a.png")
    assert None not in drawn
    assert set(expected) <= set(drawn)


def test_a_matplotlibrc_does_not_change_names(drawn, points, tmp_path):
    settings = {"text.usetex": True, "axes.formatter.use_mathtext": True}
    for more in (settings, {"text.parse_math": False}):
        with rc_context(more):
            figures, expected = samples(None, points)
            save_figure(figures[0], tmp_path / "a.png")
            picture(figures[0], "alt")
        assert drawn.count(NAMES[0]) == 2  # The file and the report's picture.
        assert set(expected) <= set(drawn)
        drawn.clear()


@pytest.mark.parametrize("name", NAMES)
def test_literal_is_drawn_by_other_figures_of_matplotlib(name, drawn, tmp_path):
    figure = pyplot.figure()
    figure.text(0.5, 0.5, literal(name))
    figure.savefig(tmp_path / "a.png")
    pyplot.close(figure)
    assert drawn == [name]


def test_bytes_and_control_characters_are_shown():
    assert literal("a\udcffb\n\0") == r"a\udcffb\n\x00"


def test_long_names_keep_both_ends():
    label = name_label("left_" + 300 * "x" + "_part_2")
    assert len(label) == 40
    assert label.startswith("left_") and label.endswith("_part_2") and "..." in label
    assert name_label("x" * 40) == "x" * 40


def test_legend_of_handles_with_hidden_labels():
    figure = Figure()
    lines = [Line2D([], [], label="_a"), Line2D([], [], label="_b")]
    legend = add_legend(figure, lines, ["_a", "_b"])
    assert [text.get_text() for text in legend.get_texts()] == ["_a", "_b"]


def test_letters_that_the_font_lacks_are_one_warning(tmp_path, caplog, recwarn):
    figure = Figure()
    figure.text(0, 0.5, "\u5f13\u72b6\u675f")
    with caplog.at_level(logging.WARNING):
        draw_figure(figure, tmp_path / "a.png")
    (record,) = caplog.records
    assert "font.family" in record.getMessage()
    assert not recwarn
