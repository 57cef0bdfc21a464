import keras
from keras import layers, ops
import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.nn.architecture import COEFFICIENT_BOUND, check_points
from dipy_tractoencoder.nn.backbones import (
    ChannelsFirstFlatten,
    decoder_body,
    encoder_body,
)
from dipy_tractoencoder.nn.layers import LinearUpSampling1D, ReflectPadding1D
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training.fit import build_model
from dipy_tractoencoder.training.settings import TrainingSettings

# FINTA's encoder (Legarreta et al. 2021): filters, stride, steps left of 256 points.
FINTA_ENCODER = [
    (32, 2, 128),
    (64, 2, 64),
    (128, 2, 32),
    (256, 2, 16),
    (512, 2, 8),
    (1024, 1, 8),
]
# FINTA's decoder: filters, steps that the convolution works on.
FINTA_DECODER = [(512, 8), (256, 16), (128, 32), (64, 64), (32, 128), (3, 256)]


def kinds(body, *wanted):
    """Layers of the given types, in order."""
    return [layer for layer in body.layers if isinstance(layer, wanted)]


def conv_table(body):
    """List filters, kernel, stride, padding and output steps of convolutions."""
    return [
        (
            conv.filters,
            conv.kernel_size,
            conv.strides,
            conv.padding,
            conv.output.shape[1],
        )
        for conv in kinds(body, layers.Conv1D)
    ]


def conv_parameters(channels, kernel=3):
    """Weights and biases of convolutions from each number of channels to the next."""
    return sum(
        (kernel * before + 1) * after for before, after in zip(channels, channels[1:])
    )


# FINTA


@pytest.mark.parametrize("batch_norm", [False, True])
def test_finta_encoder_table(batch_norm):
    body = encoder_body("finta", (256, 3), batch_norm=batch_norm)
    assert conv_table(body) == [
        (filters, (3,), (stride,), "valid", steps)
        for filters, stride, steps in FINTA_ENCODER
    ]
    block = [ReflectPadding1D, layers.Conv1D]
    block += [layers.BatchNormalization] if batch_norm else []
    expected = [layers.InputLayer]
    expected += 5 * [*block, layers.ReLU] + block  # No activation after the last.
    expected += [ChannelsFirstFlatten]
    assert [type(layer) for layer in body.layers] == expected
    for conv in kinds(body, layers.Conv1D):
        assert conv.activation is keras.activations.linear
    assert body.output_shape == (None, 8192)


def test_finta_encoder_parameters():
    convolutions = conv_parameters([3, 32, 64, 128, 256, 512, 1024])
    assert convolutions == 320 + 6208 + 24704 + 98560 + 393728 + 1573888  # by hand
    plain = encoder_body("finta", (256, 3), batch_norm=False)
    assert plain.count_params() == convolutions
    normalised = encoder_body("finta", (256, 3), batch_norm=True)
    # Two trained numbers and two moving ones per channel.
    assert normalised.count_params() == convolutions + 4 * 2016


@pytest.mark.parametrize("upsampling", ["nearest", "linear"])
def test_finta_decoder_table(upsampling):
    body = decoder_body("finta", 32, (256, 3), upsampling=upsampling, zero_output=False)
    assert conv_table(body) == [
        (filters, (3,), (1,), "valid", steps) for filters, steps in FINTA_DECODER
    ]
    up = {"nearest": layers.UpSampling1D, "linear": LinearUpSampling1D}[upsampling]
    expected = [layers.InputLayer, layers.Dense, layers.Reshape]
    expected += 5 * [ReflectPadding1D, layers.Conv1D, layers.ReLU, up]
    expected += [ReflectPadding1D, layers.Conv1D]
    assert [type(layer) for layer in body.layers] == expected
    assert body.layers[-1].activation is keras.activations.linear
    (dense,) = kinds(body, layers.Dense)
    assert dense.units == 8192 and dense.activation is keras.activations.linear
    assert kinds(body, layers.Reshape)[0].output.shape == (None, 8, 1024)
    assert body.output_shape == (None, 256, 3)
    assert body.count_params() == 33 * 8192 + conv_parameters(
        [1024, 512, 256, 128, 64, 32, 3]
    )


def test_finta_models_have_the_papers_heads():
    settings = TrainingSettings(backbone="finta", linear_skip=False)
    for model, heads in (("ae", 1), ("vae", 2)):
        built = build_model(
            Preprocessing(), TrainingSettings(**{**settings.to_dict(), "model": model})
        )
        built.ensure_built()
        names = ["mean_head", "log_var_head"][:heads]
        for name in names:
            head = getattr(built, name)
            assert isinstance(head, layers.Dense)
            assert head.count_params() == 8193 * 32
            assert head.activation is keras.activations.linear


@pytest.mark.parametrize("backbone", ["finta", "compact"])
def test_batch_norm_in_the_vae_and_none_in_the_autoencoder(backbone):
    counts = {}
    for name in ("vae", "ae"):
        model = build_model(
            Preprocessing(n_points=64), TrainingSettings(model=name, backbone=backbone)
        )
        body = model.encoder_body
        counts[name] = len(kinds(body, layers.BatchNormalization))
        assert not kinds(model.decoder_body, layers.BatchNormalization)
        if name == "vae":
            after = [
                following
                for layer, following in zip(body.layers, body.layers[1:])
                if isinstance(layer, layers.Conv1D)
            ]
            assert all(isinstance(one, layers.BatchNormalization) for one in after)
    assert counts == {"vae": {"finta": 6, "compact": 5}[backbone], "ae": 0}


