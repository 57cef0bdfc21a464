"""New streamlines: what is plausible, and drawing until there are enough."""

from dataclasses import replace

from made_data import make_tractogram, rms_distance
import nibabel as nib
import numpy as np
import pytest

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.generation.bundle_density import (
    PLAUSIBLE,
    REASONS,
    check_mask,
    fraction_inside,
    load_mask,
    sharpest_bend,
)
from dipy_tractoencoder.generation.sampling import (
    fit_bundle_density,
    sample_streamlines,
    sampled_nearest_mdf,
)
from dipy_tractoencoder.latent.codec import decode
from dipy_tractoencoder.streamlines.metrics import curve_length


@pytest.fixture(scope="module")
def points(trained_vae, bundles):
    """Twenty streamlines of a bundle that the model knows, 32 points, mm."""
    return trained_vae.preprocessing.array(bundles[0]).points


@pytest.fixture(scope="module")
def bundle(trained_vae, points):
    return fit_bundle_density(trained_vae, points, name="AF")


def box(low, high, size=2.0):
    """Mask of all voxels between two corners, mm; the image is no larger."""
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = low
    shape = np.ceil((np.asarray(high) - low) / size).astype(int) + 1
    return np.ones(shape, dtype=bool), affine


def arc(radius, n_points=256, noise=0.0, rng=None):
    angle = np.linspace(0, np.pi, n_points)
    line = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return line + (0 if rng is None else rng.normal(scale=noise, size=line.shape))


def test_bend_of_an_arc_is_its_curvature(rng):
    arcs = np.stack([arc(10), arc(40), arc(40, noise=0.02, rng=rng)])
    bends = sharpest_bend(arcs)
    np.testing.assert_allclose(bends[:2], [0.1, 0.025], rtol=0.01)
    # From point to point, such noise bends ten times as much.
    assert bends[2] < 0.04
    straight = np.linspace([0, 0, 0], [50, 0, 0], 32)
    kinked = straight.copy()
    kinked[16:, 1] = kinked[16:, 0] - kinked[16, 0]
    bends = sharpest_bend(np.stack([straight, kinked]))
    assert bends[0] < 1e-6 < 0.1 < bends[1]
    assert sharpest_bend(np.zeros((2, 32, 3))).tolist() == [0, 0]


def test_share_inside_uses_the_masks_own_space():
    line = np.linspace([0, 0, 0], [9, 0, 0], 10)[None]
    mask = np.ones((5, 1, 1), dtype=bool)
    assert fraction_inside(line, mask, np.eye(4)) == 0.5
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 9
    assert fraction_inside(line, mask, flipped) == 0.5
    assert fraction_inside(line, np.zeros((10, 1, 1), dtype=bool), np.eye(4)) == 0
    assert fraction_inside(line - 0.49, mask, np.eye(4)) == 0.5  # Nearest voxel.


def test_bundles_are_plausible_to_themselves(bundle, points):
    judged = bundle.judge(points)
    assert (judged == PLAUSIBLE).mean() > 0.95
    stretched = bundle.judge(points * 1.5)
    assert set(stretched) == {REASONS.index("too_long")}
    assert set(bundle.judge(points / 2)) == {REASONS.index("too_short")}
    wavy = points.copy()
    wavy[:, 16] += 2
    bent = bundle.judge(wavy)
    assert (bent == REASONS.index("too_curved")).mean() > 0.9
    unlikely = bundle.judge(points, np.full(20, bundle.min_log_density - 1))
    assert set(unlikely) == {REASONS.index("unlikely")}


@pytest.mark.parametrize("density", ["mixture", "kernel"])
def test_new_streamlines_are_of_the_bundle(trained_vae, points, density):
    bundle = fit_bundle_density(trained_vae, points, density, name="AF")
    new = sample_streamlines(trained_vae, bundle, 100, seed=2)
    assert new.points.shape == (100, 32, 3) and len(new.latents) == 100
    assert (bundle.judge(new.points, new.log_density) == PLAUSIBLE).all()
    assert new.acceptance > 0.8
    assert new.n_tried == 100 + sum(new.rejects.values())
    assert rms_distance(decode(trained_vae, new.latents), new.points) < 1e-3
    # Neither copies nor strangers.
    ratio = np.median(sampled_nearest_mdf(new.points, points)) / np.median(
        sampled_nearest_mdf(points)
    )
    assert 0.5 < ratio < 1.5
    assert len(np.unique(new.points[:, 0, 0])) == 100


