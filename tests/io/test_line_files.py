"""TRK and TCK read in place: nibabel's points to the bit, and what it cannot read."""

import gzip
import logging
import os
import struct

from flow_data import call_command
from made_data import make_tractogram
import nibabel as nib
from nibabel.streamlines.trk import header_2_dtype
import numpy as np
import pytest

from dipy_tractoencoder import (
    encode,
    fit_bundle_classifier,
    load_tractogram,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import EmptyDataError, InputFileError, OutputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks, each_chunk
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.tck import open_tck
from dipy_tractoencoder.io.trk import open_trk
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.latent.file_codec import encode_file
from dipy_tractoencoder.latent.latents_file import load_latents

SIZES = (2.0, 1.5, 2.5)
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.5) @ np.diag([-2.0, -1.5, 2.5]),
    (90, 120, -70),
)
EMPTY = (0, 3, 10, 11, 30)  # numbers of streamlines without points


def write_trk(path, lines, *, order="<", scalars=(), properties=(), body=b"", **fields):
    """Write a TRK, whose points are given in TrackVis' space."""
    header = np.zeros((), header_2_dtype.newbyteorder(order))
    header["magic_number"], header["version"], header["hdr_size"] = b"TRACK", 2, 1000
    header["dimensions"], header["voxel_sizes"] = (91, 109, 60), SIZES
    header["voxel_to_rasmm"], header["voxel_order"] = np.diag([*SIZES, 1]), b"RAS"
    header["nb_streamlines"] = len(lines)
    header["nb_scalars_per_point"] = sum(width for _, width in scalars)
    header["nb_properties_per_streamline"] = sum(width for _, width in properties)
    for kind, named in (("scalar_name", scalars), ("property_name", properties)):
        for place, (name, width) in enumerate(named):
            ending = f"\0{width}" if width > 1 else ""
            header[kind][place] = f"{name}{ending}".encode("latin-1")
    for name, value in fields.items():
        header[name] = value
    rng = np.random.default_rng(1)
    with open(path, "wb") as file:
        file.write(header.tobytes())
        for line in lines:
            file.write(struct.pack(f"{order}i", len(line)))
            width = int(header["nb_scalars_per_point"])
            rows = np.hstack([line, rng.normal(size=(len(line), width))])
            file.write(rows.astype(f"{order}f4").tobytes())
            count = int(header["nb_properties_per_streamline"])
            file.write(rng.normal(size=count).astype(f"{order}f4").tobytes())
        file.write(body)


def write_tck(path, lines, *, kind="Float32LE", fields=None, gap=0, end=True):
    """Write a TCK; empty lines give two delimiters in a row."""
    kinds = {"Float32LE": "<f4", "Float32BE": ">f4", "Float64LE": "<f8"}
    kinds["Float64BE"] = ">f8"
    if fields is None:
        fields = [f"count: {len(lines)}", f"datatype: {kind}"]
    head = "\n".join(["mrtrix tracks", *fields]) + "\n"
    offset = len(head) + len("file: . 0000\nEND\n") + gap
    nan = np.full((1, 3), np.nan)
    rows = [part for line in lines for part in (line, nan)]
    rows += [np.full((1, 3), np.inf)] if end else []
    with open(path, "wb") as file:
        file.write(f"{head}file: . {offset:04}\nEND\n".encode() + b"#" * gap)
        file.write(np.concatenate(rows).astype(kinds.get(kind, "<f4")).tobytes())


@pytest.fixture
def some():
    """Make 50 streamlines of different lengths, in TrackVis' space of the image."""
    rng = np.random.default_rng(3)
    return [
        (rng.random(3) * 100 + 20 + rng.normal(size=(n, 3)).cumsum(axis=0)).astype("f4")
        for n in rng.integers(2, 60, 50)
    ]


@pytest.fixture
def image(tmp_path):
    """Write an image for TCK files."""
    path = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((91, 109, 60), "u1"), np.eye(4)), path)
    return path


def with_empty(lines):
    lines = [np.asarray(line) for line in lines]
    for number in EMPTY:
        lines[number] = lines[number][:0]
    return lines


