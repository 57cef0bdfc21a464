"""DSI Studio's Tiny Track files."""

import gzip
import io
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.io import loadmat
from tiny_track_data import DIMENSION, TO_MNI, matrix, parts, track, write

from dipy_tractoencoder import TractogramChunks, load_tractogram
from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.segment.bundle_files import bundle_members


@pytest.fixture
def lines():
    """Streamlines in voxels, with steps of up to 3.9 voxels and one without steps."""
    rng = np.random.default_rng(0)
    made = []
    for n_points in (20, 1, 35, 2):
        steps = rng.uniform(-3.9, 3.9, (n_points, 3))
        steps[0] = rng.uniform(30, 100, 3)
        made.append(np.round(np.cumsum(steps, axis=0) * 32) / 32)
    return made


def in_mm(lines, affine=TO_MNI):
    return [nib.affines.apply_affine(affine, line) for line in lines]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for line, other in zip(found, expected):
        np.testing.assert_allclose(line, other, atol=1e-4)


def said(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def refused(path, reference=None):
    with pytest.raises(InputFileError) as caught:
        load_tractogram(path, reference)
    assert str(path) in str(caught.value)
    assert "should not happen" not in str(caught.value)
    return str(caught.value)


def test_points_are_put_into_mni_space_aloud(tmp_path, lines, caplog):
    path = write(tmp_path / "AF.tt.gz", lines)
    tractogram = load_tractogram(path)
    assert_same(tractogram.streamlines, in_mm(lines))
    np.testing.assert_array_equal(tractogram.affine, TO_MNI)
    assert tractogram.dimensions.tolist() == DIMENSION
    assert tractogram.voxel_order == "LPS"
    load_tractogram(path)
    (text,) = said(caplog, logging.WARNING)
    assert str(path) in text and "MNI" in text and "`reference`" in text


def test_the_test_file_is_what_scipy_reads(tmp_path, lines):
    path = write(tmp_path / "AF.tt.gz", lines)
    found = loadmat(io.BytesIO(gzip.decompress(path.read_bytes())))
    np.testing.assert_array_equal(found["trans_to_mni"].reshape(4, 4), TO_MNI)
    np.testing.assert_array_equal(found["track"].ravel(), track(lines))


def test_streamlines_are_read_in_chunks_and_in_any_order(tmp_path, lines):
    more = [line + 1 for line in lines]
    path = write(
        tmp_path / "AF.TT.GZ", lines, track1=matrix("track1", track(more), "u1")
    )
    expected = in_mm([*lines, *more])
    chunks = TractogramChunks(path, chunk_size=3)
    assert_same([line for chunk in chunks for line in chunk], expected)
    chunks.close()
    with mapped_tractogram(path) as mapped:
        rows = [6, 0, 5, 2]
        assert_same(mapped.streamlines[rows], [expected[row] for row in rows])


def test_a_matrix_in_the_order_of_matlab(tmp_path, lines):
    transposed = matrix("trans_to_mni", TO_MNI.T, "f8", n_rows=4)
    path = write(tmp_path / "AF.tt.gz", lines, trans_to_mni=transposed)
    assert_same(load_tractogram(path).streamlines, in_mm(lines))


@pytest.mark.parametrize("order", ["LPS", "RAS", "SLA"])
def test_native_space_with_the_image(tmp_path, lines, caplog, order):
    affine = np.array([[-2, 0, 0, 9], [0, -2.5, 0, 7], [0, 0, 3, -5], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(np.zeros((101, 80, 90), np.uint8), affine)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(order)
    )
    nib.save(image.as_reoriented(turn), tmp_path / "image.nii.gz")
    path = write(
        tmp_path / "AF.tt.gz",
        lines,
        dimension=matrix("dimension", [101, 80, 90], "i4"),
        voxel_size=matrix("voxel_size", [2, 2.5, 3], "f4"),
    )
    with caplog.at_level("INFO"):
        tractogram = load_tractogram(path, tmp_path / "image.nii.gz")
    assert_same(tractogram.streamlines, in_mm(lines, affine))
    assert tractogram.voxel_order == order
    assert not said(caplog, logging.WARNING)
    assert any("reference" in text for text in said(caplog, logging.INFO))


def test_another_image_is_not_used_as_native_space(tmp_path, lines, caplog):
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 7)), np.eye(4)), tmp_path / "other.nii")
    path = write(tmp_path / "AF.tt.gz", lines)
    assert_same(load_tractogram(path, tmp_path / "other.nii").streamlines, in_mm(lines))
    assert any("another image" in text for text in said(caplog, logging.WARNING))
    path = write(tmp_path / "none.tt.gz", lines, trans_to_mni=None)
    assert "another image" in refused(path, tmp_path / "other.nii")
    assert "`reference`" in refused(path)


