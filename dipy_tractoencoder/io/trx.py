"""Read TRX files in place: a zip of arrays and a header.

All numbers in the header are compared with the content of the file before use.
Format: https://tractometry.org/trx-spec.
"""

from __future__ import annotations

import logging
from pathlib import Path
import re
from typing import Any
import zipfile

from nibabel.streamlines import ArraySequence
import numpy as np

from dipy_tractoencoder.errors import InputFileError, TractoencoderError
from dipy_tractoencoder.io.checks import DAMAGE, broken, check_space
from dipy_tractoencoder.io.line_file import SequenceOnDisk
from dipy_tractoencoder.io.names import read_names, short
from dipy_tractoencoder.io.raw_file import RawFile
from dipy_tractoencoder.io.space import named_space
from dipy_tractoencoder.io.stored_array import StoredArray
from dipy_tractoencoder.io.zip_arrays import ZipArrays
from dipy_tractoencoder.utils.prefetch import forget_pages

logger = logging.getLogger(__name__)

LARGEST_DIMENSION = 2**16 - 1
AT_A_TIME = 2**20  # offsets
DPG = "dpg/"
TYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *(f"float{bits}" for bits in (16, 32, 64)),
    )
}
TYPES["bit"] = TYPES["bool"] = np.dtype(bool)
PART = re.compile(
    r"(?:(dps|dpv|groups|dpg/[^/]+)/)?([^/]*?)(?:\.([0-9]+))?\.([a-z]+[0-9]*)",
    re.DOTALL,
)


