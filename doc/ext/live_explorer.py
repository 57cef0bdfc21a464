"""Add an interactive page of the explorer to the site.

A model of the synthetic FiberCup is trained when the site is built, in about ten
seconds; its page is kept until the package changes.
"""

from pathlib import Path

PAGE = "explorer_live.html"
N_TRAINING, N_SHOWN = 3000, 1000


def make_page(app):
    """Write the page and add it to the site.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.
    """
    import dipy_tractoencoder as dte

    folder = Path(app.srcdir) / "generated" / "live"
    page = folder / PAGE
    app.config.html_extra_path.append(str(folder))
    package = Path(dte.__file__).parent
    newest = max(path.stat().st_mtime for path in package.rglob("*.*"))
    if page.exists() and page.stat().st_mtime > newest:
        return
    folder.mkdir(parents=True, exist_ok=True)
    known = dte.make_fibercup(N_TRAINING, 0.0, seed=0)
    model = dte.train([known.streamlines], latent_dim=6, epochs=40, seed=0)
    new = dte.make_fibercup(N_SHOWN, 0.0, seed=1)
    bundles = {
        name: new.streamlines[new.bundle == code]
        for code, name in enumerate(dte.FIBERCUP_BUNDLES)
    }
    dte.explore(
        model,
        bundles,
        page,
        model_name="synthetic FiberCup, 6 latent dimensions",
        overwrite=True,
    )


def setup(app):
    """Register the page.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.

    Returns
    -------
    about : dict
        What Sphinx asks of extensions.
    """
    app.connect("builder-inited", make_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
