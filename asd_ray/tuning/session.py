"""One call that runs a whole search: its plan, locks, cluster, interrupts and cleanup."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asd_ray.errors import AsdRayError, unknown
from asd_ray.storage.run_layout import RunLayout
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import CLIENT, INTERRUPTED, LOCAL, Runtime, SearchConfig
from asd_ray.tuning.environment import check_environment, check_packages, check_run
from asd_ray.tuning.shared_ray import SharedRay

if TYPE_CHECKING:  # torch, ray and pandas are imported where they are used, so that wrong arguments are refused at once
    from asd_ray.clips.table import ClipTable
    from asd_ray.ledger import Ledger, TrialRecord
    from asd_ray.tuning.data import DataSource
    from asd_ray.tuning.on_ray.cluster import Cluster
    from asd_ray.tuning.plan import Plan
    from asd_ray.tuning.result import SearchResult
    from asd_ray.tuning.search import Search
    from asd_ray.tuning.watch._base import Watcher
    from asd_ray.tuning.watch.console import SearchConsole

PATIENCE = 60.0  # seconds that a node of a cluster may lack what a trial needs


@dataclass(frozen=True)
class Session:
    """A search that was checked and not begun. `check` makes it before any data is made or Ray is started."""

    config: SearchConfig  # with the search space of every family
    runtime: Runtime

    @classmethod
    def check(
        cls,
        config: SearchConfig,
        runtime: Runtime,
        *,
        run: str | None = None,
        spaces: tuple[str, ...] = (),
        cache: str | None = None,
    ) -> Session:
        """Raise for whatever can be refused at once. `spaces` are texts such as ``idnn=my_space.py``.

        `cache` is that of the dataset, None for the default.
        """
        check_packages(serial=runtime.serial)
        from asd_ray.families.weights import weights_files
        from asd_ray.tuning.family_choice import check_weights, choose_families, spaces_by_family

        config.check()
        families, _ = choose_families(config.families, has_gpu=True)
        for family in families:
            family.check()
        # loaded once: a user's file is code
        # on a cluster that runs the whole search, files of weights are looked for there
        weights = {} if runtime.address.startswith(CLIENT) else weights_files(config.weights)
        check_weights(config.weights, families)
        config = replace(config, spaces=spaces_by_family(spaces, families, config.fixed_params, weights, cache))
        if run is not None:
            layout = RunLayout(run)  # refuses what can be no run
            if not runtime.address.startswith(CLIENT):  # else it is the cluster's
                check_run(layout)
        runtime.check(config, families)
        return cls(config, runtime)

    def of_searchable(self, table: ClipTable) -> Session:
        """This search with the machines that the dataset allows. Raise if one is unknown, or if none is left."""
        from asd_ray.clips.searchable import searchable

        for machine in self.config.machines:
            if machine not in table.machines:
                raise unknown("machine", machine, table.machines)
        return replace(self, config=replace(self.config, machines=searchable(table, self.config.machines)))

    def check_environment(self, cache: str | None) -> None:
        """Raise where no trial could run on this computer."""
        check_environment(cache, self.runtime.address, serial=self.runtime.serial)

    def run(
        self,
        source: DataSource,
        run: str,
        console: SearchConsole,
        members: Callable[[], set[str]] = set,
        ray: SharedRay | None = None,
    ) -> SearchResult:
        """Search until every study has its trials, until the time is up, or until Ctrl-C.

        `members` gives the trials whose states are never removed: those of the run's ensembles. `ray` is the Ray of
        several searches; without it this search has its own.

        Ctrl-C once finishes the trials that run; twice stops at once. What is stored counts in any case.
        """
        from asd_ray.families.weights import weights_files

        source.weights |= weights_files(self.config.weights)
        with nullcontext(ray) if ray else SharedRay(self.runtime) as joined:
            cluster, dashboard = None, ""
            if not self.runtime.serial:
                dashboard = joined.join(console.line)
                from asd_ray.tuning.on_ray.cluster import Cluster

                cluster = Cluster(self.runtime.address)
            return _ActiveSearch(self, source, run, console, cluster, dashboard, members).search()


class _ActiveSearch:
    """A search at work."""

    def __init__(
        self,
        session: Session,
        source: DataSource,
        run: str,
        console: SearchConsole,
        cluster: Cluster | None,
        dashboard: str,
        members: Callable[[], set[str]],
    ) -> None:
        from asd_ray.ledger import Ledger

        self.config, self.runtime = session.config, session.runtime
        self.source, self.console, self.cluster, self.dashboard = source, console, cluster, dashboard
        self.ledger: Ledger = Ledger(run)
        self._members = members

    def search(self) -> SearchResult:
        from asd_ray.ledger.forgetting import forget
        from asd_ray.ledger.marking import correct_marks

        check_run(self.ledger.layout)
        locks = StudyLocks(self.ledger.layout)
        try:
            plan = self._plan(locks)
            if self.cluster is not None:
                self._preflight(self.cluster, plan)
            if plan.again:
                forget(self.ledger, plan.again)
            if plan.remarked:
                correct_marks(self.ledger, plan.remarked)
            return self._run(plan)
        finally:
            locks.release()

    def _plan(self, locks: StudyLocks) -> Plan:
        import torch

        from asd_ray.tuning.family_choice import check_fixed_params, choose_families
        from asd_ray.tuning.plan import before_decoding, make_plan

        source, config = self.source, self.config
        has_gpu = torch.cuda.is_available() if self.cluster is None else self.cluster.capacity.gpu > 0
        source.table = source.table.of_machines(config.machines)
        families, without_gpu = choose_families(config.families, has_gpu, config.spaces)
        check_fixed_params(config, families, without_gpu)
        unsuited, source.table = before_decoding(config, families, source.table, source.rate, self.ledger)
        with self.console.decoding() as progress:
            bank = source.open(source.table, progress)
        for problem in bank.table.problems[len(source.table.problems) :]:
            self.console.warn(problem)
        source.table = bank.table
        source.use(bank)
        plan = make_plan(config, source, self.ledger, locks, families, has_gpu, unsuited)
        self.console.left_out(plan)
        if not plan.studies:
            raise AsdRayError(
                "every study of this command is being searched already; wait for it, or choose another --run"
            )
        self.console.plan(plan, config, without_gpu)
        return plan

    def _preflight(self, cluster: Cluster, plan: Plan) -> None:
        """Print what there is and what will run at once, before anything runs."""
        from asd_ray.tuning.on_ray.preflight import check_nodes, plan_lines

        cluster.check(plan.studies)
        for line in plan_lines(cluster, plan.studies):
            self.console.line(line)
        if self.runtime.address != LOCAL:
            self.source.run_id = self.ledger.marked()
            for line in check_nodes(self.ledger, self.source.run_id):
                self.console.warn(line)
        if self.dashboard:
            url = f"http://{self.dashboard}"
            self.console.line(f"Ray dashboard: {url} (it asks for the token that `ray get-auth-token` prints)")

    def _run(self, plan: Plan) -> SearchResult:
        from asd_ray.tuning.paper_score import by_papers_score
        from asd_ray.tuning.search import Search, interruptible
        from asd_ray.tuning.state_policy import StatePolicy
        from asd_ray.tuning.watch.board import Board
        from asd_ray.tuning.watch.log_lines import log_to

        console, layout = self.console, self.ledger.layout
        policy = StatePolicy.parse(self.config.keep_states)
        board = Board(lambda: self._slots(plan), console.screen)
        search = Search(
            plan.studies,
            self.source,
            self.ledger,
            deadline=None if self.runtime.time is None else time.monotonic() + self.runtime.time,
            watchers=[board, *self._watchers(plan)],
            other_nodes=self.runtime.address != LOCAL,
            keep=policy,
            members=frozenset(self._members()) if policy.best else frozenset(),
        )
        with log_to(layout, self.runtime.log_level, console.screen):
            try:
                if removed := search.begin():
                    console.line(f"--keep-states {self.config.keep_states}: removed {removed}")
                search.turn()
                with interruptible(search, console.line), console.running(board, search):
                    self._drive(search)
            except KeyboardInterrupt:
                console.line("stopped now: trials in flight are not stored")
                search.stopping = INTERRUPTED
            finally:
                search.abandon()
                search.close()
        of_papers = by_papers_score(search.studies, self.source, self.ledger)
        console.leaderboard(search, of_papers)
        result = _result(search, of_papers)
        console.end(result)
        if result.error:
            raise AsdRayError(
                f"{result.error}\nall {result.stored} stored trials are kept; fix that and run the same command"
            )
        return result

    def _watchers(self, plan: Plan) -> list[Watcher]:
        from asd_ray.tuning.watch.log_lines import LogLines
        from asd_ray.tuning.watch.prometheus import PrometheusMetrics
        from asd_ray.tuning.watch.status_file import StatusFile
        from asd_ray.tuning.watch.tensorboard import TensorBoardCurves

        layout, cluster = self.ledger.layout, self.cluster
        status = StatusFile(
            layout, command=self.runtime.command, slots=lambda: self._slots(plan), cluster=self._cluster_facts
        )
        watchers: list[Watcher] = [LogLines(), TensorBoardCurves(layout, self.console.note), status]
        if cluster is not None:
            watchers.append(PrometheusMetrics(layout.url(layout.base), cluster))
        return watchers

    def _slots(self, plan: Plan) -> float:
        """How many trials can run at once."""
        if self.cluster is None:
            return 1.0
        return max(self.cluster.trials_at_once(study.resources) for study in plan.studies)

    def _cluster_facts(self) -> dict[str, float]:
        if self.cluster is None:
            return {}
        return {"nodes": len(self.cluster.nodes), "CPU": self.cluster.now.cpu, "GPU": self.cluster.now.gpu}

    def _drive(self, search: Search) -> None:
        if not any(study.missing for study in search.studies):
            return
        if self.cluster is None:
            import torch

            from asd_ray.tuning.search import run_serially

            threads = torch.get_num_threads()  # every trial sets its own
            gc.freeze()  # as a worker on Ray does
            try:
                run_serially(search)
            finally:
                gc.unfreeze()
                torch.set_num_threads(threads)
            return
        from asd_ray.tuning.on_ray.run import run_on_ray
        from asd_ray.tuning.on_ray.time_limit import TimeLimits

        patience = PATIENCE if self.runtime.address != LOCAL else 0.0
        run_on_ray(search, self.cluster, TimeLimits(self.runtime.trial_time, patience))


def _result(search: Search, of_papers: Mapping[str, TrialRecord]) -> SearchResult:
    from asd_ray.tuning.result import SearchResult, StudyResult
    from asd_ray.tuning.watch.board import failure_message

    papers = {
        study.name: next((r for r in study.records.values() if r.paper and r.seed == study.seed), None)
        for study in search.studies
    }
    studies = [
        StudyResult(
            name=study.name,
            machines=study.machines,
            family=study.family.name,
            wanted=study.wanted,
            stored=study.count(),
            failed=study.count("failed"),
            missing=study.missing,
            exhausted=study.exhausted,
            best=study.best,
            paper=(paper := papers[study.name]),
            paper_score=of_papers.get(paper.trial) if paper else None,
        )
        for study in search.studies
    ]
    return SearchResult(
        run=search.ledger.layout.root,
        studies=tuple(studies),
        ended=search.ended,
        stopped=search.stopping,
        failure=failure_message(search.studies),
        error=search.error,
    )
