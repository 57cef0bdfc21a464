"""Find the pose of streamlines from many starts at once, by closest pairs.

Each start pairs streamlines with the closest ones of the other side, moves rigidly to
the weighted least-squares fit of these pairs, and goes on: iterated closest points
:footcite:p:`Besl1992` on whole streamlines. Weights of one over the distance make it a
minimum of distances instead of their squares. All coordinates are RASMM, in mm.

References
----------
.. footbibliography::
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dipy_tractoencoder.align.starts import best_rotations

# Number of steps, and number of starts that are kept after them.
PLAN = ((4, 64), (8, 24), (24, 12))
BLOCK = 500_000  # distances held at a time
SOFTENING = 1.0  # mm; weights of closer pairs no longer grow
SAME = 3.0  # mm; closer poses go on as one
IMPOSSIBLE = 1e12  # squared distance of pairs that are not allowed


class PosePairs:
    """Distances between moved and static streamlines, for many poses at once.

    Parameters
    ----------
    moving, static : ndarray, shape (n_streamlines, n_points, 3)
        Streamlines, mm.
    both_ways : bool, optional
        Static streamlines look for partners, too; otherwise only the moving ones do,
        for a part of a brain.
    allowed : ndarray, shape (n_moving, n_static), bool, optional
        Pairs that may be formed, of bundles of one name for example.
    """

    def __init__(
        self,
        moving: np.ndarray,
        static: np.ndarray,
        *,
        both_ways: bool = True,
        allowed: np.ndarray | None = None,
    ) -> None:
        self.centre = static.reshape(-1, 3).mean(axis=0, dtype=np.float64)
        self.home = moving.reshape(-1, 3).mean(axis=0, dtype=np.float64)
        moving = (moving - self.home).astype(np.float32)
        static = (static - self.centre).astype(np.float32)
        self.radius = float(np.sqrt((moving**2).sum(axis=2).mean()))
        self.both_ways, self.allowed = both_ways, allowed
        self.moving_mean, self.static_mean = moving.mean(axis=1), static.mean(axis=1)
        self.shape = len(moving), len(static)
        # Mean products of coordinates, of each pair in both directions, say all about
        # its distance in any pose: the square is linear in them.
        self.products = np.empty((2, *self.shape, 3, 3), dtype=np.float32)
        self._terms = np.empty((2, 17, *self.shape), dtype=np.float32)
        for way, lines in enumerate((static, static[:, ::-1])):
            products = np.einsum("api,bpj->abij", moving, lines, optimize=True)
            self.products[way] = products / moving.shape[1]
            terms = self._terms[way]
            terms[:9] = self.products[way].reshape(*self.shape, 9).transpose(2, 0, 1)
            terms[9:12] = self.static_mean.T[:, None, :]
            terms[12:15] = self.moving_mean.T[:, :, None]
            terms[15] = 1
            terms[16] = (moving**2).sum(axis=2).mean(axis=1)[:, None]
            terms[16] += (lines**2).sum(axis=2).mean(axis=1)

    def step(
        self, rotations: np.ndarray, shifts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Measure poses, and move each to the fit of its closest pairs.

        Parameters
        ----------
        rotations : ndarray, shape (n, 3, 3)
            Rotations about the centres of both sides.
        shifts : ndarray, shape (n, 3)
            Translations after it, mm.

        Returns
        -------
        rotations, shifts : ndarray
            The moved poses.
        score : ndarray, shape (n,)
            Mean distance (root mean square over points) of closest pairs before the
            move, mm.
        """
        squares, reverse = self._squares(rotations, shifts)
        n, n_moving, n_static = squares.shape
        pose = np.arange(n)[:, None]
        rows, columns = np.arange(n_moving)[None], squares.argmin(axis=2)
        pairs = [(rows, columns, 1 / n_moving)]
        if self.both_ways:
            pairs.append(
                (squares.argmin(axis=1), np.arange(n_static)[None], 1 / n_static)
            )
        score = np.zeros(n)
        total, moment = np.zeros((n, 1)), np.zeros((n, 3, 3))
        centre, home = np.zeros((n, 3)), np.zeros((n, 3))
        for rows, columns, weight in pairs:
            distance = np.sqrt(np.maximum(squares[pose, rows, columns], 0))
            score += distance.mean(axis=1) / len(pairs)
            weights = weight / (distance + SOFTENING)
            way = reverse[pose, rows, columns].astype(np.intp)
            total += weights.sum(axis=1, keepdims=True)
            found = self.products[way, rows, columns]
            moment += np.einsum("na,naij->nij", weights, found)
            home += _weighted(weights, self.moving_mean[rows])
            centre += _weighted(weights, self.static_mean[columns])
        home, centre = home / total, centre / total
        moment = moment / total[:, :, None] - home[:, :, None] * centre[:, None]
        rotations = best_rotations(moment)
        shifts = centre - np.einsum("nij,nj->ni", rotations, home)
        return rotations, shifts, score

    def _squares(self, rotations, shifts):
        """Squared distance per point of all pairs, and which run the other way."""
        n = len(rotations)
        factors = np.ones((n, 17))
        back = rotations.transpose(0, 2, 1)
        factors[:, :9] = -2 * back.reshape(n, 9)
        factors[:, 9:12] = -2 * shifts
        factors[:, 12:15] = 2 * np.einsum("nij,nj->ni", back, shifts)
        factors[:, 15] = (shifts**2).sum(axis=1)
        factors = factors.astype(np.float32)
        squares, other = (factors @ terms.reshape(17, -1) for terms in self._terms)
        reverse = (other < squares).reshape(n, *self.shape)
        np.minimum(squares, other, out=squares)
        squares = squares.reshape(n, *self.shape)
        if self.allowed is not None:
            squares[:, ~self.allowed] = IMPOSSIBLE
        return squares, reverse


