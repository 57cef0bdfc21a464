"""Known transforms in files of DIPY, ITK and ANTs."""

import base64

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.align.affine_files import LARGEST_FILE
from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)

TO_LPS = np.array([-1.0, -1.0, 1.0])
POINTS = np.array([[0.0, 0, 0], [10, 0, 0], [0, 20, 0], [1, 2, 3]])
AFFINE = "1.1 0.1 0.2 -0.1 0.9 0.3 0.05 -0.2 1.05 4 5 6"
CENTRE = "3 -5 7"

# Points to which SimpleITK 2.5.7 moves POINTS (both LPS, mm), by kind of transform,
# parameters and fixed parameters.
BY_ITK = {
    "affine": (
        ("AffineTransform", AFFINE, CENTRE),
        [[2.8, 2.7, 4.5], [13.8, 1.7, 5.0], [4.8, 20.7, 0.5], [4.7, 5.3, 7.3]],
    ),
    "base": (
        ("MatrixOffsetTransformBase", AFFINE, CENTRE),
        [[2.8, 2.7, 4.5], [13.8, 1.7, 5.0], [4.8, 20.7, 0.5], [4.7, 5.3, 7.3]],
    ),
    "Euler": (
        ("Euler3DTransform", "0.1 0.2 0.3 1 2 3", f"{CENTRE} 0"),
        [
            [-1.792491, 1.070424, 4.266005],
            [7.51183, 4.156199, 2.289237],
            [-7.673367, 20.0817, 6.262674],
            [-0.794014, 3.175842, 7.193506],
        ],
    ),
    "Euler, other order": (
        ("Euler3DTransform", "0.1 0.2 0.3 1 2 3", f"{CENTRE} 1"),
        [
            [-1.712814, 1.171936, 4.259033],
            [7.65012, 4.068231, 2.272339],
            [-7.214731, 20.300438, 6.215901],
            [-0.67166, 3.263545, 7.181561],
        ],
    ),
    "versor": (
        ("VersorTransform", "0.1 0.2 0.3", CENTRE),
        [
            [-4.818699, -2.330945, 3.160196],
            [2.581301, 3.633226, 0.050749],
            [-15.147041, 13.669055, 9.269643],
            [-3.818699, -0.330945, 6.160196],
        ],
    ),
    "rigid": (
        ("VersorRigid3DTransform", "0.1 0.2 0.3 1 2 3", CENTRE),
        [
            [-3.818699, -0.330945, 6.160196],
            [3.581301, 5.633226, 3.050749],
            [-14.147041, 15.669055, 12.269643],
            [-2.818699, 1.669055, 9.160196],
        ],
    ),
    "similarity": (
        ("Similarity3DTransform", "0.1 0.2 0.3 1 2 3 1.2", CENTRE),
        [
            [-5.382438, 0.202866, 5.392235],
            [3.497562, 7.359872, 1.660898],
            [-17.776449, 19.402866, 12.723572],
            [-4.182438, 2.602866, 8.992235],
        ],
    ),
    "translation": (
        ("TranslationTransform", "1 2 3", ""),
        [[1.0, 2.0, 3.0], [11.0, 2.0, 3.0], [1.0, 22.0, 3.0], [2.0, 4.0, 6.0]],
    ),
    "identity": (("IdentityTransform", "", ""), POINTS.tolist()),
}
# The file of "Euler", and the one that antsRegistration (antspyx 0.6) wrote for a
# template and a subject whose content is that of the template moved by 6, 3, -2 mm.
MAT_OF_EULER = base64.b64decode(
    "AAAAAAYAAAABAAAAAAAAABwAAABFdWxlcjNEVHJhbnNmb3JtX2RvdWJsZV8zXzMAmpmZmZmZuT+amZmZmZnJ"
    "PzMzMzMzM9M/AAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhAAAAAAAQAAAABAAAAAAAAAAYAAABmaXhlZAAAAAAA"
    "AAAIQAAAAAAAABTAAAAAAAAAHEAAAAAAAAAAAA=="
)
MAT_OF_ANTS = base64.b64decode(
    "CgAAAAwAAAABAAAAAAAAABoAAABBZmZpbmVUcmFuc2Zvcm1fZmxvYXRfM18zAPz/fz8iRCm6dkG7OTTdKDpj"
    "/38/zC2MO8CzvLncK4y7Zf9/Pxrmv8C29z/AOhEAwAoAAAADAAAAAQAAAAAAAAAGAAAAZml4ZWQAruHuvsq6"
    "O749o4I+"
)


