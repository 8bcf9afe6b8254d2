"""Read the tables that verbs print: a cell begins where its head begins, or ends where its head ends."""

from __future__ import annotations

import re

CELL = re.compile(r"\S+(?: \S+)*")


def rows_below(text: str, first: str) -> list[list[str]]:
    """The cells of each row of the table whose first head is `first`; an empty cell is ""."""
    lines = iter(text.splitlines())
    head = next(line for line in lines if CELL.match(line) and CELL.match(line)[0] == first)  # type: ignore[index]
    heads = [match.span() for match in CELL.finditer(head)]
    rows = []
    for line in lines:
        spans = [match.span() for match in CELL.finditer(line)]
        places = [
            [at for at, (begin, end) in enumerate(heads) if begin == left or end == right] for left, right in spans
        ]
        if len(spans) < 2 or not all(places):  # a sentence, or the rest of a name
            break
        row = [""] * len(heads)
        for (left, right), (place, *_) in zip(spans, places, strict=True):
            row[place] = line[left:right]
        rows.append(row)
    return rows
