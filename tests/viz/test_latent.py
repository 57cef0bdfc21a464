import numpy as np
import pytest

from dipy_tractoencoder.viz.base import save_figure
from dipy_tractoencoder.viz.latent import latent_figure


def clusters(rng, latent_dim=5, n=30):
    """Two groups of latents, ten apart in every dimension."""
    labels = np.repeat([0, 1], n)
    return rng.normal(size=(2 * n, latent_dim)) + 10 * labels[:, None], labels


def test_figure_has_a_panel_per_colouring(tmp_path):
    latent, labels = clusters(np.random.default_rng(0))
    lengths = np.linspace(20, 120, len(latent))
    figure = latent_figure(
        latent, labels=labels, names={0: "AF_L", 1: "CST_R"}, lengths=lengths
    )
    bundles, by_length = figure.axes[:2]
    texts = [text.get_text() for text in bundles.get_legend().get_texts()]
    assert texts == ["AF_L", "CST_R"]
    assert "length" in by_length.get_title()
    assert figure.axes[2].get_ylabel() == "length (mm)"
    save_figure(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000
    assert len(latent_figure(latent, labels=labels, method="tsne").axes) == 1


@pytest.mark.parametrize(
    ("method", "unit", "expected"),
    [
        ("pca", "mm", "principal component {} (mm)"),
        ("pca", "", "principal component {} (no unit)"),
        ("tsne", "mm", "t-SNE {} (no unit)"),
    ],
)
def test_axes_have_names_and_units(method, unit, expected):
    latent, labels = clusters(np.random.default_rng(0))
    lengths = np.linspace(20, 120, len(latent))
    options = {"method": method, "unit": unit}
    figure = latent_figure(latent, labels=labels, lengths=lengths, **options)
    for axis in figure.axes[:2]:
        assert axis.get_xlabel() == expected.format(1)
        assert axis.get_ylabel() == expected.format(2)
        assert len(axis.get_xticks()) > 1
