"""Latents in HDF5, or riding along in a copy of their tractogram."""

from contextlib import contextmanager
import json
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    format_received,
)
from dipy_tractoencoder.io.checks import check_space
from dipy_tractoencoder.io.hdf5 import check_dataset, clear_errors
from dipy_tractoencoder.utils.atomic_files import (
    Hdf5Target,
    check_free,
    check_readable,
    whole_file,
)

FORMAT_VERSION = 1
EXTENSIONS = (".h5", ".hdf5")
FORMAT_NAME = "dipy_tractoencoder latents"
DATA_NAME = "latent"  # data_per_streamline; TRK allows 20 characters
CHUNK_ROWS = 1024
# Kinds of numbers that they may be.
ROW_NAMES = {"mean": "f", "log_var": "f", "index": "iu", "is_reversed": "b"}
KIND = "latents file of dipy_encode_vae"
SPACE_NAMES = {"affine", "dimensions", "voxel_sizes", "voxel_order"}


def save_latents(latents, path, *, overwrite=False):
    """Write latents to an HDF5 file, whole or not at all.

    Datasets ``mean``, ``log_var`` (a VAE's), ``index`` and ``is_reversed`` have a row
    per encoded streamline; everything else of `Latents` stands in attributes.

    Parameters
    ----------
    latents : Latents
        What `encode` returned.
    path : str or Path
        File to write, ending in .h5 or .hdf5.
    overwrite : bool, optional
        Replace an existing file.

    Raises
    ------
    InvalidArgumentError
        If they are no `Latents`.
    OutputFileError
        If the file exists and is not to be replaced, its extension is another one, or
        it cannot be written.
    """
    from dipy_tractoencoder.latent.codec import Latents

    if not isinstance(latents, Latents):
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected what `encode` gives, with "
            "the numbers of the streamlines. Received: "
            f"{format_received(latents)}. Save an array alone with numpy.save."
        )
    check_free(path, overwrite)
    with latents_writer(path) as writer:
        writer.append(latents)
        writer.finish(latents.n_streamlines, latents.rejects)


@contextmanager
def latents_writer(path):
    """Write latents to an HDF5 file chunk by chunk, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, ending in .h5 or .hdf5.

    Yields
    ------
    writer : LatentsWriter
        Takes the chunks, and at the end what is known of the whole.

    Raises
    ------
    OutputFileError
        If the extension is another one or the file cannot be written.
    """
    import h5py

    check_latents_extension(path)
    with whole_file(path) as partial, open(partial, "w+b", buffering=0) as raw:
        target = Hdf5Target(raw)
        with h5py.File(target, "w") as file:
            yield LatentsWriter(file, target)
        target.check()