def search_poses(
    pairs: PosePairs, starts: np.ndarray, plan: Sequence[tuple[int, int]] = PLAN
) -> tuple[np.ndarray, np.ndarray]:
    """Improve many starts, and leave out the worse ones between.

    Parameters
    ----------
    pairs : PosePairs
        Streamlines of both sides.
    starts : ndarray, shape (n, 4, 4)
        Rigid transforms from moving to static.
    plan : sequence of (int, int), optional
        Numbers of steps, and of different poses to keep after them.

    Returns
    -------
    poses : ndarray, shape (n_kept, 4, 4)
        Rigid transforms, the best first.
    score : ndarray, shape (n_kept,)
        Mean distance of closest pairs, mm.
    """
    rotations = starts[:, :3, :3]
    shifts = starts[:, :3, 3] + rotations @ pairs.home - pairs.centre
    for n_steps, n_kept in plan:
        for _ in range(n_steps):
            measured = rotations, shifts
            parts = [pairs.step(r, s) for r, s in _blocks(pairs, rotations, shifts)]
            rotations, shifts, score = map(np.concatenate, zip(*parts))
        best = _different(*measured, score, pairs.radius, n_kept)
        rotations, shifts, score = rotations[best], shifts[best], score[best]
    poses = np.tile(np.eye(4), (len(score), 1, 1))
    rotations, shifts = (part[best] for part in measured)
    poses[:, :3, :3] = rotations
    poses[:, :3, 3] = shifts + pairs.centre - rotations @ pairs.home
    return poses, score


def _different(rotations, shifts, score, radius, n_kept):
    """Rank the best poses, without those that are nearly a better one."""
    axes = radius * np.concatenate([np.eye(3), -np.eye(3)])
    places = np.einsum("nij,aj->nai", rotations, axes) + shifts[:, None]
    kept = []
    for row in np.argsort(score, kind="stable"):
        steps = np.linalg.norm(places[kept] - places[row], axis=2).mean(axis=1)
        if not (steps < SAME).any():
            kept.append(row)
        if len(kept) == n_kept:
            break
    return kept


def _weighted(weights, means):
    """Weighted sum over streamlines; ``means`` may be the same for all poses."""
    if len(means) == 1:
        return weights @ means[0]
    return np.einsum("na,nai->ni", weights, means)


def _blocks(pairs, rotations, shifts):
    size = max(1, BLOCK // (pairs.shape[0] * pairs.shape[1]))
    for start in range(0, len(rotations), size):
        yield rotations[start : start + size], shifts[start : start + size]
