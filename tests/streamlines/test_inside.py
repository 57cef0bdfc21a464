from nibabel.affines import apply_affine
from nibabel.eulerangles import euler2mat
import numpy as np
import pytest

from dipy_tractoencoder.streamlines import resampling
from dipy_tractoencoder.streamlines.inside import any_point_outside

SIZE = np.array([20, 30, 10])


@pytest.fixture(params=["compiled", "numpy"])
def space(request, monkeypatch):
    """Return an oblique image space; the check runs in both ways."""
    if request.param == "numpy":
        monkeypatch.setenv(resampling.SWITCH, "0")
    elif resampling.any_outside is None:
        pytest.skip("needs the compiled loop")
    affine = np.eye(4)
    affine[:3, :3] = euler2mat(0.3, 0.2, 0.5) @ np.diag([2, 2, 3.5])
    affine[:3, 3] = -30, 12, 7
    return {"affine": affine.astype(np.float32), "dimensions": SIZE}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_points_of_an_oblique_image(space, dtype):
    rng = np.random.default_rng(0)
    voxels = rng.uniform(-0.4, SIZE - 0.6, (5000, 3))
    points = apply_affine(space["affine"], voxels).astype(dtype)
    # The corners of the box around them are outside.
    assert not any_point_outside(points, space)
    assert not any_point_outside(points[:0], space)
    assert not any_point_outside(np.asfortranarray(points), space)
    for axis in range(3):
        for place in (-0.6, SIZE[axis] - 0.4):
            some = voxels.copy()
            some[-1, axis] = place
            moved = apply_affine(space["affine"], some).astype(dtype)
            assert any_point_outside(moved, space)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_outside(space, bad):
    points = np.tile(apply_affine(space["affine"], SIZE / 2.0), (9, 1))
    assert not any_point_outside(points, space)
    points[4, 1] = bad
    assert any_point_outside(points, space)
