"""What a session shows of the records that users meet."""

from made_data import make_tractogram
import numpy as np

import dipy_tractoencoder as dte
from dipy_tractoencoder.training.train import run_training
from dipy_tractoencoder.utils.short_repr import short_repr


def test_arrays_are_shown_by_shape_and_counts_as_they_are(trained_vae, lines):
    latents = dte.encode(trained_vae, [*lines, lines[0][:1]], tractogram="AF.trk")
    text = repr(latents)
    assert text.startswith("Latents(mean=float32 (60, 5), log_var=float32 (60, 5), ")
    assert "n_streamlines=61, rejects={'too_few_points': 1}" in text
    assert f"fingerprint='{latents.fingerprint[:12]}'..." in text
    assert "tractogram='AF.trk'" in text
    encoded = dte.encode(trained_vae, make_tractogram(lines))
    assert "space=dict of 4" in repr(encoded)


def test_what_users_meet_is_shown_on_a_few_lines(trained_vae, bundles, lines):
    mean = dte.encode(trained_vae, lines).mean
    neighbors = dte.fit_latent_classifier(
        mean, np.arange(60) // 20, ["AF", "CST", "UF"]
    )
    density = dte.fit_bundle_density(trained_vae, bundles[0], name="AF")
    options = {"n_points": 16, "latent_dim": 3, "epochs": 0}
    for record in (
        dte.reconstruct(trained_vae, lines),
        dte.label_streamlines(trained_vae, lines, neighbors),
        dte.sample_streamlines(trained_vae, density, 5),
        run_training(bundles, **options),
        dte.make_fibercup(50),
        trained_vae.preprocessing.array(lines),
        neighbors,
        density,
        density.density,
    ):
        text = repr(record)
        assert text == short_repr(record)
        assert text.startswith(f"{type(record).__name__}(")
        assert len(text) < 700 and "\n" not in text, text
