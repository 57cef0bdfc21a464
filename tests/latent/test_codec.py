from pathlib import Path

from dipy.io.stateful_tractogram import Origin, Space
from keras import ops
from made_data import AFFINE, DIMENSIONS, make_bundle, make_tractogram, rms_distance
import numpy as np
import pytest

from dipy_tractoencoder.errors import FingerprintError, InvalidArgumentError
from dipy_tractoencoder.latent.codec import decode, decode_tractogram, encode
from dipy_tractoencoder.latent.latents_file import load_latents, save_latents
from dipy_tractoencoder.latent.reconstruction import reconstruct
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.labelling import label_streamlines
from dipy_tractoencoder.segment.plausibility_scores import (
    fit_latent_scorer,
    plausibility_scores,
)

NAN = np.full((4, 3), np.nan, dtype=np.float32)
POINT = np.ones((1, 3), dtype=np.float32)


@pytest.fixture(params=["trained_vae", "trained_ae", "trained_convolutional_vae"])
def model(request):
    return request.getfixturevalue(request.param)


def copy_of(model):
    """Make the same model once more, free to be changed."""
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    return again


# Encode


def test_latents_are_the_heads_in_reported_units(model, lines):
    latents = encode(model, lines)
    array = model.preprocessing.array(lines)
    heads = model.encode_tensors(model.preprocessing.normalise(array.points))
    np.testing.assert_allclose(
        latents.mean,
        ops.convert_to_numpy(heads["mean"]) * model.latent_unit,
        rtol=1e-3,
        atol=1e-3,
    )
    assert latents.mean.shape == (len(lines), 5) and latents.mean.dtype == np.float32
    if "log_var" in heads:
        assert latents.log_var.dtype == np.float32
        np.testing.assert_allclose(
            latents.log_var,
            ops.convert_to_numpy(heads["log_var"]) + 2 * np.log(model.latent_unit),
            rtol=1e-3,
            atol=1e-3,
        )
    else:
        assert latents.log_var is None
    np.testing.assert_array_equal(latents.index, np.arange(len(lines)))
    np.testing.assert_array_equal(latents.is_reversed, array.is_reversed)
    assert latents.fingerprint == fingerprint(model)
    assert latents.space == {} and latents.tractogram == ""


def test_rejects_never_shift_the_index(trained_vae, lines):
    mixed = [NAN, lines[0], POINT, lines[1], lines[2], NAN]
    latents = encode(trained_vae, mixed, tractogram="mixed.trk")
    assert latents.index.tolist() == [1, 3, 4]
    assert latents.rejects == {"non_finite": 2, "too_few_points": 1}
    assert latents.n_streamlines == 6 and len(latents) == 3
    assert latents.tractogram == "mixed.trk"
    np.testing.assert_array_equal(latents.mean, encode(trained_vae, lines[:3]).mean)


@pytest.mark.parametrize("nothing", [[], [NAN, POINT]])
def test_nothing_to_encode(model, nothing):
    latents = encode(model, nothing)
    assert latents.mean.shape == (0, 5) and latents.mean.dtype == np.float32
    assert latents.log_var is None or latents.log_var.shape == (0, 5)
    assert latents.n_streamlines == len(nothing) == sum(latents.rejects.values())
    assert decode(model, latents).shape == (0, 32, 3)


def test_batch_size_does_not_matter(model, lines):
    whole, small = encode(model, lines), encode(model, lines, batch_size=7)
    np.testing.assert_allclose(small.mean, whole.mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        decode(model, whole, batch_size=7), decode(model, whole), atol=1e-3
    )


