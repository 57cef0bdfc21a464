import locale

from dipy.io.streamline import save_tractogram as dipy_save
from dipy.io.vtk import have_fury
from flow_data import save_reference
from made_data import AFFINE, DIMENSIONS, make_tractogram
import numpy as np
import pytest

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.io.formats import EXTENSIONS
from dipy_tractoencoder.io.tractogram import (
    check_output_extension,
    check_tractogram_path,
    load_tractogram,
    save_tractogram,
)

OWN_SPACE = (".trk", ".trx")
OF_FURY = (".vtk", ".vtp", ".fib")
every_format = pytest.mark.parametrize("suffix", EXTENSIONS)


def needs_fury(suffix):
    if suffix in OF_FURY and not have_fury:
        pytest.skip(f"DIPY needs FURY below 1.0 for {suffix}, and it is not there")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return save_reference(tmp_path_factory.mktemp("image") / "b0.nii.gz")


def write(tractogram, path):
    before = locale.setlocale(locale.LC_ALL)
    assert dipy_save(tractogram, str(path), bbox_valid_check=False) is not False
    locale.setlocale(locale.LC_ALL, before)  # VTK sets another one.
    return path


def assert_same_lines(found, lines, atol=1e-3):
    assert len(found) == len(lines)
    for first, second in zip(found.streamlines, lines):
        np.testing.assert_allclose(first, second, atol=atol)


