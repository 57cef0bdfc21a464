"""Reference bundles of a command: in files, or held by the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.io.formats import file_format
from dipy_tractoencoder.workflows.base import as_list
from dipy_tractoencoder.workflows.progress import streamlines_bar

if TYPE_CHECKING:
    from dipy_tractoencoder.segment.bundle_classifier import BundleClassifier

logger = logging.getLogger(__name__)


def held_bundles(
    model_file: str | Path, needed: str, groups: Sequence[str] | None = None
) -> list[str]:
    """List the bundles that a model file holds, without loading Keras.

    Parameters
    ----------
    model_file : str or Path
        Model.
    needed : str
        What has to be given if the model holds none, for the message.
    groups : sequence of str, optional
        Patterns that select bundles by name; all by default.

    Returns
    -------
    names : list of str
        Their names, sorted.

    Raises
    ------
    InvalidArgumentError
        If the model holds none.
    InputFileError
        If the file is no model, or no name matches.
    """
    from dipy_tractoencoder.nn.atlas import atlas_of
    from dipy_tractoencoder.nn.model_file import read_sections

    atlas = atlas_of(read_sections(model_file))
    if atlas is None:
        raise InvalidArgumentError(
            f"{needed} {model_file} holds no bundles; dipy_train_vae --keep_bundles "
            "stores them in the model."
        )
    return [atlas.names[code] for code in atlas.chosen(groups)]


def asks_for_model(paths: Sequence[Path], model_file: str | Path) -> bool:
    """Tell whether the model itself is given in place of tractograms.

    Parameters
    ----------
    paths : sequence of Path
        Input files.
    model_file : str or Path
        Model.

    Returns
    -------
    held : bool
        Whether the bundles that the model holds are meant.

    Raises
    ------
    InvalidArgumentError
        If there are tractograms, or another model, too.
    """
    models = [path for path in paths if file_format(path) == ".keras"]
    if not models:
        return False
    if len(paths) > 1 or models[0].resolve() != Path(model_file).resolve():
        raise InvalidArgumentError(
            f"{models[0]} is a model. Give tractograms, or only {model_file} again for "
            "the bundles that it holds."
        )
    return True


def labelled_bundles(
    bundle_files: Any,
    model_file: str | Path,
    groups: Sequence[str],
    reference: str | Path | None,
) -> tuple[list[Path], list[str]]:
    """List the files and names of the bundles to label by.

    Parameters
    ----------
    bundle_files : str, Path or sequence of them, or None
        Value of the option.
    model_file : str or Path
        Model, whose bundles are used if no files are given.
    groups : sequence of str
        Patterns that select groups of TRX files, or bundles that the model holds.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).

    Returns
    -------
    known : list of Path
        Files; none if the bundles of the model are used.
    names : list of str
        Names of the bundles.

    Raises
    ------
    InvalidArgumentError
        If there are no bundles, or one is called "unassigned".
    """
    from dipy_tractoencoder.segment.bundle_names import (
        bundle_names,
        check_bundle_paths,
    )

    if bundle_files:
        known = check_bundle_paths(as_list(bundle_files), reference)
        names = bundle_names(known, groups)
    else:
        known = []
        needed = (
            "Labelled bundles are needed: give tractograms named by bundle, a folder "
            "of them, or a trx file with groups with --bundle_files."
        )
        names = held_bundles(model_file, needed, groups)
    check_unassigned(names)
    return known, names


def check_unassigned(names: Sequence[str]) -> None:
    """Raise an error if a bundle has the name of streamlines without one.

    Parameters
    ----------
    names : sequence of str
        Names of bundles.

    Raises
    ------
    InvalidArgumentError
        If one is called "unassigned".
    """
    if "unassigned" in names:
        raise InvalidArgumentError(
            "A bundle is called unassigned, which is the name for streamlines without "
            "a bundle. Leave it out or rename it."
        )


def fit_classifier(
    model: Any,
    known: Sequence[Path],
    *,
    n_neighbors: int,
    groups: Sequence[str],
    reference: str | Path | None,
    chunk_size: int,
) -> BundleClassifier:
    """Fit the classifier to bundles in files, or to those that the model holds.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.
    known : sequence of Path
        Files of `labelled_bundles`.
    n_neighbors : int
        Number of neighbours that vote.
    groups : sequence of str
        Patterns that select groups of TRX files, or bundles that the model holds.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    chunk_size : int
        Streamlines processed at a time.

    Returns
    -------
    classifier : BundleClassifier
        The classifier; its numbers of bundles and streamlines are logged.
    """
    from dipy_tractoencoder.segment.labelling import fit_bundle_classifier

    options: dict[str, Any] = {"n_neighbors": n_neighbors, "groups": groups}
    if known:
        read = tractograms_of(known)
        with streamlines_bar(read, "Bundles", reference=reference) as advance:
            classifier = fit_bundle_classifier(
                model,
                known,
                **options,
                reference=reference,
                chunk_size=chunk_size,
                progress=advance,
            )
    else:
        classifier = fit_bundle_classifier(model, **options)
    logger.info(
        "Bundles: %d, of %d %s",
        len(classifier.names),
        len(classifier.bundle),
        "streamlines" if known else "latents that the model holds",
    )
    return classifier


def store_bundles(
    model: Any,
    paths: Sequence[Path],
    *,
    per_bundle: int,
    reference: str | Path | None,
    seed: int,
    alignment_of: Callable,
) -> None:
    """Store bundles in a trained model, and log what it holds.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model, changed in place.
    paths : sequence of Path
        Training files.
    per_bundle : int
        Largest number of latents of a bundle.
    reference : str or Path, optional
        Reference image or TRK for formats without a header (TCK, VTK, ...).
    seed : int
        Seed of the choice.
    alignment_of : callable
        Function of the path of a file that returns its `Alignment`, or None.
    """
    from dipy_tractoencoder.nn.atlas import describe_atlas
    from dipy_tractoencoder.segment.atlas import keep_bundles

    with streamlines_bar(paths, "Bundles", reference=reference) as advance:
        atlas = keep_bundles(
            model,
            paths,
            per_bundle=per_bundle,
            reference=reference,
            seed=seed,
            progress=advance,
            alignment_of=alignment_of,
        )
    logger.info("%s", describe_atlas(atlas))


def tractograms_of(paths: Sequence[Path]) -> list[Path]:
    """List the files that are tractograms, not latents.

    Parameters
    ----------
    paths : sequence of Path
        Files.

    Returns
    -------
    tractograms : list of Path
        Those that hold streamlines.
    """
    return [path for path in paths if file_format(path) not in (".h5", ".hdf5")]


def held_colours(model: Any, known: Sequence[Path]) -> dict[str, tuple] | None:
    """Return the colours of the bundles that a model holds, if they are used.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model.
    known : sequence of Path
        Files of `labelled_bundles`.

    Returns
    -------
    colours : dict of tuple, or None
        Red, green and blue of each bundle, 0 to 1, by name; None with files.
    """
    from dipy_tractoencoder.nn.atlas import model_atlas

    atlas = None if known else model_atlas(model)
    if atlas is None:
        return None
    return {n: tuple(c / 255) for n, c in zip(atlas.names, atlas.colours)}