TRKS = {
    "plain": {},
    "big endian": {"order": ">"},
    "oblique": {"voxel_to_rasmm": OBLIQUE, "voxel_order": b"LPS"},
    "other order": {"voxel_order": b"LPS"},
    "turned order": {"voxel_order": b"ASR", "voxel_to_rasmm": np.diag([*SIZES, 1])},
    "small letters": {"voxel_order": b"ras"},
    "scalars": {"scalars": [("fa", 1), ("colour", 3)]},
    "properties": {"properties": [("mean", 2), ("\xe9", 1)]},
    "everything": {
        "order": ">",
        "scalars": [("fa", 1)],
        "properties": [("mean", 2)],
        "voxel_to_rasmm": OBLIQUE,
    },
    "unnamed": {"nb_scalars_per_point": 2, "nb_properties_per_streamline": 3},
    "no count": {"nb_streamlines": 0},
}


def same_bits(found, wanted):
    found, wanted = (np.asarray(a).reshape(len(a), -1) for a in (found, wanted))
    np.testing.assert_array_equal(found, wanted)
    assert found.astype("f4").tobytes() == wanted.astype("f4").tobytes()


@pytest.mark.parametrize("kind", TRKS)
def test_trk_is_nibabels_to_the_bit(some, tmp_path, kind):
    path = tmp_path / "a.trk"
    write_trk(path, some, **TRKS[kind])
    wanted = nib.streamlines.load(path).tractogram
    found = load_tractogram(path)
    assert len(found) == len(some)
    same_bits(found.streamlines._data, wanted.streamlines.get_data())
    assert found.streamlines._data.dtype == np.float32
    assert set(found.data_per_point) == set(wanted.data_per_point)
    assert set(found.data_per_streamline) == set(wanted.data_per_streamline)
    for name, lines in wanted.data_per_point.items():
        same_bits(found.data_per_point[name]._data, lines.get_data())
    for name, values in wanted.data_per_streamline.items():
        same_bits(found.data_per_streamline[name], values)
    chunks = list(TractogramChunks(path, chunk_size=7))
    same_bits(np.concatenate([c._data for c in chunks]), wanted.streamlines.get_data())


@pytest.mark.parametrize("kind", ["Float32LE", "Float32BE", "Float64LE", "Float64BE"])
@pytest.mark.parametrize("gap", [0, 37])
def test_tck_is_nibabels_to_the_bit(some, image, tmp_path, kind, gap):
    path = tmp_path / "a.tck"
    write_tck(path, some, kind=kind, gap=gap)
    if "32" in kind:  # nibabel does not read doubles, which MRtrix does.
        wanted = nib.streamlines.load(path).streamlines.get_data()
    else:
        wanted = np.concatenate(some)
    for lines in (load_tractogram(path, image).streamlines, open_tck(path).streamlines):
        assert len(lines) == 50
        same_bits(lines.get_data(), wanted)


@pytest.mark.parametrize("extension", ["trk", "tck"])
def test_any_rows(some, tmp_path, extension, monkeypatch):
    """Numbers in any order, twice, slices backwards; read together or apart."""
    path = tmp_path / f"a.{extension}"
    some[7] = some[7][:0]
    some[49] = some[49][:1]
    if extension == "trk":
        write_trk(path, some, scalars=[("fa", 1)], properties=[("mean", 2)])
    else:
        write_tck(path, some)
    contents = {"trk": open_trk, "tck": open_tck}[extension](path)
    lines, whole = contents.streamlines, list(contents.streamlines)
    assert len(whole) == len(lines) == 50 and lines.total_nb_rows == sum(map(len, some))
    slices = [(3, 20), (None, None, -1), (40, 99, 4), (5, 5), (-3, None)]
    wanted = [slice(*parts) for parts in slices]
    wanted += [
        [3, 0, 49, 3, 7],
        np.arange(50) % 3 == 1,
        np.array([], int),
        [7],
        [49, 7],
    ]
    for gap, at_once in ((2**14, 2**22), (1, 2**22), (2**14, 50)):
        monkeypatch.setattr("dipy_tractoencoder.io.raw_file.LARGEST_GAP", gap)
        monkeypatch.setattr("dipy_tractoencoder.io.raw_file.AT_ONCE", at_once)
        for rows in wanted:
            found, numbers = lines[rows], np.arange(50)[rows]
            assert len(found) == len(numbers)
            for line, number in zip(found, numbers):
                np.testing.assert_array_equal(line, whole[number])
    np.testing.assert_array_equal(lines[-1], whole[49])
    with pytest.raises(IndexError):
        lines[50]
    if extension == "trk":
        fa = contents.per_point["fa"]
        for rows in (slice(3, 20), [3, 0, 49, 3, 7]):
            for values, number in zip(fa[rows], np.arange(50)[rows]):
                np.testing.assert_array_equal(values, fa[number])
                assert values.shape == (len(some[number]), 1)


