"""The network of the dense backbone in NumPy: no backend is needed to apply it.

Linear operations are folded: points and latents are in mm. It agrees with the trained
Keras model up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.nn.architecture import COEFFICIENT_BOUND
from dipy_tractoencoder.utils.blas import run_in_threads

if TYPE_CHECKING:
    from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

BATCH_SIZE = 1024  # Streamlines; their coordinates and hidden units fit in the caches.
BLOCK_SIZE = 2**15  # Numbers that an activation is computed of at a time.

# Phi(x) = (1 + tanh(x q(x^2))) / 2 is the normal distribution function, with a
# polynomial q whose largest error of x Phi(x) is 7e-8 on [-7, 7], as much as that of
# rounding. Beyond, both are 0 or 1 in single precision. SciPy's erf takes ten times as
# long. Highest power first.
NORMAL_CDF = (
    1.813924241252786e-09,
    -1.3378306432188797e-07,
    3.974068588883568e-06,
    -5.527337091890918e-05,
    -3.3026753837839514e-05,
    3.633414918686969e-02,
    7.978842683866814e-01,
)
CDF_END = 49.0  # 7 squared

Layer = tuple[np.ndarray, np.ndarray]  # Kernel (inputs, outputs) and bias (outputs,).


@dataclass(frozen=True)
class DenseWeights:
    """Weights of a model with the dense backbone.

    Attributes
    ----------
    mean, directions, spread : ndarray
        Of the principal directions in normalised coordinates: shapes (3 * n_points,),
        (3 * n_points, n_components) and (n_components,).
    encoder, decoder, heads : tuple of (kernel, bias)
        Layers of the encoder's and decoder's bodies; heads for the mean and, of a
        variational autoencoder, the log-variance.
    """

    mean: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    heads: tuple[Layer, ...]

    def as_float64(self) -> DenseWeights:
        """Return the same in double precision, for products of weights."""
        return DenseWeights(*(_as_float64(getattr(self, f.name)) for f in fields(self)))


class DenseNetwork:
    """Encoder and decoder of a model with the dense backbone, folded.

    Parameters
    ----------
    weights : DenseWeights
        Weights of the model; later changes have no effect.
    preprocessing : Preprocessing
        Number of points, centre and scale, mm.
    linear_skip : bool
        Whether the model has the linear skip.
    latent_unit : ndarray, shape (latent_dim,)
        Factors from the network's latents to those of `encode`.

    Attributes
    ----------
    projection : ndarray, shape (3 * n_points, n_components), float32
        Matrix from points minus `mean` (mm) to whitened principal coefficients.
    mean : ndarray, shape (3 * n_points,), float32
        Mean streamline, RASMM, mm.
    latent_dim : int
        Number of latent dimensions.
    """

    def __init__(
        self,
        weights: DenseWeights,
        preprocessing: Preprocessing,
        *,
        linear_skip: bool,
        latent_unit: np.ndarray,
    ) -> None:
        exact = weights.as_float64()
        unit = np.asarray(latent_unit, dtype=np.float64)
        scale, centre = preprocessing.scale, np.asarray(preprocessing.centre)
        d = self.latent_dim = len(unit)
        self.n_points = preprocessing.n_points
        mean = (exact.mean.reshape(-1, 3) * scale + centre).ravel()
        self.mean = _as_float32(mean)
        self.projection = _as_float32(exact.directions / (exact.spread * scale))
        self._back = _as_float32((exact.directions * exact.spread).T * scale)

        kernel, bias = (np.concatenate(side, -1) for side in zip(*exact.heads))
        # Log-variances are clipped before the unit is added to them, so not here.
        kernel[:, :d] *= unit
        bias[:d] *= unit
        self._encoder = [_single(layer) for layer in (*exact.encoder, (kernel, bias))]
        first, *others = exact.decoder
        first = first[0] / unit[:, None], first[1]
        self._decoder = [_single(layer) for layer in (first, *others)]
        self._to_unit = self._from_unit = None
        if linear_skip:
            self._to_unit = _as_float32(unit)
            self._from_unit = _as_float32(1 / unit)

    def coefficients(self, points: np.ndarray) -> np.ndarray:
        """Compute whitened principal coefficients.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Points, RASMM, mm.

        Returns
        -------
        coefficients : ndarray, shape (n_streamlines, n_components), float32
            Coefficients, without unit.
        """
        # The mean is subtracted first: coefficients are much smaller than coordinates.
        with np.errstate(over="ignore", invalid="ignore"):
            flat = points.reshape(len(points), -1)
            return np.subtract(flat, self.mean, dtype=np.float32) @ self.projection

    def encode_coefficients(self, coefficients: np.ndarray) -> np.ndarray:
        """Compute the outputs of the encoder's heads.

        Parameters
        ----------
        coefficients : ndarray, shape (n_streamlines, n_components), float32
            Of `coefficients`.

        Returns
        -------
        heads : ndarray, shape (n_streamlines, k * latent_dim), float32
            Means in the unit of `latent_unit`, followed for a variational autoencoder
            (k = 2) by the log-variances, not yet clipped and without that unit.
        """
        x = np.clip(coefficients, -COEFFICIENT_BOUND, COEFFICIENT_BOUND)
        heads = _run(self._encoder, x)
        if self._to_unit is not None:
            d = self.latent_dim
            heads[:, :d] += coefficients[:, :d] * self._to_unit
        return heads

    def decode_coefficients(self, latents: np.ndarray) -> np.ndarray:
        """Decode latents to whitened principal coefficients.

        Parameters
        ----------
        latents : ndarray, shape (n_streamlines, latent_dim), float32
            Latents in the unit of `latent_unit`.

        Returns
        -------
        coefficients : ndarray, shape (n_streamlines, n_components), float32
            Coefficients, without unit.
        """
        coefficients = _run(self._decoder, latents)
        if self._from_unit is not None:
            coefficients[:, : self.latent_dim] += latents * self._from_unit
        return coefficients

    def encode(self, points: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Encode points.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Points, RASMM, mm.
        batch_size : int, optional
            Streamlines at a time; by default, a fast value.

        Returns
        -------
        heads : ndarray, shape (n_streamlines, k * latent_dim), float32
            As of `encode_coefficients`.
        """
        heads = np.empty((len(points), len(self._encoder[-1][1])), dtype=np.float32)

        def encode_batch(rows):
            heads[rows] = self.encode_coefficients(self.coefficients(points[rows]))

        run_in_threads(encode_batch, _batches(len(points), batch_size or BATCH_SIZE))
        return heads

    def encode_block(self, points: np.ndarray) -> np.ndarray:
        """Encode points in the thread that calls it.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Points, RASMM, mm, in C order; they are overwritten.

        Returns
        -------
        heads : ndarray, shape (n_streamlines, k * latent_dim), float32
            As of `encode_coefficients`.
        """
        flat = points.reshape(len(points), len(self.mean))  # Perhaps of no rows.
        flat -= self.mean
        return self.encode_coefficients(flat @ self.projection)

    def decode(self, latents: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Decode latents.

        Parameters
        ----------
        latents : ndarray, shape (n_streamlines, latent_dim), float32
            Latents in the unit of `latent_unit`.
        batch_size : int, optional
            Streamlines at a time; by default, a fast value.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Points, RASMM, mm.
        """
        points = np.empty((len(latents), 3 * self.n_points), dtype=np.float32)

        def decode_batch(rows):
            part, coefficients = points[rows], self.decode_coefficients(latents[rows])
            with np.errstate(over="ignore", invalid="ignore"):
                np.matmul(coefficients, self._back, out=part)
                part += self.mean

        run_in_threads(decode_batch, _batches(len(latents), batch_size or BATCH_SIZE))
        return points.reshape(len(latents), self.n_points, 3)

    def decoder_operations(self) -> list[dict[str, Any]]:
        """List the operations of the decoder, as `explorer.decoder_export` does.

        Returns
        -------
        operations : list of dict
            "dense" layers, with "kernel", "bias" and "activation", the sum of the
            linear skip ("add"), and the "reshape" to points; "inputs" of each.
        """
        activations = ["gelu"] * (len(self._decoder) - 1) + ["linear"]
        operations = [
            _dense(kernel, bias, [number], activation)
            for number, ((kernel, bias), activation) in enumerate(
                zip(self._decoder, activations)
            )
        ]
        if self._from_unit is not None:
            n_components = len(self._back)
            skip = np.eye(self.latent_dim, n_components, dtype=np.float32)
            skip *= self._from_unit[:, None]
            body = len(operations)
            operations.append(_dense(skip, np.zeros(n_components, np.float32), [0]))
            operations.append({"kind": "add", "inputs": [body, body + 1]})
        operations.append(_dense(self._back, self.mean, [len(operations)]))
        shape = [self.n_points, 3]
        reshape = {"kind": "reshape", "shape": shape, "inputs": [len(operations)]}
        return [*operations, reshape]


def gelu(x: np.ndarray) -> np.ndarray:
    """Compute x Phi(x), with the distribution function Phi of the normal distribution.

    Parameters
    ----------
    x : ndarray of float32
        Input in C order, overwritten.

    Returns
    -------
    x : ndarray of float32
        The result, in the same memory.
    """
    flat = x.reshape(-1)  # A view.
    size = min(BLOCK_SIZE, max(1, flat.size))
    square, inner = np.empty((2, size), dtype=np.float32)
    for start in range(0, flat.size, size):
        block = flat[start : start + size]
        u, y = square[: len(block)], inner[: len(block)]
        np.multiply(block, block, out=u)
        np.clip(u, 0, CDF_END, out=u)
        np.multiply(u, np.float32(NORMAL_CDF[0]), out=y)
        for factor in NORMAL_CDF[1:-1]:
            y += np.float32(factor)
            y *= u
        y += np.float32(NORMAL_CDF[-1])
        y *= block
        np.tanh(y, out=y)
        y += np.float32(1)
        y *= np.float32(0.5)
        block *= y
    return x


def _run(layers, x):
    """Apply dense layers with gelu in between."""
    # As in the backends, numbers that are too large are infinite without a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        for number, (kernel, bias) in enumerate(layers, start=1):
            x = x @ kernel
            x += bias
            if number < len(layers):
                x = gelu(x)
    return x


def _batches(n, size):
    """Cut rows into batches."""
    return (slice(start, start + size) for start in range(0, n, size))


def _dense(kernel, bias, inputs, activation="linear"):
    """Describe a dense layer."""
    arrays = {"kernel": kernel, "bias": bias}
    return {"kind": "dense", **arrays, "activation": activation, "inputs": inputs}


def _as_float64(value):
    """Convert arrays and tuples of arrays."""
    if isinstance(value, tuple):
        return tuple(map(_as_float64, value))
    return np.asarray(value, dtype=np.float64)


def _as_float32(value):
    return np.ascontiguousarray(value, dtype=np.float32)


def _single(layer):
    """Convert kernel and bias to single precision."""
    return tuple(map(_as_float32, layer))