def itk_text(kind, parameters, fixed, suffix="_double_3_3"):
    return (
        "#Insight Transform File V1.0\n#Transform 0\n"
        f"Transform: {kind}{suffix}\nParameters: {parameters}\n"
        f"FixedParameters: {fixed}\n"
    )


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return path


def some_matrix(seed=0):
    matrix = np.eye(4)
    matrix[:3] += np.random.default_rng(seed).normal(size=(3, 4)) * [0.2, 0.2, 0.2, 30]
    return matrix


# ITK


@pytest.mark.parametrize("case", BY_ITK)
@pytest.mark.parametrize("name", ["0GenericAffine.txt", "transform.tfm", "t.TXT"])
def test_itk_text_moves_points_as_itk_does(case, name, tmp_path):
    about, expected = BY_ITK[case]
    path = write(tmp_path / name, itk_text(*about))
    # ITK maps the fixed image, of the model, to the subject: that is the inverse.
    back = dte.load_alignment(path).inverse()
    np.testing.assert_allclose(
        back.apply(POINTS * TO_LPS) * TO_LPS, expected, atol=1e-6
    )
    same = dte.load_alignment(path, invert=True)
    np.testing.assert_allclose(same.matrix, back.matrix, atol=1e-12)
    assert (same.transform, same.verdict) == ("given", "unchecked")


def test_itk_mat_file(tmp_path):
    path = write(tmp_path / "0GenericAffine.mat", MAT_OF_EULER)
    moved = dte.load_alignment(path, invert=True).apply(POINTS * TO_LPS) * TO_LPS
    np.testing.assert_allclose(moved, BY_ITK["Euler"][1], atol=1e-6)


def test_streamlines_of_the_subject_reach_the_template_by_the_file_of_ants(tmp_path):
    path = write(tmp_path / "0GenericAffine.mat", MAT_OF_ANTS)
    template = np.random.default_rng(0).uniform(-10, 10, (50, 3))
    subject = template + [6, 3, -2]
    moved = dte.load_alignment(path).apply(subject)
    assert np.linalg.norm(moved - template, axis=1).max() < 0.15
    wrong = dte.load_alignment(path, invert=True).apply(subject)
    assert np.linalg.norm(wrong - template, axis=1).min() > 10


def test_windows_line_ends_byte_order_mark_and_float(tmp_path):
    text = itk_text("AffineTransform", AFFINE, CENTRE, "_float_3_3")
    one = dte.load_alignment(write(tmp_path / "a.txt", text))
    content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    other = dte.load_alignment(write(tmp_path / "b.txt", content))
    np.testing.assert_array_equal(one.matrix, other.matrix)


def test_composite_of_one_transform(tmp_path):
    inner = itk_text("AffineTransform", AFFINE, CENTRE)
    outer = "Transform: CompositeTransform_double_3_3\n"
    header, _, rest = inner.partition("#Transform 0\n")
    path = write(tmp_path / "a.tfm", header + "#Transform 0\n" + outer + rest)
    alone = dte.load_alignment(write(tmp_path / "b.tfm", inner))
    np.testing.assert_array_equal(dte.load_alignment(path).matrix, alone.matrix)


# DIPY


def test_matrix_of_dipy_is_used_as_it_is(tmp_path):
    matrix = some_matrix()
    np.savetxt(tmp_path / "affine.txt", matrix)
    found = dte.load_alignment(tmp_path / "affine.txt")
    np.testing.assert_array_equal(found.matrix, matrix)
    back = dte.load_alignment(tmp_path / "affine.txt", invert=True)
    np.testing.assert_allclose(back.matrix, np.linalg.inv(matrix), atol=1e-12)
    np.savetxt(tmp_path / "b.txt", matrix, header="moving to static")
    np.testing.assert_array_equal(
        dte.load_alignment(tmp_path / "b.txt").matrix, found.matrix
    )