def test_streamlines_longer_than_a_block(tmp_path, monkeypatch):
    for module in ("trk", "tck"):
        monkeypatch.setattr(f"dipy_tractoencoder.io.{module}.AT_A_TIME", 5)
    lines = [np.full((n, 3), n, "f4") for n in (9, 0, 1, 4, 13, 0, 0, 2)]
    write_trk(tmp_path / "a.trk", lines, properties=[("mean", 2)])
    write_tck(tmp_path / "a.tck", lines)
    for found in (open_trk(tmp_path / "a.trk"), open_tck(tmp_path / "a.tck")):
        np.testing.assert_array_equal(found.streamlines._lengths, list(map(len, lines)))


# Streamlines without points


@pytest.mark.parametrize("extension", ["trk", "tck"])
def test_numbers_are_those_of_the_file(trained_vae, some, image, tmp_path, extension):
    write = {"trk": write_trk, "tck": write_tck}[extension]
    write(tmp_path / f"a.{extension}", with_empty(some))
    write(tmp_path / f"full.{extension}", some)
    counts = encode_file(
        trained_vae, tmp_path / f"a.{extension}", tmp_path / "l.h5", reference=image
    )
    assert counts["n_streamlines"] == 50
    assert counts["rejects"] == {"too_few_points": len(EMPTY)}
    found = load_latents(tmp_path / "l.h5")
    np.testing.assert_array_equal(found.index, np.setdiff1d(np.arange(50), EMPTY))
    whole = encode(trained_vae, load_tractogram(tmp_path / f"full.{extension}", image))
    np.testing.assert_allclose(found.mean, whole.mean[found.index], atol=1e-4)


@pytest.mark.parametrize("extension", ["trk", "tck", "trx"])
@pytest.mark.parametrize("out", ["trk", "tck", "trx", "dpy"])
def test_written_again(some, image, tmp_path, extension, out):
    path, target = tmp_path / f"a.{extension}", tmp_path / f"b.{out}"
    if extension == "tck":
        write_tck(path, with_empty(some))
    else:
        write_trk(tmp_path / "a.trk", with_empty(some), properties=[("mean", 2)])
    if extension == "trx":
        save_tractogram(load_tractogram(tmp_path / "a.trk"), path)
    rows = np.array([49, 3, 0, 1, 2, 30])
    scores = np.arange(50, dtype=np.float32)
    with mapped_tractogram(path, image) as source:
        whole = source.streamlines[rows]
        save_selection(source, rows, target, data={"score": scores})
        save_selection(
            source, [3, 10], tmp_path / f"none.{out}", data={"score": scores}
        )
    found = load_tractogram(target, image)
    assert [len(line) for line in found.streamlines] == [len(line) for line in whole]
    np.testing.assert_allclose(
        found.streamlines.get_data(), whole.get_data(), atol=1e-4
    )
    none = load_tractogram(tmp_path / f"none.{out}", image)
    assert [len(line) for line in none.streamlines] == [0, 0]
    if out in ("trk", "trx"):
        for tractogram, chosen in ((found, rows), (none, [3, 10])):
            values = tractogram.data_per_streamline["score"]
            np.testing.assert_array_equal(values[:, 0], scores[chosen])
    save_tractogram(none, tmp_path / f"again.{out}")
    assert len(load_tractogram(tmp_path / f"again.{out}", image)) == 2


def test_nothing_but_empty_streamlines(trained_vae, image, tmp_path):
    write_tck(tmp_path / "a.tck", [np.empty((0, 3))] * 3)
    with pytest.raises(EmptyDataError, match="none of its 3 .*3 too_few_points"):
        encode_file(trained_vae, tmp_path / "a.tck", tmp_path / "l.h5", reference=image)


# Counts in headers are hints


@pytest.mark.parametrize(
    "counts, said",
    [
        (["count: 20"], "promises 20 streamlines, but it holds 50"),
        (["count: 90"], "promises 90 streamlines, but it holds 50"),
        ([f"count: {2**60}"], f"promises {2**60} streamlines, but it holds 50"),
        (["count: 50", "count: 25"], "promises 50 and 25 streamlines, but it holds 50"),
        (["count: "], None),
        (["count: 0000000050"], None),
        ([], None),
    ],
)
def test_tck_counts(some, image, tmp_path, caplog, counts, said):
    path = tmp_path / "a.tck"
    write_tck(path, some, fields=[*counts, "datatype: Float32LE"])
    for _ in range(2):  # It is said once.
        reader = TractogramChunks(path, image)
        assert reader.n_streamlines == sum(map(len, reader)) == 50
    assert len(load_tractogram(path, image)) == 50
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ([f"{path}: its header {said}, which are read."] if said else [])


