"""Tell the formats of tractogram files by their names."""

from __future__ import annotations

from pathlib import Path

# Formats that are written. They are read in any case of letters.
EXTENSIONS = (".trk", ".tck", ".trx", ".vtk", ".vtp", ".fib", ".dpy")
# Formats that are read.
READABLE = (*EXTENSIONS, ".trk.gz", ".tck.gz", ".tt.gz")
# Formats that contain the image space.
SELF_CONTAINED = (".trk", ".trk.gz", ".trx", ".tt.gz")
# Formats that are read in place by readers of our own.
IN_PLACE = (".trk", ".trk.gz", ".tck", ".tck.gz", ".trx", ".tt.gz")
# Formats with lazy writers in nibabel.
LAZY = (".trk", ".tck")
# Formats that are written with FURY, an optional dependency, and read with VTK, which
# comes with it.
THROUGH_FURY = (".vtk", ".vtp", ".fib")
THROUGH_VTK = (".vtp",)
# Extensions of compressed files, and of tractograms that DIPY does not read.
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
UNKNOWN_TO_DIPY = (".tt", ".bfloat")
# Formats that are opened without reading or unpacking them completely.
CHEAP_TO_OPEN = (*LAZY, ".trx")


def file_format(path: str | Path) -> str:
    """Return the extension of a file in lower case, with what is compressed.

    Parameters
    ----------
    path : str or Path
        Any file; it need not exist.

    Returns
    -------
    extension : str
        Such as ".trk" or ".trk.gz"; empty if the name has none.

    Examples
    --------
    >>> from dipy_tractoencoder.io.formats import file_format
    >>> file_format("sub-01/AF.left.TRK"), file_format("AF.trk.gz"), file_format("AF")
    ('.trk', '.trk.gz', '')
    """
    path = Path(path)
    extension = path.suffix.lower()
    if extension == ".gz":
        inner = Path(path.stem).suffix.lower()
        if inner in (*EXTENSIONS, ".tt"):
            return inner + extension
    return extension


def file_stem(path: str | Path) -> str:
    """Return the name of a file without the extension of `file_format`.

    Parameters
    ----------
    path : str or Path
        Any file; it need not exist.

    Returns
    -------
    stem : str
        Name of a bundle, if the file is a tractogram of one.

    Examples
    --------
    >>> from dipy_tractoencoder.io.formats import file_stem
    >>> file_stem("sub-01/AF.left.TRK"), file_stem("AF.trk.gz"), file_stem("AF")
    ('AF.left', 'AF', 'AF')
    """
    name = Path(path).name
    stem = name[: len(name) - len(file_format(path))]
    return stem if stem.strip(".") else name  # "." and ".." are folders.


def looks_like_tractogram(path: str | Path) -> bool:
    """Return whether the name of a file is that of a tractogram, readable or not.

    Parameters
    ----------
    path : str or Path
        Any file; it need not exist.

    Returns
    -------
    looks : bool
        Whether the extension is one of tractograms, also if the file is compressed.

    Examples
    --------
    >>> from dipy_tractoencoder.io.formats import looks_like_tractogram
    >>> looks_like_tractogram("AF.trk.bz2"), looks_like_tractogram("README.txt")
    (True, False)
    """
    extensions = [suffix.lower() for suffix in Path(path).suffixes[-2:]]
    if extensions and extensions[-1] in COMPRESSED:
        extensions.pop()
    return bool(extensions) and extensions[-1] in (*EXTENSIONS, *UNKNOWN_TO_DIPY)


def why_unreadable(path: str | Path) -> str | None:
    """Return why a tractogram of this name cannot be read, without opening it.

    Parameters
    ----------
    path : str or Path
        Any file; it need not exist.

    Returns
    -------
    reason : str or None
        A sentence that says what to do; None if the name is that of a tractogram that
        can be read.
    """
    extension = file_format(path)
    if extension not in READABLE:
        name, advice = extension, "Convert it with the program that wrote it."
        if looks_like_tractogram(path) and Path(path).suffix.lower() in COMPRESSED:
            name, advice = "".join(Path(path).suffixes[-2:]), "Unpack it."
        elif extension == ".tt":
            advice = "Compress it with gzip, which makes it a .tt.gz."
        return (
            f"`{name or Path(path).name}` is not an extension of tractograms that are "
            f"read: {' '.join(READABLE)}. {advice}"
        )
    return without_fury() if extension in THROUGH_VTK else None


def without_fury() -> str | None:
    """Return how to install FURY, if it is not installed.

    Returns
    -------
    advice : str or None
        A sentence; None if a version that DIPY supports is installed.
    """
    from dipy.io.vtk import have_fury

    if have_fury:
        return None
    return (
        "FURY is needed for this format. Install it with "
        'pip install "dipy_tractoencoder[vtk]", or convert the file.'
    )
