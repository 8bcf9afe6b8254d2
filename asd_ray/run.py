"""A run as a user opens it: a search's trials and scores, its ensembles and its report."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray._rules import seconds_of
from asd_ray._wording import for_python
from asd_ray.dataset import Dataset, as_dataset, listed
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, RunLayout, TrialRecord
from asd_ray.ledger.finding import best_trial, scores_of_variant, trial_named
from asd_ray.ledger.schema import SPLITS
from asd_ray.ledger.trial_table import trial_table
from asd_ray.tuning.config import CLIENT, INTERRUPTED, LOCAL, Runtime, SearchConfig, default_epochs_cap, default_trials

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.deploy.bundle import Bundle
    from asd_ray.ensembling import Comparison, Ensemble, Recipe
    from asd_ray.ensembling.costs import Timer
    from asd_ray.experiments import PaperResult
    from asd_ray.reporting import Report
    from asd_ray.tuning.result import SearchResult
    from asd_ray.tuning.session import Session
    from asd_ray.tuning.shared_ray import SharedRay

    Recipes = str | Path | Recipe | Sequence[str | Path | Recipe]


class Run:
    """A folder, or an s3:// address, that holds trials, ensembles and reports: ``Run("runs/dcase2023")``."""

    def __init__(self, root: str | Path) -> None:
        self.layout = RunLayout(root)

    def __repr__(self) -> str:
        return f"Run({self.layout.root!r})"

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.layout)

    # -- searching -----------------------------------------------------------------------------------------------

    def search(
        self,
        data: Dataset | str | Path,
        machines: str | Sequence[str] = (),
        *,
        families: str | type | Sequence[str | type] = (),
        spaces: Mapping[str, str | Path] | None = None,
        fixed_params: Mapping[str, Any] | None = None,
        weights: Mapping[str, str | Path] | None = None,
        trials: int | None = None,
        epochs_cap: int | None = None,
        seed: int = 0,
        held_out: float = 0.1,
        checkpoint: str = "last",
        objective: str | None = None,
        keep_unseen: float = 0.0,
        faults: bool = False,
        jointly: bool = False,
        retry_failed: bool = False,
        keep_states: str = "best:3",
        prior: Run | str | Path | Sequence[Run | str | Path] = (),
        cpus_per_trial: float | None = None,
        gpus_per_trial: float | None = None,
        memory_per_trial: float | None = None,
        bfloat16: bool = False,
        serial: bool = False,
        address: str = LOCAL,
        cpus: int | None = None,
        dashboard: bool = True,
        time: float | str | None = None,
        trial_time: float | str | None = None,
        log_level: str = "warning",
        quiet: bool = False,
    ) -> SearchResult:
        """Search families and their parameters for machines. Called again, it runs what is missing.

        `families` are names, ``"package.module:Class"``, or classes of your own, also of a notebook's cell; none means
        all that suit this computer. `spaces` maps a family's name to a search space file. `fixed_params`, such as
        ``{"stgram.inputs": "tgram", "epochs": 50}``, have the same value in every trial of the families that take
        them, and Optuna does not draw them; such trials are a study of their own. `weights`, such as
        ``{"mobilenet_v3": "file.pt"}``, are pretrained weights of nets. `trials` is the number per machine and family,
        with those that are stored (default: 20; of the demo set 8 of at most 20 epochs each). `time` and `trial_time`
        are seconds, or text such as "30m". `keep_states` says whose learned states are stored: "best:3" of each machine
        and family and the paper's, "all" or "none". ``bfloat16=True`` trains nets in it on processors that have it.

        `objective` is what trials are compared by: "labels" of test clips, or "normal-only", which injects faults into
        held-out normal clips and reads no label. By default it is "labels" for machines that have enough. With
        ``keep_unseen=0.5`` half of the labelled test clips are set aside: they measure the final ensemble, and nothing
        is chosen by them. ``faults=True`` scores injected faults beside labels. `prior` names runs, or this one:
        settings that were good on their machines are tried first.
        ``serial=True`` runs every trial in this process, without Ray. Ctrl-C finishes the trials that run, a second one
        stops at once; then KeyboardInterrupt is raised.
        """
        data = as_dataset(data)
        if address.startswith(CLIENT):
            raise AsdRayError(f"address {address}: run.search() runs in this process; for a cluster use asd-ray search")
        config = SearchConfig(
            machines=listed(machines),
            families=[families] if isinstance(families, str | type) else list(families),
            fixed_params={} if fixed_params is None else fixed_params,
            weights={} if weights is None else weights,
            trials=default_trials(data.is_demo) if trials is None else trials,
            epochs_cap=default_epochs_cap(data.is_demo) if epochs_cap is None else epochs_cap,
            seed=seed,
            held_out=held_out,
            checkpoint=checkpoint,
            objective=objective,
            keep_unseen=keep_unseen,
            faults=faults,
            jointly=jointly,
            retry_failed=retry_failed,
            keep_states=keep_states,
            prior=_roots(prior),
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            memory_per_trial=memory_per_trial,
            bfloat16=bfloat16,
        )
        limits = {"time": seconds_of(time), "trial_time": seconds_of(trial_time)}
        runtime = Runtime(serial, address, cpus, dashboard, **limits, log_level=log_level, command=f"{self!r}.search()")
        from asd_ray.tuning.session import Session

        texts = tuple(f"{name}={path}" for name, path in (spaces or {}).items())
        with for_python():
            session = Session.check(config, runtime, run=self.layout.root, spaces=texts, cache=data.cache)
            session.check_environment(data.cache)
            result = self.run_session(session, data, quiet=quiet, of_library=True)
        if result.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        return result

    def paper(
        self,
        key: str,
        table: str,
        data: Dataset | str | Path,
        machines: str | Sequence[str] = (),
        *,
        rows: str | Sequence[str] = (),
        epochs_cap: int | None = None,
        seeds: int = 1,
        held_out: float = 0.1,
        retry_failed: bool = False,
        alternatives: bool = False,
        cpus_per_trial: float | None = None,
        gpus_per_trial: float | None = None,
        memory_per_trial: float | None = None,
        serial: bool = False,
        address: str = LOCAL,
        cpus: int | None = None,
        dashboard: bool = True,
        quiet: bool = False,
    ) -> PaperResult:
        """Train the rows of a published table, such as ``run.paper("liu2022", "2", data)``, and compare the numbers.

        `rows` are printed names, by default all that can be run. Each seed from 0 to `seeds` - 1 trains every row. The
        trials are those of `search`; called again, it trains only what is missing. With `alternatives` the further
        settings from which the authors chose by test labels are trained, too, and the best ones by test labels are
        combined. Other arguments are as in `search`.
        """
        from asd_ray._paper_run import PaperRun

        dataset = as_dataset(data)
        runtime = Runtime(serial, address, cpus, dashboard, command=f"{self!r}.paper({key!r}, {table!r})")
        asked_for = PaperRun(
            key,
            table,
            listed(machines),
            listed(rows),
            epochs_cap=epochs_cap,
            seeds=seeds,
            held_out=held_out,
            retry_failed=retry_failed,
            alternatives=alternatives,
            resources=(cpus_per_trial, gpus_per_trial, memory_per_trial),
            runtime=runtime,
        )

        def run_session(session: Session, ray: SharedRay) -> SearchResult:
            return self.run_session(session, dataset, quiet=quiet, of_library=True, is_part=True, ray=ray)

        with for_python():
            return asked_for.run(dataset.source(), self.ledger, run_session)

    def run_session(
        self,
        session: Session,
        data: Dataset,
        *,
        quiet: bool = False,
        of_library: bool = False,
        is_part: bool = False,
        ray: SharedRay | None = None,
    ) -> SearchResult:
        """Run a search that was checked: the shared part of `search`, `paper` and the command ``asd-ray search``.

        `ray` is the Ray of several searches; without it this search has its own.
        """
        from asd_ray.tuning.watch.console import SearchConsole

        console = SearchConsole(quiet=quiet, of_library=of_library, is_part=is_part)
        console.dataset(data.table, session.config.machines or data.machines)
        return session.of_searchable(data.table).run(data.source(), self.layout.root, console, self._members, ray)

    def _members(self) -> set[str]:
        """The trials of all stored ensembles: a search keeps their states."""
        from asd_ray.ensembling import stored

        return stored(self.ledger).trials

    # -- what is stored ------------------------------------------------------------------------------------------

    def records(self, machine: str | None = None, family: str | None = None) -> list[TrialRecord]:
        """All that is stored of each trial beside its scores."""
        self.ledger.require()
        self.ledger.check_known(machine, family)
        return self.ledger.records(machine, family)

    def trials(self, machine: str | None = None, family: str | None = None) -> pd.DataFrame:
        """One row per trial and machine; each parameter is a column ``params_<name>``, as in Optuna.

        The column `unit` names the objective: "hmean" of AUC and pAUC, or "faults", the value on injected faults.
        """
        return trial_table(self.records(machine, family))

    def best(
        self, machine: str | None = None, family: str | None = None, *, objective: str | None = None
    ) -> TrialRecord:
        """The complete trial with the highest objective; its `params`, `objective` and `variant` are attributes.

        Values by labels and by injected faults cannot be compared. Where there are both, `objective` says which trials
        are meant: "labels" or "normal-only".
        """
        return best_trial(self.records(machine, family), self.layout.root, objective)

    def trial(self, name: str, machine: str | None = None) -> TrialRecord:
        """The trial of a name, such as fan-idnn-0003, or of a hash. One of several machines needs `machine` as well."""
        return trial_named(self.records(machine), self.layout.root, name)

    def scores(
        self,
        trial: TrialRecord | str,
        machine: str | None = None,
        *,
        variant: str | None = None,
        splits: str | Sequence[str] = SPLITS,
    ) -> pd.DataFrame:
        """One row per clip: clip, id, domain, split, label, variant, score. Higher is more anomalous.

        Of the variant with the best objective unless another is named; ``variant="all"`` gives every variant's rows. A
        trial of several machines needs `machine`.
        """
        if isinstance(trial, TrialRecord) and machine is None and trial.machine in trial.machines:
            record = trial
        else:
            record = self.trial(trial if isinstance(trial, str) else trial.trial, machine)
        return scores_of_variant(self.ledger, record, variant or record.variant, listed(splits))

    # -- ensembles and the report --------------------------------------------------------------------------------

    def ensemble(self, machine: str, recipes: Recipes | None = None, **options: Any) -> Ensemble:
        """Choose by every recipe, store each ensemble, return the final one: the best of these and of those stored.

        ``ensemble.headline.value`` is the number to quote, ``ensemble.gain.better`` the claim that holds. `options` are
        those of `compare_all`. For several machines call `ensemble_all`: in a loop the first machine has no number
        under cross_machine.
        """
        return self.compare(machine, recipes, **options).final

    def ensemble_all(
        self, machines: str | Sequence[str] = (), recipes: Recipes | None = None, **options: Any
    ) -> dict[str, Ensemble]:
        """The final ensemble of each machine, by default of all, as `ensemble` chooses it; cross_machine follows."""
        return {machine: own.final for machine, own in self.compare_all(machines, recipes, **options).items()}

    def compare(self, machine: str, recipes: Recipes | None = None, **options: Any) -> Comparison:
        """Choose as `ensemble` does and return all that was compared: `ensembles`, best first, `notes`, `skipped`."""
        return self.compare_all([machine], recipes, **options)[machine]

    def compare_all(
        self,
        machines: str | Sequence[str] = (),
        recipes: Recipes | None = None,
        *,
        by: str | None = None,
        standardise: str | None = None,
        drop: bool = False,
        final: bool = False,
        families: Sequence[type] = (),
        others: Run | str | Path | Sequence[Run | str | Path] = (),
        **config: Any,
    ) -> dict[str, Comparison]:
        """Choose as `ensemble_all` does and return all that was compared: machine -> comparison.

        `recipes` are names of shipped ones, files, or `Recipe` objects; without them all shipped ones are followed, and
        those that the candidates do not allow are skipped. `by` is the split whose scores standardise, and
        `standardise` the unit, such as "rank", both in place of each recipe's own. `drop` leaves out candidates that
        lack test clips. `final` makes the best of `recipes` the final one in any case. `others` is a run or several,
        whose machines choose for the protocol cross_machine, with the other machines of this run. `config` are fields
        of `EnsembleConfig`, such as ``maximise="auc"``. With ``infer_limit=0.05`` or ``"50ms"`` members are chosen so
        that the ensemble scores 10 s of sound within that time on this computer, in one thread of its CPU. `families`
        are classes of your own that cannot be imported by name, so that their time can be measured.

        A machine for which nothing can be chosen is an AsdRayError, raised when the others are chosen and stored.
        """
        from asd_ray.ensembling import EnsembleConfig, Recipe, choose_all

        self.ledger.require()
        named = [recipes] if isinstance(recipes, str | Path | Recipe) else recipes
        learned_from = [Run(root).ledger.require() for root in _roots(others)]

        def timer_of(machine: str) -> Timer:
            from asd_ray.deploy.costs import Stopwatch  # it imports torch

            return Stopwatch(self.ledger, machine, families)

        how: dict[str, Any] = {"by": by, "standardise": standardise, "drop": drop, "final": final, "timer_of": timer_of}
        with for_python():
            settings = EnsembleConfig.of(**config)
            found = choose_all(self.ledger, listed(machines), named, settings, others=learned_from, **how)
            found.check()
        return dict(found.of_machine)

    def ensembles(self, machine: str | None = None) -> dict[str, dict[str, Ensemble]]:
        """The stored ensembles: machine -> name of the recipe, or "final" -> ensemble."""
        from asd_ray.ensembling import stored

        return stored(self.ledger.require(), machine).ensembles

    def bundle(
        self,
        machine: str,
        out: str | Path | None = None,
        *,
        recipe: str = "final",
        data: Dataset | str | Path | None = None,
        refit_all: bool = False,
        families: Sequence[type] = (),
        serial: bool = False,
        address: str = LOCAL,
    ) -> Bundle:
        """Write an ensemble with what its members have learned to the folder `out` (``fan.bundle``), and load it.

        `recipe` is the name of a stored ensemble. Members whose states the search did not keep are trained again from
        `data`, the dataset of the search. `refit_all` trains all of them anew on all normal clips, held-out ones
        included; the numbers are then those of the ensemble before. `families` are classes of your own that cannot be
        imported by name.
        """
        from asd_ray._bundling import ensemble_of, write_bundle
        from asd_ray.deploy.bundle import Bundle

        with for_python():
            ensemble = ensemble_of(self.ledger.require(), machine, recipe)
            source = None if data is None else as_dataset(data).source
            how: dict[str, Any] = {"families": families, "serial": serial, "address": address}
            written = write_bundle(self.ledger, ensemble, out or f"{machine}.bundle", source, refit=refit_all, **how)
            for note in written.notes:
                warnings.warn(f"{machine}: {note}", stacklevel=2)
            return Bundle.load(written.folder, families=families)

    def report(
        self,
        out: str | Path | None = None,
        data: Dataset | str | Path | None = None,
        *,
        audio: bool = True,
        device: str = "cpu",
        families: Sequence[type] = (),
    ) -> Report:
        """Write the report of all final ensembles, by default into the run; its `page` is the file to open.

        With `data`, the dataset of the search, the page has the sounds of the clips that are most often wrong, and maps
        of where their scores come from, computed on `device`. ``audio=False`` leaves the sounds out. `families` are
        classes of your own that cannot be imported by name.
        """
        from asd_ray.reporting import write_report

        if data is None:
            return write_report(self.ledger.require(), out)
        from asd_ray._listening import Listener

        with for_python():
            listener = Listener(self.ledger.require(), as_dataset(data).source(), audio, device, families)
            return write_report(self.ledger, out, listener)


def _roots(runs: Run | str | Path | Sequence[Run | str | Path]) -> list[str]:
    """The places of runs, as the command line names them."""
    several = [runs] if isinstance(runs, Run | str | Path) else runs
    return [run.layout.root if isinstance(run, Run) else str(run) for run in several]
