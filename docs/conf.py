"""How Sphinx builds the pages of this folder and the reference: `make docs` writes them to site/, warnings denied."""

import re
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "https://github.com/oneloom/oneloom/blob/main/"

project = "oneloom"
version = release = installed_version("oneloom")
copyright = "the oneloom developers"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "oneloom"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
default_role = "code"  # Docstrings write `code` in single backticks, as the pages do.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def link_to_source(app, document_name, text):
    """Pages link to files beside this folder, which a site does not have: there the link leads to the repository."""

    def absolute(match):
        target, anchor = match[1], match[2] or ""
        assert (ROOT / target).exists(), f"{document_name} links to ../{target}, which is not there"
        return f"]({SOURCE}{target}{anchor})"

    text[0] = re.sub(r"\]\(\.\./([^)#]+)(#[^)]*)?\)", absolute, text[0])


def setup(app):
    app.connect("source-read", link_to_source)