@pytest.mark.parametrize("n_rejected", [0, 1, 600])
def test_streamlines_and_their_array_have_the_same_latents(model, lines, n_rejected):
    """A dense model encodes streamlines in blocks, some of which may be empty."""
    lines = [*lines, *([NAN] * n_rejected), *(line[::-1] for line in lines), POINT]
    blocks, whole = (
        encode(model, some) for some in (lines, model.preprocessing.array(lines))
    )
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=0, atol=1e-4)
    if whole.log_var is not None:
        np.testing.assert_allclose(blocks.log_var, whole.log_var, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(blocks.index, whole.index)
    np.testing.assert_array_equal(blocks.is_reversed, whole.is_reversed)
    assert blocks.n_streamlines == whole.n_streamlines == len(lines)
    assert blocks.rejects == whole.rejects


def test_encoding_leaves_no_trace(model, lines):
    before = fingerprint(model)
    first = encode(model, lines)
    decode(model, first)
    np.testing.assert_array_equal(encode(model, lines).mean, first.mean)
    assert fingerprint(model) == before


def test_space_of_the_tractogram_does_not_matter(trained_vae, tractogram, lines):
    expected = encode(trained_vae, lines)
    tractogram.to_vox()
    tractogram.to_corner()
    latents = encode(trained_vae, tractogram)
    np.testing.assert_allclose(latents.mean, expected.mean, atol=1e-3)
    assert tractogram.space == Space.VOX and tractogram.origin == Origin.TRACKVIS


def test_encoding_follows_the_weights(trained_vae, lines):
    model = copy_of(trained_vae)
    before = encode(model, lines)
    bias = ops.convert_to_numpy(model.mean_head.bias).copy()
    model.mean_head.bias.assign(bias + 1)
    after = encode(model, lines)
    np.testing.assert_allclose(
        after.mean, before.mean + model.latent_unit, rtol=1e-3, atol=1e-3
    )
    model.decoder_body.set_weights(
        [2 * weight for weight in model.decoder_body.get_weights()]
    )
    array = model.preprocessing.array(lines)
    out = model(model.preprocessing.normalise(array.points))["points"]
    expected = model.preprocessing.denormalise(ops.convert_to_numpy(out))
    np.testing.assert_allclose(
        decode(model, encode(model, lines)),
        array.tractogram_order(expected),
        atol=1e-2,
    )


# Orientation


def test_a_streamline_and_its_reverse_have_exactly_the_same_latent(model, lines):
    there, back = encode(model, lines), encode(model, [one[::-1] for one in lines])
    np.testing.assert_array_equal(there.mean, back.mean)
    if there.log_var is not None:
        np.testing.assert_array_equal(there.log_var, back.log_var)
    np.testing.assert_array_equal(there.is_reversed, ~back.is_reversed)


def test_the_same_holds_within_one_tractogram(model, lines):
    both = [turned for line in lines for turned in (line, line[::-1])]
    latents = encode(model, both)
    np.testing.assert_array_equal(latents.mean[::2], latents.mean[1::2])


def test_decoded_streamlines_run_as_in_the_tractogram(trained_vae, lines):
    latents = encode(trained_vae, lines)
    assert 0 < latents.is_reversed.sum() < len(lines)
    points = decode(trained_vae, latents)
    for line, rebuilt in zip(lines, points):
        forwards = rms_distance(line[[0, -1]], rebuilt[[0, -1]])
        assert forwards < rms_distance(line[[-1, 0]], rebuilt[[0, -1]])
    as_model = decode(trained_vae, latents.mean)
    turned = latents.is_reversed
    np.testing.assert_array_equal(as_model[~turned], points[~turned])
    np.testing.assert_array_equal(as_model[turned], points[turned, ::-1])
    steps = as_model[:, -1] - as_model[:, 0]
    assert (steps @ np.array(trained_vae.preprocessing.axis) > 0).all()


# Decode


def test_round_trip_is_the_models_output(model, lines):
    latents = encode(model, lines)
    points = decode(model, latents)
    array = model.preprocessing.array(lines)
    out = model(model.preprocessing.normalise(array.points), training=False)
    expected = model.preprocessing.denormalise(ops.convert_to_numpy(out["points"]))
    np.testing.assert_allclose(points, array.tractogram_order(expected), atol=1e-2)
    assert points.dtype == np.float32 and points.shape == (len(lines), 32, 3)


def test_new_streamlines_are_rebuilt_to_a_few_mm(trained_vae):
    bundle = make_bundle(np.random.default_rng(7), 20)  # As the first one trained on.
    points = decode(trained_vae, encode(trained_vae, bundle))
    original = trained_vae.preprocessing.array(bundle).tractogram_order()
    assert rms_distance(points, original) < 4


def test_latents_of_another_model(trained_vae, trained_ae, lines):
    latents = encode(trained_vae, lines[:3], tractogram="a.trk")
    with pytest.raises(FingerprintError, match="a.trk"):
        decode(trained_ae, latents)
    other = copy_of(trained_vae)
    decode(other, latents)
    other.mean_head.bias.assign(other.mean_head.bias + 1e-3)
    with pytest.raises(FingerprintError, match=fingerprint(other)[:12]):
        decode(other, latents)


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,), (3, 5, 1), (0,)])
def test_wrong_latent_size(trained_vae, shape):
    with pytest.raises(InvalidArgumentError, match=r"`latents`.*\(n_streamlines, 5\)"):
        decode(trained_vae, np.zeros(shape, dtype=np.float32))


def test_decode_takes_lists_and_other_precisions(trained_vae):
    latents = [[1.0, -2.0, 0.0, 0.5, 3.0]]
    expected = decode(trained_vae, np.array(latents, dtype=np.float32))
    np.testing.assert_array_equal(decode(trained_vae, latents), expected)
    np.testing.assert_array_equal(
        decode(trained_vae, np.array(latents, dtype=np.float64)), expected
    )


# Tractograms


def test_decoded_tractogram_is_in_the_space_of_the_input(trained_vae, tractogram):
    latents = encode(trained_vae, tractogram)
    rebuilt = decode_tractogram(trained_vae, latents)
    assert rebuilt.space == Space.RASMM
    np.testing.assert_allclose(rebuilt.affine, AFFINE)
    np.testing.assert_array_equal(rebuilt.dimensions, DIMENSIONS)
    np.testing.assert_allclose(rebuilt.voxel_sizes, tractogram.voxel_sizes)
    assert rebuilt.voxel_order == tractogram.voxel_order == "LAS"
    np.testing.assert_array_equal(
        np.stack(list(rebuilt.streamlines)), decode(trained_vae, latents)
    )


