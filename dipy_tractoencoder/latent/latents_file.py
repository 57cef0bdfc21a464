"""Read and write latents as HDF5 files, or as data of their tractogram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
    format_received,
)
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.io.hdf5 import clear_errors, open_hdf5
from dipy_tractoencoder.io.hdf5_attributes import (
    count_attribute,
    has_format,
    number_attribute,
    space_attributes,
    stored_text,
    text_attribute,
)
from dipy_tractoencoder.latent.alignment import alignment_attribute, alignment_text
from dipy_tractoencoder.latent.latents_checks import (
    ROW_NAMES,
    check_datasets,
    check_rejects,
)
from dipy_tractoencoder.utils.atomic_files import (
    Hdf5Target,
    check_free,
    check_readable,
    whole_file,
)

if TYPE_CHECKING:
    from dipy.io.stateful_tractogram import StatefulTractogram
    import h5py

    from dipy_tractoencoder.latent.codec import Latents

# Files of version 2 have streamlines that were aligned, so that software that knows
# nothing of it does not decode them to the wrong place; others have version 1.
FORMAT_VERSION = 2
EXTENSIONS = (".h5", ".hdf5")
FORMAT_NAME = "dipy_tractoencoder latents"
DATA_NAME = "latent"  # data_per_streamline; TRK allows 20 characters
CHUNK_ROWS = 1024
KIND = "latents file of dipy_encode_vae"


def save_latents(
    latents: Latents, path: str | Path, *, overwrite: bool = False
) -> None:
    """Write latents to an HDF5 file, completely or not at all.

    Datasets ``mean``, ``log_var`` (only of a VAE), ``index`` and ``is_reversed`` have
    one row per encoded streamline; the other fields of `Latents` are stored as
    attributes.

    Parameters
    ----------
    latents : Latents
        Latents returned by `encode`.
    path : str or Path
        File to write, with the extension .h5 or .hdf5.
    overwrite : bool, optional
        Allow overwriting an existing file.

    Raises
    ------
    InvalidArgumentError
        If ``latents`` are not `Latents`.
    OutputFileError
        If the file exists and ``overwrite`` is False, its extension is wrong, or it
        cannot be written.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> dte.save_latents(dte.encode(model, made.streamlines), "latents.h5")
    >>> dte.load_latents("latents.h5").mean.shape
    (43, 2)
    """
    from dipy_tractoencoder.latent.codec import Latents

    if not isinstance(latents, Latents):
        raise InvalidArgumentError(
            "Invalid value received for `latents`. Expected the result of `encode`. "
            f"Received: {format_received(latents)}. Save an array with numpy.save."
        )
    check_free(path, overwrite)
    with latents_writer(path) as writer:
        writer.append(latents)
        writer.finish(latents.n_streamlines, latents.rejects)


@contextmanager
def latents_writer(path: str | Path) -> Iterator[LatentsWriter]:
    """Write latents to an HDF5 file chunk by chunk, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, with the extension .h5 or .hdf5.

    Yields
    ------
    writer : LatentsWriter
        Writer with the methods ``append``, for each chunk, and ``finish``.

    Raises
    ------
    OutputFileError
        If the extension is wrong or the file cannot be written.
    """
    import h5py

    check_latents_extension(path)
    with whole_file(path) as partial, open(partial, "w+b", buffering=0) as raw:
        target = Hdf5Target(raw)
        with h5py.File(target, "w") as file:
            yield LatentsWriter(file, target)
        target.check()


class LatentsWriter:
    """Latents file that is being written; see `latents_writer`.

    Parameters
    ----------
    file : h5py.File
        File open for writing.
    target : Hdf5Target
        File object that ``file`` writes to.
    """

    def __init__(self, file: h5py.File, target: Hdf5Target) -> None:
        self.file, self.target = file, target
        self.n_rows, self.version = 0, 1

    def append(self, latents: Latents) -> None:
        """Append rows.

        Parameters
        ----------
        latents : Latents
            Latents of some streamlines, with ``index`` referring to the whole
            tractogram; all chunks must come from one model and one tractogram.
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
        self.file.attrs["tractogram"] = stored_text(latents.tractogram)
        for name, value in latents.space.items():
            self.file.attrs[f"space_{name}"] = value
        if latents.alignment is not None:
            self.file.attrs["alignment"] = alignment_text(latents.alignment)
            self.version = FORMAT_VERSION if latents.alignment.moves else 1

    def finish(self, n_streamlines: int, rejects: Mapping[str, int]) -> None:
        """Store the counts, and mark the file as complete.

        Parameters
        ----------
        n_streamlines : int
            Number of streamlines in the tractogram, including rejected ones.
        rejects : dict of str to int
            Number of rejected streamlines by reason.
        """
        self.file.attrs["n_streamlines"] = n_streamlines
        self.file.attrs["rejects"] = json.dumps(rejects)
        self.file.attrs["format_version"] = self.version
        self.file.attrs["format"] = FORMAT_NAME


