"""Tell the formats of tractogram files by their names."""

from __future__ import annotations

from pathlib import Path

# Formats that are written. They are read in any case of letters.
EXTENSIONS = (".trk", ".tck", ".trx", ".vtk", ".vtp", ".fib", ".dpy")
# Formats that are read.
READABLE = EXTENSIONS
# Formats that contain the image space.
SELF_CONTAINED = (".trk", ".trx")
# Formats with lazy readers and writers in nibabel.
LAZY = (".trk", ".tck")
# Formats that DIPY reads and writes with FURY, an optional dependency.
THROUGH_FURY = (".vtk", ".vtp", ".fib")
# Formats that need not be read completely.
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
    return name[: len(name) - len(file_format(path))] or name