def test_decoding_an_empty_tractogram(trained_vae, tractogram):
    latents = encode(trained_vae, tractogram[:0])
    assert len(decode_tractogram(trained_vae, latents)) == 0


def test_tractogram_without_a_space(trained_vae, lines):
    latents = encode(trained_vae, lines[:2])
    with pytest.raises(InvalidArgumentError, match="space.*none.*`decode`"):
        decode_tractogram(trained_vae, latents)
    with pytest.raises(InvalidArgumentError, match=r"shape \(2, 5\).*`decode`"):
        decode_tractogram(trained_vae, latents.mean)
    with pytest.raises(InvalidArgumentError, match="space.*StatefulTractogram"):
        reconstruct(trained_vae, lines[:2]).tractogram()


@pytest.mark.parametrize(
    "rows",
    [slice(5), slice(None, None, -7), [9, 3, 3], np.arange(58) % 3 == 0, [], [-1]],
    ids=lambda rows: str(rows)[:20],
)
@pytest.mark.parametrize("name", ["trained_vae", "trained_ae"])
def test_a_part_of_latents_decodes_as_the_whole(name, rows, request, lines, tmp_path):
    model = request.getfixturevalue(name)
    lines = [*lines[:3], POINT, *lines[3:57], NAN, lines[57]]
    latents = encode(model, make_tractogram(lines), tractogram="AF.trk")
    part = latents[rows]
    numbers = np.arange(58)[rows]
    np.testing.assert_array_equal(part.index, latents.index[numbers])
    assert (part.log_var is None) == (name == "trained_ae")
    assert part.rejects == latents.rejects and part.n_streamlines == 60
    expected = decode(model, latents)[numbers]
    np.testing.assert_allclose(decode(model, part), expected, atol=1e-3)
    tractogram = decode_tractogram(model, part)
    assert len(tractogram) == len(part) == len(numbers)
    np.testing.assert_allclose(tractogram.affine, AFFINE)
    save_latents(part, tmp_path / "part.h5")
    again = load_latents(tmp_path / "part.h5")
    np.testing.assert_array_equal(again.mean, part.mean)
    np.testing.assert_array_equal(again.index, part.index)


@pytest.mark.parametrize("rows", [3, 1.5, "AF", None, [0.5], (slice(2), 0), [[1]]])
def test_what_is_no_rows_of_latents(trained_vae, lines, rows):
    with pytest.raises(InvalidArgumentError, match="`rows`.*slice"):
        encode(trained_vae, lines)[rows]


def test_rows_that_are_not_there(trained_vae, lines):
    latents = encode(trained_vae, lines)
    for rows in ([60], [True, False]):
        with pytest.raises(IndexError):
            latents[rows]


def test_latents_without_a_file_are_not_said_to_be_of_one(trained_vae, trained_ae):
    latents = encode(trained_ae, make_bundle(np.random.default_rng(0), 3))
    with pytest.raises(FingerprintError, match="The latents were made by another"):
        decode(trained_vae, latents)


# Fingerprint


def test_what_is_no_model_and_no_latents(trained_vae, lines):
    for nothing in (None, "vae.keras"):
        with pytest.raises(InvalidArgumentError, match="load_model"):
            encode(nothing, lines)
        with pytest.raises(InvalidArgumentError, match="load_model"):
            decode(nothing, np.zeros((2, 5)))
    for nothing in ("latents.h5", None, {}):
        with pytest.raises(InvalidArgumentError, match="latents"):
            decode(trained_vae, nothing)


def test_every_function_takes_streamlines_of_the_same_kinds(trained_vae, tractogram):
    array = trained_vae.preprocessing.array(tractogram).points[:30]
    mean = encode(trained_vae, array).mean
    bundles = fit_latent_classifier(mean, np.arange(30) // 15, ["AF", "UF"])
    scorer = fit_latent_scorer(trained_vae, mean)
    for function in (
        lambda given: encode(trained_vae, given).mean,
        lambda given: reconstruct(trained_vae, given).points,
        lambda given: label_streamlines(trained_vae, given, bundles).distance,
        lambda given: plausibility_scores(scorer, given)[0],
    ):
        expected = function(list(array))
        in_voxels = make_tractogram(array)
        in_voxels.to_vox()
        for same in (array, array.tolist(), (line for line in array), in_voxels):
            np.testing.assert_allclose(function(same), expected, atol=1e-3)
        for nothing in ("AF.trk", Path("AF.trk"), ["AF.trk"]):
            with pytest.raises(InvalidArgumentError, match=r"AF\.trk.*load_tractogram"):
                function(nothing)
        with pytest.raises(InvalidArgumentError, match=r"one array of shape \(32, 3\)"):
            function(array[0])
