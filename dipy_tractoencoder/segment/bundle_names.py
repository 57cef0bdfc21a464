"""List the bundles in files: one per tractogram, or the groups of a TRX file."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.io.formats import file_format, file_stem
from dipy_tractoencoder.io.open_file import check_common_space, open_in_place
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.io.tractogram import check_tractogram_path
from dipy_tractoencoder.latent.latents_file import (
    EXTENSIONS as LATENTS_EXTENSIONS,
    latents_reader,
)

WITH_GROUPS = (".trx", ".tt.gz")


def check_bundle_paths(
    paths: Sequence[str | Path],
    reference: str | Path | None = None,
    *,
    latents: bool = True,
) -> list[Path]:
    """Check the paths of bundles without reading the files, and list the files.

    Parameters
    ----------
    paths : sequence of str or Path
        Tractograms, folders of tractograms, wildcards, latents files.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    latents : bool, optional
        Whether latents files are accepted.

    Returns
    -------
    paths : list of Path
        Files only.

    Raises
    ------
    InputFileError
        If a file is missing, of unknown extension, or lacks its reference, or if the
        place of one of several files is not known.
    """
    paths = tractogram_files(paths)
    for path in paths:
        if not latents or file_format(path) not in LATENTS_EXTENSIONS:
            check_tractogram_path(path, reference)
    check_common_space(paths, reference)
    return paths


def bundle_names(
    paths: Sequence[Path], groups: Sequence[str] | None = None
) -> list[str]:
    """List the names of the bundles in files.

    Parameters
    ----------
    paths : sequence of Path
        Files from `check_bundle_paths`.
    groups : sequence of str, optional
        Patterns that select groups of TRX files; all by default.

    Returns
    -------
    names : list of str
        Names of the bundles, sorted.

    Raises
    ------
    InputFileError
        If a file is damaged, or has no group that matches the patterns.
    InvalidArgumentError
        If names differ in case only.
    """
    files: dict[str, Path] = {}
    for path in paths:
        if file_format(path) in LATENTS_EXTENSIONS:
            with latents_reader(path) as reader:
                found = [file_stem(reader.about["tractogram"] or path)]
        else:
            found = list(bundle_members(path, groups))
        for name in found:
            files.setdefault(name, path)
    check_case(files)
    return sorted(files)


def check_case(files: Mapping[str, str | Path]) -> None:
    """Raise an error if names of bundles differ in case only.

    Their files could not be told apart on every file system, and are likely meant to be
    one bundle.

    Parameters
    ----------
    files : dict of str or Path
        File of each bundle, by its name.

    Raises
    ------
    InvalidArgumentError
        If two names differ in case only.
    """
    seen: dict[str, str] = {}
    for name, path in files.items():
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise InvalidArgumentError(
                f"The bundles {other} ({files[other]}) and {name} ({path}) differ in "
                "upper and lower case only. Give them the same name if they are one "
                "bundle, otherwise other names."
            )


def file_groups(path: str | Path) -> dict[str, np.ndarray]:
    """Read the groups of a file.

    Parameters
    ----------
    path : str or Path
        TRX file, or Tiny Track file, whose groups are clusters with names.

    Returns
    -------
    groups : dict of ndarray of int64
        Ascending indices of the streamlines of each group, by name; empty if the file
        has no groups.

    Raises
    ------
    InputFileError
        If the file is damaged, or a group contains an index out of range.
    """
    with closing(open_in_place(path)) as contents:
        return {
            name: np.unique(members.astype(np.int64))
            for name, members in sorted(contents.groups.items())
        }


def bundle_members(
    path: Path, groups: Sequence[str] | None = None
) -> dict[str, np.ndarray | None]:
    """List the bundles of a file and their streamlines.

    Parameters
    ----------
    path : Path
        Tractogram.
    groups : sequence of str, optional
        Patterns, such as ``bundle_*``, that select groups of a TRX file.

    Returns
    -------
    members : dict of (ndarray or None)
        Indices of the streamlines of each bundle, by name. For a file that is not a
        TRX with groups: the file name without extension, and None for all streamlines.

    Raises
    ------
    InputFileError
        If no group matches the patterns, or groups share streamlines.
    """
    found = file_groups(path) if file_format(path) in WITH_GROUPS else {}
    if not found:
        return {file_stem(path): None}
    chosen = {
        name: members
        for name, members in found.items()
        if not groups or any(fnmatch(name, pattern) for pattern in groups)
    }
    if not chosen:
        raise InputFileError(
            f"{path}: none of its groups ({', '.join(found)}) matches "
            f"{' '.join(groups or ())}."
        )
    together = np.concatenate(list(chosen.values()))
    numbers, counts = np.unique(together, return_counts=True)
    if (counts > 1).any():
        shared = numbers[counts.argmax()]
        names = [name for name, members in chosen.items() if shared in members]
        raise InputFileError(
            f"{path}: streamline {shared} is in the groups {' and '.join(names)}. "
            "Select groups that share no streamline with `groups`, for "
            "example 'bundle_*'."
        )
    return dict(chosen)
