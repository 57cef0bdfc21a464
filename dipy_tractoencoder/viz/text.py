"""Text of figures: names of files and bundles are drawn as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
import warnings

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

logger = logging.getLogger(__name__)

MOST_LETTERS = 40  # Of a name in a figure; longer ones leave no room for the rest.
# Settings by which a user's matplotlibrc would change what names look like.
PLAIN: dict[Any, Any] = {"text.usetex": False, "text.parse_math": True}


def literal(text: object, most: int | None = None) -> str:
    r"""Return text that matplotlib draws as it is.

    Parameters
    ----------
    text : object
        Text with names in it, which may hold dollar signs (matplotlib takes what is
        between two of them for a formula) or bytes that are not UTF-8.
    most : int, optional
        Largest number of characters; the middle of longer text is left out.

    Returns
    -------
    text : str
        Text for a title, label, tick or legend.

    Examples
    --------
    >>> from dipy_tractoencoder.viz.text import literal
    >>> print(literal("$AF$"), literal("arcuate_fasciculus", most=9))
    \$AF\$ arc...lus
    """
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    if most is not None and len(text) > most:
        half = (most - 3) // 2
        text = f"{text[: most - 3 - half]}...{text[-half:]}"
    # Matplotlib removes the backslashes where no other dollar sign is left.
    return text.replace("$", r"\$")


def name_label(name: object) -> str:
    """Return the name of a file, bundle or subject for a figure.

    Parameters
    ----------
    name : object
        Any name.

    Returns
    -------
    text : str
        Text that is drawn as the name, shortened to 40 characters.
    """
    return literal(name, MOST_LETTERS)


def add_legend(
    place: Axes | Figure,
    handles: Sequence[Artist],
    labels: Iterable[object],
    **options: Any,
) -> Legend:
    """Add a legend of names, those that begin with an underscore included.

    Parameters
    ----------
    place : matplotlib.axes.Axes or matplotlib.figure.Figure
        Axes or figure to draw in.
    handles : sequence of matplotlib.artist.Artist
        Lines or patches of the legend.
    labels : iterable of object
        Text of each.
    **options
        Other arguments of matplotlib's ``legend``.

    Returns
    -------
    legend : matplotlib.legend.Legend
        The legend.
    """
    # Matplotlib may leave out what is given with an underscore in front.
    legend = place.legend(handles, ["-"] * len(handles), **options)
    for text, label in zip(legend.get_texts(), labels):
        text.set_text(name_label(label))
    return legend


def draw_figure(figure: Figure, target: str | Path | BinaryIO, **options: Any) -> None:
    """Draw a figure with the same text whatever the user's matplotlibrc says.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure to draw.
    target : str, Path or file
        Where to.
    **options
        Other arguments of matplotlib's ``savefig``.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    with rc_context(PLAIN), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in figure.findobj(Text):
            text.set(usetex=False, parse_math=True)
        figure.savefig(target, **options)
    missing = False
    for warning in caught:
        if "missing from" in str(warning.message):
            missing = True
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if missing:
        logger.warning(
            "The font of the figures lacks characters of the names, which are drawn as "
            "boxes. Choose another one by font.family in a matplotlibrc file."
        )
