"""How the documentation is built: make docs."""

import skmixae

project = "skmixae"
author = "The skmixae developers"
release = version = skmixae.__version__
project_copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples"]

html_theme = "pydata_sphinx_theme"
html_title = "skmixae"
html_theme_options = {
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_end": [],
}

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them
numpydoc_show_class_members = False
default_role = "autolink"  # numpydoc's: a name that is documented becomes a link

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib",),
    "show_memory": False,
    "download_all_examples": False,
    "copyfile_regex": r".*\.rst",
    "parallel": 2,  # each on one thread
}
suppress_warnings = ["config.cache"]  # the sorting key of the gallery is a class
