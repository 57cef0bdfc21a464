"""Files of every released format keep loading and keep their numbers.

``tests/data`` holds what each format version's release wrote; `make_files` made it.
"""

from pathlib import Path

import numpy as np
import pytest

from dipy_tractoencoder import decode, encode, load_latents, load_model

DATA = Path(__file__).parent / "data"
VERSIONS = (1,)


def helices(n_streamlines=24):
    """Streamlines that are the same on every machine, mm."""
    turn = np.linspace(0, np.pi, 30)
    return [
        np.stack(
            [
                (20 + number) * np.cos(turn),
                (25 - number % 5) * np.sin(turn),
                (number % 7) * turn + number,
            ],
            axis=1,
        )
        for number in range(n_streamlines)
    ]


def make_files(version):
    """Write the files of a format version; run once, by its release."""
    from dipy_tractoencoder import save_latents, save_model, train

    for model in ("vae", "ae"):
        trained = train(
            [helices()],
            model=model,
            backbone="dense",
            n_points=16,
            latent_dim=3,
            epochs=3,
            validation_fraction=0,
        )
        save_model(trained, DATA / f"{model}_v{version}.keras")
        latents = encode(trained, helices())
        save_latents(latents, DATA / f"{model}_v{version}.h5")
        np.save(DATA / f"{model}_v{version}_decoded.npy", decode(trained, latents))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["vae", "ae"])
def test_old_files_load_and_give_their_numbers(name, version):
    model = load_model(DATA / f"{name}_v{version}.keras")
    stored = load_latents(DATA / f"{name}_v{version}.h5")
    latents = encode(model, helices())
    np.testing.assert_allclose(latents.mean, stored.mean, rtol=1e-4, atol=1e-4)
    if stored.log_var is not None:
        np.testing.assert_allclose(latents.log_var, stored.log_var, rtol=1e-4)
    np.testing.assert_array_equal(latents.index, stored.index)
    np.testing.assert_array_equal(latents.is_reversed, stored.is_reversed)
    assert latents.fingerprint == stored.fingerprint
    points = np.load(DATA / f"{name}_v{version}_decoded.npy")
    np.testing.assert_allclose(decode(model, stored), points, atol=1e-3)  # mm
    assert model.record.settings["epochs"] == 3


def test_the_current_formats_are_kept():
    from dipy_tractoencoder import latents_file, model_file

    assert model_file.FORMAT_VERSION in VERSIONS
    assert latents_file.FORMAT_VERSION in VERSIONS
