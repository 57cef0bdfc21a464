"""Read .dpy files, which DIPY reads without looking at them."""

from __future__ import annotations

from pathlib import Path

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.io.hdf5 import clear_errors, open_hdf5, stored_dataset
from dipy_tractoencoder.streamlines.orientation import from_flat

KIND = ".dpy tractogram"


def check_dpy(path: str | Path) -> None:
    """Raise an error unless a .dpy file contains the streamlines that it promises.

    Parameters
    ----------
    path : str or Path
        Existing file in the HDF5 format of `dipy.io.dpy`: points of all streamlines,
        and the number of points before each streamline.

    Raises
    ------
    InputFileError
        If the file is damaged, its data are not stored in it, or its offsets do not
        divide the points into streamlines.
    """
    with clear_errors(path, KIND), open_hdf5(path) as file:
        group = file.get("streamlines")
        if group is None or not hasattr(group, "keys"):
            raise ValueError("It has no group `streamlines`")
        points = stored_dataset(group, "tracks", "f")
        offsets = stored_dataset(group, "offsets", "iu")
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"Its points have the shape {points.shape}")
        if offsets.ndim != 1 or not len(offsets):
            raise ValueError(f"Its offsets have the shape {offsets.shape}")
        values = offsets[()]
        ends = int(values[0]), int(values[-1])
        # Comparing instead of subtracting, which can overflow.
        if ends != (0, len(points)) or (values[1:] < values[:-1]).any():
            falls = np.flatnonzero(values[1:] < values[:-1]) + 1
            least = (
                f", and offset {falls[0]} is smaller than the last"
                if len(falls)
                else ""
            )
            raise ValueError(
                f"Its offsets do not divide its {len(points)} points into streamlines: "
                f"they go from {ends[0]} to {ends[1]}{least}"
            )


def read_dpy(path: str | Path) -> ArraySequence:
    """Read a .dpy file after `check_dpy`.

    Parameters
    ----------
    path : str or Path
        Existing file.

    Returns
    -------
    streamlines : ArraySequence
        Streamlines, RASMM, mm; those without points, which DIPY drops, are kept.

    Raises
    ------
    InputFileError
        If the file is damaged.
    """
    check_dpy(path)
    with clear_errors(path, KIND), open_hdf5(path) as file:
        offsets = file["streamlines/offsets"][()].astype(np.int64)
        return from_flat(file["streamlines/tracks"][()], np.diff(offsets))
