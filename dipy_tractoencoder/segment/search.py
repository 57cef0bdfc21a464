"""Search for nearest latents, quick for few as well as for many."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError

# Up to so many pairs, scikit-learn's search takes longer to start than all distances.
FEW_PAIRS = 500_000


class NeighborSearch:
    """Euclidean nearest-neighbour search in latents.

    Few distances are computed by scipy, many by scikit-learn, whose search is quick
    but takes a hundredth of a second to start: with 100 bundles that are searched one
    by one, that is most of the time.

    Parameters
    ----------
    reference : ndarray, shape (n_reference, latent_dim)
        Latents, at least one.

    Raises
    ------
    EmptyDataError
        If there are no latents.

    Examples
    --------
    >>> import numpy as np
    >>> from dipy_tractoencoder.segment.search import NeighborSearch
    >>> search = NeighborSearch(np.array([[0.0], [1.0], [5.0]]))
    >>> distances, rows = search.kneighbors(np.array([[4.0]]), n_neighbors=2)
    >>> distances.tolist(), rows.tolist()
    ([[1.0, 3.0]], [[2, 1]])
    """

    def __init__(self, reference: np.ndarray) -> None:
        if len(reference) == 0:
            raise EmptyDataError("There are no reference streamlines to search.")
        self.reference = reference

    def __len__(self) -> int:
        return len(self.reference)

    @cached_property
    def _many(self) -> Any:
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors().fit(self.reference)

    def kneighbors(
        self, mean: np.ndarray | None = None, n_neighbors: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest reference latents.

        Parameters
        ----------
        mean : ndarray, shape (n_streamlines, latent_dim), optional
            Latents; by default those of the reference, each without itself.
        n_neighbors : int, optional
            Number of reference latents, at most as many as there are.

        Returns
        -------
        distances : ndarray, shape (n_streamlines, n_neighbors), float64
            Distances, the smallest first, in the unit of the latents.
        rows : ndarray, shape (n_streamlines, n_neighbors), int64
            Rows of the reference.
        """
        own = mean is None
        wanted = self.reference if mean is None else mean
        if len(wanted) * len(self) > FEW_PAIRS:
            distances, rows = self._many.kneighbors(mean, n_neighbors=n_neighbors)
            return distances.astype(np.float64), rows
        from scipy.spatial.distance import cdist

        squares = cdist(wanted, self.reference, "sqeuclidean")
        if own:
            np.fill_diagonal(squares, np.inf)
        rows = np.tile(np.arange(len(self)), (len(squares), 1))
        if n_neighbors < len(self):
            rows = np.argpartition(squares, n_neighbors - 1, axis=1)[:, :n_neighbors]
        found = np.take_along_axis(squares, rows, axis=1)
        # Equally near ones by their row, whatever the partition made of them.
        order = np.lexsort((rows, found), axis=1)
        found = np.take_along_axis(found, order, axis=1)
        return np.sqrt(found), np.take_along_axis(rows, order, axis=1)