def test_tck_fields_that_are_missing(some, image, tmp_path, caplog):
    path = tmp_path / "a.tck"
    write_tck(path, some, fields=[])
    content = path.read_bytes()
    path.write_bytes(
        content.replace(content[: content.index(b"END")], b"mrtrix tracks\n")
    )
    assert len(load_tractogram(path, image)) == 50
    assert f"{path}: its header has no datatype and no file" in caplog.text


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda tck: tck.replace(b"mrtrix", b"mtrrix"), "does not begin with `mrtrix"),
        (lambda tck: tck.replace(b"END", b"FIN"), "header has no end"),
        (lambda tck: tck[:-12], "without its end marker"),
        (lambda tck: tck[:-24] + tck[-12:], "without its end marker"),
        (lambda tck: tck[:-5], "ends within a point"),
        (lambda tck: tck.replace(b"file: . 00", b"file: b 00"), "are in the file b"),
        (lambda tck: tck.replace(b"file: . 00", b"file: . -0"), "begin at byte -"),
        (
            lambda tck: tck.replace(b". 00", b". 000000001").replace(b"END\n", b"END"),
            "",
        ),
    ],
)
def test_broken_tck(some, image, tmp_path, change, why):
    path = tmp_path / "a.tck"
    write_tck(path, some)
    content = path.read_bytes()
    changed = change(content)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(InputFileError, match=f"a.tck.*{why}.*damaged"):
        TractogramChunks(path, image)


# Space of a TRK


@pytest.mark.parametrize(
    "fields", [{"version": 1}, {"voxel_to_rasmm": np.zeros((4, 4))}]
)
def test_trk_without_matrix(some, tmp_path, caplog, fields):
    """Points are in mm already: only the place in space is unknown."""
    path, placed = tmp_path / "a.trk", tmp_path / "placed.trk"
    write_trk(path, some, voxel_order=b"LPS", **fields)
    write_trk(placed, some, voxel_order=b"LPS", voxel_to_rasmm=OBLIQUE)
    wanted = load_tractogram(placed)
    found = load_tractogram(path)
    (warning,) = (r for r in caplog.records if r.levelno == logging.WARNING)
    assert str(path) in warning.getMessage() and "`reference`" in warning.getMessage()
    for a, b in zip(found.streamlines, wanted.streamlines):
        np.testing.assert_allclose(
            np.linalg.norm(np.diff(a, axis=0), axis=1),
            np.linalg.norm(np.diff(b, axis=0), axis=1),
            atol=1e-3,
        )
    np.testing.assert_array_equal(found.voxel_sizes, np.float32(SIZES))
    caplog.clear()
    for reference in (placed, nifti(tmp_path, OBLIQUE)):
        found = load_tractogram(path, reference)
        np.testing.assert_allclose(
            found.streamlines._data, wanted.streamlines._data, atol=1e-3
        )
        (chunk,) = TractogramChunks(path, reference)
        np.testing.assert_array_equal(chunk._data, found.streamlines._data)
    assert not caplog.records
    with pytest.raises(InputFileError, match=r"a\.trk.*reference.*91 x 109 x 60"):
        load_tractogram(path, nifti(tmp_path, OBLIQUE, (90, 109, 60)))
    with pytest.raises(InputFileError, match=r"space of .*a\.trk.*no voxel-to-RASMM"):
        load_tractogram(path, path)


def nifti(folder, affine, shape=(91, 109, 60)):
    path = folder / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(shape, "u1"), affine), path)
    return path


@pytest.mark.parametrize("name", ["dimensions", "voxel_sizes"])
def test_trk_without_matrix_and_sizes(some, tmp_path, name):
    path = tmp_path / "a.trk"
    write_trk(path, some, version=1, **{name: (0, 0, 0)})
    with pytest.raises(InputFileError, match=r"a\.trk.*0 x 0 x 0.*`reference`"):
        load_tractogram(path)
    found = load_tractogram(path, nifti(tmp_path, np.diag([*SIZES, 1])))
    np.testing.assert_array_equal(found.dimensions, (91, 109, 60))
    assert np.isfinite(found.streamlines._data).all()


