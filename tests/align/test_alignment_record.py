"""Alignments and references: moved points, and what is read back from bytes."""

import json

from hypothesis import given, settings, strategies as st
from nibabel.streamlines import ArraySequence
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipy_tractoencoder import Alignment, AlignmentReference, save_alignment
from dipy_tractoencoder.align.alignment import read_alignment_json
from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError

MATRIX = np.array([[0.0, -1, 0, 5], [1, 0, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])


@pytest.fixture
def reference(rng):
    centroids = rng.normal(scale=40, size=(7, 20, 3))
    return AlignmentReference(
        centroids,
        rng.normal(scale=40, size=(30, 20, 3)),
        half_distance=8.0,
        check_distance=4.0,
        n_streamlines=99,
        names=("AF", "CST"),
        centroid_bundle=np.array([0, 1, -1, -1, 0, 1, 0]),
        sample_bundle=np.zeros(30, int),
    )


def test_points_and_streamlines_are_moved_alike(rng):
    lines = [rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 1, 0, 9)]
    alignment = Alignment(MATRIX)
    whole = ArraySequence(lines[:2] + lines[3:])
    for some in (lines, whole, whole[::-1]):
        before = [np.array(line) for line in some]
        moved = alignment.apply(some)
        assert len(moved) == len(before)
        for line, old, now in zip(moved, before, some):
            expected = old @ MATRIX[:3, :3].T + MATRIX[:3, 3]
            np.testing.assert_allclose(line, expected, atol=1e-5)
            np.testing.assert_array_equal(now, old)  # The input stays.
    assert alignment.apply(lines[0]).dtype == np.float32
    assert Alignment(np.eye(4)).apply(whole) is whole


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_the_inverse_brings_points_back(seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    one, other = Rotation.random(2, random_state=seed).as_matrix()
    matrix[:3, :3] = one @ np.diag(rng.uniform(0.5, 2, 3)) @ other
    matrix[:3, 3] = rng.uniform(-150, 150, 3)
    alignment = Alignment(matrix)
    points = rng.uniform(-200, 200, (50, 3)).astype(np.float32)
    back = alignment.inverse().apply(alignment.apply(points))
    np.testing.assert_allclose(back, points, atol=1e-3)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((4, 4)), "last row"),
        (np.diag([1.0, 1, 0, 1]), "inverted"),
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1e12, 1, 1, 1]), "finite"),
        ("x", "4 x 4"),
    ],
)
def test_matrices_that_are_no_transform_are_refused(matrix, words):
    with pytest.raises(InvalidArgumentError, match=words):
        Alignment(matrix)


def test_json_says_everything(tmp_path):
    given = Alignment(
        MATRIX,
        transform="rigid",
        verdict="uncertain",
        reasons=("Few streamlines.",),
        left_right="confirmed",
        quality={"gap": 1.5},
        tried=({"distance": 9.0},),
        reference="ab",
    )
    save_alignment(given, tmp_path / "a.json")
    found = read_alignment_json(tmp_path / "a.json")
    np.testing.assert_array_equal(found.matrix, MATRIX)
    for name in ("transform", "verdict", "reasons", "left_right", "quality", "tried"):
        assert getattr(found, name) == getattr(given, name)


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [[1]]},
        {"matrix": None},
        {"verdict": "perfect"},
        {"reasons": "no list"},
        {"quality": {"gap": "large"}},
        {"tried": [3]},
        {"transform": ["rigid"]},
        {"surprise": 1},
        {"format": "another"},
        {"format_version": 99},
        {"format_version": True},
    ],
)
def test_damaged_json_is_refused_by_name(tmp_path, change):
    path = tmp_path / "a.json"
    save_alignment(Alignment(MATRIX), path)
    values = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(values))
    with pytest.raises(InputFileError, match=r"a\.json"):
        read_alignment_json(path)


def test_a_reference_is_read_back_from_its_bytes(reference):
    again = AlignmentReference.from_bytes(reference.to_bytes())
    assert again.digest == reference.digest
    for name, value in vars(reference).items():
        np.testing.assert_array_equal(getattr(again, name), value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_bytes_of_a_reference_are_read_or_refused(data):
    points = np.arange(120.0).reshape(2, 20, 3)
    content = bytearray(AlignmentReference(points, points, 8.0, 4.0, 9).to_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    try:
        found = AlignmentReference.from_bytes(bytes(content))
    except ValueError:
        return
    assert np.isfinite(found.centroids).all()


@pytest.mark.parametrize(
    "change",
    [
        {"centroids": np.empty((0, 20, 3))},
        {"centroids": np.full((1, 20, 3), np.inf)},
        {"centroids": np.zeros((1, 5, 3))},
        {"sample": np.zeros((2501, 20, 3))},
        {"sample_bundle": np.array([4] * 30)},
        {"centroid_bundle": np.zeros(3)},
    ],
)
def test_parts_that_do_not_fit_are_refused(reference, change):
    with pytest.raises(InvalidArgumentError):
        AlignmentReference(**{**vars(reference), **change})
