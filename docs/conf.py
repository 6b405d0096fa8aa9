"""Settings of the documentation: Sphinx with the PyData theme, read from Markdown, all offline."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))

import backlight

project = "Backlight"
author = "the Backlight authors"
project_copyright = "the Backlight authors"
version = release = backlight.__version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "site_parts",
]
exclude_patterns = ["_ext", "_static", "**/build.py"]
root_doc = "index"
nitpicky = False

# ---- Markdown ------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_block", "attrs_inline"]
myst_heading_anchors = 3
myst_ref_domains = ["std"]
myst_links_external_new_tab = False

# ---- blocks of code ------------------------------------------------------------------------------

# Pages that other programs check, or whose blocks are no programs of a reader's.
blocks_not_run = {
    "benchmarks": "needs the libraries that make bench installs, and measures for long",
}

# What the fragments of a page take for granted.
_NETWORK = """
import numpy as np
import backlight as bl
data = (np.arange(12.0).reshape(12, 1), np.arange(12.0).reshape(12, 1) / 6 - 1)
net = bl.nn.Sequential(bl.nn.Linear(1, 1), seed=0)
"""
blocks_before = {
    "checkpoints": _NETWORK,
    "run-store": f"""{_NETWORK}
import os
os.mkdir("runs")
data = (data[0], (data[1] > 0).astype("int64").ravel())
net = bl.nn.Sequential(bl.nn.Linear(1, 2), seed=0)
""",
}

# ---- reference -----------------------------------------------------------------------------------

autosummary_generate = False
autodoc_typehints = "none"  # the types stand in the docstrings, in words
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    # scikit-learn makes these, with references to its own pages.
    "exclude-members": "set_fit_request, set_partial_fit_request, set_score_request",
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 76

# ---- the site ------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "Backlight"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/mark.svg"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {
        "text": "Backlight",
        "image_light": "_static/mark.svg",
        "image_dark": "_static/mark.svg",
    },
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "benchmarks": []}
suppress_warnings = ["misc.highlighting_failure"]  # JSON with "…" in it
