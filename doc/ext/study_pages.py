"""Titles for result tables, which the scripts that measured them write without."""

TITLES = {
    "results/compare_models": "Models compared",
    "results/comparison": "Compared with a reference group",
    "results/comparison_rough": "The same with rougher variation",
    "results/fibercup_study": "The study of the models",
    "results/speed": "Speed and memory, measured",
    "results/training_time": "Time of whole trainings",
}


def add_title(app, docname, source):
    """Put a title before a table's page.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.
    docname : str
        The page.
    source : list of str
        Its text; changed in place.
    """
    title = TITLES.get(docname)
    if title:
        source[0] = f"{title}\n{'=' * len(title)}\n\n{source[0]}"


def setup(app):
    """Register the titles.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.

    Returns
    -------
    about : dict
        What Sphinx asks of extensions.
    """
    app.connect("source-read", add_title)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
