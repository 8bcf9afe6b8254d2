"""A page as its sections: which words stand in each, which terms it explains, and which headings have nothing below."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "link", "br", "img", "input")
HEADINGS = ("h2", "h3", "h4")
CONTENT = ("td", "svg", "audio", "img", "input", "pre")  # what fills a section, also without words
NO_SENTENCES = ("script", "style", "svg", "code", "pre")  # commands, and charts, whose words cannot have a tooltip


def visible(html: str, *, tags: bool = False) -> str:
    """The page without its tooltips and the marks of terms; with `tags` the other tags stay."""
    text = re.sub(
        r'<span class="term"><button[^>]*>([^<]*)</button><span role="tooltip"[^>]*>[^<]*</span></span>', r"\1", html
    )
    return text if tags else " ".join(re.sub(r"<[^>]*>", "", text).split())


@dataclass
class Section:
    """A panel of the page, or a folding part of it: its own words, without those of the parts in it."""

    name: str
    words: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)  # the explanations that it has
    defined: set[str] = field(default_factory=set)  # names in a list of names with descriptions

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Sections(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.all = [Section("page")]
        self.empty: list[str] = []  # headings that have nothing below them
        self._open: list[tuple[str, dict[str, str | None], Section]] = []
        self._waiting: list[tuple[int, str]] = []  # the last headings, as long as nothing is below them
        self.feed(page)
        self.close()
        self._next_heading(0)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        section = self._open[-1][2] if self._open else self.all[0]
        if given.get("role") == "tabpanel" or given.get("class") == "part":
            section = Section(str(given.get("id") or f"{section.name}:"))
            self.all.append(section)
        if tag in HEADINGS:
            self._next_heading(int(tag[1]))
            self._waiting.append((int(tag[1]), ""))
        elif tag in CONTENT:
            self._waiting.clear()
        if tag not in VOID:
            self._open.append((tag, given, section))

    def handle_endtag(self, tag: str) -> None:
        _, given, _ = self._open.pop()
        if given.get("role") == "tabpanel" or given.get("class") == "part":
            self._next_heading(0)

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _, _ in self._open]
        if not data.strip() or not tags or not {"script", "style"}.isdisjoint(tags):
            return
        section = self._open[-1][2]
        if self._open[-1][1].get("role") == "tooltip":
            section.explained.add(data)
            return
        if set(NO_SENTENCES).isdisjoint(tags):
            section.words.append(data)
        if "dt" in tags:
            section.defined |= set(data.split(", "))
        if set(HEADINGS).isdisjoint(tags):
            self._waiting.clear()
        else:
            level, title = self._waiting.pop()
            self._waiting.append((level, title + data))
            section.name += f" {data}" if "summary" in tags else ""

    def _next_heading(self, level: int) -> None:
        """A heading of this level follows: nothing came below those of the same level or a lower one."""
        self.empty += [title for own, title in self._waiting if own >= level]
        self._waiting = [(own, title) for own, title in self._waiting if own < level]
