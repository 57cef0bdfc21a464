"""Write TRK files that nibabel cannot write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nibabel.streamlines.trk import encode_value_in_name, header_2_dtype
import numpy as np

from dipy_tractoencoder.streamlines.array import as_columns


def write_without_points(
    path: str | Path,
    space: Mapping[str, Any],
    n_streamlines: int,
    per_streamline: Mapping[str, np.ndarray],
) -> None:
    """Write a TRK of streamlines that all have no points.

    nibabel's writer divides by the number of points.

    Parameters
    ----------
    path : str or Path
        File to write.
    space : dict
        Image space returned by `io.space.tractogram_space`.
    n_streamlines : int
        Number of streamlines.
    per_streamline : dict of ndarray, shape (n_streamlines, n_columns)
        Data per streamline.
    """
    header = np.zeros((), header_2_dtype.newbyteorder("<"))
    header["magic_number"], header["version"], header["hdr_size"] = b"TRACK", 2, 1000
    header["voxel_to_rasmm"] = space["affine"]
    header["voxel_order"] = space["voxel_order"].encode()
    for name in ("dimensions", "voxel_sizes"):
        header[name] = space[name]
    columns = {
        name: as_columns(per_streamline[name]) for name in sorted(per_streamline)
    }
    for place, (name, values) in enumerate(columns.items()):
        header["property_name"][place] = encode_value_in_name(values.shape[1], name)
    counts = np.zeros((n_streamlines, 1), "<i4").view("<f4")
    body = np.hstack([counts, *columns.values()]).astype("<f4")
    header["nb_streamlines"] = n_streamlines
    header["nb_properties_per_streamline"] = body.shape[1] - 1
    Path(path).write_bytes(header.tobytes() + body.tobytes())
