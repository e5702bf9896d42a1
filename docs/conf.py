"""The pages of this folder as a site: make site."""

import os
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Mammography AI worker"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_show_copyright = False
myst_heading_anchors = 4
exclude_patterns = ["conf.py"]

_FOLDER = Path(__file__).resolve().parent
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:]+)(?:#[^)]*)?\)")


def _keep_links_within(_app: Sphinx, page: str, source: list[str]) -> None:
    """Write links to files beside this folder, such as the README, as their names alone."""

    def kept(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(_FOLDER / Path(page).parent / link[2]))
        return link[0] if target.is_relative_to(_FOLDER) else f"{link[1]} (`{target.name}`)"

    source[0] = _LINK.sub(kept, source[0])


def setup(app: Sphinx) -> None:
    """Have Sphinx read the pages as they stand in the repository."""
    app.connect("source-read", _keep_links_within)
    # The diagrams stand as they are written: drawing them would load a script from elsewhere.
    app.add_lexer("mermaid", TextLexer)
