"""Write Tiny Track files as DSI Studio does."""

import gzip

import numpy as np

TO_MNI = np.array([[-1, 0, 0, 78], [0, -1, 0, 76], [0, 0, 1, -50], [0, 0, 0, 1.0]])
TYPES = {"f8": 0, "f4": 10, "i4": 20, "u1": 50}
DIMENSION, VOXELS = [157, 189, 136], [1, 1, 1]


def matrix(name, values, dtype, n_rows=1):
    """Write a matrix of MATLAB's version 4."""
    values = np.asarray(values, f"<{dtype}")
    header = [TYPES[dtype], n_rows, values.size // n_rows, 0, len(name) + 1]
    return np.array(header, "<i4").tobytes() + name.encode() + b"\0" + values.tobytes()


def track(streamlines):
    """Encode streamlines in voxels, as DSI Studio does."""
    content = b""
    for line in streamlines:
        places = np.round(np.asarray(line) * 32).astype(np.int64)
        steps = np.diff(places, axis=0)
        assert abs(steps).max(initial=0) < 128
        content += np.array([places.size, *places[0]], "<i4").tobytes()
        content += steps.astype("i1").tobytes()
    return np.frombuffer(content, "u1")


def parts(lines, **others):
    found = {
        "dimension": matrix("dimension", DIMENSION, "i4"),
        "voxel_size": matrix("voxel_size", VOXELS, "f4"),
        "trans_to_mni": matrix("trans_to_mni", TO_MNI, "f4"),
        "report": matrix("report", np.frombuffer(b"Made up.", "u1"), "u1"),
        "track": matrix("track", track(lines), "u1"),
    }
    return {**found, **others}


def write(path, lines, **others):
    content = b"".join(part for part in parts(lines, **others).values() if part)
    path.write_bytes(gzip.compress(content))
    return path
