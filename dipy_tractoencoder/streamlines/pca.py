"""Principal component analysis of streamlines, the baseline of every model.

A resampled streamline is a vector of 3 * n_points numbers. Because streamlines are
smooth, few principal components describe them well :footcite:p:`Corouge2006`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.utils.blocks import FixedBlocks

N_COMPONENTS = 64
ROWS_AT_A_TIME = 4096  # streamlines whose products are added up

# Lower bound of standard deviations, as a fraction of the largest: division by smaller
# ones would amplify rounding errors to the size of the coordinates.
SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class PrincipalDirections:
    """Mean and principal directions of a set of streamlines.

    Attributes
    ----------
    mean : ndarray, shape (3 * n_points,), float32
        Mean streamline, flattened, in the coordinates of the fit.
    directions : ndarray, shape (3 * n_points, n_components), float32
        Orthonormal columns, in order of decreasing standard deviation.
    spread : ndarray, shape (n_components,), float32
        Standard deviation along each direction.
    total_variance : float
        Sum of the variances along all directions.
    """

    mean: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    total_variance: float

    @property
    def n_components(self) -> int:
        """Number of directions."""
        return self.directions.shape[1]

    def residual_variance(self, n_components: int) -> float:
        """Compute the variance per coordinate that the first directions do not explain.

        Parameters
        ----------
        n_components : int
            Number of first directions.

        Returns
        -------
        variance : float
            Mean over all coordinates, the noise variance of probabilistic PCA
            :footcite:p:`Tipping1999`, eq. 8.
        """
        explained = np.square(self.spread[:n_components], dtype=np.float64).sum()
        return max(self.total_variance - explained, 0.0) / len(self.mean)

    def encode(self, points: np.ndarray, n_components: int) -> np.ndarray:
        """Project streamlines onto the first directions.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the coordinates of the fit.
        n_components : int
            Number of directions to use.

        Returns
        -------
        coefficients : ndarray, shape (n_streamlines, n_components)
            Coefficients in the unit of the coordinates.
        """
        centred = points.reshape(len(points), len(self.mean)) - self.mean
        return centred @ self.directions[:, :n_components]

    def whitened(self, points: np.ndarray) -> np.ndarray:
        """Compute whitened coefficients of streamlines, and what they leave out.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Streamlines in the coordinates of the fit.

        Returns
        -------
        rows : ndarray, shape (n_streamlines, n_components + 1), float32
            Coefficients in standard deviations, and the squared norm of the part of the
            streamline that they do not represent.
        """
        rows = np.empty((len(points), self.n_components + 1), dtype=np.float32)
        centred = points.reshape(len(points), -1) - self.mean
        projected = centred @ self.directions
        rest = centred - projected @ self.directions.T
        rows[:, :-1] = projected / self.spread
        rows[:, -1] = np.einsum("ij,ij->i", rest, rest)
        return rows

    def decode(self, coefficients: np.ndarray) -> np.ndarray:
        """Reconstruct streamlines from coefficients.

        Parameters
        ----------
        coefficients : ndarray, shape (n_streamlines, n_components)
            Coefficients of the first directions, as returned by `encode`.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the coordinates of the fit.
        """
        directions = self.directions[:, : coefficients.shape[1]]
        flat = coefficients @ directions.T + self.mean
        return flat.reshape(len(flat), len(self.mean) // 3, 3)

    def reconstruct(self, points: np.ndarray, n_components: int) -> np.ndarray:
        """Project streamlines onto the first directions, and reconstruct them.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the coordinates of the fit.
        n_components : int
            Number of directions to use.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Reconstructed streamlines in the coordinates of the fit.
        """
        return self.decode(self.encode(points, n_components))


@dataclass(frozen=True)
class PCABaseline:
    """PCA baseline of a model: encode and decode streamlines in mm.

    Attributes
    ----------
    principal : PrincipalDirections
        Principal directions of the training streamlines, in normalised coordinates.
    preprocessing : Preprocessing
        Preprocessing that defines the normalised coordinates.
    n_components : int
        Number of latent dimensions.
    """

    principal: PrincipalDirections
    preprocessing: Preprocessing
    n_components: int

    @property
    def unit(self) -> float:
        """Factor from normalised coefficients to latents in mm.

        With it, the Euclidean distance of two latents is the root mean squared distance
        of the points of their reconstructions, as for a model with the linear skip.
        """
        return self.preprocessing.scale / np.sqrt(self.preprocessing.n_points)

    def encode(self, points: np.ndarray) -> np.ndarray:
        """Encode streamlines as coefficients of the first directions.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the model's orientation, RASMM, mm.

        Returns
        -------
        latent : ndarray, shape (n_streamlines, n_components)
            Latents, mm.
        """
        normalised = self.preprocessing.normalise(points)
        return self.principal.encode(normalised, self.n_components) * self.unit

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Decode latents to streamlines.

        Parameters
        ----------
        latent : ndarray, shape (n_streamlines, n_components)
            Latents, mm, as returned by `encode`.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Streamlines in the model's orientation, RASMM, mm.
        """
        points = self.principal.decode(latent / self.unit).astype(np.float32)
        return self.preprocessing.denormalise(points)

    def reconstruct(self, points: np.ndarray) -> np.ndarray:
        """Encode and decode streamlines in single precision.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Streamlines in the model's orientation, RASMM, mm.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            Reconstructed streamlines, RASMM, mm.
        """
        normalised = self.preprocessing.normalise(points)
        back = self.principal.reconstruct(normalised, self.n_components)
        return self.preprocessing.denormalise(back)