def test_dipy_maps_moving_streamlines_to_static_ones():
    """And static images to moving ones, as the documentation says."""
    from dipy.align.imaffine import transform_centers_of_mass
    from dipy.align.streamlinear import StreamlineLinearRegistration

    rng = np.random.default_rng(0)
    static = list(np.cumsum(rng.normal(size=(8, 20, 3)) + 1, axis=1))
    moving = [line + [6, 3, -2] for line in static]
    found = StreamlineLinearRegistration(x0="rigid").optimize(static, moving)
    np.testing.assert_allclose(found.matrix[:3, 3], [-6, -3, 2], atol=1)
    image = np.zeros((20, 20, 20))
    image[5, 5, 5] = 1
    moved = np.roll(image, (6, 3, -2), axis=(0, 1, 2))
    of_images = transform_centers_of_mass(image, np.eye(4), moved, np.eye(4))
    np.testing.assert_allclose(of_images.affine[:3, 3], [6, 3, -2])


def test_mirrored_transforms_are_read(tmp_path):
    np.savetxt(tmp_path / "a.txt", np.diag([-1.0, 1, 1, 1]))
    assert dte.load_alignment(tmp_path / "a.txt").mirrors


# JSON


def test_json_keeps_what_was_found(tmp_path):
    made = dte.Alignment(
        some_matrix(), transform="rigid", verdict="accepted", quality={"gap": 1.5}
    )
    dte.save_alignment(made, tmp_path / "a.json")
    found = dte.load_alignment(tmp_path / "a.json")
    assert found.quality == {"gap": 1.5}
    np.testing.assert_array_equal(found.matrix, made.matrix)
    # The content decides, not the name.
    (tmp_path / "a.json").rename(tmp_path / "a.txt")
    assert dte.load_alignment(tmp_path / "a.txt").verdict == "accepted"


# Writing