class LatentsWriter:
    """An open latents file that grows; see `latents_writer`.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    target : Hdf5Target
        What it writes to.
    """

    def __init__(self, file, target):
        self.file, self.target = file, target
        self.n_rows = 0

    def append(self, latents):
        """Add rows.

        Parameters
        ----------
        latents : Latents
            Of some streamlines, with their numbers in the whole tractogram; all
            chunks are of one model and tractogram.
        """
        n_rows = self.n_rows + len(latents)
        for name in ROW_NAMES:
            values = getattr(latents, name)
            if values is None:
                continue
            if name not in self.file:
                self.file.create_dataset(
                    name,
                    shape=(0, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    chunks=(CHUNK_ROWS, *values.shape[1:]),
                    dtype=values.dtype,
                )
            self.file[name].resize(n_rows, axis=0)
            self.file[name][self.n_rows :] = values
        self.file.flush()
        self.target.check()
        self.n_rows = n_rows
        self.file.attrs["fingerprint"] = latents.fingerprint
        self.file.attrs["tractogram"] = latents.tractogram
        for name, value in latents.space.items():
            self.file.attrs[f"space_{name}"] = value

    def finish(self, n_streamlines, rejects):
        """Say how many streamlines there were, and mark the file as whole.

        Parameters
        ----------
        n_streamlines : int
            Streamlines of the tractogram, encoded or not.
        rejects : dict of str to int
            How many were left out, by reason.
        """
        self.file.attrs["n_streamlines"] = n_streamlines
        self.file.attrs["rejects"] = json.dumps(rejects)
        self.file.attrs["format_version"] = FORMAT_VERSION
        self.file.attrs["format"] = FORMAT_NAME


def load_latents(path):
    """Read latents that `save_latents` wrote.

    Parameters
    ----------
    path : str or Path
        The HDF5 file.

    Returns
    -------
    latents : Latents
        As they were encoded.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or holds no latents.
    """
    with latents_reader(path) as reader:
        return reader.rows(0, reader.n_rows)


@contextmanager
def latents_reader(path):
    """Read latents some rows at a time.

    Parameters
    ----------
    path : str or Path
        The HDF5 file.

    Yields
    ------
    reader : LatentsReader
        With ``n_rows`` and ``rows(start, stop)``.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or holds no latents.
    """
    import h5py

    path = Path(path)
    check_readable(path)
    with clear_errors(path, KIND):
        file = h5py.File(path)
    with file:
        yield LatentsReader(file, path)


class LatentsReader:
    """An open latents file; see `latents_reader`.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : Path
        Its name, for messages.

    Attributes
    ----------
    n_rows : int
        Streamlines that were encoded.
    """

    def __init__(self, file, path):
        self.file, self.path = file, path
        with clear_errors(path, KIND):
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT_NAME:
                raise InputFileError(
                    f"Cannot read {path}: it holds no latents. Make some with "
                    "dipy_encode_vae."
                )
            if attributes["format_version"] > FORMAT_VERSION:
                raise InputFileError(
                    f"Cannot read {path}: its format has version "
                    f"{attributes['format_version']}, known are up to "
                    f"{FORMAT_VERSION}. Update dipy_tractoencoder."
                )
            self.about = {
                "n_streamlines": int(attributes["n_streamlines"]),
                "rejects": json.loads(attributes["rejects"]),
                "fingerprint": str(attributes["fingerprint"]),
                "tractogram": str(attributes["tractogram"]),
                "space": {
                    name.removeprefix("space_"): value
                    for name, value in attributes.items()
                    if name.startswith("space_")
                },
            }
            space = self.about["space"]
            if space.keys() not in (set(), SPACE_NAMES):
                raise ValueError(f"Its space is {', '.join(space)} only.")
            if space:
                check_space(path, **space)
            if not isinstance(self.about["rejects"], dict):
                raise ValueError("Its rejects are no counts by reason.")
            self.n_rows = check_datasets(file, path.stat().st_size)

    def rows(self, start, stop):
        """Read some rows.

        Parameters
        ----------
        start, stop : int
            First row, and the one after the last.

        Returns
        -------
        latents : Latents
            What is said of the whole file stands in each part.

        Raises
        ------
        InputFileError
            If the file is damaged.
        """
        from dipy_tractoencoder.latent.codec import Latents

        with clear_errors(self.path, KIND):
            values = {
                name: self.file[name][start:stop] if name in self.file else None
                for name in ROW_NAMES
            }
            index, n_streamlines = values["index"], self.about["n_streamlines"]
            if len(index) and not 0 <= index.min() <= index.max() < n_streamlines:
                raise ValueError("Its index counts streamlines that there are not.")
        return Latents(**values, **self.about)


def check_datasets(file, n_bytes):
    """Raise unless a file's datasets are those of latents and lie in it.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    n_bytes : int
        Its size.

    Returns
    -------
    n_rows : int
        Streamlines that were encoded.

    Raises
    ------
    ValueError, KeyError
        If a dataset is missing, elsewhere, of another type or shape, or would take far
        more memory than the file.
    """
    shapes = {
        name: check_dataset(file, name, kinds, n_bytes).shape
        for name, kinds in ROW_NAMES.items()
        if name in file or name != "log_var"
    }
    rows = shapes["mean"][:1]
    wanted = {"mean": 2, "log_var": 2, "index": 1, "is_reversed": 1}
    if (
        any(len(shape) != wanted[name] for name, shape in shapes.items())
        or any(shape[:1] != rows for shape in shapes.values())
        or shapes.get("log_var", shapes["mean"]) != shapes["mean"]
    ):
        raise ValueError(f"Its datasets do not belong together: {shapes}.")
    return rows[0]


def check_latents_extension(path):
    """Raise unless latents can be written under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    OutputFileError
        If the extension is neither .h5 nor .hdf5.
    """
    if Path(path).suffix.lower() not in EXTENSIONS:
        raise OutputFileError(
            f"Cannot write {path}: a latents file ends in {' or '.join(EXTENSIONS)}."
        )


def with_latents(tractogram, latents):
    """Copy a tractogram, adding its latents as ``data_per_streamline``.

    Parameters
    ----------
    tractogram : StatefulTractogram
        The one that was encoded.
    latents : Latents
        Its latents.

    Returns
    -------
    tractogram : StatefulTractogram
        All streamlines; rejected ones have NaN.
    """
    values = np.full((len(tractogram), latents.mean.shape[1]), np.nan, dtype=np.float32)
    values[latents.index] = latents.mean
    tractogram = tractogram[:]
    tractogram.data_per_streamline[DATA_NAME] = values
    return tractogram
