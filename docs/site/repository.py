"""Hooks of mkdocs: the repository as pages. README is the first, and what the texts link to can be read in the site.

A link to a text leads to its page, one to any other file or folder to a page that shows it. A link to nothing is left
as it is, and `mkdocs build --strict` refuses it.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Texts outside of docs/, and their pages."""
_PLACES = {page: text for text, page in TEXTS.items()}
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^ *(```+|~~~+)", re.MULTILINE)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".sh": "bash"}


def on_config(config: MkDocsConfig) -> None:
    """Put the pages that nobody named into groups of their own."""
    named = set(re.findall(r"[\w-]+\.md", repr(config.nav)))
    more = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in named)
    if more:
        config.nav.append({"More": list(more)})
    config.nav.append({"Project": [page for page in TEXTS.values() if page not in named]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the texts outside of docs/, and a page for each file that a text links to."""
    for text, page in TEXTS.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / text)))
    shown: set[str] = set()
    for page in [file.src_uri for file in files if file.is_documentation_page()]:
        text = (ROOT / _place(page)).read_text(encoding="utf-8")
        _rewritten(text, page, lambda path: shown.add(path) or path)
    inside = {_of(folder, file) for folder in shown if (ROOT / folder).is_dir() for file in _inside(folder)}
    for path in sorted(shown | inside):
        files.append(File.generated(config, _source_page(path), content=_source(path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the repository's links into the site's."""
    if page.file.src_uri.startswith("source/"):
        return markdown
    return _rewritten(markdown, page.file.src_uri, lambda path: path)


def _place(page: str) -> str:
    """Where in the repository the text of a page lies."""
    return _PLACES.get(page, f"docs/{page}")


def _rewritten(markdown: str, page: str, visit: Callable[[str], str]) -> str:
    """The text with links between pages. `visit` is told each file that gets a page to show it."""

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(_place(page)), match[2]))
        if path in TEXTS:
            target = TEXTS[path]
        elif posixpath.dirname(path) == "docs":
            target = path.removeprefix("docs/")
        elif not path.startswith("../") and (ROOT / path).exists():
            target = _source_page(visit(path))
        else:
            return match[0]
        return f"{match[1]}{posixpath.relpath(target, posixpath.dirname(page) or '.')}{match[3] or ''}"

    parts, is_code = [], False
    for line in markdown.splitlines(keepends=True):
        is_code ^= bool(_FENCE.match(line))
        parts.append(line if is_code else _LINK.sub(link, line))
    return "".join(parts)


def _source_page(path: str) -> str:
    return f"source/{path}.md"


def _inside(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).iterdir() if p.is_file() and p.suffix != ".pyc")


def _of(folder: str, file: Path) -> str:
    return posixpath.join(folder, file.name)


def _source(path: str) -> str:
    """A page that shows a file, or leads to those of a folder."""
    place = ROOT / path
    if place.is_dir():
        name = posixpath.basename(path)
        return f"# {path}\n\n" + "".join(f"- [{file.name}]({name}/{file.name}.md)\n" for file in _inside(path))
    if place.suffix == ".ipynb":
        return _notebook(json.loads(place.read_text(encoding="utf-8")))
    language = _LANGUAGES.get(place.suffix, "text")
    return f"# {path}\n\n`````{language}\n{place.read_text(encoding='utf-8').rstrip()}\n`````\n"


def _notebook(notebook: dict[str, Any]) -> str:
    cells = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in notebook["cells"]]
    return "\n\n".join(f"`````python\n{text}\n`````" if is_code else text for text, is_code in cells)
