"""Let the gallery show figures that the library gives back.

They are made without pyplot, which is where the gallery looks for figures.
"""


def scrape(block, block_vars, gallery_conf):
    """Save the figures that a block of a tutorial has made and left in a name.

    Parameters
    ----------
    block : tuple
        The block; not used.
    block_vars : dict
        Its names, and where pictures go.
    gallery_conf : dict
        The gallery's settings.

    Returns
    -------
    text : str
        reStructuredText that shows them.
    """
    from matplotlib.figure import Figure
    from matplotlib.pyplot import fignum_exists
    from sphinx_gallery.scrapers import figure_rst

    paths = []
    for value in list(block_vars["example_globals"].values()):
        if not isinstance(value, Figure) or getattr(value, "was_shown", False):
            continue
        value.was_shown = True
        by_pyplot = getattr(value, "number", None)
        if by_pyplot is not None:
            assert not fignum_exists(by_pyplot)  # The gallery's own took it.
            continue
        paths.append(next(block_vars["image_path_iterator"]))
        value.savefig(paths[-1], dpi=80)
    return figure_rst(paths, gallery_conf["src_dir"])
