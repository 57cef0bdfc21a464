"""Colours that can be told apart."""

from __future__ import annotations

import numpy as np

# What bundles are drawn on and beside: white pages, black text, grey for unassigned.
TAKEN = ((255, 255, 255), (0, 0, 0), (191, 191, 191), (105, 105, 105))
DARKEST, PALEST = 30.0, 80.0  # CIE lightness, 0 to 100
STEP = 15  # of red, green and blue between candidates
# From linear sRGB to CIE XYZ over the white point D65, IEC 61966-2-1.
TO_XYZ = np.array(
    [
        [0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505],
        [0.2126, 0.7152, 0.0722],
        [0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089],
    ]
)


def distinct_colours(n_colours: int) -> np.ndarray:
    """Make colours of which each is as unlike those before it as it can be.

    Distances are those of the CIE L*a*b* space, as proposed by
    :footcite:t:`Glasbey2007`. The first colours do not depend on the number. Neither
    matplotlib nor DIPY's colour maps, which need FURY, are used: those of 20 colours
    repeat themselves.

    Parameters
    ----------
    n_colours : int
        Number of colours.

    Returns
    -------
    colours : ndarray, shape (n_colours, 3), uint8
        Red, green and blue, 0 to 255; never white, black or grey. They repeat
        themselves after 1,000 or so.

    Examples
    --------
    >>> from dipy_tractoencoder.utils.colours import distinct_colours
    >>> distinct_colours(2).shape
    (2, 3)
    """
    levels = np.arange(0, 256, STEP)
    candidates = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lab = _lab(candidates)
    fine = (lab[:, 0] >= DARKEST) & (lab[:, 0] <= PALEST)
    candidates, lab = candidates[fine], lab[fine]
    left = np.full(len(lab), np.inf)
    for taken in _lab(np.array(TAKEN)):
        left = np.minimum(left, ((lab - taken) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(min(n_colours, len(lab))):
        chosen.append(int(left.argmax()))
        left = np.minimum(left, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
    rows = np.resize(np.array(chosen, dtype=np.int64), n_colours)
    return candidates[rows].astype(np.uint8)


def _lab(colours):
    """Convert sRGB colours, 0 to 255, to CIE L*a*b*."""
    values = colours / 255
    linear = np.where(
        values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
    )
    xyz = linear @ TO_XYZ.T
    roots = np.where(
        xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29
    )
    x, y, z = roots.T
    return np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
