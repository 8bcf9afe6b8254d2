"""What an edition is: all facts about one year of DCASE Task 2 that the code depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asd_ray.metrics.editions.file_names import DECISION, ClipNames, SubmissionFiles

DOMAINS = ("source", "target")
Machines = Mapping[str, tuple[str, ...]]  # machine -> its ids or sections
Entry = dict[str, Any]  # cell name -> value, of one id of one machine


@dataclass(frozen=True)
class CellGroup:
    """Clips of one id that are ranked together, and the cells computed from this ranking."""

    domain: str | None  # only clips of this domain; None: all clips of the id
    aucs: tuple[tuple[str, str | None], ...]  # (cell name, domain of its normal clips; None: all of the group)
    pauc: str  # cell name of the pAUC, over the whole group


@dataclass(frozen=True)
class CellRule:
    """How the cells (AUC and pAUC values) of one id of one machine are formed."""

    groups: tuple[CellGroup, ...]
    domains: tuple[str, ...] = ()  # the domains that clips must have; () where domains do not matter

    @property
    def by_domain(self) -> bool:
        """Whether each domain's clips are ranked alone, its anomalies included."""
        return any(group.domain is not None for group in self.groups)

    @property
    def names(self) -> tuple[str, ...]:
        """Cell names in the order in which evaluators list them: every AUC, then every pAUC."""
        aucs = [name for group in self.groups for name, _ in group.aucs]
        return (*aucs, *(group.pauc for group in self.groups))


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One year of DCASE Task 2."""

    year: int

    # The recordings. `clips/layouts/` reads these fields.
    unit: Literal["id", "section"]  # what a machine is divided into, as file names call it
    development: Machines
    evaluation: Machines  # the set that submissions are made for
    folders: Mapping[str, str]  # folder of audio files -> split (train, test or supplemental)
    example: str  # path of one clip, for messages
    attributes_withheld: frozenset[str] = frozenset()  # development machines whose clips are named `noAttribute`
    has_supplemental: bool = False  # the dataset ships a supplemental/ folder

    # The official score. `cells.py`, `official.py` and `evaluable.py` read these fields.
    cells: CellRule
    definition: str | None  # of the official score, in words; None while it is not known
    official_score: Callable[[Sequence[Entry]], float] | None  # from the cells of all ids; None: the year has none
    prints_interval: bool = False  # the evaluator prints a jackknife interval beside the score
    prints_paper_table: bool = False  # the evaluator writes the means of each cell over all machines
    wrong_cut: Callable[[int, int], int] | None = None  # (machines, sections) -> where the evaluator cuts wrongly

    # Submissions and ground truth. `submission_files.py`, `ground_truth.py` and `reporting/submission*.py` read these.
    files: SubmissionFiles
    clips: ClipNames
    # The folders of the evaluator's ground truth. (): it is published as a list only, eval_data_list.csv.
    # None: it is not published.
    truth_folders: tuple[str, ...] | None

    @property
    def is_scored(self) -> bool:
        """Whether the official score is known."""
        return self.definition is not None

    @property
    def machines(self) -> set[str]:
        return {*self.development, *self.evaluation}

    @property
    def has_several_sections(self) -> bool:
        """Whether machines have more than one id or section."""
        ids = [*self.development.values(), *self.evaluation.values()]
        return len({id for of_machine in ids for id in of_machine}) > 1

    @property
    def has_domain_folders(self) -> bool:
        """Whether each domain has a test folder of its own."""
        return f"{DOMAINS[0]}_test" in self.folders

    @property
    def asks_for_decisions(self) -> bool:
        return DECISION in self.files.kinds
