"""MkDocs hooks: build pages of the site from files that live elsewhere in the repository.

The links in docs/ lead to these files, so that they work on the repository's web page. The site gets a page for each
file, and the links on the site lead to this page.
"""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SOURCES = {
    "configs.md": "../configs/README.md",
    "contributing.md": "../CONTRIBUTING.md",
    "tutorial.md": "tutorial.ipynb",
    "weights.md": "../weights/ssd_lite0_multires.md",
}
"""Source of each page, relative to docs/."""
WIDE = ("benchmark.md", "configs.md", "results.md")
"""Pages with wide tables. Their table of contents is hidden to make room."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file in :data:`SOURCES`."""
    for page, source in SOURCES.items():
        text = Path(config.docs_dir, source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=from_notebook(text) if source.endswith(".ipynb") else text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links for the site, and make room for wide tables."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    for name, source in SOURCES.items():
        markdown = markdown.replace(f"]({source}", f"]({name}")
    if page.file.src_uri in SOURCES:
        markdown = markdown.replace("](../docs/", "](").replace("](docs/", "](")
    return markdown


def from_notebook(text: str) -> str:
    """Convert a notebook to Markdown."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells)
