"""MkDocs hooks: README.md as the first page, lists of folders, links out of docs/, and the syntax of addresses.

MkDocs itself checks links between pages, anchors and files. A link leads to the same file on the site and in the
repository.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
log = logging.getLogger("mkdocs.hooks.docs_site")  # a warning is an error with --strict


def on_config(config: Any) -> Any:
    """Replace a folder in the navigation by its pages."""
    config.nav = [expanded(entry) for entry in config.nav]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/, and a list for each folder without a first page."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text()))
    for folder in sorted(p for p in (ROOT / "docs").rglob("*") if p.is_dir() and list(p.glob("*.md"))):
        if not (folder / "index.md").exists() and not (folder / "README.md").exists():
            name = folder.relative_to(ROOT / "docs").as_posix()
            files.append(File.generated(config, f"{name}/index.md", content=folder_list(folder)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite links to files of the repository as links within the site."""
    uri = page.file.src_uri

    def rewritten(match: re.Match[str]) -> str:
        return match[1] + site_link(match[2], uri, config, files) + match[3]

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(rewritten, part) for part in parts)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Check the syntax of addresses outside the site."""
    for address in re.findall(r'(?:href|src)="([a-z]+:[^"]*)"', html):
        if not well_formed(address):
            log.warning("%s: %r is no valid address", page.file.src_uri, address)
    return html


def well_formed(address: str) -> bool:
    """Is this an http(s) address with a host name, or a mail address?"""
    parts = urlsplit(address)
    if parts.scheme == "mailto":
        return re.fullmatch(r"[^@\s]+@[\w-]+(\.[\w-]+)+", parts.path) is not None
    host = re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.hostname or "")
    return parts.scheme in ("http", "https") and host is not None and not re.search(r"\s", address)


def site_link(link: str, uri: str, config: Any, files: Any) -> str:
    """A link of the page `uri` that also works on the site. A file outside docs/ is copied into the site."""
    path, hash_sign, anchor = link.partition("#")
    if not path or urlsplit(link).scheme:
        return link
    sources = {target: source for source, target in PAGES.items()}
    origin = PurePosixPath(sources.get(uri, f"docs/{uri}"))
    target = PurePosixPath(os.path.normpath(origin.parent / path)).as_posix()
    if target in PAGES:
        target = PAGES[target]
    elif target.startswith("docs/"):
        target = target.removeprefix("docs/") + ("/index.md" if (ROOT / target).is_dir() else "")
    elif (ROOT / target).is_file():
        copied = f"files/{target}"
        if files.get_file_from_path(copied) is None:
            files.append(File.generated(config, copied, abs_src_path=str(ROOT / target)))
        target = copied
    else:  # MkDocs reports the missing file; a folder outside docs/ has no page
        return link
    return os.path.relpath(target, PurePosixPath(uri).parent.as_posix()) + hash_sign + anchor


def folder_list(folder: Path) -> str:
    """A page with a link to each page of a folder."""
    lines = [f"- [{title(path)}]({path.name})" for path in sorted(folder.glob("*.md"))]
    return "\n".join([f"# {folder.name.capitalize()}", "", *lines, ""])


def title(path: Path) -> str:
    """First heading of a page."""
    return next(line[2:] for line in path.read_text().splitlines() if line.startswith("# "))


def expanded(entry: Any) -> Any:
    """An entry of the navigation, in which `folder/` is a list of the folder's pages."""
    if isinstance(entry, dict):
        return {name: expanded(value) for name, value in entry.items()}
    if isinstance(entry, list):
        return [expanded(value) for value in entry]
    if not entry.endswith("/"):
        return entry
    pages = sorted(p.name for p in (ROOT / "docs" / entry).glob("*.md") if p.name not in ("index.md", "README.md"))
    return [f"{entry}index.md", *(f"{entry}{name}" for name in pages)]