def test_one_seed_one_result(trained_vae, bundle):
    def draw(seed, name="AF", n=20):
        named = replace(bundle, name=name)
        return sample_streamlines(trained_vae, named, n, seed=seed).points

    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.abs(draw(1) - draw(2)).max() > 0.1
    assert np.abs(draw(1) - draw(1, name="CST")).max() > 0.1
    # Asking for more begins with the same ones.
    np.testing.assert_allclose(draw(1, n=50)[:20], draw(1), atol=1e-4)


def test_mask_is_obeyed(trained_vae, bundle, points):
    middle = np.median(points, axis=(0, 1))
    half = box(points.min(axis=(0, 1)) - 9, [middle[0], 99, 99])
    new = sample_streamlines(
        trained_vae, bundle, 20, mask=half, min_inside=0.4, max_tries=5000
    )
    assert fraction_inside(new.points, *half).min() >= 0.4
    whole = box(points.min(axis=(0, 1)) - 9, points.max(axis=(0, 1)) + 9)
    assert "outside_mask" not in (
        sample_streamlines(trained_vae, bundle, 20, mask=whole).rejects
    )


def test_nothing_accepted_says_why(trained_vae, bundle):
    short = replace(bundle, max_length=1.0, min_length=0.5, max_log_density=np.inf)
    with pytest.raises(EmptyDataError, match=r"None of 30 .* AF .*30 too_long"):
        sample_streamlines(trained_vae, short, 5, max_tries=30)


def test_max_tries_ends_it(trained_vae, bundle, points):
    middle = np.median(curve_length(points))
    picky = replace(bundle, min_length=middle - 0.5, max_length=middle + 0.5)
    new = sample_streamlines(trained_vae, picky, 500, max_tries=1500)
    assert 0 < len(new) < 500 and new.n_tried == 1500


@pytest.mark.parametrize(
    "change",
    [
        {"n_streamlines": 0},
        {"max_tries": 0},
        {"min_inside": 1.5},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_bad_options(trained_vae, bundle, change):
    options = {"n_streamlines": 5, **change}
    with pytest.raises(InvalidArgumentError, match=next(iter(change))):
        sample_streamlines(trained_vae, bundle, **options)


def test_too_few_streamlines(trained_vae, points):
    with pytest.raises(EmptyDataError, match="AF.*5 streamlines.*4"):
        fit_bundle_density(trained_vae, points[:4], name="AF")
    few = fit_bundle_density(trained_vae, points[:5], name="AF")
    assert len(sample_streamlines(trained_vae, few, 5)) == 5


def test_streamlines_of_any_length_are_prepared(trained_vae, bundle, bundles):
    array = trained_vae.preprocessing.array(bundles[0])
    for same in (bundles[0], make_tractogram(bundles[0]), array):
        found = fit_bundle_density(trained_vae, same, name="AF")
        np.testing.assert_allclose(found.density.means, bundle.density.means, atol=1e-3)
    with pytest.raises(InvalidArgumentError, match=r"AF\.trk.*load_tractogram"):
        fit_bundle_density(trained_vae, "AF.trk")


def test_mask_elsewhere_is_refused(points):
    check_mask(points, box([-90] * 3, [90] * 3), "AF")
    with pytest.raises(InvalidArgumentError, match="AF.*another|AF.*space"):
        check_mask(points, box([500] * 3, [600] * 3), "AF")


def test_mask_files(tmp_path):
    mask, affine = box([0, 0, 0], [9, 9, 9])
    for name, data in (
        ("good", mask),
        ("four", mask[..., None]),
        ("series", np.stack([mask, mask], axis=-1)),
        ("empty", mask & False),
    ):
        image = nib.Nifti1Image(data.astype(np.uint8), affine)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    (tmp_path / "text.nii.gz").write_text("buy milk")
    for name in ("good", "four"):
        found = load_mask(tmp_path / f"{name}.nii.gz")
        assert found[0].dtype == bool and found[0].shape == mask.shape
        np.testing.assert_array_equal(found[1], affine)
    for name in ("series", "empty", "text", "none"):
        with pytest.raises(InputFileError, match=name):
            load_mask(tmp_path / f"{name}.nii.gz")


def test_nearest_leaves_oneself_out(points):
    assert sampled_nearest_mdf(points[:10], points).max() < 1e-5
    assert sampled_nearest_mdf(points[:10]).min() > 0.01
