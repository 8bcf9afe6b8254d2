"""A hook of MkDocs: files of the repository outside docs/ that a page links to become part of the site.

Pages link to them as they do on a hosting site, such as `../search_spaces/README.md`. Markdown files become pages and
other files are copied, both below `repository/`. A link to a missing file stays as it is, and MkDocs reports it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"(?ms)^```.*?^```$|`[^`\n]*`")
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
SITE = "repository"


def source_of(path: str) -> str:
    """Where a file of the site lies in the repository."""
    inside = path.removeprefix(f"{SITE}/")
    return inside if inside != path else posixpath.join("docs", path)


def target_of(link: str, path: str) -> str:
    """The file of the repository that a link on a page of the site leads to; "" for an address or a missing file."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(path)), link))
    return target if "://" not in link and not target.startswith("..") and (ROOT / target).is_file() else ""


def place_of(target: str) -> str:
    """Where a file of the repository lies in the site."""
    return target.removeprefix("docs/") if target.startswith("docs/") else f"{SITE}/{target}"


def links(text: str) -> list[str]:
    return LINK.findall(CODE.sub("", text))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and those that the added pages link to."""
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for link in links(page.content_string):
            target = target_of(link, page.src_uri)
            if target and files.get_file_from_path(place_of(target)) is None:
                level = InclusionLevel.NOT_IN_NAV
                added = File.generated(config, place_of(target), abs_src_path=str(ROOT / target), inclusion=level)
                files.append(added)
                if added.is_documentation_page():
                    waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to the places of these files in the site."""
    path = page.file.src_uri

    def in_site(match: re.Match[str]) -> str:
        target = target_of(match[0], path)
        return posixpath.relpath(place_of(target), posixpath.dirname(path) or ".") if target else match[0]

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(in_site, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(in_site, markdown[end:])])
