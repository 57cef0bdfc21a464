"""Read TCK files (MRtrix) in place, also with gzip's compression.

Streamlines without points are kept, so that numbers of streamlines are those of the
file, as in MRtrix. Format:
https://mrtrix.readthedocs.io/en/latest/getting_started/image_data.html.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import TractoencoderError
from dipy_tractoencoder.io.checks import LARGEST_TEXT, broken
from dipy_tractoencoder.io.line_file import LineFile, SequenceOnDisk
from dipy_tractoencoder.io.names import short
from dipy_tractoencoder.io.raw_file import RawFile
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger(__name__)

MAGIC = b"mrtrix tracks"
TYPES = {
    f"Float{bits}{name}": np.dtype(f"{order}f{bits // 8}")
    for bits in (32, 64)
    for name, order in (("LE", "<"), ("BE", ">"), ("", "<"))
}
AT_A_TIME = 2**20  # points


class TckFile(LineFile):
    """Content of a TCK file; points are read when they are needed.

    Parameters
    ----------
    raw : RawFile
        The file.
    offset : int
        Position of the first point, bytes.
    dtype : numpy.dtype
        Type of the coordinates.
    starts, lengths : ndarray of int64, shape (n_streamlines,)
        First point of each streamline, among all points and delimiters, and the number
        of its points.
    """

    def __init__(
        self,
        raw: RawFile,
        offset: int,
        dtype: np.dtype,
        starts: np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        super().__init__(raw.path)
        self._raw = raw

        def points(rows):
            begins = 3 * starts[rows]
            ends = begins + 3 * lengths[rows]
            return raw.pieces(offset, begins, ends, dtype).reshape(-1, 3)

        self.streamlines = SequenceOnDisk(points, lengths, 3)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_tck(path: str | Path) -> TckFile:
    """Open a TCK file, and find its streamlines.

    Parameters
    ----------
    path : str or Path
        TCK file, or one compressed by gzip. It is opened read-only.

    Returns
    -------
    contents : TckFile
        Content of the file, without an image space. A number of streamlines in the
        header that is not that of the file leads to a warning.

    Raises
    ------
    InputFileError
        If the file is damaged.
    OutputFileError
        If there is no space to unpack it.
    """
    path = Path(path)
    raw = RawFile(path)
    try:
        offset, dtype, counts = _header(path, raw)
        starts, lengths = _cut(path, raw, offset, dtype)
        wrong = [count for count in counts if count != len(lengths)]
        if wrong:
            log_once(
                logger,
                logging.WARNING,
                "%s: its header promises %s streamlines, but it holds %s, which are "
                "read.",
                path,
                " and ".join(map(str, counts)),
                len(lengths),
            )
        return TckFile(raw, offset, dtype, starts, lengths)
    except BaseException as err:
        raw.close()
        if isinstance(err, TractoencoderError) or not isinstance(err, Exception):
            raise
        raise broken(path, f"{type(err).__name__}: {err}") from err


def _header(path, raw):
    """Return position and type of the points, and the promised numbers."""
    text = raw.read(0, min(raw.size, LARGEST_TEXT)).tobytes()
    if not text.startswith(MAGIC):
        raise broken(path, f"it does not begin with `{MAGIC.decode()}`")
    fields: dict[str, list[str]] = {}
    at, key = text.find(b"\n") + 1 or len(text), None
    while True:
        end = text.find(b"\n", at)
        if end < 0:
            raise broken(path, "its header has no end")
        line = text[at:end].decode("utf-8", errors="replace").strip()
        at = end + 1
        if line == "END":
            break
        if ":" in line:
            key, line = (part.strip() for part in line.split(":", 1))
        if key is not None:
            fields.setdefault(key, []).append(line)
    counts = []
    for value in filter(None, fields.get("count", ())):
        if not (value.isascii() and value.isdigit()):
            raise broken(path, f"its header says {short(value)} streamlines")
        counts.append(int(value))
    kind = " ".join(fields.get("datatype", ["Float32LE"]))
    if kind not in TYPES:
        raise broken(
            path,
            f"its points have the type {kind}, which is none of {', '.join(TYPES)}",
        )
    place = " ".join(fields.get("file", [f". {at}"])).split()
    if len(place) != 2 or place[0] != ".":
        raise broken(path, f"its points are in the file {short(' '.join(place))}")
    offset = int(place[1]) if place[1].isdecimal() else -1
    if not at <= offset <= raw.size:
        raise broken(
            path,
            f"its header says that points begin at byte {short(place[1])}, but they "
            f"are between {at} and {raw.size}",
        )
    missing = [name for name in ("datatype", "file") if name not in fields]
    if missing:
        log_once(
            logger,
            logging.WARNING,
            "%s: its header has no %s; %s and points after the header are assumed.",
            path,
            " and no ".join(missing),
            kind,
        )
    return offset, TYPES[kind], counts


def _cut(path, raw, offset, dtype):
    """Find where each streamline begins, and the number of its points."""
    size = 3 * dtype.itemsize
    n_rows, rest = divmod(raw.size - offset, size)
    if rest or not n_rows:
        raise broken(path, "it ends within a point")
    found = []
    for start in range(0, n_rows, AT_A_TIME):
        count = min(AT_A_TIME, n_rows - start)
        rows = raw.read(offset + size * start, size * count).view(dtype).reshape(-1, 3)
        some = np.flatnonzero(np.isnan(rows[:, 0]))
        found.append(start + some[np.isnan(rows[some]).all(axis=1)])
    ends = np.concatenate(found)
    begins = np.concatenate([[0], ends + 1])
    if not np.isinf(rows[-1]).all() or begins[-1] != n_rows - 1:
        raise broken(
            f"{path}, after streamline {len(ends)}", "it ends without its end marker"
        )
    return begins[:-1], ends - begins[:-1]