@pytest.mark.parametrize("name", ["affine.txt", "affine.tfm"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_back(name, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("affine") / name
    made = dte.Alignment(some_matrix(seed))
    dte.save_affine(made, path)
    found = dte.load_alignment(path)
    np.testing.assert_allclose(found.matrix, made.matrix, rtol=1e-9, atol=1e-9)
    if name == "affine.txt":
        np.testing.assert_array_equal(np.loadtxt(path), made.matrix)


def test_writing_protects_files_and_says_what_it_takes(tmp_path):
    made = dte.Alignment(np.eye(4))
    dte.save_affine(made, tmp_path / "a.txt")
    with pytest.raises(OutputFileError, match="exists"):
        dte.save_affine(made, tmp_path / "a.txt")
    dte.save_affine(made, tmp_path / "a.txt", overwrite=True)
    with pytest.raises(OutputFileError, match=r"\.txt \(DIPY\) or \.tfm"):
        dte.save_affine(made, tmp_path / "a.mat")
    with pytest.raises(InvalidArgumentError, match="alignment"):
        dte.save_affine(np.eye(4), tmp_path / "b.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# Bad files

ROW = "1 0 0 0\n"
BAD = {
    "empty": ("a.txt", "", "it is empty"),
    "blank": ("a.txt", "\n \n", "it is empty"),
    "3 x 4": ("a.txt", ROW * 3, "3 lines of 4 words, not 4 x 4"),
    "3 x 3": ("a.txt", "1 0 0\n" * 3, "3 lines of 3 words"),
    "ragged": ("a.txt", ROW * 3 + "0 0 1\n", "4 lines of 3 or 4 words"),
    "words": ("a.txt", "a b c d\n" * 4, "no numbers: a b c d"),
    "nan": ("a.txt", "nan 0 0 0\n" + ROW * 3, "finite"),
    "infinite": ("a.txt", "inf 0 0 0\n" + ROW * 3, "finite"),
    "singular": ("a.txt", ROW * 3 + "0 0 0 1\n", "can be inverted"),
    "last row": ("a.txt", ROW * 4, "last row 0 0 0 1"),
    "commas": ("a.txt", "1,0,0,0\n" * 4, "4 lines of 1 words"),
    "FLIRT": ("a.mat", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "FSL's FLIRT"),
    "latin-1": ("a.txt", b"\xe9\xff 1 2 3", "no text in UTF-8"),
    "huge": ("a.txt", b"1" * (LARGEST_FILE + 1), "too large"),
    "composite h5": ("a.h5", b"\x89HDF\r\n\x1a\n", "composite transform in HDF5"),
    "MATLAB 5": ("a.mat", b"MATLAB 5.0 MAT-file", "version 5"),
    "cut mat": ("a.mat", MAT_OF_EULER[:60], "damaged"),
    "JSON": ("a.json", '{"format": "x"}', "contains no alignment"),
    "JSON cut": ("a.json", '{"format"', "Cannot read"),
    "two transforms": (
        "a.tfm",
        itk_text("AffineTransform", AFFINE, CENTRE)
        + itk_text("AffineTransform", AFFINE, CENTRE),
        "contains 2 transforms",
    ),
    "no transform": ("a.tfm", "#Insight Transform File V1.0\n", "contains no transf"),
    "2-D": (
        "a.tfm",
        itk_text("AffineTransform", "1 0 0 1 0 0", "0 0", "_double_2_2"),
        "2 dimensions",
    ),
    "other kind": ("a.tfm", itk_text("BSplineTransform", "1", ""), "BSplineTransf"),
    "too few": ("a.tfm", itk_text("AffineTransform", "1 2", CENTRE), "2 parameters"),
    "wrong centre": (
        "a.tfm",
        itk_text("AffineTransform", AFFINE, "1 2"),
        "2 fixed ones",
    ),
    "nan parameter": (
        "a.tfm",
        itk_text("Euler3DTransform", "nan 0 0 0 0 0", CENTRE),
        "not finite",
    ),
    "long versor": (
        "a.tfm",
        itk_text("VersorRigid3DTransform", "1 1 1 0 0 0", CENTRE),
        "longer than 1",
    ),
    "no scale": (
        "a.tfm",
        itk_text("Similarity3DTransform", "0 0 0 0 0 0 0", CENTRE),
        "can be inverted",
    ),
    "unknown line": (
        "a.tfm",
        itk_text("AffineTransform", AFFINE, CENTRE) + "Offset: 1\n",
        "no line as 'Offset: 1'",
    ),
    "line twice": (
        "a.tfm",
        itk_text("AffineTransform", AFFINE, CENTRE) + "Parameters: 1\n",
        "two lines of Parameters",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_what_is_wrong(case, tmp_path):
    name, content, message = BAD[case]
    path = write(tmp_path / name, content)
    with pytest.raises(InputFileError, match="Cannot read") as err:
        dte.load_alignment(path)
    assert message in str(err.value)
    assert str(path) in str(err.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputFileError, match="not found"):
        dte.load_alignment(tmp_path / "a.txt")
    with pytest.raises(InputFileError, match="folder"):
        dte.load_alignment(tmp_path)


@given(
    content=st.binary(max_size=120) | st.text(max_size=120).map(str.encode),
    start=st.sampled_from([b"", MAT_OF_EULER[:40], b"#Insight Transform File V1.0\n"]),
    name=st.sampled_from(["a.txt", "a.mat", "a.tfm"]),
)
@settings(max_examples=200, deadline=None)
def test_any_content_is_read_or_refused(content, start, name, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("any") / name, start + content)
    try:
        found = dte.load_alignment(path)
    except InputFileError:
        return
    assert np.isfinite(found.matrix).all()


@given(at=st.integers(0, len(MAT_OF_EULER) - 1), value=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_read_or_refused(at, value, tmp_path_factory):
    content = bytearray(MAT_OF_EULER)
    content[at] = value
    path = write(tmp_path_factory.mktemp("byte") / "a.mat", bytes(content))
    try:
        found = dte.load_alignment(path)
    except InputFileError:
        return
    assert np.isfinite(found.matrix).all()
