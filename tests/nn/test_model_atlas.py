"""The atlas in a model's section."""

from dataclasses import replace

import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.nn import atlas as module
from dipy_tractoencoder.nn.atlas import SECTION, Atlas, model_atlas, store_atlas
from dipy_tractoencoder.nn.model_file import load_model, save_model
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.segment.atlas import fit_atlas
from dipy_tractoencoder.segment.bundle_files import LabelledLatents


def made_atlas(n_bundles=3, n_each=20, latent_dim=5, **options):
    """Make an atlas of random latents around a centre for each bundle."""
    rng = np.random.default_rng(0)
    bundle = np.repeat(np.arange(n_bundles), n_each)
    centres = rng.normal(0, 30, (n_bundles, latent_dim))
    mean = centres[bundle] + rng.normal(0, 1, (len(bundle), latent_dim))
    names = tuple(f"bundle_{code:03d}" for code in range(n_bundles))
    length = rng.uniform(40, 80, len(bundle)).astype(np.float32)
    latents = LabelledLatents(mean.astype(np.float32), bundle, names, length)
    return fit_atlas(latents, **options)


@pytest.fixture
def model(trained_ae):
    """Model without sections."""
    again = type(trained_ae).from_config(trained_ae.get_config())
    again.sections = None
    return again


@pytest.fixture(scope="module")
def atlas():
    return made_atlas()


def assert_same(one, other):
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)
            assert value.dtype == getattr(other, name).dtype, name
        else:
            assert value == getattr(other, name), name


def test_what_is_stored_is_found(model, atlas, tmp_path):
    assert model_atlas(model) is None
    before = fingerprint(model)
    store_atlas(model, atlas)
    assert fingerprint(model) != before
    assert "holds 60 latents of 3 bundles" in repr(model)
    save_model(model, tmp_path / "a.keras")
    assert_same(model_atlas(load_model(tmp_path / "a.keras")), atlas)
    store_atlas(model, None)
    assert model_atlas(model) is None and fingerprint(model) == before


def test_a_hundred_bundles_are_under_ten_megabytes():
    content = made_atlas(100, 600, 32).to_bytes()
    assert len(content) < 8.5e6  # Leaves room for the weights.
    assert len(Atlas.from_bytes(content).mean) == 50_000


def test_colours_are_told_apart(atlas):
    assert len(np.unique(atlas.colours, axis=0)) == 3
    assert (np.ptp(atlas.colours.astype(int), axis=1) > 30).all()  # None is grey.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"something else",
        b"DTEATLAS\x02\x00\x00\x00{}",
        b"DTEATLAS\x04\x00\x00\x00\xff\xff\xff\xff",
        b"DTEATLAS\x02\x00\x00\x00[]",
        b"DTEATLAS" + (90_000).to_bytes(4, "little") + b"[" * 90_000,
        b"DTEATLAS\xff\xff\xff\xff{}",
    ],
    ids=["empty", "other", "no header", "no text", "list", "nested", "size"],
)
def test_damaged_atlases(model, content):
    model.sections[SECTION] = content
    with pytest.raises(InputFileError, match="Cannot use the bundles in this model"):
        model_atlas(model)
    assert "its atlas is damaged" in repr(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_latents", 10**7),
        ("n_latents", -1),
        ("n_latents", True),
        ("n_known", 59),
        ("latent_dim", 0),
        ("latent_dim", 4),
        ("version", 2),
        ("n_neighbors", 1e9),
        ("names", ["a", "b"]),
        ("names", ["a", "b", 3]),
        ("names", ["b", "a", "c"]),
        ("names", ["a", "a", "c"]),
        ("names", ["a", "b", "c" * 501]),
        ("more", 1),
    ],
)
def test_wrong_headers(model, atlas, name, value):
    import json

    content = atlas.to_bytes()
    size = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + size])
    header[name] = value
    text = json.dumps(header).encode()
    changed = content[:8] + len(text).to_bytes(4, "little") + text
    model.sections[SECTION] = changed + content[12 + size :]
    with pytest.raises(InputFileError, match="Cannot use the bundles"):
        model_atlas(model)


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 300), slice(0, 12)])
def test_incomplete_atlases(model, atlas, cut):
    model.sections[SECTION] = atlas.to_bytes()[cut]
    with pytest.raises(InputFileError, match="Cannot use the bundles"):
        model_atlas(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.full((60, 5), np.nan)),
        ("mean", np.full((60, 5), 1e30)),
        ("mean", np.zeros(60)),
        ("length", np.zeros(3)),
        ("bundle", np.full(60, 3)),
        ("bundle", np.arange(60)[::-1] // 20),
        ("known_bundle", np.full(60, -1)),
        ("colours", np.zeros((3, 4))),
        ("scale", np.zeros(3)),
        ("counts", np.full(3, -1)),
        ("near_known", np.full(60, np.inf)),
        ("names", ("a", "b")),
        ("names", ()),
    ],
)
def test_wrong_values(atlas, name, value):
    with pytest.raises(InvalidArgumentError):
        replace(atlas, **{name: value})


def test_wrong_arguments(model, atlas, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="`model`"):
        model_atlas("vae.keras")
    with pytest.raises(InvalidArgumentError, match="`atlas`"):
        store_atlas(model, "atlas")
    with pytest.raises(InvalidArgumentError, match="`atlas`"):
        store_atlas(model, made_atlas(latent_dim=4))
    monkeypatch.setattr(module, "LARGEST_SECTION", 1000)
    with pytest.raises(InvalidArgumentError, match="`per_bundle`"):
        store_atlas(model, atlas)
    assert not model.sections


def test_an_atlas_of_other_latents_is_refused(model):
    model.sections[SECTION] = made_atlas(latent_dim=4).to_bytes()
    with pytest.raises(InputFileError, match="4 latent dimensions, the model 5"):
        model_atlas(model)


def test_bundles_are_chosen_by_patterns(atlas):
    np.testing.assert_array_equal(atlas.chosen(["*1", "*_002"]), [1, 2])
    np.testing.assert_array_equal(atlas.chosen(), [0, 1, 2])
    with pytest.raises(InputFileError, match="bundle_000"):
        atlas.chosen(["AF"])
