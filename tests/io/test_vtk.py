"""VTK, VTP and FIB files in RAS and in LPS."""

import copy
import logging
import pickle

from dipy.io.vtk import have_fury
from nibabel.streamlines import ArraySequence
import numpy as np
import pytest

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.vtk import Reference, read_vtk, write_vtk

FORMATS = (".vtk", ".vtp", ".fib")
needs_vtk = pytest.mark.skipif(not have_fury, reason="DIPY needs FURY for VTK")
LINES = ArraySequence(
    [
        np.array([[1, 2, 3], [4, 5, 6], [7, 8, 10]], np.float32),
        np.array([[-1, 2, 3], [-4, 5, 6]], np.float32),
    ]
)
MIRRORED = [line * [-1, -1, 1] for line in LINES]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for line, other in zip(found, expected):
        np.testing.assert_array_equal(line, other)


def said(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def ascii_vtk(path, title="vtk output"):
    """Write a file as other programs do, with cells in another order than points."""
    path.write_text(
        f"# vtk DataFile Version 3.0\n{title}\nASCII\nDATASET POLYDATA\n"
        "POINTS 5 float\n-1 2 3\n-4 5 6\n1 2 3\n4 5 6\n7 8 10\n"
        "LINES 2 7\n3 2 3 4\n2 0 1\n"
    )
    return path


def xml_vtp(path, space):
    """Write a VTP as 3D Slicer does, with its space as field data."""
    path.write_text(
        '<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian"><PolyData>'
        '<FieldData><Array type="String" Name="SPACE" NumberOfTuples="1" '
        f'format="ascii">{" ".join(str(ord(c)) for c in space)} 0</Array></FieldData>'
        '<Piece NumberOfPoints="5" NumberOfLines="2"><Points><DataArray type="Float32" '
        'NumberOfComponents="3" format="ascii">'
        "1 2 3 4 5 6 7 8 10 -1 2 3 -4 5 6</DataArray></Points><Lines>"
        '<DataArray type="Int64" Name="connectivity" format="ascii">0 1 2 3 4'
        '</DataArray><DataArray type="Int64" Name="offsets" format="ascii">3 5'
        "</DataArray></Lines></Piece></PolyData></VTKFile>"
    )
    return path


@needs_vtk
@pytest.mark.parametrize("extension", FORMATS)
def test_what_is_written_names_its_space(tmp_path, extension, caplog):
    path = tmp_path / f"a{extension}"
    write_vtk(path, LINES)
    assert b"SPACE" in path.read_bytes()
    with caplog.at_level("INFO"):
        assert_same(read_vtk(path), LINES)
        read_vtk(path)
    assert said(caplog, logging.INFO) == [
        f"{path}: its points are read as RAS, as the file says."
    ]
    assert not said(caplog, logging.WARNING)


@pytest.mark.parametrize(
    "title, expected",
    [
        ("3D Slicer output. SPACE=LPS", MIRRORED),
        ("3D Slicer output. SPACE=RAS", LINES),
        ("space = lps", MIRRORED),
    ],
)
def test_the_header_line_of_slicer_is_read(tmp_path, title, expected, caplog):
    assert_same(read_vtk(ascii_vtk(tmp_path / "a.vtk", title)), expected)
    assert_same(read_vtk(ascii_vtk(tmp_path / "A.FIB", title)), expected)
    assert not said(caplog, logging.WARNING)


@needs_vtk
@pytest.mark.parametrize("space, expected", [("LPS", MIRRORED), ("RAS", LINES)])
def test_the_field_data_of_slicer_are_read(tmp_path, space, expected):
    assert_same(read_vtk(xml_vtp(tmp_path / "a.VTP", space)), expected)


def test_a_space_that_is_assumed_is_said_once(tmp_path, caplog):
    paths = [ascii_vtk(tmp_path / name) for name in ("a.vtk", "b.vtk")]
    for path in [*paths, *paths]:
        assert_same(read_vtk(path), LINES)
    texts = said(caplog, logging.WARNING)
    assert len(texts) == 2 and all("RAS" in text for text in texts)
    assert str(paths[0]) in texts[0] and "`vtk_space`" in texts[0]


def test_the_space_that_is_chosen_wins_and_a_contradiction_is_said(tmp_path, caplog):
    silent = ascii_vtk(tmp_path / "a.vtk")
    lps = ascii_vtk(tmp_path / "b.vtk", "SPACE=LPS")
    assert_same(read_vtk(silent, "lps"), MIRRORED)
    assert_same(read_vtk(lps, "lps"), MIRRORED)
    assert not said(caplog, logging.WARNING)
    assert_same(read_vtk(lps, "ras"), LINES)
    (text,) = said(caplog, logging.WARNING)
    assert "RAS" in text and "says LPS" in text


@needs_vtk
@pytest.mark.parametrize("extension", FORMATS)
def test_files_that_are_cut_short_never_lose_streamlines(tmp_path, extension, capfd):
    path = tmp_path / f"a{extension}"
    write_vtk(path, LINES)
    content = path.read_bytes()
    for end in range(0, len(content) - 20, 7):
        path.write_bytes(content[:end])
        try:
            found = read_vtk(path)
        except InputFileError as err:
            assert str(path) in str(err)
        else:  # Only the colours, which are not read, are missing.
            assert_same(found, LINES)
            assert end > len(content) / 2
    assert capfd.readouterr().err == ""  # VTK itself is quiet.


def test_what_is_no_tractogram_is_refused(tmp_path):
    path = ascii_vtk(tmp_path / "a.vtk")
    text = path.read_text()
    for wrong, why in (
        (text.replace("POINTS 5", "POINTS 500000000"), "1500000000 numbers"),
        (text.replace("POINTS 5", "POINTS -5"), "-15 values|-5 values"),
        (text.replace("float", "complex"), "KeyError"),
        (text.replace("LINES 2 7", "LINES 3 7"), "longer than they say"),
        (text.replace("LINES 2 7", "LINES 1 7"), "4 values instead of 7"),
        (text.replace("POLYDATA", "STRUCTURED_GRID"), "no PolyData"),
        (text.replace("ASCII", "EBCDIC"), "neither ASCII nor BINARY"),
        (text.replace("LINES", "SPLINES"), "unknown part 'SPLINES'"),
        (text + "LINES 1 2\n1 0\n", "LINES twice"),
        (text.replace("7 8 10", "7 8 ten"), "ValueError"),
        (text.replace("2 0 1", "2 0 9"), "points that it does not have"),
        (text.replace("2 0 1", "2 0 -1"), "points that it does not have"),
        (text.replace("LINES", "POLYGONS"), "no lines"),
        (text.replace("vtk output", "SPACE=LAS"), "LAS"),
        (text.replace("# vtk", "# ftk"), "does not begin"),
    ):
        assert wrong != text
        path.write_text(wrong)
        with pytest.raises(InputFileError, match=why):
            read_vtk(path)


@needs_vtk
@pytest.mark.parametrize("extension", FORMATS)
def test_no_streamlines_are_written_and_read(tmp_path, extension):
    path = tmp_path / f"a{extension}"
    write_vtk(path, ArraySequence())
    assert len(read_vtk(path)) == 0


def test_a_reference_is_the_path_of_its_image_and_keeps_its_space(tmp_path):
    reference = Reference(tmp_path / "t1.nii.gz", "lps")
    assert reference == str(tmp_path / "t1.nii.gz")
    for other in (copy.deepcopy(reference), pickle.loads(pickle.dumps(reference))):
        assert (other, other.vtk_space) == (reference, "lps")
    assert Reference("t1.nii.gz").vtk_space is None
    with pytest.raises(InvalidArgumentError, match="vtk_space.*ras, lps.*LAS"):
        Reference("t1.nii.gz", "LAS")


@needs_vtk
@pytest.mark.parametrize("what", ["Points", "Lines"])
def test_counts_that_cannot_be_in_a_vtp_are_refused(tmp_path, what):
    path = xml_vtp(tmp_path / "a.vtp", "RAS")
    text = path.read_text()
    before = f'NumberOf{what}="{5 if what == "Points" else 2}"'
    assert before in text
    path.write_text(text.replace(before, f'NumberOf{what}="999999999"'))
    with pytest.raises(InputFileError, match="promises 999999999"):
        read_vtk(path)


def packed(*values, dtype=">f4"):
    return np.array(values).astype(dtype).tobytes() + b"\n"


def text_of_vtk(text):
    """Write a text of field data as VTK does."""
    return bytes([0xC0 | len(text)]) + text.encode()


@pytest.mark.parametrize("space, expected", [("LPS", MIRRORED), ("RAS", LINES)])
def test_all_parts_of_a_binary_file_are_passed_over(tmp_path, space, expected, caplog):
    metadata = b"METADATA\nINFORMATION 1\nNAME L LOCATION x\nDATA 1\n\n"
    content = (
        b"# vtk DataFile Version 5.1\r\nvtk output\nBINARY\nDATASET POLYDATA\n"
        b"FIELD FieldData 3\nnumbers 2 1 int\n" + packed(1, 2, dtype=">i4") + metadata +
        b"SPACE 1 1 string\n" + text_of_vtk(space) + b"\n"
        b"names 1 2 string\n" + text_of_vtk("ab\nc") + text_of_vtk("") + b"\n"
        b"POINTS 5 double\n"
        + packed(*np.concatenate(list(LINES)).ravel(), dtype=">f8") + metadata +
        b"VERTICES 1 2\n" + packed(1, 4, dtype=">i4") +
        b"LINES 3 5\nOFFSETS vtktypeint64\n" + packed(0, 3, 5, dtype=">i8") + metadata +
        b"CONNECTIVITY vtktypeint64\n" + packed(0, 1, 2, 3, 4, dtype=">i8") +
        b"POINT_DATA 5\nanything"
    )  # fmt: skip
    path = tmp_path / "a.vtk"
    path.write_bytes(content)
    assert_same(read_vtk(path), expected)
    assert not said(caplog, logging.WARNING)


@needs_vtk
def test_files_of_vtk_are_read_as_vtk_reads_them(tmp_path):
    import vtk

    path = tmp_path / "a.vtk"
    write_vtk(path, LINES)
    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    for version in (42, 51):
        for binary in (True, False):
            writer = vtk.vtkPolyDataWriter()
            writer.SetFileVersion(version)
            writer.SetFileName(str(path))
            writer.SetInputData(reader.GetOutput())
            if binary:
                writer.SetFileTypeToBinary()
            assert writer.Write()
            assert_same(read_vtk(path), LINES)


@needs_vtk
@pytest.mark.parametrize("extension", FORMATS)
def test_random_changes_end_in_streamlines_or_a_refusal(tmp_path, extension):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{extension}"
    write_vtk(path, LINES)
    content = path.read_bytes()
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    n_refused = 0
    for _ in range(100):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        changed[rng.choice(digits)] = ord("0") + rng.integers(10)
        path.write_bytes(bytes(changed))
        try:
            read_vtk(path)
        except InputFileError as err:
            n_refused += 1
            assert str(path) in str(err)
    assert 0 < n_refused < 100
