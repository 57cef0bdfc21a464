"""Bundles of the streamlines of a tractogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dipy_tractoencoder.segment.label_metrics import UNASSIGNED_NAME
from dipy_tractoencoder.segment.votes import UNASSIGNED
from dipy_tractoencoder.utils.short_repr import short_repr

if TYPE_CHECKING:
    from dipy_tractoencoder.segment.decisions import SubjectFactor

# Data per streamline of labelled files; names in a TRK have up to 20 characters.
ADDED = ("vae_p", "vae_vote_share", "vae_distance", "vae_second", "vae_second_p")


@dataclass(frozen=True)
class Labels:
    """Bundle of each streamline of a tractogram.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    bundle : ndarray, shape (n_streamlines,), int64
        Index in ``names``; -1 is unassigned.
    vote_share : ndarray, shape (n_streamlines,), float32
        Fraction of the neighbours that voted for the bundle; nan for streamlines that
        cannot be encoded.
    distance : ndarray, shape (n_streamlines,), float32
        Mean distance to the nearest streamlines of the bundle, in the unit of the
        latents; nan for streamlines that cannot be encoded.
    rejects : dict of str to int
        Number of streamlines that cannot be encoded, by reason.
    truth : ndarray, shape (n_streamlines,), int64, or None
        Ground truth, if the file has it: index in ``names``, -1 for no bundle.
    p : ndarray, shape (n_streamlines,), float32, or None
        p-value of belonging to the bundle with most votes, also of streamlines that
        stay unassigned; nan for those that cannot be encoded.
    second : ndarray, shape (n_streamlines,), int64, or None
        Index in ``names`` of the next bundle near by, -1 if there is none.
    second_p : ndarray, shape (n_streamlines,), float32, or None
        p-value of belonging to that one.
    factor : SubjectFactor or None
        How much further the subject lies from the bundles than their own streamlines.
    missed : ndarray, shape (n_bundles,), int64, or None
        Number of streamlines that stay unassigned, but would belong to each bundle if
        the subject lay twice as far from the atlas.
    median_length : ndarray, shape (n_bundles,), float64, or None
        Median length of the streamlines of each bundle, in the space of the model, mm;
        nan if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> import dipy_tractoencoder as dte
    >>> numbers = np.zeros(3, np.float32)
    >>> labels = dte.Labels(("AF", "UF"), np.array([0, 1, -1]), numbers, numbers, {})
    >>> {name: rows.tolist() for name, rows in labels.members().items()}
    {'AF': [0], 'UF': [1], 'unassigned': [2]}
    """

    names: tuple
    bundle: np.ndarray
    vote_share: np.ndarray
    distance: np.ndarray
    rejects: dict
    truth: np.ndarray | None = None
    p: np.ndarray | None = None
    second: np.ndarray | None = None
    second_p: np.ndarray | None = None
    factor: SubjectFactor | None = None
    missed: np.ndarray | None = None
    median_length: np.ndarray | None = None

    __repr__ = short_repr

    def members(self) -> dict[str, np.ndarray]:
        """List the streamlines of each bundle.

        Returns
        -------
        members : dict of ndarray of int64
            Indices of the streamlines of each bundle and of "unassigned", by name.
        """
        codes = {name: code for code, name in enumerate(self.names)}
        codes[UNASSIGNED_NAME] = UNASSIGNED
        return {name: np.flatnonzero(self.bundle == c) for name, c in codes.items()}

    def per_streamline(self) -> dict[str, np.ndarray]:
        """Return what labelled files say of each streamline.

        Returns
        -------
        data : dict of ndarray, shape (n_streamlines,), float32
            Values by the names of ``ADDED``.
        """
        values = (self.p, self.vote_share, self.distance, self.second, self.second_p)
        data = {}
        for name, value in zip(ADDED, values):
            if value is not None:
                number = value + 1 if name == "vae_second" else value
                data[name] = number.astype(np.float32)
        return data