def load_latents(path: str | Path) -> Latents:
    """Read latents written by `save_latents` or `encode_file`.

    Parameters
    ----------
    path : str or Path
        HDF5 file.

    Returns
    -------
    latents : Latents
        Latents, equal to those that were written.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or contains no latents.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> made = dte.make_fibercup(30, seed=0)
    >>> model = dte.train(made.streamlines, n_points=32, latent_dim=2, epochs=0)
    >>> latents = dte.encode(model, made.streamlines)
    >>> dte.save_latents(latents, "latents.h5")
    >>> loaded = dte.load_latents("latents.h5")
    >>> len(loaded), loaded.fingerprint == latents.fingerprint
    (43, True)
    """
    with latents_reader(path) as reader:
        return reader.rows(0, reader.n_rows)


@contextmanager
def latents_reader(path: str | Path) -> Iterator[LatentsReader]:
    """Open a latents file to read it in parts.

    Parameters
    ----------
    path : str or Path
        HDF5 file.

    Yields
    ------
    reader : LatentsReader
        Reader with ``n_rows`` and ``rows(start, stop)``.

    Raises
    ------
    InputFileError
        If the file is missing, damaged, of a newer format, or contains no latents.
    """
    path = Path(path)
    check_readable(path)
    with clear_errors(path, KIND):
        file = open_hdf5(path)
    with file:
        yield LatentsReader(file, path)


class LatentsReader:
    """Open latents file; see `latents_reader`.

    Parameters
    ----------
    file : h5py.File
        File open for reading.
    path : Path
        Path of the file, for messages.

    Attributes
    ----------
    n_rows : int
        Number of encoded streamlines.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file, self.path = file, path
        with clear_errors(path, KIND):
            if not has_format(file, FORMAT_NAME):
                raise InputFileError(
                    f"Cannot read {path}: it contains no latents. Create them with "
                    "dipy_encode_vae."
                )
            version = number_attribute(file, "format_version")
            if version > FORMAT_VERSION:
                raise InputFileError(
                    f"Cannot read {path}: its format has version {version}, but only "
                    f"versions up to {FORMAT_VERSION} are known. Update "
                    "dipy_tractoencoder."
                )
            self.about = {
                "n_streamlines": count_attribute(file, "n_streamlines"),
                "rejects": json.loads(text_attribute(file, "rejects")),
                "fingerprint": text_attribute(file, "fingerprint"),
                "tractogram": text_attribute(file, "tractogram"),
                "space": space_attributes(file, path),
                "alignment": alignment_attribute(file),
            }
            self.n_rows = check_datasets(file)
            check_rejects(self.about)

    def rows(self, start: int, stop: int) -> Latents:
        """Read a range of rows.

        Parameters
        ----------
        start, stop : int
            First row, and the row after the last.

        Returns
        -------
        latents : Latents
            The rows, with the attributes of the whole file.

        Raises
        ------
        InputFileError
            If the file is damaged.
        """
        from dipy_tractoencoder.latent.codec import Latents

        with clear_errors(self.path, KIND):
            values: dict[str, Any] = {
                name: self.file[name][start:stop] if name in self.file else None
                for name in ROW_NAMES
            }
            index, n_streamlines = values["index"], self.about["n_streamlines"]
            if len(index) and not 0 <= index.min() <= index.max() < n_streamlines:
                raise ValueError("Its index refers to streamlines that do not exist.")
        return Latents(**values, **self.about)


def check_latents_extension(path: str | Path) -> None:
    """Raise an error unless a path has an extension of latents files.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    OutputFileError
        If the extension is neither .h5 nor .hdf5.
    """
    if file_format(path) not in EXTENSIONS:
        raise OutputFileError(
            f"Cannot write {path}: the name of a latents file ends in "
            f"{' or '.join(EXTENSIONS)}."
        )


def with_latents(
    tractogram: StatefulTractogram, latents: Latents
) -> StatefulTractogram:
    """Copy a tractogram, and add its latents as ``data_per_streamline``.

    Parameters
    ----------
    tractogram : StatefulTractogram
        Tractogram that was encoded.
    latents : Latents
        Latents of the tractogram.

    Returns
    -------
    tractogram : StatefulTractogram
        All streamlines with their latents, which are NaN for rejected streamlines.
    """
    values = np.full((len(tractogram), latents.mean.shape[1]), np.nan, dtype=np.float32)
    values[latents.index] = latents.mean
    tractogram = tractogram[:]
    tractogram.data_per_streamline[DATA_NAME] = values
    return tractogram