def refused(path, *arguments):
    with pytest.raises(InputFileError) as caught:
        load_tractogram(path, *arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@every_format
def test_all_formats_hold_the_same_streamlines(
    tractogram, lines, reference, tmp_path, suffix
):
    needs_fury(suffix)
    path = write(tractogram, tmp_path / f"a{suffix}")
    found = load_tractogram(path, None if suffix in OWN_SPACE else reference)
    assert_same_lines(found, lines)
    assert (found.space.value, found.origin.value) == ("rasmm", "center")
    np.testing.assert_allclose(found.affine, AFFINE)
    assert tuple(found.dimensions) == DIMENSIONS


@every_format
def test_saving_and_loading(tractogram, lines, reference, tmp_path, suffix):
    needs_fury(suffix)
    path = tmp_path / "new folder" / f"a{suffix}"
    tractogram.to_vox()
    save_tractogram(tractogram, path)
    assert_same_lines(load_tractogram(path, reference), lines)
    assert list(path.parent.iterdir()) == [path]


@every_format
def test_the_locale_stays(tractogram, reference, tmp_path, suffix):
    """And with it the encoding in which Python opens text files."""
    needs_fury(suffix)
    before = locale.setlocale(locale.LC_ALL)
    save_tractogram(tractogram, tmp_path / f"a{suffix}")
    load_tractogram(tmp_path / f"a{suffix}", reference)
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.mark.parametrize("nothing", [np.zeros((2, 5, 3)), [np.zeros((5, 3))], "a.trk"])
def test_saving_what_is_no_tractogram_says_how_to_make_one(nothing, tmp_path):
    with pytest.raises(
        InvalidArgumentError, match=r"(array|a\.trk).*StatefulTractogram\("
    ):
        save_tractogram(nothing, tmp_path / "b.trk")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", (".trk", ".trx", ".tck", ".dpy"))
def test_points_out_of_the_image_are_kept(lines, reference, tmp_path, suffix):
    far = [line + np.float32(500) for line in lines]
    path = tmp_path / f"a{suffix}"
    save_tractogram(make_tractogram(far), path)
    assert_same_lines(load_tractogram(path, reference), far)


@pytest.mark.parametrize("suffix", (".trk", ".trx", ".tck"))
def test_empty_tractogram(tractogram, reference, tmp_path, suffix):
    path = write(tractogram[:0], tmp_path / f"a{suffix}")
    assert len(load_tractogram(path, reference)) == 0


def test_reference_is_not_needed_nor_used_where_the_file_has_its_own(
    tractogram, lines, tmp_path
):
    path = write(tractogram, tmp_path / "a.trk")
    assert_same_lines(load_tractogram(path, tmp_path / "no.nii.gz"), lines)
    assert_same_lines(load_tractogram(str(path)), lines)


def test_a_trk_can_be_the_reference(tractogram, lines, tmp_path):
    path = write(tractogram, tmp_path / "a.tck")
    trk = write(tractogram, tmp_path / "a.trk")
    assert_same_lines(load_tractogram(path, trk), lines)


def test_missing_file(tmp_path):
    path = tmp_path / "no.trk"
    message = refused(path)
    assert str(path) in message and "not found" in message


@pytest.mark.parametrize(
    "name, advice",
    [
        ("a.txt", "Convert it with the program that wrote it"),
        ("a", "Convert it"),
        ("a.nii.gz", "Convert it"),
        (".trk", "Convert it"),
        ("a.trk.bz2", "Unpack it"),
        ("a.tt", "Compress it with gzip"),
    ],
)
def test_unknown_extension(tmp_path, name, advice):
    path = tmp_path / name
    path.write_text("x")
    message = refused(path)
    assert str(path) in message and ".trx" in message and advice in message
    assert "dipy_convert_tractogram" not in message  # It reads no other format.


def test_a_folder_is_no_tractogram(tmp_path):
    (tmp_path / "a.trk").mkdir()
    assert str(tmp_path / "a.trk") in refused(tmp_path / "a.trk")


@pytest.mark.parametrize("suffix", (".tck", ".dpy", *OF_FURY))
def test_reference_is_asked_for(tmp_path, suffix):
    needs_fury(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_text("x")  # Not read before the reference is there.
    message = refused(path)
    assert str(path) in message and "`reference`" in message
    message = refused(path, tmp_path / "no.nii.gz")
    assert "no.nii.gz" in message and "not found" in message


def test_unusable_reference(tractogram, tmp_path):
    path = write(tractogram, tmp_path / "a.tck")
    wrong = tmp_path / "wrong.nii.gz"
    wrong.write_text("x")
    message = refused(path, wrong)
    assert str(path) in message and str(wrong) in message


@pytest.mark.parametrize("suffix", (".trk", ".tck", ".trx", ".dpy"))
@pytest.mark.parametrize("share", [0, 0.05, 0.7])
def test_cut_short(tractogram, reference, tmp_path, suffix, share):
    path = write(tractogram, tmp_path / f"a{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in refused(path, reference)


@pytest.mark.parametrize("suffix", (".trk", ".tck", ".trx", ".dpy"))
def test_something_else_under_the_name(reference, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(bytes(range(256)) * 20)
    assert str(path) in refused(path, reference)


@pytest.mark.skipif(have_fury, reason="FURY is installed")
@pytest.mark.parametrize("suffix", OF_FURY)
def test_without_fury_the_message_says_so(tractogram, reference, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(OutputFileError, match="FURY.*pip install"):
        save_tractogram(tractogram, path)
    assert not list(tmp_path.iterdir())
    path.write_text("x")
    assert ("FURY" in refused(path, reference)) == (suffix == ".vtp")


@every_format
def test_extensions_are_read_in_any_case(
    tractogram, reference, lines, tmp_path, suffix
):
    needs_fury(suffix)
    path = write(tractogram, tmp_path / f"a{suffix}")
    for other in (suffix.upper(), suffix.title()):
        path = path.rename(tmp_path / f"b{other}")
        assert_same_lines(load_tractogram(path, reference), lines)


def test_capital_extension_is_written_or_refused(tractogram, tmp_path):
    path = tmp_path / "a.TRK"
    try:
        save_tractogram(tractogram, path)
    except OutputFileError as err:
        assert str(path) in str(err)
        assert not list(tmp_path.iterdir())
    else:
        assert list(tmp_path.iterdir()) == [path]


def test_check_tractogram_path_reads_nothing(tmp_path, reference):
    path = tmp_path / "a.tck"
    path.write_text("no tractogram")
    check_tractogram_path(path, reference)
    with pytest.raises(InputFileError):
        check_tractogram_path(path)


def test_check_output_extension(tmp_path):
    check_output_extension(tmp_path / "a.trx")
    with pytest.raises(OutputFileError, match="a.txt"):
        check_output_extension(tmp_path / "a.txt")
    with pytest.raises(OutputFileError, match=".trx .trk"):
        check_output_extension(tmp_path / "a.tck", (".trx", ".trk"))


def test_failure_leaves_the_older_tractogram(tractogram, tmp_path, monkeypatch):
    path = write(tractogram, tmp_path / "a.trk")
    before = path.read_bytes()

    def fail(tractogram, name, **_):
        open(name, "w", encoding="utf-8").close()
        raise RuntimeError("stopped")

    monkeypatch.setattr("dipy.io.streamline.save_tractogram", fail)
    with pytest.raises(RuntimeError):
        save_tractogram(tractogram, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
