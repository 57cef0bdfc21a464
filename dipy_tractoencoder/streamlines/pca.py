"""Principal directions of streamlines: the linear answer every network stands beside.

A resampled streamline is a vector of 3 * n_points numbers; a few principal directions
hold nearly all of it, since streamlines are smooth :footcite:p:`Corouge2006`.
"""

from dataclasses import dataclass

import numpy as np

from dipy_tractoencoder.streamlines.preprocessing import Preprocessing

N_COMPONENTS = 64

# Spreads below this share of the largest count as this: dividing by rounding noise
# would turn it into numbers as large as the streamlines' own.
SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class PrincipalDirections:
    """Mean, directions and spreads of a set of streamlines.

    Attributes
    ----------
    mean : ndarray, shape (3 * n_points,), float32
        Mean streamline, flattened; in the coordinates it was fitted in.
    directions : ndarray, shape (3 * n_points, n_components), float32
        Orthonormal columns, largest spread first.
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
    def n_components(self):
        """Number of directions kept."""
        return self.directions.shape[1]

    def residual_variance(self, n_components):
        """Mean variance of a coordinate outside the first directions.

        Parameters
        ----------
        n_components : int
            Directions taken away.

        Returns
        -------
        variance : float
            The noise variance of probabilistic PCA
            :footcite:p:`Tipping1999`, eq. 8, over all coordinates.
        """
        explained = np.square(self.spread[:n_components], dtype=np.float64).sum()
        return max(self.total_variance - explained, 0.0) / len(self.mean)

    def encode(self, points, n_components):
        """Project streamlines on the first directions.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            In the coordinates of the fit.
        n_components : int
            Directions used.

        Returns
        -------
        coefficients : ndarray, shape (n_streamlines, n_components)
            In the unit of the coordinates.
        """
        centred = points.reshape(len(points), len(self.mean)) - self.mean
        return centred @ self.directions[:, :n_components]

    def decode(self, coefficients):
        """Make streamlines of their coefficients.

        Parameters
        ----------
        coefficients : ndarray, shape (n_streamlines, any)
            As `encode` gives them.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3)
            In the coordinates of the fit.
        """
        directions = self.directions[:, : coefficients.shape[1]]
        flat = coefficients @ directions.T + self.mean
        return flat.reshape(len(flat), len(self.mean) // 3, 3)

    def reconstruct(self, points, n_components):
        """Project streamlines on the first directions and back.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            In the coordinates of the fit.
        n_components : int
            Directions used.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            The nearest streamlines in the span of the directions.
        """
        return self.decode(self.encode(points, n_components))


@dataclass(frozen=True)
class PCABaseline:
    """PCA as a model beside a network: it encodes and decodes streamlines in mm.

    Attributes
    ----------
    principal : PrincipalDirections
        Of the training streamlines, in normalised coordinates.
    preprocessing : Preprocessing
        Between mm and those.
    n_components : int
        Size of the latent.
    """

    principal: PrincipalDirections
    preprocessing: Preprocessing
    n_components: int

    @property
    def unit(self):
        """Factor from normalised coefficients to latents in mm.

        The Euclidean distance of two latents is then the root mean squared distance
        of the points of their reconstructions, as for a model with the linear skip.
        """
        return self.preprocessing.scale / np.sqrt(self.preprocessing.n_points)

    def encode(self, points):
        """Project streamlines on the first directions.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            RASMM, mm, in the model's orientation.

        Returns
        -------
        latent : ndarray, shape (n_streamlines, n_components)
            mm.
        """
        normalised = self.preprocessing.normalise(points)
        return self.principal.encode(normalised, self.n_components) * self.unit

    def decode(self, latent):
        """Make streamlines of latents.

        Parameters
        ----------
        latent : ndarray, shape (n_streamlines, n_components)
            As `encode` gives them, mm.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            RASMM, mm.
        """
        points = self.principal.decode(latent / self.unit).astype(np.float32)
        return self.preprocessing.denormalise(points)

    def reconstruct(self, points):
        """Encode and decode streamlines, all in single precision.

        Parameters
        ----------
        points : ndarray, shape (n_streamlines, n_points, 3)
            RASMM, mm, in the model's orientation.

        Returns
        -------
        points : ndarray, shape (n_streamlines, n_points, 3), float32
            RASMM, mm.
        """
        normalised = self.preprocessing.normalise(points)
        back = self.principal.reconstruct(normalised, self.n_components)
        return self.preprocessing.denormalise(back)


def fit_principal(
    points, n_components=N_COMPONENTS, *, both_directions=False, chunk_size=10_000
):
    """Principal directions from a mean and covariance gathered chunk by chunk.

    Parameters
    ----------
    points : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, oriented and resampled; may be a memory map.
    n_components : int, optional
        Directions wanted; 3 * n_points at most.
    both_directions : bool, optional
        Count each streamline a second time, reversed.
    chunk_size : int, optional
        Streamlines in memory at a time.

    Returns
    -------
    principal : PrincipalDirections
        In the coordinates of ``points``.
    """
    size = points.shape[1] * 3
    n_components = min(n_components, size)
    shift = np.asarray(points[:chunk_size], dtype=np.float64).mean(axis=0).ravel()
    total = np.zeros(size)
    moment = np.zeros((size, size))
    count = 0
    for start in range(0, len(points), chunk_size):
        chunk = points[start : start + chunk_size]
        for turned in (chunk, chunk[:, ::-1])[: 2 if both_directions else 1]:
            rows = turned.reshape(len(turned), size) - shift
            total += rows.sum(axis=0)
            moment += rows.T @ rows
            count += len(rows)
    covariance = moment / count - np.outer(total, total) / count**2
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances[::-1], 0.0)
    directions = directions[:, ::-1][:, :n_components]
    # eigh leaves the sign open; fixing it makes refits agree.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(n_components)])
    spread = np.sqrt(variances[:n_components])
    floor = SMALLEST_SPREAD * spread[0] if spread[0] > 0 else 1.0
    return PrincipalDirections(
        (shift + total / count).astype(np.float32),
        directions.astype(np.float32),
        np.maximum(spread, floor).astype(np.float32),
        float(variances.sum()),
    )
