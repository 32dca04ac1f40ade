"""Takes the pages of the site from where they are in the repository, so that links between them mean the same in both."""

from __future__ import annotations

import json
import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[2]

log = logging.getLogger("mkdocs.hooks.site")

#: The pages, and what they show or link to.
PAGES = [
    "*.md",
    "LICENSE-*",
    "docs/**/*.md",
    "docs/**/*.svg",
    "docs/**/*.ipynb",
    "crates/py/README.md",
    "datasets/*",
    "examples/three-servers/*",
    "scripts/fetch-mnist.sh",
]

#: A link to a file of the repository or to a directory: its text, where it goes, and the place in there.
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages by their paths in the repository; notebooks as pages of their own."""
    found = Files([file for file in files if file.generated_by])
    for pattern in PAGES:
        for path in sorted(REPOSITORY.glob(pattern)):
            if not path.is_file():
                continue
            place = path.relative_to(REPOSITORY).as_posix()
            if path.suffix == ".ipynb":
                found.append(File.generated(config, place + ".md", content=_notebook(path)))
            else:
                found.append(File.generated(config, place, abs_src_path=str(path)))
    decisions = (REPOSITORY / "docs/adr/README.md").read_text()
    for path in sorted((REPOSITORY / "docs/adr").glob("[0-9]*.md")):
        if f"({path.name})" not in decisions:
            log.warning("docs/adr/README.md does not list %s", path.name)
    return found




def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a directory goes to its README, and one to a notebook to its page."""
    directory = posixpath.dirname(page.file.src_uri)

    def mend(link: re.Match[str]) -> str:
        text, to, anchor = link[1], link[2], link[3] or ""
        place = posixpath.normpath(posixpath.join(directory, to))
        for ending in ("/README.md", ".md"):
            if files.get_file_from_path(place) is None and files.get_file_from_path(place + ending):
                return f"[{text}]({to.rstrip('/')}{ending}{anchor})"
        return link[0]

    return LINK.sub(mend, markdown)


def _notebook(path: Path) -> str:
    """The cells of a notebook as a page."""
    cells = json.loads(path.read_text())["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"
