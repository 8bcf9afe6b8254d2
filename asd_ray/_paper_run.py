"""The search behind `Run.paper` and ``asd-ray paper --data``: one session per setting and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asd_ray._rules import COUNT
from asd_ray.errors import AsdRayError
from asd_ray.papers import find
from asd_ray.tuning.config import CLIENT, INTERRUPTED, Runtime, SearchConfig, default_epochs_cap
from asd_ray.tuning.environment import check_environment, check_packages
from asd_ray.tuning.shared_ray import SharedRay

if TYPE_CHECKING:  # torch, ray and pandas are imported where they are used
    from asd_ray.experiments import PaperResult, Training
    from asd_ray.ledger import Ledger
    from asd_ray.tuning.data import DataSource
    from asd_ray.tuning.result import SearchResult
    from asd_ray.tuning.session import Session


@dataclass(frozen=True)
class PaperRun:
    """What is asked for: a table, and how its rows are trained."""

    key: str
    table: str
    machines: Sequence[str]
    rows: Sequence[str]  # printed names; none: all
    epochs_cap: int | None
    seeds: int
    held_out: float
    retry_failed: bool
    alternatives: bool  # train the further settings of members, too
    resources: tuple[float | None, float | None, float | None]  # CPUs, GPUs and GiB of each trial; None: the family's
    runtime: Runtime

    def run(
        self, data: DataSource, ledger: Ledger, run_session: Callable[[Session, SharedRay], SearchResult]
    ) -> PaperResult:
        """Train what is missing by `run_session`, and compare. All searches run on one Ray.

        Raise KeyboardInterrupt after a Ctrl-C; what is stored counts when it is called again.
        """
        if problem := COUNT.problem(self.seeds):
            raise AsdRayError(f"--seeds {problem}")
        paper = find(self.key)
        table = paper.table(self.table)
        if self.runtime.address.startswith(CLIENT):
            raise AsdRayError(
                f"--address {self.runtime.address}: the rows are searched by this process; run the command on a node "
                "of that cluster, with --address auto"
            )
        check_packages(serial=self.runtime.serial)  # before the next import, which needs them
        config = self._config(data.is_demo)
        config.check()
        check_environment(data.cache, self.runtime.address, serial=self.runtime.serial)
        from asd_ray.clips.demo import is_demo_set
        from asd_ray.experiments import Conditions, Experiment, plan_table, reproduce

        plan = plan_table(
            table,
            data.table,
            rate=data.rate,
            held_out=self.held_out,
            machines=self.machines,
            rows=self.rows,
            alternatives=self.alternatives,
        )

        conditions = Conditions(config.epochs_cap, self.held_out, data.table.year)
        experiment = Experiment(paper, table, plan, self.seeds, conditions, is_demo_set(data.table.root))
        with SharedRay(self.runtime) as ray:

            def search(training: Training, seed: int) -> None:
                session = self._session(config, training, seed, ledger.layout.root, data.cache)
                if run_session(session, ray).stopped == INTERRUPTED:
                    raise KeyboardInterrupt

            return reproduce(experiment, data.table, ledger, search)

    def _config(self, is_demo: bool) -> SearchConfig:
        cap = default_epochs_cap(is_demo) if self.epochs_cap is None else self.epochs_cap
        cpus, gpus, memory = self.resources
        return SearchConfig(
            trials=1,
            epochs_cap=cap,
            held_out=self.held_out,
            retry_failed=self.retry_failed,
            cpus_per_trial=cpus,
            gpus_per_trial=gpus,
            memory_per_trial=memory,
        )

    def _session(self, config: SearchConfig, training: Training, seed: int, run: str, cache: str | None) -> Session:
        from asd_ray.tuning.session import Session

        config = replace(
            config,
            machines=training.machines,
            families=[training.family],
            fixed_params=training.fixed_params,
            jointly=training.jointly,
            seed=seed,
        )
        return Session.check(config, self.runtime, run=run, cache=cache)
