"""Two linear layers in a row as one, for the FINTA backbone.

FINTA's last encoder convolution has no activation and is followed by a dense layer; its
decoder starts with a dense layer without activation, followed by a convolution. Each
pair is one linear map. Composing the weights once per batch costs as much as running a
few dozen streamlines through the pair, so that larger batches gain; the result, and its
slope, are the same up to rounding.
"""

from keras import layers, ops


def split_at(body, kind, *, last=False):
    """Layers of a chain before and after its first, or last, layer of a kind.

    Parameters
    ----------
    body : keras.Model
        A chain of layers, its input first.
    kind : type
        Class of the layer to find.
    last : bool, optional
        Find the last such layer.

    Returns
    -------
    before : list of keras.layers.Layer
        Without the input.
    layer : keras.layers.Layer
        The one found.
    after : list of keras.layers.Layer
        What follows it.
    """
    chain = body.layers[1:]
    places = [n for n, layer in enumerate(chain) if isinstance(layer, kind)]
    place = places[-1 if last else 0]
    return chain[:place], chain[place], chain[place + 1 :]


def run_chain(chain, x, *, training=False):
    """Apply layers one after the other.

    Parameters
    ----------
    chain : list of keras.layers.Layer
        Each takes one tensor.
    x : tensor
        Input of the first.
    training : bool, optional
        Passed to batch normalisation.

    Returns
    -------
    x : tensor
        Output of the last.
    """
    for layer in chain:
        if isinstance(layer, layers.BatchNormalization):
            x = layer(x, training=training)
        else:
            x = layer(x)
    return x


def products(*values, like):
    """Tensors in the number format that a layer computes in.

    Parameters
    ----------
    *values : tensor
        Weights or inputs.
    like : keras.layers.Layer
        The layer.

    Returns
    -------
    values : list of tensor
        Cast, in mixed precision.
    """
    return [ops.cast(value, like.compute_dtype) for value in values]


def decode_folded(body, latent):
    """Run FINTA's decoder with its first dense layer and convolution as one map.

    Parameters
    ----------
    body : keras.Model
        Of `nn.backbones.decoder_body` ("finta").
    latent : tensor, shape (n_streamlines, latent_dim)
        In the network's units.

    Returns
    -------
    output : tensor
        What ``body(latent)`` returns, up to rounding.
    """
    reshape, convolution, after = split_at(body, layers.Conv1D)
    dense, *reshape = reshape
    # The pair of each unit latent, and of none: rows of the composed kernel, its bias.
    kernel, bias, taps, shift, latent = products(
        dense.kernel,
        dense.bias,
        convolution.kernel,
        convolution.bias,
        latent,
        like=dense,
    )
    rows = ops.concatenate([kernel, bias[None]], axis=0)
    rows = ops.conv(run_chain(reshape, rows), taps, padding="valid")
    steps, channels = rows.shape[1:]
    kernel = ops.reshape(rows[:-1], (-1, steps * channels))
    bias = ops.reshape(rows[-1] + shift, (-1,))
    x = ops.reshape(ops.matmul(latent, kernel) + bias, (-1, steps, channels))
    return run_chain(after, x)


def encode_folded(body, head, points):
    """Run FINTA's encoder with its last convolution and a dense head as one map.

    Only without batch normalisation between the two: in training its statistics need
    the convolution's output.

    Parameters
    ----------
    body : keras.Model
        Of `nn.backbones.encoder_body` ("finta", no batch normalisation).
    head : keras.layers.Dense
        Applied to the body's output.
    points : tensor, shape (n_streamlines, n_points, 3)
        Normalised.

    Returns
    -------
    output : tensor, shape (n_streamlines, units)
        What ``head(body(points))`` returns, up to rounding.
    """
    before, convolution, _ = split_at(body, layers.Conv1D, last=True)
    x = run_chain(before, points)
    padded, channels = x.shape[1:]
    head_kernel, head_bias, taps, shift = products(
        head.kernel, head.bias, convolution.kernel, convolution.bias, like=head
    )
    width, _, filters = taps.shape
    steps = padded - width + 1
    # The body's output is flattened channel by channel.
    units = head_kernel.shape[1]
    weights = ops.reshape(head_kernel, (filters, steps, units))
    taps = ops.tensordot(taps, weights, axes=1)  # (width, in, steps, out)
    kernel = sum(
        ops.pad(
            ops.transpose(taps[tap], (1, 0, 2)),
            ((tap, width - 1 - tap), (0, 0), (0, 0)),
        )
        for tap in range(width)
    )
    kernel = ops.reshape(kernel, (padded * channels, units))
    bias = head_bias + ops.sum(weights * shift[:, None, None], axis=(0, 1))
    return ops.matmul(ops.reshape(x, (-1, padded * channels)), kernel) + bias