@pytest.mark.parametrize("order", [b"\0\0\0\0", b"    ", b"", b" \0"])
@pytest.mark.parametrize("affine", ["LPS", "RAS"])
def test_trk_without_voxel_order(some, tmp_path, caplog, order, affine):
    signs = (-1, -1, 1) if affine == "LPS" else (1, 1, 1)
    matrix = np.diag([*np.multiply(signs, SIZES), 1])
    write_trk(tmp_path / "a.trk", some, voxel_order=order, voxel_to_rasmm=matrix)
    write_trk(
        tmp_path / "b.trk", some, voxel_order=affine.encode(), voxel_to_rasmm=matrix
    )
    found, wanted = (load_tractogram(tmp_path / f"{name}.trk") for name in "ab")
    assert found.voxel_order == wanted.voxel_order == affine
    same_bits(found.streamlines._data, wanted.streamlines._data)
    assert ("no voxel order" in caplog.text) == (affine == "RAS")
    save_tractogram(found, tmp_path / "c.trk")
    again = load_tractogram(tmp_path / "c.trk")
    np.testing.assert_allclose(
        again.streamlines._data, found.streamlines._data, atol=1e-4
    )


def test_voxel_sizes_that_contradict_the_matrix(some, tmp_path, caplog):
    write_trk(tmp_path / "a.trk", some, voxel_to_rasmm=np.eye(4))
    load_tractogram(tmp_path / "a.trk")
    assert "a.trk: its voxels have 1 x 1 x 1 mm" in caplog.text


def test_names_of_data(some, tmp_path, caplog):
    path = tmp_path / "a.trk"
    named = [("fa", 1), ("fa", 2), ("\x01/../x", 1)]
    write_trk(path, some, scalars=named)
    assert sorted(load_tractogram(path).data_per_point) == ["\x01/../x", "fa"]
    assert "several data named fa" in caplog.text
    write_trk(path, some, properties=[("fa", 1)])
    content = bytearray(path.read_bytes())
    at = header_2_dtype.fields["property_name"][1]
    content[at : at + 6] = b"fa\x00-3\x00"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="property fa has -3 columns"):
        load_tractogram(path)


# Compressed files and capital letters


@pytest.mark.parametrize("name", ["a.trk.gz", "a.TRK.GZ", "a.tck.gz", "A.TRK", "A.TCK"])
def test_other_names(some, image, tmp_path, name):
    kind = name.lower().removesuffix(".gz").rpartition(".")[2]
    plain, path = tmp_path / f"plain.{kind}", tmp_path / name
    {"trk": write_trk, "tck": write_tck}[kind](plain, some)
    content = plain.read_bytes()
    path.write_bytes(gzip.compress(content) if "gz" in name.lower() else content)
    wanted = load_tractogram(plain, image)
    found = load_tractogram(path, image)
    same_bits(found.streamlines._data, wanted.streamlines._data)
    assert sum(map(len, TractogramChunks(path, image, chunk_size=7))) == 50
    with mapped_tractogram(path, image) as mapped:
        same_bits(
            mapped.streamlines[[3, 1]]._data, wanted.streamlines[[3, 1]].get_data()
        )
    if kind == "trk":  # As reference, too.
        write_tck(tmp_path / "b.tck", some)
        found = load_tractogram(tmp_path / "b.tck", path)
        np.testing.assert_array_equal(found.affine, wanted.affine)


def test_trx_in_capital_letters(lines, tmp_path):
    save_tractogram(make_tractogram(lines), tmp_path / "a.trx")
    (tmp_path / "a.trx").rename(tmp_path / "A.TRX")
    assert len(load_tractogram(tmp_path / "A.TRX")) == len(lines)


@pytest.mark.parametrize("end", [-1, -9, 30, 12, 5, 0])
def test_gzip_cut_short(some, tmp_path, end):
    write_trk(tmp_path / "a.trk", some)
    content = gzip.compress((tmp_path / "a.trk").read_bytes())
    path = tmp_path / "b.trk.gz"
    path.write_bytes(content[:end])
    for read in (load_tractogram, TractogramChunks):
        with pytest.raises(InputFileError, match=r"b\.trk\.gz.*damaged"):
            read(path)


def test_gzip_bomb(some, tmp_path, monkeypatch):
    monkeypatch.setattr("dipy_tractoencoder.io.raw_file.ALWAYS_FINE", 2**20)
    path = tmp_path / "a.trk.gz"
    path.write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(InputFileError, match=r"a\.trk\.gz.*unpack to more than"):
        TractogramChunks(path)


