"""Tractograms and latents that contradict themselves: one message, no time, no memory.

Each break is made in a good file; what the readers of DIPY, nibabel and trx would make
of it goes from wrong numbers over gigabytes of memory to silence.
"""

import json
import re
import struct
import zipfile

from flow_data import assert_refused, call_command, files_below
import h5py
from hostile_hdf5 import KINDS
from made_data import make_tractogram
import nibabel as nib
import numpy as np
import pytest

from dipy_tractoencoder import (
    encode,
    load_latents,
    load_tractogram,
    save_latents,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks

NAN, INF = float("nan"), float("inf")
# Where what stands in a TRK's header.
DIM, SIZES, SCALARS, PROPERTIES, AFFINE, ORDER, COUNT, VERSION, SIZE = (
    6,
    12,
    36,
    238,
    440,
    948,
    988,
    992,
    996,
)
FIRST = 1000

TRK = {
    "2^31 streamlines": (COUNT, "<i", 2**31 - 1),
    "one streamline more": (COUNT, "<i", 61),
    "one streamline fewer": (COUNT, "<i", 59),
    "negative count": (COUNT, "<i", -5),
    "2^31 points": (FIRST, "<i", 2**31 - 1),
    "negative points": (FIRST, "<i", -3),
    "affine of zeros": (AFFINE, "<15f", *[0] * 15),
    "flat affine": (AFFINE + 40, "<f", 0),
    "affine of nan": (AFFINE, "<f", NAN),
    "affine of inf": (AFFINE + 12, "<f", INF),
    "huge affine": (AFFINE, "<f", 1e38),
    "unknown voxel order": (ORDER, "4s", b"XYZ\0"),
    "impossible voxel order": (ORDER, "4s", b"LLL\0"),
    "negative dimension": (DIM, "<h", -1),
    "no dimensions": (DIM, "<3h", 0, 0, 0),
    "voxels of no size": (SIZES, "<3f", 0, 0, 0),
    "voxels of nan": (SIZES, "<f", NAN),
    "negative voxels": (SIZES, "<f", -2),
    "negative scalars": (SCALARS, "<h", -3),
    "many scalars": (SCALARS, "<h", 32767),
    "negative properties": (PROPERTIES, "<h", -1),
    "many properties": (PROPERTIES, "<h", 32767),
    "version": (VERSION, "<i", 99),
    "size of header": (SIZE, "<i", 5),
}
TCK = {
    "negative count": (rb"count: \d+", b"count: -5"),
    "no number": (rb"count: \d+", b"count: abc"),
    "data beyond the end": (rb"file: \. \d+", b"file: . 99999999"),
    "data before the start": (rb"file: \. \d+", b"file: . -5"),
    "complex": (rb"Float32LE", b"Complex64"),
    "no end of the header": (rb"END", b"FIN"),
    "no end of the file": (rb"(?s).{12}$", b""),
    "endless header": (rb"\nEND", b"\na: b" * 10**6 + b"\nEND"),
    "endless line": (rb"(?s)\n.*", b"a" * 10**7),
}


def header(**values):
    return lambda parts: parts.update(
        {
            "header.json": json.dumps(
                {**json.loads(parts["header.json"]), **values}
            ).encode()
        }
    )


def change(kind, function, dtype):
    def apply(parts):
        (name,) = (name for name in parts if name.startswith(kind))
        old = np.frombuffer(parts.pop(name), name.rpartition(".")[2])
        old = old.view(dtype) if dtype == "u1" else old.astype(dtype)
        if dtype == "i8":
            name = f"{kind}.int64"
        parts[name] = np.asarray(function(old)).tobytes()

    return apply


def rename(kind, name):
    def apply(parts):
        (old,) = (part for part in parts if part.startswith(kind))
        parts[name] = parts.pop(old)

    return apply


def part(**values):
    return lambda parts: parts.update(
        {name.replace("__", "."): value for name, value in values.items()}
    )


TRX = {
    "points that are not there": header(NB_VERTICES=10**9),
    "2^31 streamlines": header(NB_STREAMLINES=2**31),
    "fewer streamlines": header(NB_STREAMLINES=5),
    "negative count": header(NB_STREAMLINES=-1),
    "negative points": header(NB_VERTICES=-1),
    "count of text": header(NB_STREAMLINES="a"),
    "half a streamline": header(NB_STREAMLINES=60.5),
    "affine of zeros": header(VOXEL_TO_RASMM=np.zeros((4, 4)).tolist()),
    "affine of nan": header(VOXEL_TO_RASMM=[[NAN] * 4] * 4),
    "affine of text": header(VOXEL_TO_RASMM="x"),
    "small affine": header(VOXEL_TO_RASMM=np.eye(3).tolist()),
    "negative dimension": header(DIMENSIONS=[-1, 5, 5]),
    "one dimension": header(DIMENSIONS=[5]),
    "header of another kind": part(header__json=b"[]"),
    "deep header": part(header__json=b"[" * 10**5),
    "long header": part(header__json=b" " * 10**7 + b"{}"),
    "no header": lambda parts: parts.pop("header.json"),
    "offsets turned round": change("offsets", lambda x: x[::-1], "i8"),
    "offsets beyond the points": change("offsets", lambda x: x * 1000, "i8"),
    "largest offsets": change("offsets", lambda x: np.full_like(x, 2**63 - 1), "i8"),
    "negative offsets": change("offsets", lambda x: -x, "i8"),
    "offsets of noughts": change("offsets", np.zeros_like, "i8"),
    "offsets cut": change("offsets", lambda x: x[:-3], "u1"),
    "positions cut": change("positions", lambda x: x[:-1], "u1"),
    "complex positions": rename("positions", "positions.3.complex64"),
    "positions of objects": rename("positions", "positions.3.object"),
    "positions of bytes": rename("positions", "positions.3.uint8"),
    "plane positions": rename("positions", "positions.2.float32"),
    "offsets with a point": rename("offsets", "offsets.float64"),
    "no positions": lambda parts: parts.pop("positions.3.float32"),
    "a part outside": lambda parts: parts.update({"../evil.txt": b"x"}),
    "an absolute part": lambda parts: parts.update({"/tmp/evil.txt": b"x"}),
    "half a number": lambda parts: parts.update({"dps/a.float32": b"xxx"}),
    "a bomb": lambda parts: parts.update({"dps/a.float32": bytes(300 * 2**20)}),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory, lines, trained_vae):
    """Write a folder with a file of each format, and a model."""
    folder = tmp_path_factory.mktemp("good")
    for extension in ("trk", "tck", "trx"):
        save_tractogram(make_tractogram(lines), folder / f"good.{extension}")
    save_latents(encode(trained_vae, make_tractogram(lines)), folder / "good.h5")
    save_model(trained_vae, folder / "vae.keras")
    return folder


def break_trk(good, path, name):
    content = bytearray((good / "good.trk").read_bytes())
    at, layout, *values = TRK[name]
    struct.pack_into(layout, content, at, *values)
    path.write_bytes(content)


def break_tck(good, path, name):
    pattern, new = TCK[name]
    content, n_changed = re.subn(
        pattern, lambda _: new, (good / "good.tck").read_bytes(), count=1
    )
    assert n_changed == 1
    path.write_bytes(content)


def break_trx(good, path, name):
    with zipfile.ZipFile(good / "good.trx") as archive:
        parts = {item: archive.read(item) for item in archive.namelist()}
    TRX[name](parts)
    packing = zipfile.ZIP_DEFLATED if name == "a bomb" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", packing) as archive:
        for item, value in parts.items():
            archive.writestr(item, value)


BREAKS = {"trk": break_trk, "tck": break_tck, "trx": break_trx}
CASES = [
    *(("trk", name) for name in TRK),
    *(("tck", name) for name in TCK),
    *(("trx", name) for name in TRX),
]


@pytest.mark.timeout(20, func_only=True)
@pytest.mark.parametrize("extension, name", CASES)
def test_broken_tractogram(good, tmp_path, extension, name):
    path = tmp_path / f"bad.{extension}"
    BREAKS[extension](good, path, name)
    before = files_below(tmp_path.parent)
    messages = []
    with pytest.raises(InputFileError, match=f"bad.{extension}") as caught:
        for _ in (reader := TractogramChunks(path, good / "good.trk")):
            pass
    messages.append(str(caught.value))
    with pytest.raises(InputFileError, match=f"bad.{extension}") as caught:
        load_tractogram(path, good / "good.trk")
    messages.append(str(caught.value))
    for message in messages:
        assert "damaged" in message or "promises" in message
        assert "\n" not in message
    assert files_below(tmp_path.parent) == before
    del caught
    if "reader" in locals():
        reader.close()


@pytest.mark.parametrize(
    "extension, name",
    [("trk", "2^31 streamlines"), ("tck", "negative count"), ("trx", "a bomb")],
)
@pytest.mark.parametrize("command", ["encode", "reconstruct", "train"])
def test_through_the_commands(good, tmp_path, capsys, extension, name, command):
    path = tmp_path / f"bad.{extension}"
    BREAKS[extension](good, path, name)
    model = () if command == "train" else (good / "vae.keras",)
    result = call_command(
        capsys, f"dipy_{command}_vae", *model, path, "--reference", good / "good.trk",
        "--out_dir", tmp_path / "out",
    )  # fmt: skip
    assert_refused(result, path.name)
    assert not files_below(tmp_path / "out")


@pytest.mark.parametrize("sizes", [(4, 2, 7), (4, 0, 2, 0, 7)])
def test_trk_with_data_or_streamlines_without_points(sizes, tmp_path):
    """What counts in its size: points, numbers per point and per streamline."""
    lines = [np.full((size, 3), size, np.float32) for size in sizes]
    per_point = {"a": [np.ones((size, 2), "f4") for size in sizes]}
    tractogram = nib.streamlines.Tractogram(lines, affine_to_rasmm=np.eye(4))
    if all(sizes):  # nibabel cannot read data of streamlines without points.
        tractogram.data_per_point = per_point
        tractogram.data_per_streamline = {"b": np.ones((len(sizes), 3))}
    path = tmp_path / "a.trk"
    nib.streamlines.save(tractogram, str(path), header={"dimensions": (9, 9, 9)})
    assert sum(sum(map(len, chunk)) for chunk in TractogramChunks(path)) == 13
    assert load_tractogram(path).streamlines.total_nb_rows == 13


def test_what_is_unusual_but_right(good, tmp_path):
    """TrackVis' ways not to say a count or an affine, and other types of numbers."""
    path = tmp_path / "a.trk"
    content = bytearray((good / "good.trk").read_bytes())
    struct.pack_into("<i", content, COUNT, 0)
    struct.pack_into("<16f", content, AFFINE, *[0] * 16)
    path.write_bytes(content)
    assert sum(map(len, TractogramChunks(path))) == 60
    with zipfile.ZipFile(good / "good.trx") as archive:
        parts = {item: archive.read(item) for item in archive.namelist()}
    parts["positions.3.float64"] = (
        np.frombuffer(parts.pop("positions.3.float32"), "f4").astype("f8").tobytes()
    )
    offsets = np.frombuffer(parts.pop("offsets.uint32"), "u4")
    parts["offsets.int64"] = offsets.astype("i8").tobytes()
    with zipfile.ZipFile(tmp_path / "a.trx", "w", zipfile.ZIP_DEFLATED) as archive:
        for item, value in parts.items():
            archive.writestr(item, value)
    (chunk,) = TractogramChunks(tmp_path / "a.trx")
    assert len(chunk) == 60
    np.testing.assert_allclose(
        chunk._data,
        load_tractogram(good / "good.trx").streamlines._data,
        rtol=1e-6,
    )


# Latents


def replace(name, function):
    def apply(file, folder):
        values = file[name][:]
        del file[name]
        file[name] = function(values)

    return apply


def create(name, *args, **kwargs):
    def apply(file, folder):
        del file[name]
        file.create_dataset(name, *args, **kwargs)

    return apply


def link(name, make):
    def apply(file, folder):
        with h5py.File(folder / "other.h5", "w") as other:
            other[name] = file[name][:]
        del file[name]
        file[name] = make(folder)

    return apply


def attribute(**values):
    return lambda file, folder: file.attrs.update(values)


def hostile(function):
    return lambda file, folder: function(file, "mean", folder)


LATENTS = {
    "mean of text": replace("mean", lambda x: x.astype("S5")),
    "complex mean": replace("mean", lambda x: x.astype(complex)),
    "long doubles": replace("mean", lambda x: x.astype(np.longdouble)),
    "mean of whole numbers": replace("mean", lambda x: x.astype(int)),
    "records": replace("mean", lambda x: x.view([("a", "f4", 5)])),
    "one dimension": replace("mean", lambda x: x[:, 0]),
    "three dimensions": replace("mean", lambda x: x[..., None]),
    "narrow log_var": replace("log_var", lambda x: x[:, :2]),
    "index with points": replace("index", lambda x: x + 0.5),
    "index beyond": replace("index", lambda x: x + 1000),
    "negative index": replace("index", lambda x: x - 1),
    "is_reversed of floats": replace("is_reversed", lambda x: x.astype(float)),
    "huge": create("mean", (10**12, 5), "f4", chunks=(1000, 5)),
    "bomb": create("mean", (10**9, 5), "f4", chunks=(10**6, 5), compression="gzip"),
    "huge chunk": create(
        "mean", (60, 5), "f4", chunks=(10**8, 5), maxshape=(None, 5), compression="gzip"
    ),
    "a group": lambda file, folder: (file.pop("mean"), file.create_group("mean")),
    "external link": link(
        "mean", lambda folder: h5py.ExternalLink(str(folder / "other.h5"), "mean")
    ),
    "soft link": link("mean", lambda folder: h5py.SoftLink("/log_var")),
    "affine of zeros": attribute(space_affine=np.zeros((4, 4))),
    "affine of text": attribute(space_affine="x"),
    "affine of nan": attribute(space_affine=np.full((4, 4), NAN)),
    "negative dimensions": attribute(space_dimensions=[-1, 3, 3]),
    "voxels of no size": attribute(space_voxel_sizes=[0.0, 1, 1]),
    "rejects of another kind": attribute(rejects="[]"),
    "version of text": attribute(format_version="x"),
    "count of text": attribute(n_streamlines="x"),
    "negative count": attribute(n_streamlines=-1),
    "affine of inf": attribute(space_affine=np.full((4, 4), INF)),
    "dimensions of inf": attribute(space_dimensions=[INF, 3, 3]),
    "no voxel order": lambda file, folder: file.attrs.pop("space_voxel_order"),
    "rejects of nan": attribute(rejects='{"a": NaN}'),
    "negative rejects": attribute(rejects='{"a": -1}'),
    "rejects of floats": attribute(rejects='{"a": 0.5}'),
    "more rejects than streamlines": attribute(rejects='{"a": 1000000}'),
    "deep rejects": attribute(rejects="[" * 10**4),
    "large rejects": attribute(rejects='{"a": ' + "1" * 5000 + "}"),
    "fingerprint of numbers": attribute(fingerprint=np.zeros(3)),
    "tractogram of numbers": attribute(tractogram=3),
    **{kind: hostile(function) for kind, function in KINDS.items()},
}


@pytest.mark.timeout(20, func_only=True)
@pytest.mark.parametrize("name", LATENTS)
def test_broken_latents(good, tmp_path, capsys, name):
    path = tmp_path / "bad.h5"
    path.write_bytes((good / "good.h5").read_bytes())
    with h5py.File(path, "a") as file:
        LATENTS[name](file, tmp_path)
    with pytest.raises(InputFileError, match="bad.h5") as caught:
        load_latents(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mean of text", "bomb", "unknown voxel order"])
def test_broken_latents_through_the_command(good, tmp_path, capsys, name):
    path = tmp_path / "bad.h5"
    path.write_bytes((good / "good.h5").read_bytes())
    with h5py.File(path, "a") as file:
        LATENTS.get(name, attribute(space_voxel_order="XYZ"))(file, tmp_path)
    out = tmp_path / "out"
    result = call_command(
        capsys, "dipy_decode_vae", good / "vae.keras", path, "--out_dir", out
    )
    assert_refused(result, path.name)
    assert not files_below(out)
