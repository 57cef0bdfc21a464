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


@needs_vtk
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


@needs_vtk
def test_a_space_that_is_assumed_is_said_once(tmp_path, caplog):
    paths = [ascii_vtk(tmp_path / name) for name in ("a.vtk", "b.vtk")]
    for path in [*paths, *paths]:
        assert_same(read_vtk(path), LINES)
    texts = said(caplog, logging.WARNING)
    assert len(texts) == 2 and all("RAS" in text for text in texts)
    assert str(paths[0]) in texts[0] and "`vtk_space`" in texts[0]


@needs_vtk
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


@needs_vtk
def test_what_is_no_tractogram_is_refused(tmp_path):
    path = ascii_vtk(tmp_path / "a.vtk")
    text = path.read_text()
    for wrong, why in (
        (text.replace("POINTS 5", "POINTS 500000000"), "500000000 points"),
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
