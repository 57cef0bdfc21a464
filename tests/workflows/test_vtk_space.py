"""VTK files in LPS, through the commands and from Python."""

import inspect

from dipy.io.stateful_tractogram import Space, StatefulTractogram
from dipy.io.vtk import have_fury, save_vtk_streamlines
from flow_data import COMMANDS, assert_refused, call_command, flow_class
from made_data import make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder import (
    Reference,
    StreamlineEmbedding,
    bundle_arrays,
    encode_file,
    load_latents,
    load_tractogram,
    save_model,
    save_tractogram,
)

READERS = [
    name
    for name in COMMANDS
    if "reference" in inspect.signature(flow_class(name).run).parameters
]
needs_vtk = pytest.mark.skipif(not have_fury, reason="DIPY needs FURY for VTK")


@pytest.fixture
def here(bundles, trained_vae, tmp_path, monkeypatch):
    """Folder with a model, and two bundles as TRK and as DIPY wrote VTK before 1.12."""
    monkeypatch.chdir(tmp_path)
    save_model(trained_vae, "vae.keras")
    (tmp_path / "trk").mkdir()
    (tmp_path / "vtk").mkdir()
    for name, bundle in zip(("AF", "CST"), bundles):
        save_tractogram(make_tractogram(bundle), f"trk/{name}.trk")
        save_vtk_streamlines(bundle, f"vtk/{name}.vtk", to_lps=True, binary=True)
    return tmp_path


def test_all_commands_that_read_tractograms_have_the_option():
    assert len(READERS) == 9
    for name in READERS:
        assert "vtk_space" in inspect.signature(flow_class(name).run).parameters


@pytest.mark.parametrize("name", READERS)
def test_unknown_spaces_are_refused(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.trk").write_bytes(b"")
    files = (
        ("a.trk",) if name in ("dipy_train_vae", "dipy_sample_vae") else ("a.trk",) * 2
    )
    result = call_command(capsys, name, *files, "--vtk_space", "las")
    assert_refused(result, "vtk_space", "ras, lps", "las")


@needs_vtk
def test_the_option_reaches_inputs_and_bundles(here, capsys):
    reference = ("--reference", "trk/AF.trk")
    found = {}
    for kind, options in (
        ("trk", ()),
        ("vtk", (*reference, "--vtk_space", "lps")),
    ):
        result = call_command(
            capsys, "dipy_label_vae", "vae.keras", f"{kind}/AF.{kind}",
            "--bundle_files", kind, "--n_neighbors", 1,
            "--out_dir", f"out_{kind}", *options,
        )  # fmt: skip
        assert result.code == 0, result.err
        found[kind] = load_tractogram(f"out_{kind}/AF_labelled.trx")
        assert "WARNING: vtk/AF.vtk does not say" not in result.out
    assert result.out.count("vtk/AF.vtk: its points are read as LPS") == 1
    np.testing.assert_allclose(
        found["vtk"].streamlines._data, found["trk"].streamlines._data, atol=1e-3
    )
    assert len(found["vtk"]) == 20


@needs_vtk
def test_without_the_option_the_space_is_assumed_aloud(here, capsys, caplog):
    arguments = ("vae.keras", "vtk/AF.vtk", "--reference", "trk/AF.trk")
    result = call_command(capsys, "dipy_encode_vae", *arguments)
    assert result.code == 0, result.err
    assert result.out.count("does not say whether its points are RAS or LPS") == 1
    assert "`vtk_space` (--vtk_space)" in result.out
    assert "StatefulTractogram was" not in result.out + result.err


@needs_vtk
def test_a_reference_with_a_space_from_python(here, trained_vae):
    reference = Reference("trk/AF.trk", vtk_space="lps")
    encode_file(trained_vae, "trk/AF.trk", "trk.h5")
    encode_file(trained_vae, "vtk/AF.vtk", "vtk.h5", reference=reference)
    expected = load_latents("trk.h5").mean
    np.testing.assert_allclose(load_latents("vtk.h5").mean, expected, atol=1e-3)
    points, _ = bundle_arrays(trained_vae, ["vtk"], reference=reference)
    others, _ = bundle_arrays(trained_vae, ["trk"])
    for name in ("AF", "CST"):
        np.testing.assert_allclose(points[name], others[name], atol=1e-3)
    embedding = StreamlineEmbedding(
        n_points=16, latent_dim=3, epochs=0, reference=reference
    )
    other = StreamlineEmbedding(n_points=16, latent_dim=3, epochs=0)
    latents = embedding.fit("vtk").transform("vtk")
    np.testing.assert_allclose(latents, other.fit("trk").transform("trk"), atol=1e-3)


@needs_vtk
def test_points_that_only_the_other_sign_puts_into_the_image_are_said(here, caplog):
    lines = [np.arange(9, dtype=np.float32).reshape(3, 3)]
    image = (np.eye(4), np.full(3, 50), np.ones(3), "RAS")
    save_tractogram(StatefulTractogram(lines, image, Space.RASMM), "corner.trk")
    save_vtk_streamlines(lines, "corner.vtk", to_lps=True, binary=True)
    load_tractogram("corner.vtk", "corner.trk")
    texts = [record.getMessage() for record in caplog.records]
    (said,) = (text for text in texts if "other sign of x and y. Their" in text)
    assert "corner.vtk" in said and "`vtk_space`" in said
    caplog.clear()
    load_tractogram("corner.vtk", Reference("corner.trk", "lps"))
    assert "other sign" not in caplog.text
