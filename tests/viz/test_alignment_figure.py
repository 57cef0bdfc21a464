"""Pictures of subjects before and after their alignment."""

from dataclasses import replace

from matplotlib.image import imread
import numpy as np
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.viz.alignment import alignment_figure
from dipy_tractoencoder.viz.base import MOST_STREAMLINES, save_figure


@pytest.fixture(scope="module")
def reference():
    made = dte.make_fibercup(400, seed=0)
    return dte.fit_alignment_reference(made.streamlines)


@pytest.fixture
def alignment():
    turned = np.eye(4)
    turned[:2, :2] = [[0, -1], [1, 0]]
    turned[:3, 3] = 30, -20, 5
    return dte.Alignment(
        turned,
        transform="rigid",
        verdict="refused",
        reasons=("Another pose fits $5 nearly as well_x$ (1.05 times as far).",),
        left_right="cannot be told",
        quality={
            "distance": 4.25,
            "ratio": 1.5,
            "gap": 1.05,
            "scale": 7.0,
            "odd_one": 3.0,
        },
    )


def words(figure):
    return [text.get_text() for text in figure.axes[6].texts]


def lines_of(axis, which):
    return [path.vertices for path in axis.collections[which].get_paths()]


def test_views_show_the_subject_before_and_after(reference, alignment):
    lines = [np.linspace([0, 0, 0], [50, 10, 5], 12), np.zeros((5, 3)) + [1, 2, 3]]
    figure = alignment_figure(reference, lines, alignment, name="sub-07")
    assert len(figure.axes) == 7
    views = ((1, 2), (0, 2), (0, 1))
    for axis, view in zip(figure.axes, views * 2):
        after = axis.get_title().startswith("after")
        expected = [alignment.apply(line) if after else line for line in lines]
        for found, line in zip(lines_of(axis, 0), expected):
            np.testing.assert_allclose(found, line[:, view], atol=1e-5)
        assert len(lines_of(axis, 1)) == len(reference.centroids)
    assert [axis.get_title().split(",")[0] for axis in figure.axes[:6]] == [
        *["before"] * 3,
        *["after"] * 3,
    ]
    letters = [{text.get_text() for text in axis.texts} for axis in figure.axes[:3]]
    assert letters == [set("APIS"), set("LRIS"), set("LRAP")]
    moved = np.concatenate([alignment.apply(x) - x for x in lines])
    mean = np.linalg.norm(moved, axis=1).mean()
    assert figure.get_suptitle().startswith("sub-07: 2 streamlines drawn over")
    assert f"moved by {mean:.1f} mm" in figure.get_suptitle()


def test_letters_are_at_the_ends_that_they_name(reference, alignment):
    figure = alignment_figure(reference, np.zeros((1, 4, 3)), alignment)
    for axis in figure.axes[:6]:
        assert axis.get_xlim()[0] < axis.get_xlim()[1]
        assert axis.get_ylim()[0] < axis.get_ylim()[1]
        places = {text.get_text(): text.get_position() for text in axis.texts}
        for low, high, k in (("L", "R", 0), ("I", "S", 1)):
            if low in places:
                assert places[low][k] < places[high][k]
        k = 0 if "I" in places else 1
        if "P" in places:
            assert places["P"][k] < places["A"][k]


def test_numbers_stand_beside(reference, alignment):
    figure = alignment_figure(reference, np.zeros((1, 4, 3)), alignment)
    found = words(figure)
    for text in (
        "refused",
        "rigid",
        "4.25 mm",
        "1.05 times as far",
        "odd one",
        "1.000",
        "90.0 degrees",
        "30.0 -20.0 5.0 mm",
        "cannot be told",
    ):
        assert text in found
    assert "7" not in found
    assert "\\$5 nearly" in found[-1]
    mirrored = dte.Alignment(np.diag([-1.0, 1, 1, 1]))
    found = words(alignment_figure(reference, np.zeros((1, 4, 3)), mirrored))
    assert {"unchecked", "exchanged"} <= set(found)
    sizes = replace(alignment, matrix=np.diag([2.0, 1, 0.5, 1]))
    found = words(alignment_figure(reference, np.zeros((1, 4, 3)), sizes))
    assert "2.000 1.000 0.500" in found
    assert "0.0 degrees" in found


def test_many_unusable_and_no_streamlines(reference, alignment, rng, tmp_path):
    many = list(rng.normal(size=(500, 200, 3)))
    figure = alignment_figure(reference, many, alignment)
    drawn = lines_of(figure.axes[0], 0)
    assert len(drawn) == MOST_STREAMLINES
    assert max(map(len, drawn)) < 100
    again = alignment_figure(reference, many, alignment)
    np.testing.assert_array_equal(drawn[3], lines_of(again.axes[0], 0)[3])
    odd = [np.full((3, 3), np.nan), np.zeros((0, 3)), np.zeros((1, 3))]
    figure = alignment_figure(reference, odd, alignment)
    assert "1 streamlines drawn" in figure.get_suptitle()
    figure = alignment_figure(reference, [], alignment, name="$a_$b")
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0