def test_strided_convolution_is_centred_on_even_points(rng):
    """With a kernel that takes its middle, point 2 i comes out as step i."""
    body = encoder_body("finta", (64, 3), batch_norm=False)
    conv = kinds(body, layers.Conv1D)[0]
    for tap, shift in enumerate((-1, 0, 1)):
        kernel = np.zeros((3, 3, 32), dtype=np.float32)
        kernel[tap, 1, 0] = 1
        conv.set_weights([kernel, np.zeros(32, np.float32)])
        x = rng.normal(size=(2, 64, 3)).astype(np.float32)
        out = keras.Model(body.input, conv.output)(x)
        padded = np.pad(x[:, :, 1], ((0, 0), (1, 1)), mode="reflect")
        expected = padded[:, 1 + shift : 65 + shift][:, ::2]
        np.testing.assert_allclose(
            ops.convert_to_numpy(out)[:, :, 0], expected, atol=1e-6
        )


def test_flatten_is_channel_major():
    x = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    flat = ops.convert_to_numpy(ChannelsFirstFlatten()(x))
    np.testing.assert_array_equal(flat, x.transpose(0, 2, 1).reshape(2, 12))
    np.testing.assert_array_equal(flat[0, :3], x[0, :, 0])
    assert ChannelsFirstFlatten().compute_output_shape((None, 3, 4)) == (None, 12)


# Compact and dense


@pytest.mark.parametrize("upsampling", ["nearest", "linear"])
def test_compact_table(upsampling):
    body = encoder_body("compact", (256, 3), batch_norm=False)
    assert conv_table(body) == [
        (filters, (3,), (stride,), "valid", steps)
        for filters, stride, steps in FINTA_ENCODER[:5]
    ]
    assert len(kinds(body, layers.ReLU)) == 5
    assert body.output_shape == (None, 4096)
    assert body.count_params() == conv_parameters([3, 32, 64, 128, 256, 512])
    decoder = decoder_body(
        "compact", 32, (256, 3), upsampling=upsampling, zero_output=False
    )
    assert [row[0] for row in conv_table(decoder)] == [256, 128, 64, 32, 3]
    assert [row[-1] for row in conv_table(decoder)] == [16, 32, 64, 128, 256]
    assert decoder.output_shape == (None, 256, 3)
    assert decoder.count_params() == 33 * 4096 + conv_parameters(
        [512, 256, 128, 64, 32, 3]
    )
    assert decoder.layers[-1].activation is keras.activations.linear


def test_dense_table():
    body = encoder_body("dense", (64,), batch_norm=True)
    assert body.output_shape == (None, 256)
    assert body.count_params() == 65 * 256 + 257 * 256
    decoder = decoder_body("dense", 6, (64,), upsampling="nearest", zero_output=False)
    assert decoder.output_shape == (None, 64)
    assert decoder.count_params() == 7 * 256 + 257 * 256 + 257 * 64


def test_dense_encoder_ignores_how_far_a_coefficient_lies_out(rng):
    body = encoder_body("dense", (8,), batch_norm=False)
    at_bound = np.clip(rng.normal(size=(5, 8)) * 100, -1, 1) * COEFFICIENT_BOUND
    outside = (at_bound * rng.uniform(1, 1e6, (5, 8))).astype(np.float32)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(body(outside)),
        ops.convert_to_numpy(body(at_bound.astype(np.float32))),
    )


@pytest.mark.parametrize("backbone", ["dense", "compact", "finta"])
@pytest.mark.parametrize("zero_output", [False, True])
def test_zero_output_starts_at_zero(backbone, zero_output, rng):
    shape = (16,) if backbone == "dense" else (64, 3)
    body = decoder_body(
        backbone, 4, shape, upsampling="nearest", zero_output=zero_output
    )
    out = ops.convert_to_numpy(body(rng.normal(size=(3, 4)).astype(np.float32)))
    assert out.shape == (3, *shape)
    assert (out == 0).all() == zero_output


# Numbers of points


@pytest.mark.parametrize(
    "backbone, allowed, refused",
    [
        ("dense", (2, 3, 31, 32, 256), (1, 0, -4)),
        ("compact", (32, 64, 96, 256), (0, 1, 16, 31, 33, 48, 255)),
        ("finta", (64, 96, 128, 256), (0, 1, 32, 63, 65, 80, 255)),
    ],
)
def test_allowed_numbers_of_points(backbone, allowed, refused):
    for n_points in allowed:
        check_points(backbone, n_points)
    for n_points in refused:
        with pytest.raises(InvalidArgumentError, match="n_points"):
            check_points(backbone, n_points)


@pytest.mark.parametrize(
    "backbone, n_points",
    [("dense", 2), ("dense", 7), ("compact", 32), ("compact", 96), ("finta", 64)],
)
@pytest.mark.parametrize("linear_skip", [False, True])
def test_smallest_and_odd_numbers_of_points_work(backbone, n_points, linear_skip, rng):
    settings = TrainingSettings(
        backbone=backbone, linear_skip=linear_skip, latent_dim=3, upsampling="linear"
    )
    model = build_model(Preprocessing(n_points=n_points), settings)
    model.ensure_built()
    points = rng.normal(size=(2, n_points, 3)).astype(np.float32)
    assert tuple(model(points)["points"].shape) == (2, n_points, 3)


def test_unknown_backbone():
    with pytest.raises(InvalidArgumentError, match="backbone"):
        check_points("unet", 256)
