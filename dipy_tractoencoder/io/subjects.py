"""Whose streamlines a file holds, by its path: one rule for all."""

from __future__ import annotations

from collections.abc import Sequence
import os
from os import PathLike
from pathlib import Path
import re

from dipy_tractoencoder.errors import InputFileError, check_choice
from dipy_tractoencoder.io.formats import file_stem

SUBJECT_BY = ("auto", "entity", "folder", "file")

# Entities of BIDS: labels have letters and digits only, but hyphens are common.
_SUBJECT = re.compile(r"(?<![A-Za-z0-9])sub-[^_.\s/\\:]+")
_SESSION = re.compile(r"(?<![A-Za-z0-9])ses-[^_.\s/\\:]+")


def subjects_of(
    paths: Sequence[str | PathLike],
    subject_by: str = "auto",
    *,
    sessions: bool = True,
) -> list[str]:
    """Name the subject of each file, by the paths alone.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, which need not exist. Their order does not matter. Links are not
        followed, except to find an entity that the path itself lacks.
    subject_by : {"auto", "entity", "folder", "file"}, optional
        What names the subject. "entity": the BIDS entity ``sub-XX`` of the file name,
        or of the innermost folder that has one, joined by ``ses-YY`` where the path
        names a session. "folder": the folder that the file is in. "file": each file is
        a subject. "auto": the entity of files that have one; of the others the first
        folder, from the root, in which their paths differ, or else the file itself.
    sessions : bool, optional
        Whether the sessions of a subject count as different subjects. They have poses
        of their own, but are the brain of one person.

    Returns
    -------
    subjects : list of str
        Name of the subject of each file. The same entity is the same subject in all
        folders; different folders or files of one name are told apart by as many of
        their outer folders as it takes, joined by underscores.

    Raises
    ------
    InputFileError
        If ``subject_by`` is "entity" and a path has none.
    InvalidArgumentError
        If ``subject_by`` is none of these.

    Examples
    --------
    >>> import dipy_tractoencoder as dte
    >>> dte.subjects_of(["sub-01/dwi/sub-01_AF.trk", "sub-01/CST.trk", "sub-02/AF.trk"])
    ['sub-01', 'sub-01', 'sub-02']
    >>> dte.subjects_of(["anna/left/AF.trk", "anna/right/AF.trk", "ben/left/AF.trk"])
    ['anna', 'anna', 'ben']
    >>> dte.subjects_of(["brains/anna.trk", "brains/ben.trk"])
    ['anna', 'ben']
    """
    check_choice("subject_by", subject_by, SUBJECT_BY)
    full = [Path(os.path.abspath(os.fspath(path))) for path in paths]
    entities: list[str | None] = [None] * len(full)
    if subject_by in ("auto", "entity"):
        entities = [_entity(path, sessions) for path in full]
    if subject_by == "entity" and None in entities:
        raise InputFileError(
            f"{paths[entities.index(None)]} names no subject as sub-01 does. Name its "
            "file or folder so, or tell subjects apart by folder or file."
        )
    others = [path for path, entity in zip(full, entities) if entity is None]
    if subject_by == "auto":
        places = _first_difference(others)
    elif subject_by == "folder":
        places = {path: path.parent for path in others}
    else:
        places = {path: path for path in others}
    names = _different_names(places)
    return [
        names[places[path]] if entity is None else entity
        for path, entity in zip(full, entities)
    ]


def _entity(path, sessions):
    """Return the BIDS entities of subject and session of a path; None without."""
    tried = [path]
    if path.is_symlink():
        tried.append(Path(os.path.realpath(path)))
    for path in tried:
        parts = [file_stem(path), *reversed(path.parts[:-1])]
        if subject := _innermost(_SUBJECT, parts):
            session = _innermost(_SESSION, parts) if sessions else None
            return "_".join(filter(None, (subject, session)))
    return None


def _innermost(pattern, parts):
    """Return what a pattern finds first in a file name and its folders, inner first."""
    return next((found[0] for part in parts if (found := pattern.search(part))), None)


def _first_difference(paths):
    """Return the outermost folder in which a path differs from others, or itself."""
    folders = [path.parent.parts for path in paths]
    depth = len(os.path.commonprefix(folders)) + 1
    return {
        path: Path(*parts[:depth]) if len(parts) >= depth else path
        for path, parts in zip(paths, folders)
    }


def _different_names(places):
    """Return a name for each folder or file, by as few of its folders as possible."""
    files = places.keys() & set(places.values())
    parts = {
        place: [*place.parts[1:-1], file_stem(place) if place in files else place.name]
        for place in sorted(set(places.values()))
    }
    names: list[str] = []
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        names = ["_".join(last[-depth:]) for last in parts.values()]
        if len(set(names)) == len(names):
            return dict(zip(parts, names))
    return {place: f"{name}_{k}" for k, (place, name) in enumerate(zip(parts, names))}