def test_no_space_to_unpack(some, tmp_path, monkeypatch):
    write_trk(tmp_path / "a.trk", some)
    path = tmp_path / "a.trk.gz"
    path.write_bytes(gzip.compress((tmp_path / "a.trk").read_bytes()))

    class Full:
        def __init__(self, **_):
            self.file = open(os.devnull, "wb")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(OutputFileError, match=r"unpack .*a\.trk\.gz.*TMPDIR"):
        TractogramChunks(path)


# Files that change


@pytest.mark.parametrize("extension", ["trk", "tck", "trx"])
@pytest.mark.parametrize("change", ["shorter", "longer", "replaced"])
def test_a_file_that_changes_while_it_is_read(some, image, tmp_path, extension, change):
    path = tmp_path / f"a.{extension}"
    if extension == "trx":
        save_tractogram(make_tractogram(some), path)
    else:
        {"trk": write_trk, "tck": write_tck}[extension](path, some)
    reader = iter(TractogramChunks(path, image, chunk_size=10))
    assert len(next(reader)) == 10
    with open(path, "r+b") as file:
        if change == "shorter":
            file.truncate(2000)
        elif change == "longer":
            file.seek(0, os.SEEK_END)
            file.write(bytes(12))
        else:
            file.write(b"x")
    os.utime(path, (1, 1))
    with pytest.raises(InputFileError, match=f"a.{extension}.*changed while"):
        list(reader)


@pytest.mark.parametrize("extension", ["trk", "tck", "trx"])
@pytest.mark.parametrize("change", ["removed", "another"])
def test_a_file_that_is_removed_while_it_is_read(
    some, image, tmp_path, extension, change
):
    path = tmp_path / f"a.{extension}"
    if extension == "trx":
        save_tractogram(make_tractogram(some), path)
    else:
        {"trk": write_trk, "tck": write_tck}[extension](path, some)
    reader = iter(TractogramChunks(path, image, chunk_size=10))
    assert len(next(reader)) == 10
    if change == "removed":
        path.unlink()
    else:
        (tmp_path / "other").write_bytes(b"x")
        (tmp_path / "other").replace(path)
    assert sum(map(len, reader)) == 40


@pytest.mark.parametrize("extension", ["trk", "tck"])
def test_inputs_are_not_changed(some, image, tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    {"trk": write_trk, "tck": write_tck}[extension](path, some)
    content = path.read_bytes()
    path.chmod(0o444)
    before = path.stat()
    load_tractogram(path, image)
    with mapped_tractogram(path, image) as mapped:
        mapped.streamlines[3][:] = 0
    assert path.read_bytes() == content and path.stat().st_mtime == before.st_mtime


# Files that are used together


def test_a_file_of_unknown_place_is_not_mixed(trained_vae, some, tmp_path, capsys):
    write_trk(tmp_path / "a.trk", some, voxel_order=b"LPS", version=1)
    write_trk(tmp_path / "b.trk", some)
    save_model(trained_vae, tmp_path / "vae.keras")
    paths = [tmp_path / "a.trk", tmp_path / "b.trk"]
    where = "--out_dir", tmp_path / "out"
    model = tmp_path / "vae.keras"
    for command in (
        ("dipy_train_vae", *paths, *where),
        ("dipy_label_vae", model, paths[0], "--bundle_files", paths[1], *where),
        ("dipy_filter_vae", model, paths[1], "--plausible_files", paths[0], *where),
        ("dipy_compare_vae", model, paths[1], "--reference_files", paths[0], *where),
        ("dipy_evaluate_vae", model, *paths, *where),
        ("dipy_sample_vae", model, "--bundle_files", *paths, *where),
    ):
        result = call_command(capsys, *command)
        assert result.code == 2, command
        assert "a.trk together with other files" in result.err
        assert "`reference` (--reference)" in result.err
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    for read in (
        lambda: list(each_chunk(paths)),
        lambda: fit_bundle_classifier(trained_vae, paths, n_neighbors=2),
    ):
        with pytest.raises(InputFileError, match=r"a\.trk together"):
            read()
    image = nifti(tmp_path, np.diag([*SIZES, 1]))
    assert sum(map(len, each_chunk(paths, image))) == 100
    assert sum(map(len, each_chunk(paths[:1]))) == 50  # Alone, with a warning.
