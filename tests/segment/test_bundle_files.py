"""Bundles from folders, groups and latents."""

from dipy.tracking.streamline import length
from made_data import make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, save as save_trx

from dipy_tractoencoder import load_tractogram, save_tractogram
from dipy_tractoencoder.errors import EmptyDataError, FingerprintError, InputFileError
from dipy_tractoencoder.latent.codec import encode
from dipy_tractoencoder.latent.latents_file import save_latents
from dipy_tractoencoder.segment.bundle_files import bundle_arrays, bundle_latents
from dipy_tractoencoder.segment.bundle_names import (
    bundle_members,
    bundle_names,
    check_bundle_paths,
)


@pytest.fixture
def atlas(tmp_path, bundles):
    """Two subjects with two bundles each, and files that are none."""
    for subject in ("sub-1", "sub-2"):
        (tmp_path / subject).mkdir()
        for name, bundle in zip(("AF", "UF"), bundles):
            save_tractogram(make_tractogram(bundle), tmp_path / subject / f"{name}.trk")
    (tmp_path / "sub-1" / "notes.txt").write_text("buy milk")
    (tmp_path / "sub-1" / ".1.partial.AF.trk").write_text("half")
    return tmp_path


def write_trx(path, lines, **groups):
    trx = TrxFile.from_sft(make_tractogram(lines))
    for name, members in groups.items():
        trx.groups[name] = np.asarray(members, dtype=np.uint32)
    save_trx(trx, str(path))
    return path


def test_folders_give_their_tractograms(atlas):
    found = check_bundle_paths([atlas / "sub-1", atlas / "sub-2" / "UF.trk"])
    assert [path.name for path in found] == ["AF.trk", "UF.trk", "UF.trk"]


def test_files_of_one_name_are_one_bundle_of_several_subjects(
    atlas, trained_vae, bundles
):
    latents = bundle_latents(trained_vae, [atlas / "sub-1", atlas / "sub-2"])
    assert latents.names == ("AF", "UF")
    np.testing.assert_array_equal(np.bincount(latents.bundle), [40, 40])
    written = load_tractogram(atlas / "sub-2" / "AF.trk")  # Which rounds points.
    expected = encode(trained_vae, written).mean
    np.testing.assert_allclose(latents.mean[20:40], expected, atol=1e-4)
    lengths = length(written.streamlines)
    # Resampling cuts corners.
    np.testing.assert_allclose(latents.length[20:40], lengths, rtol=0.02)


def test_groups_of_a_trx_are_bundles(tmp_path, trained_vae, bundles, lines):
    path = write_trx(tmp_path / "a.trx", lines, A=range(20), B=range(30, 60))
    points, spaces = bundle_arrays(trained_vae, [path], chunk_size=7)
    assert {name: len(part) for name, part in points.items()} == {"A": 20, "B": 30}
    whole = trained_vae.preprocessing.array(lines).points
    np.testing.assert_array_equal(points["B"], whole[30:])
    assert spaces["A"]["voxel_order"] == "LAS"


def test_latents_files_count_as_bundles(atlas, tmp_path, trained_vae, bundles):
    latents = encode(trained_vae, make_tractogram(bundles[2]), tractogram="CST.trk")
    save_latents(latents, tmp_path / "c.h5")
    paths = check_bundle_paths([atlas / "sub-1" / "AF.trk", tmp_path / "c.h5"])
    assert bundle_names(paths) == ["AF", "CST"]
    found = bundle_latents(trained_vae, paths)
    assert found.names == ("AF", "CST")
    np.testing.assert_array_equal(found.mean[found.bundle == 1], latents.mean)


def test_latents_of_another_model_are_refused(
    tmp_path, trained_vae, trained_ae, bundles
):
    save_latents(encode(trained_ae, make_tractogram(bundles[2])), tmp_path / "c.h5")
    with pytest.raises(FingerprintError, match="another model"):
        bundle_latents(trained_vae, [tmp_path / "c.h5"])


def test_shared_streamlines_are_refused_unless_groups_are_chosen(tmp_path, lines):
    path = write_trx(tmp_path / "a.trx", lines, A=range(20), AB=range(19, 40))
    with pytest.raises(InputFileError, match="streamline 19 is in the groups A and AB"):
        bundle_members(path)
    assert list(bundle_members(path, ["A?"])) == ["AB"]
    with pytest.raises(InputFileError, match="A, AB"):
        bundle_members(path, ["Z*"])


def test_group_of_streamlines_that_are_not_there_is_refused(tmp_path, lines):
    path = write_trx(tmp_path / "a.trx", lines, A=[3, 99])
    with pytest.raises(InputFileError, match="group A .*streamline 99"):
        bundle_members(path)


def test_folder_without_tractograms_is_refused(tmp_path):
    with pytest.raises(InputFileError, match="holds no tractogram"):
        check_bundle_paths([tmp_path])


def test_bundle_that_cannot_be_encoded_is_named(tmp_path, trained_vae, lines):
    bad = [line * np.float32(np.nan) for line in lines[:3]]
    save_tractogram(make_tractogram(bad), tmp_path / "bad.trk")
    with pytest.raises(EmptyDataError, match="bad.trk.*3 non_finite"):
        bundle_latents(trained_vae, [tmp_path / "bad.trk"])
