"""File names and clip names of a year's submissions, as templates from which names are both spelled and parsed.

A submission's cell is (machine, id, domain). The domain is part of the file name only where the template has the
field ``{domain}``, as in 2021; elsewhere it is "".
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

SCORE, DECISION = "anomaly_score", "decision_result"
GROUND_TRUTH = "ground_truth"  # the evaluators' ground truth files follow the same template
Cell = tuple[str, str, str]  # machine, id, domain

_FIELDS = {
    "machine": r"(?P<machine>[^_]+)",
    "id": r"(?P<id>\d\d)",
    "domain": r"(?P<domain>source|target)",
    "seed": r"\d+.*",
}


@dataclass(frozen=True)
class FileName:
    kind: str  # SCORE, DECISION or GROUND_TRUTH
    cell: Cell
    is_official: bool  # False: the name under which the baseline exports its own results


@dataclass(frozen=True)
class SubmissionFiles:
    """The csv files that one system submits: headerless, one row ``clip,value`` per test clip."""

    template: str  # such as {kind}_{machine}_id_{id}.csv
    kinds: tuple[str, ...] = (SCORE, DECISION)
    export: str | None = None  # template of the baseline's own results, which evaluators accept as well

    @property
    def has_domain(self) -> bool:
        """Whether each domain has a file of its own."""
        return "{domain}" in self.template

    def parse(self, name: str) -> FileName | None:
        """The parts of a submission file's name, or None if the name does not follow this year's templates."""
        for is_official, template in ((True, self.template), (False, self.export)):
            match = _pattern(template, self.kinds).fullmatch(name) if template else None
            if match is not None:
                return FileName(match["kind"], _cell(match), is_official)
        return None

    def parse_ground_truth(self, name: str) -> FileName | None:
        match = _pattern(self.template, (GROUND_TRUTH,)).fullmatch(name)
        return None if match is None else FileName(GROUND_TRUTH, _cell(match), True)

    def spell(self, kind: str, cell: Cell) -> str:
        """The official name of a cell's file."""
        machine, id, domain = cell
        return self.template.format(kind=kind, machine=machine, id=id, domain=domain)

    def rule(self, *kinds: str) -> str:
        """The official names in words, for messages; of all kinds unless some are given."""
        placeholder = ("<machine>", "<NN>", "<source|target>")
        return " and ".join(self.spell(kind, placeholder) for kind in kinds or self.kinds)


@dataclass(frozen=True)
class ClipNames:
    """Names of test clips in a submission.

    `pattern` has the groups id and label, and domain where names have one. The label is in the names of development
    clips, and of evaluation clips whose ground truth was published later.
    """

    pattern: re.Pattern[str]
    template: str  # such as section_{id}_0000.wav, for messages
    misspelling: tuple[str, str] | None = (
        None  # (regular expression, replacement): makes the official name of a wrong one
    )
    accepts_misspelling: bool = False  # evaluation takes it for the official name, because the year's README writes it

    def spell(self, id: str, domain: str) -> str:
        return self.template.format(id=id, domain=domain)

    def official(self, name: str) -> str:
        """`name` without the year's known misspelling."""
        return name if self.misspelling is None else re.sub(*self.misspelling, name)


@functools.cache
def _pattern(template: str, kinds: tuple[str, ...]) -> re.Pattern[str]:
    """The template as a regular expression."""
    fields = {"kind": f"(?P<kind>{'|'.join(kinds)})"} | _FIELDS
    parts = re.split(r"\{(\w+)\}", template)  # text, field, text, field, …
    return re.compile("".join(fields[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _cell(match: re.Match[str]) -> Cell:
    parts = match.groupdict()
    return parts["machine"], parts["id"], parts.get("domain") or ""
