"""One study: what Optuna knows of one machine, or several together, and family; what it asks for next.

It is rebuilt from the ledger every time.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from asd_ray.detectors import Family
from asd_ray.families import Space
from asd_ray.families.drawing import draw, paper_draw, redraw
from asd_ray.ledger import Settings, TrialRecord
from asd_ray.tuning.halving import Halving
from asd_ray.tuning.ledger_view import whole_and_half
from asd_ray.tuning.spec import TrialSpec, called

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
ATTEMPTS = 60  # draws of parameters that were all tried already, after which a space counts as exhausted
GUIDED = 5  # of them by TPE, which may insist on a point; the rest at random


@dataclass(frozen=True)
class Share:
    """What one trial of a study takes of the cluster."""

    cpu: float
    gpu: float
    memory: float = 0.0  # GiB of the computer's; 0: not asked for


def study_name(machines: Sequence[str], family: Family) -> str:
    return f"{called(machines)}-{family.name}"


class Study:
    """Asks Optuna for trials and tells it how they ended. `wanted` counts every stored trial of this seed.

    `records` are those that the ledger holds of its machines; what is of other studies is left aside. Trials of `again`
    count as not stored, even if `records` has them: they run first, each under its number.
    """

    def __init__(
        self,
        machines: Sequence[str],
        family: Family,
        space: Space,
        settings: Settings,
        *,
        share: Share,
        seed: int,
        wanted: int,
        records: Iterable[TrialRecord] = (),
        again: Sequence[TrialRecord] = (),
        unsuited: Callable[[dict[str, Any]], str] = lambda params: "",  # why drawn parameters need not be tried
        front_end: Callable[[dict[str, Any]], str] = lambda params: "",  # the hash of the detector's front end
    ) -> None:
        self.machines, self.family, self.space, self.settings = tuple(machines), family, space, settings
        self.share, self.seed, self.wanted, self.unsuited = share, seed, wanted, unsuited
        self._front_end, self._version = front_end, family.version
        self.exhausted = False
        self.given_up = False  # no node can run its trials
        self.records: dict[str, TrialRecord] = {}  # trial hash -> every stored trial of this study and its settings
        self.elsewhere = 0  # stored trials of this machine and family that are of other settings or another space
        self._of_status: Counter[str] = Counter()  # of this seed; counted as they come, for it is asked all the time
        self._timed, self._seconds = 0, 0.0  # trials that did not fail, and how long they took together
        self.best: TrialRecord | None = None
        self.ended = 0  # trials that this command ran
        self._reasons: Counter[str] = Counter()  # of those that failed
        self._halves: dict[str, TrialSpec] = {}  # trial hash -> one that lacks the file of some machine, or of all
        self._again = {record.trial for record in again}  # trial hashes that are still to be run anew
        self._numbers: set[int] = set()
        self._older: dict[str, str] = {}  # hash of a trial -> the hash under which an earlier version stored it
        self._asked: dict[str, optuna.trial.Trial] = {}  # trial hash -> the Optuna trial that awaits its end
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", study_name=self.name, pruner=Halving())
        self._paper = paper_draw(space, family)
        whole, halves = whole_and_half(records, self.machines, family.name)
        for record in whole:
            if record.trial not in self._again:
                self._remember(record)
        for record in [*again, *(each for each in halves if each.trial not in self._again)]:
            self._take_up(record)
        self._again &= self._halves.keys()
        self._paper_asked = any(r.seed == seed and r.paper for r in self.records.values())

    @property
    def name(self) -> str:
        return study_name(self.machines, self.family)

    @property
    def optuna_study(self) -> optuna.Study:
        return self._study

    def count(self, status: str | None = None) -> int:
        """Stored trials of this seed."""
        return self._of_status.total() if status is None else self._of_status[status]

    @property
    def seconds_a_trial(self) -> float:
        """The mean of the stored trials, of any seed, that did not fail; 0 before there is one."""
        return self._seconds / self._timed if self._timed else 0.0

    @property
    def fruitless(self) -> Counter[str]:
        """The reasons, where every stored trial of this seed failed, or every one that this command ran; else none."""
        if self.count("failed") == self.count():
            return Counter(record.error for record in self.records.values() if record.seed == self.seed)
        return self._reasons if self._reasons.total() == self.ended else Counter()

    @property
    def running(self) -> int:
        return len(self._asked)

    @property
    def missing(self) -> int:
        """How many more may be started."""
        again = len(self._again - self._asked.keys())  # failures beyond `wanted` stay stored, and count
        return 0 if self.exhausted or self.given_up else max(again, self.wanted - self.count() - self.running)

    def retried(self) -> list[TrialRecord]:
        """The stored failures of this seed that may run anew without more than `wanted` trials, the lowest numbers."""
        failed = [r for r in self.records.values() if r.status == "failed" and r.seed == self.seed]
        room = self.wanted - (self.count() - len(failed))
        return sorted(failed, key=lambda record: record.number)[: max(0, room)]

    def ask(self) -> TrialSpec | None:
        """The next trial that is neither stored nor running; the paper's setting first. None: nothing new to try.

        Before them comes what is stored for some of its machines only, under its own number.
        The sampler is seeded anew for every number, so a search that was killed goes on as if it had not been (as
        long as no draw repeats an earlier one: Optuna is told of those, and the ledger does not keep them).
        """
        for spec in self._halves.values():
            if spec.hash not in self._asked:
                return self._ask_again(spec)
        number = next(n for n in range(len(self._numbers) + 1) if n not in self._numbers)
        for attempt in range(ATTEMPTS):
            paper = not self._paper_asked
            self._study.sampler = self._sampler(number, attempt)
            if paper:
                self._paper_asked = True
                self._study.enqueue_trial(self._paper)
            trial = self._study.ask()
            spec = self._spec(number, draw(self.space, trial), paper)
            trial.set_user_attr("epochs", spec.epochs)
            known = self.records.get(spec.hash)
            if known is not None and known.status == "complete":
                self._study.tell(trial, known.objective)
            elif known is not None or spec.hash in self._asked or self.unsuited(spec.effective):
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._asked[spec.hash] = trial
                self._numbers.add(number)
                return spec
        self.exhausted = True
        return None

    def _ask_again(self, spec: TrialSpec) -> TrialSpec:
        self._study.enqueue_trial(spec.params)
        trial = self._study.ask()
        draw(self.space, trial)
        trial.set_user_attr("epochs", spec.epochs)
        self._asked[spec.hash] = trial
        return spec

    def report(self, spec: TrialSpec, epoch: int, value: float) -> bool:
        """A value at a rung; whether the trial is to be stopped. The paper's setting always runs to its end."""
        trial = self._asked.get(spec.hash)
        if trial is None:
            return False
        trial.report(value, epoch)
        return not spec.paper and trial.should_prune()

    def tell(self, spec: TrialSpec, record: TrialRecord) -> None:
        """The trial is stored as `record` says."""
        trial = self._asked.pop(spec.hash)
        self._halves.pop(spec.hash, None)
        self._again.discard(spec.hash)
        self.ended += 1
        if record.status == "failed":
            self._reasons[record.error] += 1
        self._keep(record)
        value = record.objective if record.status == "complete" else None
        self._study.tell(trial, value, state=STATES[record.status])

    def forget(self, spec: TrialSpec) -> None:
        """The trial was not finished and is not stored: it may be asked for again by a later command."""
        self._study.tell(self._asked.pop(spec.hash), state=TrialState.FAIL)
        if spec.hash not in self._halves:
            self._numbers.discard(spec.number)

    def _spec(self, number: int, params: dict[str, Any], paper: bool) -> TrialSpec:
        spec = TrialSpec(
            machines=self.machines,
            family=self.family.name,
            target=self.family.target,
            number=number,
            params=params,
            seed=self.seed,
            settings=self.settings,
            version=self._version,
            paper=paper,
            cpu=self.share.cpu,
            gpu=self.share.gpu,
            memory=self.share.memory,
        )
        spec = replace(spec, front_end=self._front_end(spec.effective))
        return replace(spec, stored_as=self._older.get(spec.own_hash, ""))

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        text = f"{self.seed} {self.name} {number} {attempt}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())
        if attempt >= GUIDED:
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)

    def _remember(self, record: TrialRecord) -> None:
        """A stored trial joins the study if this study could have drawn that very trial."""
        self._numbers.add(record.number)
        known = self._recognised(record)
        if known is None:
            self.elsewhere += 1
            return
        self._study.add_trial(known[1])
        self._keep(record)

    def _keep(self, record: TrialRecord) -> None:
        self.records[record.trial] = record
        if record.seed == self.seed:
            self._of_status[record.status] += 1
        if record.seconds and record.status != "failed":
            self._timed, self._seconds = self._timed + 1, self._seconds + record.seconds
        value = record.objective if record.status == "complete" else None
        if value is not None and (self.best is None or value > (self.best.objective or 0.0)):
            self.best = record

    def _take_up(self, record: TrialRecord) -> None:
        """A trial that is stored for some of its machines keeps its number, and runs again if it is of this seed."""
        self._numbers.add(record.number)
        known = self._recognised(record)
        if known is not None and record.seed == self.seed:
            self._halves[record.trial] = known[0]

    def _recognised(self, record: TrialRecord) -> tuple[TrialSpec, FrozenTrial] | None:
        """The spec and the Optuna trial of a record; None for one of other settings or of another search space."""
        drawn = redraw(self.space, record.params)
        if drawn is None:
            return None
        try:
            spec = self._spec(record.number, drawn.params, record.paper)
            same = self._same_trial(record, replace(spec, seed=record.seed))
            if same is None:
                return None
            return same, create_trial(
                state=STATES[record.status],
                value=record.objective if record.status == "complete" else None,
                params={name: record.params[name] for name in drawn.distributions},
                distributions=drawn.distributions,
                intermediate_values=record.intermediate,
                user_attrs={"epochs": same.epochs},
            )
        except Exception:  # a detector may raise anything for parameters that it does not know
            return None

    def _same_trial(self, record: TrialRecord, spec: TrialSpec) -> TrialSpec | None:
        """The trial under the name that the ledger has for it; None if the record is of another trial."""
        spec = replace(spec, stored_as="")
        if spec.own_hash == record.trial:
            return spec
        path = self.family.path_of_0_1
        has_other_front_end = bool(record.front_end) and record.front_end != spec.front_end
        if path is None or has_other_front_end or spec.hash_of_0_1(path) != record.trial:
            return None
        self._older[spec.own_hash] = record.trial
        return replace(spec, stored_as=record.trial)
