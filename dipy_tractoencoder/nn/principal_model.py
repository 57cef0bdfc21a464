"""What all trained models say of themselves, with or without a backend."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from dipy_tractoencoder.nn.provenance import describe_model
from dipy_tractoencoder.streamlines.pca import PCABaseline, PrincipalDirections
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing


class PrincipalModel:
    """Model that holds the principal directions of its training streamlines.

    Attributes
    ----------
    preprocessing : Preprocessing
        Conversion of streamlines to the network's points.
    latent_dim : int
        Number of latent dimensions.
    backbone, upsampling, loss_form : str
        Arguments of `StreamlineAutoencoder`.
    linear_skip : bool
        Whether the model has the linear skip.
    """

    preprocessing: Preprocessing
    latent_dim: int
    backbone: str
    linear_skip: bool
    upsampling: str
    loss_form: str

    @abstractmethod
    def principal_arrays(self) -> list[np.ndarray]:
        """Return mean, directions and spread in normalised coordinates.

        Returns
        -------
        arrays : list of ndarray
            Shapes (3 * n_points,), (3 * n_points, n_components) and (n_components,).
        """

    @property
    def latent_unit(self) -> np.ndarray:
        """Factors from the network's latents to those of `encode`, shape (latent_dim,).

        With the linear skip, latents are in mm: the Euclidean distance of two latents
        is the root mean squared distance (mm) of the points of their linear
        reconstructions. Without it, the factors are 1.
        """
        if not self.linear_skip:
            return np.ones(self.latent_dim, dtype=np.float32)
        spread = self.principal_arrays()[2][: self.latent_dim]
        factor = self.preprocessing.scale / self.preprocessing.n_points**0.5
        return (spread * factor).astype(np.float32)

    def principal_directions(self) -> PrincipalDirections:
        """Return the principal directions of the training streamlines.

        Returns
        -------
        principal : PrincipalDirections
            Directions in normalised coordinates, as stored in the model;
            ``total_variance`` is that of the stored directions.
        """
        mean, directions, spread = self.principal_arrays()
        total_variance = float(np.square(spread, dtype=np.float64).sum())
        return PrincipalDirections(mean, directions, spread, total_variance)

    def pca_baseline(self, n_components: int | None = None) -> PCABaseline:
        """Return the PCA of the same training streamlines, as a baseline.

        Parameters
        ----------
        n_components : int, optional
            Number of components; by default, the model's number of latent dimensions.

        Returns
        -------
        baseline : PCABaseline
            Encodes and decodes streamlines in mm.
        """
        return PCABaseline(
            self.principal_directions(),
            self.preprocessing,
            self.latent_dim if n_components is None else n_components,
        )

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that determine the output for given weights."""
        return {
            "preprocessing": self.preprocessing.to_dict(),
            "latent_dim": self.latent_dim,
            "backbone": self.backbone,
            "linear_skip": self.linear_skip,
            "upsampling": self.upsampling,
            "loss": self.loss_form,
        }

    __repr__ = describe_model