class TrxContents:
    """Content of a TRX file; points and data are read when they are needed.

    Parameters
    ----------
    path : str or Path
        TRX file.

    Attributes
    ----------
    path : Path
        TRX file.
    streamlines : SequenceOnDisk or ArraySequence
        Streamlines, RASMM, mm, in the dtype of the file; in memory, or a temporary
        file, if the file is compressed.
    space : dict
        "affine", "dimensions", "voxel_sizes" (mm) and "voxel_order".
    per_streamline : dict of StoredArray or ndarray, shape (n_streamlines, n_columns)
        Data per streamline (``dps``).
    per_point : dict of SequenceOnDisk or ArraySequence
        Data per point (``dpv``).
    groups : dict of ndarray of int, shape (n_members,)
        Indices of streamlines by name of the group, in the dtype of the file.
    per_group : dict of dict of ndarray, shape (1, n_columns)
        Data per group (``dpg``) by name of the group.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._raw: RawFile | None = None
        self.streamlines = ArraySequence()
        self.space: dict[str, Any] = {}
        self.per_streamline: dict[str, Any] = {}
        self.per_point: dict[str, ArraySequence] = {}
        self.groups: dict[str, np.ndarray] = {}
        self.per_group: dict[str, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.streamlines)

    def some(self, start: int, stop: int, name: str | None = None) -> ArraySequence:
        """Copy a range of streamlines, or their data per point.

        Parameters
        ----------
        start, stop : int
            First streamline, and the one after the last; the range is limited to the
            streamlines of the file.
        name : str, optional
            Key of ``per_point``, to copy these data instead of the points.

        Returns
        -------
        sequence : ArraySequence
            Copy in memory, in the dtype of the file.
        """
        lines = self.streamlines if name is None else self.per_point[name]
        some = lines[start:stop]
        if not isinstance(lines, SequenceOnDisk):
            some = some.copy()
            forget_pages(lines._data)
        return some

    def reference(self) -> dict[str, Any]:
        """Return the image space in a form that DIPY accepts as reference.

        Returns
        -------
        header : dict
            Header of the file as trx-python would return it.
        """
        return {
            "NB_STREAMLINES": len(self),
            "NB_VERTICES": self.streamlines.total_nb_rows,
            "VOXEL_TO_RASMM": self.space["affine"].astype(np.float32),
            "DIMENSIONS": self.space["dimensions"].astype(np.uint16),
        }

    def close(self) -> None:
        """Close the file; arrays with other references remain valid."""
        if self._raw is not None:
            self._raw.close()
        vars(self).update(vars(TrxContents(self.path)))


def open_trx(path: str | Path) -> TrxContents:
    """Open a TRX file, with all checks that do not need its points.

    Parameters
    ----------
    path : str or Path
        TRX file. It is opened read-only.

    Returns
    -------
    contents : TrxContents
        Content of the file. Compressed arrays are unpacked to memory, or to an
        anonymous temporary file if they are large.

    Raises
    ------
    InputFileError
        If the file is damaged.
    OutputFileError
        If there is no space to unpack it.
    """
    raw = RawFile(path)
    try:
        with zipfile.ZipFile(raw.file) as archive:
            return _contents(path, ZipArrays(path, raw.file, archive), raw)
    except BaseException as err:
        raw.close()
        if isinstance(err, DAMAGE) and not isinstance(err, TractoencoderError):
            raise broken(path, f"{type(err).__name__}: {err}") from err
        raise


def _contents(path, parts, raw):
    """Read the header, and assemble the parts."""
    header = parts.json("header.json")
    counts = header["NB_STREAMLINES"], header["NB_VERTICES"]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise broken(path, "its header says {} streamlines, {} points".format(*counts))
    trx = TrxContents(path)
    trx._raw = raw
    trx.space = _space(path, header)
    arrays = _arrays(path, parts, raw)
    points, offsets = _points_and_offsets(path, arrays.pop("", {}), *counts)
    starts, lengths = _cut(path, offsets, *counts)
    trx.streamlines = _sequence(points, starts, lengths)

    def rows(folder, name, values, n_rows, width):
        if len(values) != n_rows * width:
            raise broken(
                path,
                f"its {folder} {short(name)} has {len(values)} numbers, not {n_rows} "
                f"times {width}",
            )
        return _matrix(values, n_rows, width)

    for name, (values, width) in _named(arrays.get("dps", {})):
        trx.per_streamline[name] = rows("dps", name, values, counts[0], width)
    for name, (values, width) in _named(arrays.get("dpv", {})):
        values = rows("dpv", name, values, counts[1], width)
        trx.per_point[name] = _sequence(values, starts, lengths)
    per_group = {k[len(DPG) :]: found for k, found in arrays.items() if k[:4] == DPG}
    groups = arrays.get("groups", {})
    for name, stored in _named({s: s for s in (*groups, *per_group)}):
        if stored not in groups:
            raise broken(
                path, f"it has data of the group {short(name)}, but no such group"
            )
        _check_group(path, name, *groups[stored], counts[0])
        trx.groups[name] = groups[stored][0]
        if stored in per_group:
            trx.per_group[name] = {
                kind: np.array(rows("dpg", kind, values, 1, width))
                for kind, (values, width) in _named(per_group[stored])
            }
    return trx


def _named(found):
    """Iterate over values with their decoded names."""
    for stored, name in read_names(found).items():
        yield name, found[stored]


def _space(path, header):
    """Return the image space after checking it."""
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import aff2axcodes

    dimensions = np.asarray(header["DIMENSIONS"], dtype=np.float64)
    with np.errstate(over="ignore"):
        affine = np.asarray(header["VOXEL_TO_RASMM"], dtype=np.float32)
    check_space(path, affine, dimensions)
    if (dimensions > LARGEST_DIMENSION).any() or (dimensions % 1).any():
        raise broken(path, f"its image has the dimensions {dimensions.tolist()}")
    order = "".join(aff2axcodes(affine))
    return named_space((affine, dimensions, voxel_sizes(affine), order))


def _arrays(path, parts, raw):
    """Group arrays and widths by folder ("" for the top level) and written name."""
    arrays = {}
    for part, info in parts.members.items():
        match = PART.fullmatch(part)
        if info.is_dir() or part == "header.json":
            continue
        if match is None or match[4] not in TYPES:
            folder = part.partition("/")[0]
            level = logging.DEBUG
            if folder in ("dps", "dpv", "dpg", "groups") or "/" not in part:
                level = logging.WARNING
            logger.log(level, "%s: its part %s is ignored.", path, short(part))
            continue
        folder, name, width, kind = match.groups()
        found = arrays.setdefault(folder or "", {})
        if name in found:
            raise broken(path, f"it has two parts named {short(name)}")
        later = folder in ("dps", "dpv") or (folder, name) == (None, "positions")
        found[name] = _numbers(parts, raw, part, TYPES[kind], later), int(width or 1)
    return arrays


def _points_and_offsets(path, top, n_streamlines, n_points):
    """Return points (n_points, 3) and offsets after comparing them with the header."""
    if n_streamlines == 0 and n_points == 0:
        return np.empty((0, 3), np.float32), np.empty(0, np.int64)
    wanted = {
        "positions": (3, {3 * n_points}, ("float16", "float32", "float64")),
        "offsets": (
            1,
            {n_streamlines, n_streamlines + 1},
            ("int32", "uint32", "int64", "uint64"),
        ),
    }
    for name, (width, counts, types) in wanted.items():
        values, found = top.get(name, (np.empty(0), 0))
        if found != width or values.dtype not in [TYPES[kind] for kind in types]:
            raise broken(path, f"it has no {name} of a valid type")
        if len(values) not in counts:
            raise broken(
                path,
                f"its header promises {n_streamlines} streamlines of {n_points} "
                f"points, but its {name} has {len(values)} numbers",
            )
    return _matrix(top["positions"][0], n_points, 3), top["offsets"][0]


def _numbers(parts, raw, part, dtype, later):
    """Return the numbers of a part: read now, or later if they are many."""
    start, count = parts.place(part, dtype)
    if start is None:
        return parts.unpack(part, dtype)
    if later:
        return StoredArray(raw, start, (count, 1), dtype)
    values = raw.read(start, count * dtype.itemsize).view(dtype)
    values.flags.writeable = False
    return values


def _matrix(values, n_rows, width):
    """Give numbers the shape of a matrix."""
    if isinstance(values, StoredArray):
        return StoredArray(values.raw, values.start, (n_rows, width), values.dtype)
    return values.reshape(n_rows, width)


def _cut(path, offsets, n_streamlines, n_points):
    """Convert offsets to starts and lengths, and check that all points are used."""
    lengths = np.empty(n_streamlines, dtype=np.int64)
    if not n_streamlines and not n_points:
        return lengths, lengths
    if len(offsets) and int(offsets[0]) != 0:
        raise broken(path, f"its first streamline starts at point {offsets[0]}")
    for start in range(0, len(offsets), AT_A_TIME):
        some = np.asarray(offsets[start : start + AT_A_TIME + 1])
        if (some > n_points).any() or (some[1:] < some[:-1]).any():
            raise broken(path, "its offsets are not in order")
        steps = np.diff(some.astype(np.int64))
        lengths[start : start + len(steps)] = steps[: n_streamlines - start]
    last = int(offsets[-1]) if len(offsets) else 0
    made = f"its {len(offsets)} offsets give {len(offsets) - 1} of {last}"
    promised = f"its header promises {n_streamlines} streamlines of {n_points} points"
    if len(offsets) == n_streamlines + 1:
        if last != n_points:
            raise broken(path, f"{promised}, but {made}: some points are not used")
    elif last == n_points and n_points:
        raise broken(path, f"{promised}, but {made}")
    elif n_streamlines:  # Without the last offset, as in files of older writers.
        lengths[-1] = n_points - last
    # int64 throughout: nibabel adds offsets and lengths, which must not overflow.
    starts = offsets[:n_streamlines]
    same_bits = starts.dtype.itemsize == 8
    return (starts.view("<i8") if same_bits else starts.astype(np.int64)), lengths


def _check_group(path, name, members, width, n_streamlines):
    """Raise an error unless the members of a group are streamlines of the file."""
    if members.dtype.kind not in "iu" or width != 1:
        raise broken(path, f"its group {short(name)} does not contain indices")
    if not len(members):
        return
    wrong = [n for n in (members.min(), members.max()) if not 0 <= n < n_streamlines]
    if wrong:
        raise InputFileError(
            f"Cannot read {path}: its group {short(name)} contains streamline "
            f"{wrong[0]}, but the file has {n_streamlines}. Write the file again."
        )


def _sequence(data, offsets, lengths):
    """Create a sequence from rows, without reading or copying them."""
    if isinstance(data, StoredArray):
        starts = offsets.astype(np.int64, copy=False)
        return SequenceOnDisk(
            lambda rows: data.pieces(starts[rows], starts[rows] + lengths[rows]),
            lengths,
            data.shape[1],
            data.dtype,
        )
    sequence = ArraySequence()
    sequence._data, sequence._offsets, sequence._lengths = data, offsets, lengths
    return sequence