class Moments:
    """Mean and covariance of streamlines, added up block by block in double precision.

    Parameters
    ----------
    both_directions : bool, optional
        Also include each streamline reversed.
    chunk_size : int, optional
        Number of streamlines that are added up at a time.

    Attributes
    ----------
    count : int
        Number of streamlines added up, in both directions if those are included.
    """

    def __init__(
        self, *, both_directions: bool = False, chunk_size: int = ROWS_AT_A_TIME
    ) -> None:
        self.both_directions = both_directions
        self.count = 0
        # Sums are those of differences from this: they lose fewer digits.
        self._shift = self._total = np.zeros(0)
        self._moment = np.zeros((0, 0))
        self._blocks = FixedBlocks(chunk_size, self._add)

    def add(self, points: np.ndarray) -> None:
        """Add streamlines.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            Oriented and resampled streamlines.
        """
        self._blocks.add(points)

    def _add(self, points):
        """Add a block of streamlines."""
        if self.count == 0:
            self._shift = np.asarray(points, dtype=np.float64).mean(axis=0).ravel()
            size = len(self._shift)
            self._total, self._moment = np.zeros(size), np.zeros((size, size))
        for way in (points, points[:, ::-1])[: 2 if self.both_directions else 1]:
            rows = way.reshape(len(way), -1) - self._shift
            self._total += rows.sum(axis=0)
            self._moment += rows.T @ rows
            self.count += len(rows)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of the streamlines of both; neither takes more."""
        self._blocks.finish()
        other._blocks.finish()
        if not other.count or not self.count:
            return self if self.count else other
        both = Moments(both_directions=self.both_directions)
        both.count, both._shift = self.count + other.count, self._shift
        step = other._shift - self._shift
        cross = np.outer(step, other._total)
        both._total = self._total + other._total + other.count * step
        both._moment = self._moment + other._moment + cross + cross.T
        both._moment += other.count * np.outer(step, step)
        return both

    def principal(self, n_components: int = N_COMPONENTS) -> PrincipalDirections:
        """Compute mean and principal directions.

        Parameters
        ----------
        n_components : int, optional
            Number of directions, limited to 3 * n_points.

        Returns
        -------
        principal : PrincipalDirections
            Mean and directions in the coordinates of the streamlines.
        """
        self._blocks.finish()
        mean = self._shift + self._total / self.count
        covariance = self._moment / self.count
        covariance -= np.outer(self._total, self._total) / self.count**2
        variances, directions = np.linalg.eigh(covariance)
        variances = np.maximum(variances[::-1], 0.0)
        directions = directions[:, ::-1][:, :n_components]
        # The sign of eigenvectors is arbitrary; fixing it makes fits reproducible.
        largest = np.abs(directions).argmax(axis=0)
        signs = np.sign(directions[largest, np.arange(directions.shape[1])])
        spread = np.sqrt(variances[:n_components])
        floor = SMALLEST_SPREAD * spread[0] if spread[0] > 0 else 1.0
        return PrincipalDirections(
            mean.astype(np.float32),
            (directions * signs).astype(np.float32),
            np.maximum(spread, floor).astype(np.float32),
            float(variances.sum()),
        )


def fit_principal(
    points: np.ndarray,
    n_components: int = N_COMPONENTS,
    *,
    both_directions: bool = False,
    chunk_size: int = ROWS_AT_A_TIME,
) -> PrincipalDirections:
    """Fit principal directions; the covariance is computed chunk by chunk.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Oriented and resampled streamlines; may be memory-mapped.
    n_components : int, optional
        Number of directions, limited to 3 * n_points.
    both_directions : bool, optional
        Also include each streamline reversed.
    chunk_size : int, optional
        Number of streamlines in memory at a time.

    Returns
    -------
    principal : PrincipalDirections
        Mean and directions in the coordinates of ``points``.
    """
    moments = Moments(both_directions=both_directions, chunk_size=chunk_size)
    moments.add(points)
    return moments.principal(n_components)
