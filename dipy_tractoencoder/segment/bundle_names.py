"""Which bundles files hold: one per tractogram, or the groups of a TRX."""

from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    format_received,
)
from dipy_tractoencoder.io.tractogram import EXTENSIONS, check_tractogram_path
from dipy_tractoencoder.latent.latents_file import (
    EXTENSIONS as LATENTS_EXTENSIONS,
    latents_reader,
)


def tractogram_paths(paths):
    """Replace folders by the tractograms in them.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractograms, and folders of them.

    Returns
    -------
    paths : list of Path
        Files only, those of a folder in the order of their names.

    Raises
    ------
    InvalidArgumentError
        If they are no paths.
    InputFileError
        If a file is missing, or a folder holds no tractogram.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    try:
        paths = [Path(path) for path in paths]
    except TypeError as err:
        raise InvalidArgumentError(
            "Invalid value received for `paths`. Expected tractogram files, or folders "
            f"of them. Received: {format_received(paths)}."
        ) from err
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix in EXTENSIONS)
        inside = [p for p in inside if not p.name.startswith(".")]
        if not inside:
            raise InputFileError(
                f"{path} holds no tractogram ({' '.join(EXTENSIONS)}). Give a folder "
                "with one file per bundle, or the files."
            )
        found += inside
    for path in found:
        if not path.exists():
            raise InputFileError(f"File not found: {path}.")
    return found


def check_bundle_paths(paths, reference=None, *, latents=True):
    """List the files that bundles come from, or raise, without reading them.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractograms, folders of them, latents files.
    reference : str or Path, optional
        Image or tractogram whose space files without one are in.
    latents : bool, optional
        Whether latents files will do.

    Returns
    -------
    paths : list of Path
        Files only.

    Raises
    ------
    InputFileError
        If a file is missing, of unknown extension, or lacks its reference.
    """
    paths = tractogram_paths(paths)
    for path in paths:
        if not latents or path.suffix not in LATENTS_EXTENSIONS:
            check_tractogram_path(path, reference)
    return paths


def bundle_names(paths, groups=None):
    """Name the bundles that files hold.

    Parameters
    ----------
    paths : sequence of Path
        As from `check_bundle_paths`.
    groups : sequence of str, optional
        Patterns that choose among the groups of TRX files.

    Returns
    -------
    names : list of str
        Sorted.

    Raises
    ------
    InputFileError
        If a file is broken, or its groups do not fit.
    """
    names = set()
    for path in paths:
        if path.suffix in LATENTS_EXTENSIONS:
            with latents_reader(path) as reader:
                names.add(Path(reader.about["tractogram"] or path).stem)
        else:
            names |= set(bundle_members(path, groups))
    return sorted(names)


def trx_groups(path):
    """Read which streamlines belong to each group of a TRX file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    groups : dict of ndarray of int64
        Name to numbers of streamlines, ascending; empty if it has no groups.

    Raises
    ------
    InputFileError
        If the file is broken, or a group names a streamline that is not there.
    """
    from trx.trx_file_memmap import load

    try:
        with closing(load(str(path))) as trx:
            n_streamlines = len(trx.streamlines)
            groups = {
                name: np.unique(np.asarray(members).astype(np.int64).ravel())
                for name, members in sorted(trx.groups.items())
            }
    # trx-python raises whatever a broken file leads it to.
    except Exception as err:
        raise InputFileError(
            f"Cannot read {path}: {type(err).__name__}: {err}. The file may be damaged."
        ) from err
    for name, members in groups.items():
        if len(members) and not 0 <= members[0] <= members[-1] < n_streamlines:
            raise InputFileError(
                f"Cannot read {path}: its group {name} names streamline "
                f"{members[-1]}, of {n_streamlines}. Make the file again."
            )
    return groups


def bundle_members(path, groups=None):
    """Tell which bundles a file holds, and their streamlines.

    Parameters
    ----------
    path : Path
        A tractogram.
    groups : sequence of str, optional
        Patterns (as ``bundle_*``) that choose among the groups of a TRX.

    Returns
    -------
    members : dict of (ndarray or None)
        Bundle to numbers of its streamlines; the name of the file without extension,
        and None for all of them, unless it is a TRX with groups.

    Raises
    ------
    InputFileError
        If no group fits the patterns, or groups share streamlines.
    """
    found = trx_groups(path) if path.suffix == ".trx" else {}
    if not found:
        return {path.stem: None}
    chosen = {
        name: members
        for name, members in found.items()
        if not groups or any(fnmatch(name, pattern) for pattern in groups)
    }
    if not chosen:
        raise InputFileError(
            f"{path}: none of its groups ({', '.join(found)}) fits {' '.join(groups)}."
        )
    together = np.concatenate(list(chosen.values()))
    numbers, counts = np.unique(together, return_counts=True)
    if (counts > 1).any():
        shared = numbers[counts.argmax()]
        names = [name for name, members in chosen.items() if shared in members]
        raise InputFileError(
            f"{path}: streamline {shared} is in the groups {' and '.join(names)}. "
            "Choose groups that share none by `groups` (--groups), as 'bundle_*'."
        )
    return chosen
