"""Search for nearest latents, quick for few as well as for many."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from dipy_tractoencoder.errors import EmptyDataError
from dipy_tractoencoder.utils.cores import n_cores

# Up to so many pairs, a search takes longer to start than all distances.
FEW_PAIRS = 500_000
# Up to so many effective dimensions, a tree looks at few of the reference latents.
FEW_DIMENSIONS = 12


class NeighborSearch:
    """Euclidean nearest-neighbour search in latents.

    Of few pairs all distances are computed. For more, scipy's k-d tree serves latents
    whose variance lies in few dimensions, as in those of a model with the linear skip:
    it takes a fifth of the processor time of all distances, which scikit-learn computes
    for others. All three find the nearest ones exactly.

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
    >>> from dipy_tractoencoder.latent.search import NeighborSearch
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
    def effective_dimensions(self) -> float:
        """Number of dimensions of equal variance that would be as many."""
        variances = np.asarray(self.reference, dtype=np.float64).var(axis=0)
        total = variances.sum()
        return float(total**2 / (variances**2).sum()) if total > 0 else 1.0

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import KDTree

        # Splits at the middle of a cell are quicker than at the median.
        return KDTree(self.reference, leafsize=32, balanced_tree=False)

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
            if self.effective_dimensions <= FEW_DIMENSIONS:
                return self._in_tree(wanted, n_neighbors, own)
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

    def _in_tree(self, wanted, n_neighbors, own):
        """Find neighbours by the tree; without each row itself if they are its own."""
        places = np.arange(1, n_neighbors + own + 1)
        distances, rows = self._tree.query(wanted, k=places, workers=n_cores())
        if own:
            itself = rows == np.arange(len(rows))[:, None]
            # Of many doubles it may not be among those found: any is as near.
            itself[~itself.any(axis=1), -1] = True
            shape = len(rows), n_neighbors
            distances, rows = (a[~itself].reshape(shape) for a in (distances, rows))
        return distances, rows.astype(np.int64)
