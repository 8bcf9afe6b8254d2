"""One study: the trials of one family for one machine, or for several together, and which trial Optuna tries next.

It is rebuilt from the ledger every time.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from asd_ray.detectors import Family
from asd_ray.families import Resources, Space
from asd_ray.families.drawing import draw, first_draw, paper_draw, redraw
from asd_ray.families.weights import PARAMETER
from asd_ray.ledger import Settings, TrialRecord
from asd_ray.ledger.record import FIXED
from asd_ray.tuning.halving import Halving
from asd_ray.tuning.ledger_view import whole_and_partial
from asd_ray.tuning.prior import Suggestion
from asd_ray.tuning.spec import TrialSpec, effective, group_name

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
ATTEMPTS = 60  # draws in a row of parameters that were tried already, after which a space counts as exhausted
GUIDED = 5  # so many of these draws are by TPE, which may propose one point again and again; later ones are random


def study_name(machines: Sequence[str], family: Family) -> str:
    return f"{group_name(machines)}-{family.name}"


class Study:
    """Asks Optuna for trials and tells it how they ended. `wanted` counts every stored trial of this seed.

    Its first setting is the paper's on its machine, with the values that `space` fixes. It runs to its end, even where
    `wanted` trials are stored or where it was pruned as a draw, as after a change of PAPER.

    `records` are all that the ledger holds of its machines; records of other studies are ignored. A study with other
    fixed values is another study; of its trials only one with this study's first setting counts here, and none runs
    again. Trials of `retry` count as not stored, even if `records` has them: they run first, and keep their numbers.
    """

    def __init__(
        self,
        machines: Sequence[str],
        family: Family,
        space: Space,
        settings: Settings,
        *,
        resources: Resources,  # that each of its trials takes
        seed: int,
        wanted: int,
        records: Iterable[TrialRecord] = (),
        retry: Sequence[TrialRecord] = (),
        unsuited: Callable[[dict[str, Any]], str] = lambda params: "",  # why parameters need not be tried
        front_end: Callable[[dict[str, Any]], str] = lambda params: "",  # the hash of the detector's front end
        first: Sequence[Suggestion] = (),  # settings to try after the paper's and before any other
        effect: Callable[[dict[str, Any]], dict[str, Any]] | None = None,  # equal for parameters of equal trials
        bfloat16: bool = False,  # its trials train in it on a CPU that has it
    ) -> None:
        self.machines, self.family, self.space, self.settings = tuple(machines), family, space, settings
        self.resources, self.seed, self.wanted, self.unsuited = resources, seed, wanted, unsuited
        self._front_end, self._version, self._effect = front_end, family.version, effect
        self._bfloat16 = bfloat16
        self._of_effect: dict[str, str] = {}  # effect -> the hash of a stored or running trial of this seed
        self.exhausted = False
        self.given_up = False  # no node can run its trials
        self.records: dict[str, TrialRecord] = {}  # trial hash -> a stored trial of this study
        self.unversioned = 0  # stored trials of a user's class by version 0.1, which did not record the class's version
        # stored trials of these machines and this family with other settings, other fixed values or of another space
        self.incompatible = 0
        self._of_others: dict[str, TrialRecord] = {}  # those that this study may draw: trial hash -> record
        # stored trials of this seed by status; kept up to date, because it is read very often
        self._of_status: Counter[str] = Counter()
        self._timed, self._seconds = 0, 0.0  # number of trials that did not fail, and their seconds in all
        self.best: TrialRecord | None = None
        self.ended = 0  # trials that this command ran
        self._reasons: Counter[str] = Counter()  # why trials that this command ran failed
        # trial hash -> a trial without files for some of its machines or for all, or a pruned one of the first setting
        self._partial: dict[str, TrialSpec] = {}
        self.pruned_first: list[TrialRecord] = []  # that pruned one, whose files must be set aside before it runs again
        # trial hash -> whether a stored trial of this space has the paper's parameters, whatever its mark says
        self.papers: dict[str, bool] = {}
        self._to_retry = {record.trial for record in retry}  # hashes of stored failures that are still to run again
        self._numbers: set[int] = set()
        self._older: dict[str, str] = {}  # hash of a trial -> its hash in an earlier version of asd_ray
        self._asked: dict[str, optuna.trial.Trial] = {}  # trial hash -> the Optuna trial of a running trial
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", study_name=self.name, pruner=Halving())
        paper_draw(space, family)  # raises if the space cannot draw the paper's setting
        self._first_draw = first_draw(space)
        whole, partial = whole_and_partial(records, self.machines, family.name)
        for record in whole:
            if record.trial not in self._to_retry:
                self._add_stored(record)
        for record in [*retry, *(record for record in partial if record.trial not in self._to_retry)]:
            self._add_partial(record)
        self._to_retry &= self._partial.keys()
        self._first_trial = self._spec(0, self._first_draw.params).hash
        self._first_asked = self._first_trial in self.records
        self._suggestions = list(first)
        tried = sum(r.seed == seed and "prior" in r.extra for r in self.records.values())
        self._suggestions_left = max(0, len(first) - tried)  # a prior that has grown does not add to what was tried

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
    def mean_seconds(self) -> float:
        """The mean time of the stored trials of any seed that did not fail; 0 before there is one."""
        return self._seconds / self._timed if self._timed else 0.0

    @property
    def only_failures(self) -> Counter[str]:
        """The reasons, if every stored trial of this seed failed, or every trial that this command ran; else empty."""
        if self.count("failed") == self.count():
            return Counter(record.error for record in self.records.values() if record.seed == self.seed)
        return self._reasons if self._reasons.total() == self.ended else Counter()

    @property
    def running(self) -> int:
        return len(self._asked)

    @property
    def missing(self) -> int:
        """How many more trials may be started."""
        if self.exhausted or self.given_up:
            return 0
        retries = len(self._to_retry - self._asked.keys())  # failures beyond `wanted` stay stored, and count
        return max(retries, int(not self._first_asked), self.wanted - self.count() - self.running)

    def failures_to_retry(self) -> list[TrialRecord]:
        """The stored failures of this seed that can run again within `wanted` trials, those of the lowest numbers."""
        failed = [r for r in self.records.values() if r.status == "failed" and r.seed == self.seed]
        count = self.wanted - (self.count() - len(failed))
        return sorted(failed, key=lambda record: record.number)[: max(0, count)]

    def ask(self) -> TrialSpec | None:
        """The next trial that is neither stored nor running; the first setting first. None: nothing new to try.

        Trials that are stored for only some of their machines come before all others and keep their numbers. The
        sampler gets a new seed for every number, so a search that was killed continues as if it had not been killed.
        Draws that repeat an earlier one are an exception: Optuna learns of them, but the ledger does not keep them.
        """
        for spec in self._partial.values():
            if spec.hash not in self._asked:
                self._first_asked |= spec.hash == self._first_trial
                return self._ask_partial(spec)
        number = next(n for n in range(len(self._numbers) + 1) if n not in self._numbers)
        for attempt in range(ATTEMPTS):
            is_first = not self._first_asked
            self._study.sampler = self._sampler(number, attempt)
            suggestion = None if is_first else self._next_suggestion(number)
            if is_first:
                self._first_asked = True
                self._study.enqueue_trial(self._first_draw.suggested)
            elif suggestion is not None:
                self._study.enqueue_trial(suggestion.suggested)
            trial = self._study.ask()
            spec = self._spec(number, draw(self.space, trial), suggestion.name if suggestion else "")
            trial.set_user_attr("epochs", spec.epochs)
            twin = spec.hash if is_first else self._of_effect.get(self._effect_of(spec.params), spec.hash)
            known = self.records.get(twin) or self._of_others.get(spec.hash)
            if known is not None and known.status == "complete":
                self._study.tell(trial, known.objective)
            elif known is not None or twin in self._asked or self.unsuited(spec.effective_params):
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._asked[spec.hash] = trial
                self._of_effect[self._effect_of(spec.params)] = spec.hash
                self._numbers.add(number)
                return spec
        self.exhausted = True
        return None

    def _next_suggestion(self, number: int) -> Suggestion | None:
        """The next setting from a prior that is neither stored nor running and that suits the machine."""
        while self._suggestions and self._suggestions_left:
            suggestion = self._suggestions.pop(0)
            spec = self._spec(number, suggestion.params)
            is_known = any(spec.hash in trials for trials in (self.records, self._of_others, self._asked))
            if not is_known and not self.unsuited(spec.effective_params):
                self._suggestions_left -= 1
                return suggestion
        return None

    def _ask_partial(self, spec: TrialSpec) -> TrialSpec:
        self._study.enqueue_trial({**self.space.later, **spec.params})
        trial = self._study.ask()
        draw(self.space, trial)
        trial.set_user_attr("epochs", spec.epochs)
        self._asked[spec.hash] = trial
        return spec

    def report(self, spec: TrialSpec, epoch: int, value: float) -> bool:
        """Pass a value at a rung to Optuna. Returns whether the trial must stop; the first setting never must."""
        trial = self._asked.get(spec.hash)
        if trial is None:
            return False
        trial.report(value, epoch)
        return spec.hash != self._first_trial and trial.should_prune()

    def tell(self, spec: TrialSpec, record: TrialRecord) -> None:
        """The trial has ended and is stored."""
        trial = self._asked.pop(spec.hash)
        self._partial.pop(spec.hash, None)
        self._to_retry.discard(spec.hash)
        self.ended += 1
        if record.status == "failed":
            self._reasons[record.error] += 1
        self._keep(record)
        value = record.objective if record.status == "complete" else None
        self._study.tell(trial, value, state=STATES[record.status])

    def forget(self, spec: TrialSpec) -> None:
        """The trial is not stored, so a later command may run it."""
        self._study.tell(self._asked.pop(spec.hash), state=TrialState.FAIL)
        if spec.hash not in self._partial:
            self._numbers.discard(spec.number)

    def _is_papers(self, params: dict[str, Any]) -> bool:
        """Whether these are the paper's parameters on each machine. A stored flag is of the PAPER of its time.

        Where no trial can run without weights of the user, their name makes no difference.
        """
        if self.space.needs_weights:
            params = {name: value for name, value in params.items() if name != PARAMETER}
        settings = [self.space.on([machine], self.settings.year).setting for machine in self.machines]
        given = effective(params, self.settings)
        return all(given == effective(setting, self.settings) for setting in settings)

    def _is_first(self, params: dict[str, Any]) -> bool:
        """Whether a trial with these parameters is that of the first setting."""
        return effective(params, self.settings) == effective(self._first_draw.params, self.settings)

    def _spec(self, number: int, params: dict[str, Any], prior: str = "") -> TrialSpec:
        spec = TrialSpec(
            machines=self.machines,
            family=self.family.name,
            target=self.family.target,
            number=number,
            params=params,
            seed=self.seed,
            settings=self.settings,
            version=self._version,
            paper=self._is_papers(params),
            resources=self.resources,
            prior=prior,
            fixed=dict(self.space.fixed),
            bfloat16=self._bfloat16,
        )
        spec = replace(spec, front_end=self._front_end(spec.effective_params))
        return replace(spec, stored_as=self._older.get(spec.own_hash, ""))

    def _effect_of(self, params: dict[str, Any]) -> str:
        """Equal for parameters whose trials are equal on the clips of this study, whatever their hashes."""
        own = {**self.space.later, **effective(params, self.settings)}
        return json.dumps(self._effect(own) if self._effect else own, sort_keys=True)

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        text = f"{self.seed} {self.name} {number} {attempt}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())
        if attempt >= GUIDED:
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)

    def _add_stored(self, record: TrialRecord) -> None:
        """Add a stored trial, if it is of this study."""
        self._numbers.add(record.number)
        same = self._recognised(record)
        if same is None or not self._counts(record):
            self.incompatible += 1
            if same is not None:
                self._of_others[record.trial] = record
            return
        was_draw = record.status == "pruned" and not record.paper  # no first setting is pruned
        if was_draw and record.seed == self.seed and self._is_first(record.params):
            self._partial[record.trial] = same[0]
            self.pruned_first.append(record)
            return
        self._study.add_trial(same[1])
        self._keep(record if record.paper == same[0].paper else replace(record, paper=same[0].paper))
        self.unversioned += not record.version and not self.family.is_shipped

    def _counts(self, record: TrialRecord) -> bool:
        """Whether a trial that this study could have drawn counts here: not if a study with other fixed values drew it.

        One with the first setting counts, whichever study drew it.
        """
        return record.extra.get(FIXED, {}) == self.space.fixed or self._is_first(record.params)

    def _keep(self, record: TrialRecord) -> None:
        self.records[record.trial] = record
        if record.seed == self.seed:
            self._of_status[record.status] += 1
            self._of_effect[self._effect_of(record.params)] = record.trial
        if record.seconds and record.status != "failed":
            self._timed, self._seconds = self._timed + 1, self._seconds + record.seconds
        value = record.objective if record.status == "complete" else None
        if value is not None and (self.best is None or value > (self.best.objective or 0.0)):
            self.best = record

    def _add_partial(self, record: TrialRecord) -> None:
        """Add a trial that is stored for some of its machines. It keeps its number and runs again if of this seed."""
        self._numbers.add(record.number)
        same = self._recognised(record)
        if same is not None and record.seed == self.seed and self._counts(record):
            self._partial[record.trial] = same[0]

    def _recognised(self, record: TrialRecord) -> tuple[TrialSpec, FrozenTrial] | None:
        """The spec and the Optuna trial of a record; None if it has other settings or is from another search space."""
        drawn = redraw(self.space, record.params)
        if drawn is None:
            return None
        try:
            spec = self._spec(record.number, drawn.params, str(record.extra.get("prior", "")))
            spec = replace(spec, seed=record.seed, fixed=record.extra.get(FIXED, {}))
            same = self._same_trial(record, spec)
            if same is None:
                return None
            self.papers[record.trial] = same.paper
            return same, create_trial(
                state=STATES[record.status],
                value=record.objective if record.status == "complete" else None,
                params=drawn.suggested,
                distributions=drawn.distributions,
                intermediate_values=record.intermediate,
                user_attrs={"epochs": same.epochs},
            )
        except Exception:  # a detector may raise anything for parameters that it does not know
            return None

    def _same_trial(self, record: TrialRecord, spec: TrialSpec) -> TrialSpec | None:
        """The spec with the hash that the ledger has for it; None if the record belongs to another trial."""
        spec = replace(spec, stored_as="")
        if spec.own_hash == record.trial:
            return spec
        path = self.family.path_of_0_1
        is_other = record.version not in ("", spec.version) or record.front_end not in ("", spec.front_end)
        if path is None or is_other or spec.hash_of_0_1(path) != record.trial:
            return None
        self._older[spec.own_hash] = record.trial
        return replace(spec, stored_as=record.trial)