def test_clusters_with_names_are_bundles(tmp_path, lines, caplog):
    cluster = matrix("cluster", [2, 0, 2, 0], "i4")
    path = write(tmp_path / "atlas.tt.gz", lines, cluster=cluster)
    assert bundle_members(path) == {"atlas": None}
    assert any("2 clusters have no names" in text for text in said(caplog, 30))
    names = tmp_path / "atlas.tt.gz.txt"
    names.write_text("AF_L\nunused\nCST_R\n", encoding="utf-8")
    members = bundle_members(path)
    assert {n: found.tolist() for n, found in members.items()} == {
        "AF_L": [1, 3],
        "CST_R": [0, 2],
    }
    for text in ("AF_L\n", "AF\nx\nAF\n", "AF\nx\n\n"):
        names.write_text(text, encoding="utf-8")
        assert bundle_members(path) == {"atlas": None}


def test_malformed_files_are_refused(tmp_path, lines):
    good = track(lines)
    cases = {
        "no matrix `track`": {"track": None},
        "no matrix `dimension`": {"dimension": None},
        "`voxel_size` has 2 values": {"voxel_size": matrix("voxel_size", [1, 1], "f4")},
        "voxels have the sizes": {"voxel_size": matrix("voxel_size", [1, 0, 1], "f4")},
        "the dimensions": {"dimension": matrix("dimension", [0, 9, 9], "i4")},
        "affine": {"trans_to_mni": matrix("trans_to_mni", np.zeros(16), "f4")},
        "singular": {
            "trans_to_mni": matrix("trans_to_mni", np.diag([1, 1, 0, 1]), "f4")
        },
        "no affine": {
            "trans_to_mni": matrix("trans_to_mni", TO_MNI * [1, np.nan, 1, 1], "f4")
        },
        "promises": {"track": matrix("track", good[:-1], "u1")},
        "promises 0 coord": {"track": matrix("track", np.zeros(32), "u1")},
        "not of bytes": {"track": matrix("track", good[: len(good) // 4 * 4], "i4")},
        "`cluster` has 3 values": {"cluster": matrix("cluster", [0, 1, 2], "i4")},
        "positive integers": {"cluster": matrix("cluster", [0, 1, -1, 0], "i4")},
    }  # fmt: skip
    for number, (why, others) in enumerate(cases.items()):
        path = write(tmp_path / f"{number}.tt.gz", lines, **others)
        text = refused(path)
        assert why in text
    path = write(tmp_path / "nan.tt.gz", lines, cluster=matrix(
        "cluster", [0, np.nan, 1, 0], "f4"))  # fmt: skip
    refused(path)


def test_matrices_that_claim_more_than_the_file_holds_are_refused(tmp_path, lines):
    found = parts(lines)
    path = tmp_path / "a.tt.gz"
    for position, value in ((4, 2**30), (8, 2**31 - 1), (4, -1), (16, 10**9), (0, 77)):
        header = bytearray(found["track"])
        header[position : position + 4] = np.array(value, "<i4").tobytes()
        path.write_bytes(
            gzip.compress(b"".join({**found, "track": bytes(header)}.values()))
        )
        refused(path)
    twice = b"".join([*found.values(), found["dimension"]])
    path.write_bytes(gzip.compress(twice))
    assert "two matrices" in refused(path)


def test_files_that_are_cut_short_or_no_gzip_are_refused(tmp_path, lines):
    path = write(tmp_path / "a.tt.gz", lines)
    content, unpacked = path.read_bytes(), gzip.decompress(path.read_bytes())
    for end in range(0, len(content), 23):
        path.write_bytes(content[:end])
        refused(path)
    for end in range(0, len(unpacked), 23):
        path.write_bytes(gzip.compress(unpacked[:end]))
        refused(path)
    path.write_bytes(unpacked)
    refused(path)


def test_random_changes_end_in_streamlines_or_a_refusal(tmp_path, lines):
    rng = np.random.default_rng(1)
    content = bytearray(
        gzip.decompress(write(tmp_path / "a.tt.gz", lines).read_bytes())
    )
    path = tmp_path / "b.tt.gz"
    n_refused = 0
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(gzip.compress(bytes(changed)))
        before = path.read_bytes()
        try:
            load_tractogram(path)
        except InputFileError as err:
            n_refused += 1
            assert str(path) in str(err)
        assert path.read_bytes() == before
    assert 0 < n_refused < 150


def test_reading_leaves_no_file_behind(tmp_path, lines, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    load_tractogram(write(tmp_path / "a.tt.gz", lines))
    assert list(folder.iterdir()) == []
    assert sorted(Path(tmp_path).iterdir()) == [tmp_path / "a.tt.gz", folder]
