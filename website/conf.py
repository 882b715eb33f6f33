"""Sphinx's settings; `python website/build_site.py` builds with them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "website"), str(ROOT / "tools")]


project = html_title = "A language model from scratch"
copyright = "its authors, under the MIT licence"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "course_site"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}

# Notebooks are shown as they are stored, and their Markdown is what JupyterLab takes it for: no more syntax, and the
# anchor of a heading is the one that JupyterLab gives it, so that one link is right in both.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "The {type}", "The {type}"
myst_enable_extensions = ["dollarmath"]
myst_disable_syntax = ["myst_role", "myst_line_comment", "myst_target", "myst_block_break"]
myst_heading_anchors = 4
myst_heading_slug_func = "course_site.jupyter_anchor"
html_math_renderer = "drawn"
smartquotes = False
highlight_language = "none"  # of a block that names no language

# Docstrings: Google's style; a name in backticks links to its definition.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Shapes", "params_style")]
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_theme_options = {"navigation_with_keys": False}  # the arrow keys belong to the sliders of pictures that respond
html_copy_source = False
html_show_sourcelink = False
html_domain_indices = False  # the reference lists the modules
html_show_search_summary = False  # it would fetch pages, which a browser forbids on pages from disk
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"
