"""TRX files read: what trx-python reads, nothing written, every claim checked."""

import builtins
from contextlib import closing
import json
import logging
import os
import zipfile

from dipy.io.streamline import load_tractogram as dipy_load
import numpy as np
import pytest
from trx.trx_file_memmap import load as load_trx
from trx_data import rich_parts, trx_parts, write_trx

from dipy_tractoencoder import load_tractogram
from dipy_tractoencoder.errors import InputFileError, OutputFileError
from dipy_tractoencoder.io import zip_arrays
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.mapped import mapped_tractogram
from dipy_tractoencoder.io.trx import open_trx
from dipy_tractoencoder.io.writers import save_selection
from dipy_tractoencoder.segment.bundle_names import file_groups

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_all(path):
    """Read a file in every way there is; give its numbers of streamlines."""
    whole = load_tractogram(path)
    chunks = TractogramChunks(path, chunk_size=7)
    counts = [sum(map(len, chunks)), len(whole)]
    chunks.close()
    file_groups(path)
    with mapped_tractogram(path) as mapped:
        counts.append(len(mapped))
    return counts


def refused(path):
    """Try to read a file in every way there is; give the messages of the refusals."""
    messages = []
    for read in (load_tractogram, TractogramChunks, file_groups, open_trx):
        with pytest.raises(InputFileError, match=path.name) as caught:
            read(path)
        messages.append(str(caught.value))
    with pytest.raises(InputFileError, match=path.name):
        with mapped_tractogram(path):
            pass
    assert len(set(messages)) == 1, messages
    return messages[0]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_numbers_are_those_of_trx_python(
    tmp_path, lines, packing, in_memory, monkeypatch
):
    monkeypatch.setattr(zip_arrays, "IN_MEMORY", in_memory)
    path = write_trx(tmp_path / "a.trx", rich_parts(lines), packing=packing)
    before = path.read_bytes()
    ours = open_trx(path)
    assert path.read_bytes() == before
    with closing(load_trx(str(path))) as theirs:
        for name in ("_data", "_offsets", "_lengths"):
            np.testing.assert_array_equal(
                getattr(ours.streamlines, name), getattr(theirs.streamlines, name)
            )
        assert ours.per_streamline.keys() == theirs.data_per_streamline.keys()
        for name, values in theirs.data_per_streamline.items():
            np.testing.assert_array_equal(ours.per_streamline[name], values)
            assert ours.per_streamline[name].dtype == values.dtype
        assert ours.per_point.keys() == theirs.data_per_vertex.keys()
        for name, values in theirs.data_per_vertex.items():
            np.testing.assert_array_equal(ours.per_point[name]._data, values._data)
            assert ours.per_point[name]._data.dtype == values._data.dtype
        assert ours.groups.keys() == theirs.groups.keys() == {"AF", "CST"}
        for name, members in theirs.groups.items():
            np.testing.assert_array_equal(ours.groups[name], members)
        assert ours.per_group.keys() == theirs.data_per_group.keys()
        for name, data in theirs.data_per_group.items():
            assert ours.per_group[name].keys() == data.keys()
            for kind, values in data.items():
                np.testing.assert_array_equal(ours.per_group[name][kind], values)
    ours.close()
    assert len(ours) == 0


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_tractogram_is_that_of_dipy(tmp_path, lines, kind):
    parts = rich_parts(lines)
    points = np.frombuffer(parts.pop("positions.3.float32"), "<f4")
    parts[f"positions.3.{kind}"] = points.astype(kind).tobytes()
    path = write_trx(tmp_path / "a.trx", parts)
    ours = load_tractogram(path)
    theirs = dipy_load(str(path), "same", bbox_valid_check=False)
    np.testing.assert_array_equal(ours.streamlines._data, theirs.streamlines._data)
    assert ours.streamlines._data.dtype == theirs.streamlines._data.dtype == kind
    for name in ("affine", "dimensions", "voxel_sizes"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.voxel_order == theirs.voxel_order
    assert ours.data_per_streamline.keys() == theirs.data_per_streamline.keys()
    for name, values in theirs.data_per_streamline.items():
        np.testing.assert_array_equal(ours.data_per_streamline[name], values)
        assert ours.data_per_streamline[name].dtype == values.dtype
    for name, values in theirs.data_per_point.items():
        np.testing.assert_array_equal(ours.data_per_point[name]._data, values._data)
    chunks = list(TractogramChunks(path, chunk_size=7))
    np.testing.assert_array_equal(
        np.concatenate([chunk._data for chunk in chunks]), theirs.streamlines._data
    )
    assert chunks[1]._offsets[0] == 0


def test_directory_that_overstates_a_size_does_not_extend_the_file(tmp_path, lines):
    """A file that is mapped for writing becomes."""
    n_claimed = 100_000
    parts = trx_parts(lines, header={"NB_VERTICES": n_claimed})
    offsets = np.frombuffer(parts["offsets.uint64"], "<u8").copy()
    offsets[-1] = n_claimed
    parts["offsets.uint64"] = offsets.tobytes()
    path = write_trx(
        tmp_path / "a.trx", parts, overstated={"positions.3.float32": 12 * n_claimed}
    )
    before = path.read_bytes()
    assert "1200000" in refused(path)
    assert path.read_bytes() == before


def test_parts_that_overlap_are_refused(tmp_path, lines):
    """Bytes of the next part would be taken for points."""
    parts = trx_parts(lines, header={"NB_VERTICES": sum(map(len, lines)) + 2})
    parts["dps/a.float32"] = bytes(4 * len(lines))
    offsets = np.frombuffer(parts["offsets.uint64"], "<u8").copy()
    offsets[-1] += 2
    parts["offsets.uint64"] = offsets.tobytes()
    name = "positions.3.float32"
    size = len(parts[name])
    path = write_trx(tmp_path / "a.trx", parts, overstated={name: size + 24})
    content = path.read_bytes()
    # The part's own head says the same, so that only its neighbour contradicts.
    at = content.index(name.encode()) - 12
    content = bytearray(content)
    content[at : at + 8] = np.array([size + 24] * 2, "<u4").tobytes()
    path.write_bytes(content)
    assert "next begins" in refused(path)


@pytest.mark.parametrize("packing", PACKINGS)
def test_input_is_opened_for_reading_only(tmp_path, lines, packing, monkeypatch):
    """A shared atlas may be read by all, and written by nobody."""
    path = write_trx(tmp_path / "a.trx", rich_parts(lines), packing=packing)
    path.chmod(0o444)
    opened = builtins.open

    def only_reading(name, mode="r", *arguments, **options):
        assert str(name) != str(path) or not set(mode) & set("wa+x"), mode
        return opened(name, mode, *arguments, **options)

    monkeypatch.setattr(builtins, "open", only_reading)
    assert read_all(path) == [60, 60, 60]
    content = path.read_bytes()
    with mapped_tractogram(path) as mapped:
        sequences = [mapped.streamlines, *mapped.per_point.values()]
        some = [sequence[:2]._data for sequence in sequences]
        some += [values[:2] for values in mapped.per_streamline.values()]
        for values in some:  # A copy if it can be written to.
            if values.flags.writeable:
                values[:] = 0
    assert path.read_bytes() == content


@pytest.mark.parametrize("size", [0, 300, 0.5, 0.99, 1.01])
def test_a_file_that_changes_gives_errors_and_no_signal(tmp_path, lines, size):
    """With a memory map, reading beyond the end of the file ended the process."""
    long = [np.tile(line, (200, 1)) for line in lines]
    path = write_trx(tmp_path / "a.trx", rich_parts(long))
    with mapped_tractogram(path) as mapped:
        with open(path, "r+b") as file:
            file.truncate(size if size > 1.01 else int(size * path.stat().st_size))
        os.utime(path, (1, 1))
        rows = np.arange(0, len(long), 3)
        for values in (
            mapped.streamlines,
            *mapped.per_point.values(),
            *mapped.per_streamline.values(),
        ):
            for idx in (slice(None), rows, rows[::-1]):
                with pytest.raises(InputFileError, match="a.trx.*changed while"):
                    values[idx]
            with pytest.raises(InputFileError, match="a.trx.*changed while"):
                save_selection(mapped, rows, tmp_path / "out.trx")
    assert not (tmp_path / "out.trx").exists()


@pytest.mark.parametrize("packing", PACKINGS)
def test_rows_of_data_are_those_of_the_whole(tmp_path, lines, packing):
    path = write_trx(tmp_path / "a.trx", rich_parts(lines), packing=packing)
    some = [
        slice(3, 40, 4),
        slice(None, None, -1),
        np.array([5, 2, 2, 40]),
        np.arange(60) % 3 == 1,
        np.array([], np.int64),
        (slice(2, 9), 0),
        7,
        -1,
    ]
    with closing(open_trx(path)) as trx:
        for values in trx.per_streamline.values():
            whole = np.asarray(values)
            assert (values.shape, values.ndim) == (whole.shape, 2)
            assert values.dtype == whole.dtype and len(values) == len(whole) == 60
            for idx in some:
                np.testing.assert_array_equal(values[idx], whole[idx])
            with pytest.raises(IndexError):
                values[60]


@pytest.mark.parametrize("packing", PACKINGS)
def test_offsets_of_older_writers(tmp_path, lines, packing):
    """They left the last one out: it is the number of points."""
    parts = trx_parts(lines, dps={"a.float32": np.arange(60, dtype="<f4")})
    new = open_trx(write_trx(tmp_path / "new.trx", parts))
    parts["offsets.uint64"] = parts["offsets.uint64"][:-8]
    path = write_trx(tmp_path / "old.trx", parts, packing=packing)
    assert read_all(path) == [60, 60, 60]
    np.testing.assert_array_equal(
        open_trx(path).streamlines._lengths, new.streamlines._lengths
    )


@pytest.mark.parametrize(
    "header, promised",
    [({"NB_STREAMLINES": 61}, 61), ({"NB_STREAMLINES": 59}, 59)],
)
def test_header_that_counts_otherwise_is_refused(tmp_path, lines, header, promised):
    """One more would be offsets of older writers, with a last streamline of nothing."""
    path = write_trx(tmp_path / "a.trx", trx_parts(lines, header=header))
    message = refused(path)
    assert f"promises {promised} streamlines" in message and "61" in message


def test_old_offsets_and_a_wrong_count(tmp_path, lines):
    """As a file that goes with NiiVue: its header counts 459, its arrays hold 460."""
    parts = trx_parts(lines, header={"NB_STREAMLINES": 59})
    parts["offsets.uint64"] = parts["offsets.uint64"][:-8]
    message = refused(write_trx(tmp_path / "a.trx", parts))
    assert "promises 59 streamlines" in message and "60 offsets" in message


@pytest.mark.parametrize(
    "name, members, said",
    [
        ("AF.uint32", np.arange(60, dtype="<u4") + 10**6, "1000000, of 60"),
        ("AF.uint32", np.array([1, 60], "<u4"), "60, of 60"),
        ("AF.int64", -1 - np.arange(60, dtype="<i8"), "-60, of 60"),
        ("AF.uint64", np.array([2**64 - 1], "<u8"), f"{2**64 - 1}, of 60"),
        ("AF.float32", np.array([1, 2], "<f4"), "does not contain indices"),
        ("AF.2.uint32", np.array([1, 2], "<u4"), "does not contain indices"),
    ],
)
def test_groups_of_what_is_not_there_are_refused(tmp_path, lines, name, members, said):
    """Negative numbers would count from the end."""
    parts = trx_parts(lines, groups={name: members})
    message = refused(write_trx(tmp_path / "a.trx", parts))
    assert "group AF" in message and said.split(",")[0] in message


@pytest.mark.parametrize(
    "folder, name, n_numbers",
    [("dps", "a.float32", 59), ("dps", "a.2.float32", 60), ("dpv", "a.uint8", 60)],
)
def test_data_of_another_size_are_refused(tmp_path, lines, folder, name, n_numbers):
    kind = name.rpartition(".")[2]
    parts = trx_parts(lines, **{folder: {name: np.zeros(n_numbers, kind)}})
    message = refused(write_trx(tmp_path / "a.trx", parts))
    assert f"{folder} a has {n_numbers} numbers" in message


def test_data_of_a_group_that_is_not_there_are_refused(tmp_path, lines):
    parts = trx_parts(lines, dpg={"UF/fa.float32": np.zeros(1, "f4")})
    assert "group UF" in refused(write_trx(tmp_path / "a.trx", parts))


def test_two_data_of_one_name_are_refused(tmp_path, lines):
    parts = trx_parts(
        lines, dps={"a.float32": np.zeros(60, "f4"), "a.uint8": np.zeros(60, "u1")}
    )
    assert "two parts named a" in refused(write_trx(tmp_path / "a.trx", parts))


def test_what_is_no_part_of_a_trx_is_left_out(tmp_path, lines, caplog):
    parts = trx_parts(lines, dps={"a.complex64": np.zeros(60, "c8")})
    parts |= {"__MACOSX/._dps": b"x", "readme.txt": b"hello", "dps/": b""}
    path = write_trx(tmp_path / "a.trx", parts)
    with caplog.at_level(logging.WARNING):
        assert len(open_trx(path)) == 60
    assert "dps/a.complex64" in caplog.text and "readme" in caplog.text
    assert "MACOSX" not in caplog.text


def test_streamlines_without_points(tmp_path, lines):
    some = [lines[0], np.empty((0, 3)), lines[1], np.empty((0, 3))]
    path = write_trx(tmp_path / "a.trx", trx_parts(some))
    assert read_all(path) == [4, 4, 4]
    assert [len(line) for line in open_trx(path).streamlines] == list(map(len, some))
    path = write_trx(tmp_path / "b.trx", trx_parts([np.empty((0, 3))] * 3))
    assert read_all(path) == [3, 3, 3]


def test_no_streamlines(tmp_path):
    path = write_trx(tmp_path / "a.trx", trx_parts([np.empty((0, 3))]))
    parts = trx_parts([np.empty((0, 3))], header={"NB_STREAMLINES": 0})
    parts["offsets.uint64"] = parts["offsets.uint64"][:8]
    assert read_all(write_trx(path, parts)) == [0, 0, 0]


def test_names_with_dots_and_escapes(tmp_path, lines):
    """Dots stand for themselves here; what we escape is brought back."""
    numbers = np.arange(60, dtype="<f4")
    names = {
        "fa.mean.float32": "fa.mean",
        "fa%2Estd.float32": "fa.std",
        "a.b.1.float32": "a.b",
        "50%.float32": "50%",
        "MD%2FFA.float32": "MD/FA",
        "pval  .float32": "pval  ",
        "both%2E.float32": "both%2E",
        "both..float32": "both.",
    }
    parts = trx_parts(lines, dps=dict.fromkeys(names, numbers))
    trx = open_trx(write_trx(tmp_path / "a.trx", parts))
    assert set(trx.per_streamline) == set(names.values())


def test_reference_is_not_written_to(tmp_path, lines, monkeypatch):
    """DIPY takes the space of a TRX through trx-python, which maps it for writing."""
    from dipy_tractoencoder import save_tractogram

    reference = write_trx(tmp_path / "reference.trx", trx_parts(lines))
    whole = load_tractogram(reference)
    save_tractogram(whole, tmp_path / "a.tck")

    def no_reader(*arguments, **options):
        raise AssertionError("trx-python reads")

    monkeypatch.setattr("trx.trx_file_memmap.load", no_reader)
    np.testing.assert_array_equal(
        load_tractogram(tmp_path / "a.tck", reference).affine, whole.affine
    )
    chunks = TractogramChunks(tmp_path / "a.tck", reference)
    np.testing.assert_array_equal(chunks.space["dimensions"], whole.dimensions)


def test_no_room_to_unpack(tmp_path, lines, monkeypatch):
    class Full:
        def __init__(self, **options):
            self.closed = False

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.closed = True

        def write(self, content):
            raise OSError(28, "No space left on device")

    path = write_trx(tmp_path / "a.trx", trx_parts(lines), packing=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zip_arrays, "IN_MEMORY", 0)
    monkeypatch.setattr(zip_arrays.tempfile, "TemporaryFile", Full)
    for read in (open_trx, load_tractogram, TractogramChunks):
        with pytest.raises(OutputFileError, match="a.trx.*No space.*TMPDIR"):
            read(path)


@pytest.mark.parametrize("dimensions", [[70000, 5, 5], [5.5, 5, 5], [0, 5, 5]])
def test_dimensions_that_no_image_has(tmp_path, lines, dimensions):
    parts = trx_parts(lines)
    header = {**json.loads(parts["header.json"]), "DIMENSIONS": dimensions}
    parts["header.json"] = json.dumps(header).encode()
    assert "dimensions" in refused(write_trx(tmp_path / "a.trx", parts))
