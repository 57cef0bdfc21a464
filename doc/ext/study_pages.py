"""Add titles to the result tables that the scripts write without one."""

TITLES = {
    "results/compare_models": "Comparison of models",
    "results/comparison": "Comparison with a reference group",
    "results/comparison_rough": "Comparison with a reference group, rougher variation",
    "results/fibercup_study": "Study of the models",
    "results/files": "Files to latents",
    "results/speed": "Speed and memory",
    "results/training_time": "Training times",
    "results/training_memory": "Memory of a training",
}


def add_title(app, docname, source):
    """Add the title of a table's page.

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
