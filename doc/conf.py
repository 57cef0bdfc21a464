"""How Sphinx builds the site: ``sphinx-build -W --keep-going doc doc/_build/html``.

It documents the package that is installed, and needs no network: equations are
MathML, which browsers show by themselves, and styles and fonts come with the theme.
"""

import os
from pathlib import Path
import sys

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "ext"))
# Tutorials call the commands that are installed beside this Python.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dipy_tractoencoder  # noqa: E402

project = "dipy_tractoencoder"
author = "The dipy_tractoencoder developers"
copyright = author  # noqa: A001
version = release = dipy_tractoencoder.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinxcontrib.bibtex",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    # Ours, in doc/ext.
    "api_reference",
    "command_reference",
    "live_explorer",
    "native_math",
    "study_pages",
]

root_doc = "index"
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates", "examples", "ext"]
templates_path = ["_templates"]
default_role = "autolink"
smartquotes = False  # They would make one dash of the two of an option.
nitpicky = False

# Docstrings

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# Imported by a module, and not to be told from its own, being compiled.
autodoc_default_options = {"exclude-members": "cKDTree"}
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Sources: one bibliography, cited as DIPY's documentation does.

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"
bibtex_footbibliography_header = ""

# Markdown

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Tutorials: every one of them runs, and a fault in one ends the build.

sphinx_gallery_conf = {
    "examples_dirs": ["examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"tutorial_\d",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,  # Its page would fetch scripts.
    "capture_repr": (),
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib", "library_figures.scrape"),
}

# Looks

html_theme = "pydata_sphinx_theme"
html_title = "dipy_tractoencoder"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = []  # That of live_explorer is added.
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
}
# Pages without pages below them have nothing to navigate to at the side.
LEAVES = (
    "index",
    "install",
    "start",
    "uses",
    "explorer",
    "report",
    "model",
    "defaults",
)
LEAVES += ("speed", "trust", "formats", "cite")
html_sidebars = {name: [] for name in LEAVES}
