"""Subjects in any pose are aligned to a model's space, or refused in plain words."""

import subprocess
import sys

import numpy as np
import pytest
from slow import slow_but
from small_brain import all_lines, displacement, make_brain, moved, random_pose

from dipy_tractoencoder import (
    AlignmentReference,
    check_alignment,
    fit_alignment,
    fit_alignment_reference,
)
from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def brain():
    return make_brain()


@pytest.fixture(scope="module")
def other():
    return make_brain(subject=1)


@pytest.fixture(scope="module")
def reference(brain):
    return fit_alignment_reference(brain)


@pytest.mark.parametrize("seed", slow_but(range(12), 0, 1))
def test_a_brain_in_any_pose_is_brought_home(reference, other, seed):
    pose, lines = random_pose(seed), all_lines(other)
    found = fit_alignment(reference, moved(lines, pose))
    assert displacement(lines, found.matrix @ pose) < 1.5
    np.testing.assert_allclose(np.linalg.det(found.matrix), 1, atol=1e-6)
    assert found.quality["gap"] > 1.12
    assert found.quality["ratio"] < 1.5
    # Under 1,000 streamlines nothing is accepted without a word.
    assert found.verdict == "uncertain"
    assert "960 streamlines" in " ".join(found.reasons)


def test_the_transform_follows_the_pose(reference, other):
    lines = all_lines(other)
    first = fit_alignment(reference, lines)
    pose = random_pose(5)
    second = fit_alignment(reference, moved(lines, pose))
    assert displacement(lines, second.matrix @ pose, first.matrix) < 0.5
    assert second.quality["distance"] == pytest.approx(first.quality["distance"], 0.02)


def test_a_fit_is_repeated_to_the_bit(reference, other):
    lines = moved(all_lines(other), random_pose(2))
    one, two = (fit_alignment(reference, lines, seed=3) for _ in range(2))
    assert np.array_equal(one.matrix, two.matrix)
    assert one.quality == two.quality


@pytest.mark.parametrize("kind", ["similarity", "affine"])
def test_points_come_back_through_the_inverse(reference, other, kind):
    shape = np.diag([0.75, 0.75, 0.75, 1.0])
    if kind == "affine":
        shape = np.diag([1.0, 1.12, 1.0, 1.0])
        shape[0, 1] = 0.1
    lines, pose = all_lines(other), random_pose(3) @ shape
    found = fit_alignment(reference, moved(lines, pose), transform=kind)
    assert found.transform == kind
    assert displacement(lines, found.matrix @ pose) < 1.5
    points = np.concatenate(moved(lines, pose))
    back = found.inverse().apply(found.apply(points))
    assert np.abs(back - points).max() < 1e-3


def test_a_rigid_transform_keeps_the_size_and_says_so(reference, other):
    small = moved(all_lines(other), random_pose(4) @ np.diag([0.6, 0.6, 0.6, 1.0]))
    found = fit_alignment(reference, small)
    np.testing.assert_allclose(np.linalg.det(found.matrix), 1, atol=1e-6)
    assert found.verdict != "accepted"
    assert "similarity" in " ".join(found.reasons)


def test_a_fifth_of_the_size_is_refused(reference, other):
    tiny = moved(all_lines(other), random_pose(4) @ np.diag([0.2, 0.2, 0.2, 1.0]))
    found = fit_alignment(reference, tiny, transform="similarity")
    assert found.verdict == "refused"
    assert "times as large" in " ".join(found.reasons)


def test_known_bundles_are_aligned_by_their_names(reference, other):
    names = ("bundle_3", "bundle_8", "bundle_11")
    few, pose = {name: other[name] for name in names}, random_pose(6)
    found = fit_alignment(reference, moved(few, pose))
    assert displacement(all_lines(few), found.matrix @ pose) < 2
    assert found.verdict == "accepted"
    assert found.left_right == "confirmed"
    mirrored = fit_alignment(reference, moved(few, pose @ MIRROR))
    assert mirrored.verdict != "accepted"
    assert np.linalg.det(mirrored.matrix) > 0


def test_one_known_bundle_is_never_certain(reference, other):
    one = {"bundle_3": other["bundle_3"]}
    found = fit_alignment(reference, moved(one, random_pose(6)))
    assert found.verdict == "uncertain"
    assert "1 bundle(s) known by name" in " ".join(found.reasons)


