"""TRX files made byte by byte, as libraries refuse to write some of them."""

import io
import json
import zipfile

from made_data import AFFINE, DIMENSIONS
import numpy as np


def trx_parts(lines, *, header=None, **folders):
    """Give the parts of a TRX archive.

    Parameters
    ----------
    lines : list of ndarray, shape (any, 3)
        Streamlines, RASMM, mm.
    header : dict, optional
        What its header says otherwise than it is.
    **folders
        ``groups``, ``dps``, ``dpv``, ``dpg``: name in the archive, with its type as
        ``fa.float32``, to numbers.

    Returns
    -------
    parts : dict of str to bytes
        Name in the archive to content.
    """
    lengths = [len(line) for line in lines]
    counts = {"NB_STREAMLINES": len(lines), "NB_VERTICES": sum(lengths)}
    space = {"VOXEL_TO_RASMM": AFFINE.tolist(), "DIMENSIONS": list(DIMENSIONS)}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<u8")
    points = np.concatenate([np.reshape(line, (-1, 3)) for line in lines])
    parts = {
        "header.json": json.dumps({**space, **counts, **(header or {})}).encode(),
        "offsets.uint64": offsets.tobytes(),
        "positions.3.float32": points.astype("<f4").tobytes(),
    }
    for folder, arrays in folders.items():
        for name, values in arrays.items():
            parts[f"{folder}/{name}"] = np.ascontiguousarray(values).tobytes()
    return parts


def rich_parts(lines):
    """Give the parts of a TRX of two groups with data of many types at all levels."""
    n, n_points = len(lines), sum(map(len, lines))
    numbers, points = np.arange(n), np.arange(n_points)
    return trx_parts(
        lines,
        groups={
            "AF.uint32": numbers[: n // 2].astype("<u4"),
            "CST.int64": numbers[n // 2 :].astype("<i8"),
        },
        dpg={
            "AF/mean_fa.float32": np.array([0.5], "<f4"),
            "CST/volume.uint32": np.array([1234], "<u4"),
            "CST/colour.3.uint8": np.array([1, 2, 3], "u1"),
        },
        dps={
            "weight.float64": (numbers + 0.125).astype("<f8"),
            "id.int32": numbers.astype("<i4"),
            "half.float16": numbers.astype("<f2"),
            "colour.3.uint8": np.tile(numbers[:, None], 3).astype("u1"),
        },
        dpv={
            "fa.float32": (points / n_points).astype("<f4"),
            "number.int64": points.astype("<i8"),
            "rgb.3.uint8": np.tile(points[:, None] % 256, 3).astype("u1"),
        },
    )


def write_trx(path, parts, *, overstated=None, packing=zipfile.ZIP_STORED):
    """Write a TRX archive.

    Parameters
    ----------
    path : Path
        The file.
    parts : dict of str to bytes
        As from `trx_parts`.
    overstated : dict of str to int, optional
        Parts to the sizes that the archive's directory claims.
    packing : int, optional
        Of `zipfile`.

    Returns
    -------
    path : Path
        The file.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        for info in archive.filelist:  # The directory is written from these at the end.
            if overstated and info.filename in overstated:
                info.file_size = info.compress_size = overstated[info.filename]
    path.write_bytes(buffer.getvalue())
    return path
