"""The site: `make docs` builds it, with every warning an error."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mviper import __version__ as release  # noqa: E402

project = "MVIPER"
author = copyright = "The MVIPER developers"
version = release

extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
    "sphinx_copybutton", "sphinx_design",
]  # fmt: skip
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page may begin below its title's level

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False

highlight_language = "bash"  # blocks without a language hold commands
html_theme = "furo"
html_title = "MVIPER"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"source_edit_link": "", "sidebar_hide_name": False}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