def test_a_part_of_a_brain_is_never_certain(reference, other):
    part = [*other["bundle_3"], *other["bundle_8"], *other["bundle_11"]]
    pose = random_pose(8)
    found = fit_alignment(reference, moved(part, pose))
    assert displacement(part, found.matrix @ pose) < 3
    assert found.verdict == "uncertain"
    assert "part of a brain" in " ".join(found.reasons)


def test_a_brain_is_aligned_to_a_few_bundles(other, brain):
    few = [line for name in ("bundle_3", "bundle_8") for line in brain[name]]
    lines, pose = all_lines(other), random_pose(9)
    found = fit_alignment(fit_alignment_reference(few), moved(lines, pose))
    assert displacement(few, found.matrix @ pose) < 4
    assert found.verdict == "uncertain"


def test_a_mirrored_brain_is_not_accepted_in_silence(reference, other):
    found = fit_alignment(reference, moved(all_lines(other), MIRROR))
    assert found.verdict != "accepted"
    assert found.left_right == "cannot be told"
    assert np.linalg.det(found.matrix) > 0


def test_noise_is_refused(reference):
    rng = np.random.default_rng(0)
    walks = rng.normal(0, 3, (600, 30, 3)).cumsum(axis=1)
    walks += rng.uniform(-60, 60, (600, 1, 3))
    found = fit_alignment(reference, list(walks))
    assert found.verdict == "refused"
    assert found.left_right == "cannot be told"
    assert "`transform`" in " ".join(found.reasons)


def test_the_reference_represents_every_bundle(reference, brain):
    for codes in (reference.centroid_bundle, reference.sample_bundle):
        assert set(codes[codes >= 0].tolist()) == set(range(len(brain)))
    assert len(reference.centroids) <= 500
    again = AlignmentReference.from_bytes(reference.to_bytes())
    assert again.digest == reference.digest


def test_copies_enter_the_reference_once(brain):
    lines = all_lines(brain)[:200]
    assert len(fit_alignment_reference(lines * 3).sample) == 200


def test_a_reference_may_hold_no_streamline(brain, other):
    bare = fit_alignment_reference(brain, keep_sample=False)
    assert not bare.holds_streamlines
    lines, pose = all_lines(other), random_pose(1)
    found = fit_alignment(bare, moved(lines, pose))
    assert displacement(lines, found.matrix @ pose) < 2
    assert check_alignment(bare, lines).verdict == "accepted"


@pytest.mark.parametrize("n", [0, 1, 7])
def test_too_few_different_streamlines_are_an_error(reference, brain, n):
    copies = [brain["bundle_0"][0]] * n
    with pytest.raises(EmptyDataError, match="streamline"):
        fit_alignment(reference, copies)
    with pytest.raises(EmptyDataError, match="streamline"):
        fit_alignment_reference(copies)


def test_streamlines_that_are_no_lines_are_left_out(reference, other):
    lines = all_lines(other)
    bad = [np.full((4, 3), np.nan), np.zeros((1, 3)), np.zeros((0, 3))]
    found = fit_alignment(reference, [*lines, *bad])
    assert displacement(lines, found.matrix) < 1.5


def test_an_unknown_transform_is_an_error(reference, other):
    with pytest.raises(InvalidArgumentError, match="transform"):
        fit_alignment(reference, all_lines(other), transform="elastic")


def test_a_check_moves_nothing_and_warns_of_another_space(reference, other):
    lines = all_lines(other)
    here = check_alignment(reference, lines)
    assert here.verdict == "accepted"
    assert not here.moves
    there = check_alignment(reference, [line + 60 for line in lines])
    assert there.verdict == "uncertain"
    assert "times as far" in there.reasons[0]
    one = check_alignment(reference, other["bundle_5"])
    assert one.verdict == "accepted"


def test_a_check_imports_no_registration():
    code = (
        "import sys, numpy as np, dipy_tractoencoder as dte\n"
        "steps = np.linspace(0, 40, 20)[:, None] * np.ones(3)\n"
        "lines = np.arange(9.0)[:, None, None] + steps\n"
        "reference = dte.AlignmentReference(lines, lines, 1.0, 1.0, 9)\n"
        "assert dte.check_alignment(reference, list(lines)).verdict == 'accepted'\n"
        "loaded = {'dipy.align', 'dipy.segment', 'keras', 'sklearn'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
