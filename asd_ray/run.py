"""A run as a user opens it: a search's trials and scores, its ensembles and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, RunLayout, TrialRecord
from asd_ray.ledger.schema import SPLITS
from asd_ray.tuning.config import DEMO, LOCAL, TRIALS, Runtime, SearchConfig

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.dataset import Dataset
    from asd_ray.ensembling import Comparison, Ensemble, Recipe
    from asd_ray.reporting import Report
    from asd_ray.tuning.result import SearchResult
    from asd_ray.tuning.session import Session

FIRST = ("trial", "name", "machine", "family", "number", "seed", "status", "objective", "variant", "epochs", "seconds")
LAST = ("paper", "source", "device", "node", "created", "error")


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
        data: Dataset,
        machines: Sequence[str] = (),
        *,
        families: Sequence[str | type] = (),
        spaces: Mapping[str, str | Path] | None = None,
        trials: int | None = None,
        epochs_cap: int | None = None,
        seed: int = 0,
        held_out: float = 0.1,
        checkpoint: str = "last",
        jointly: bool = False,
        retry_failed: bool = False,
        cpus_per_trial: float | None = None,
        gpus_per_trial: float | None = None,
        memory_per_trial: float | None = None,
        serial: bool = False,
        address: str = LOCAL,
        cpus: int | None = None,
        dashboard: bool = True,
        time: float | None = None,
        trial_time: float | None = None,
        quiet: bool = False,
    ) -> SearchResult:
        """Search families and their parameters for machines. Called again, it runs what is missing.

        `families` are names, ``"package.module:Class"``, or classes of your own, also of a notebook's cell; none means
        all that suit this computer. `spaces` maps a family's name to a search space file. `trials` is the number per
        machine and family, with those that are stored (default: 20; of the demo set 8 of at most 20 epochs each).
        `time` and `trial_time` are seconds. ``serial=True`` runs every trial in this process, without Ray.

        Ctrl-C finishes the trials that run; a second one stops at once. Stored trials are never lost.
        """
        config = SearchConfig(
            machines=[machines] if isinstance(machines, str) else list(machines),
            families=[families] if isinstance(families, str | type) else list(families),
            trials=trials or (DEMO["trials"] if data.is_demo else TRIALS),
            epochs_cap=epochs_cap or (DEMO["epochs_cap"] if data.is_demo else None),
            seed=seed,
            held_out=held_out,
            checkpoint=checkpoint,
            jointly=jointly,
            retry_failed=retry_failed,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            memory_per_trial=memory_per_trial,
        )
        runtime = Runtime(
            serial=serial,
            address=address,
            cpus=cpus,
            dashboard=dashboard,
            time=time,
            trial_time=trial_time,
            command=f"{self!r}.search()",
        )
        texts = tuple(f"{name}={path}" for name, path in (spaces or {}).items())
        from asd_ray.tuning.session import Session

        return self.run_session(Session.check(config, runtime, run=self.layout.root, spaces=texts), data, quiet=quiet)

    def run_session(self, session: Session, data: Dataset, *, quiet: bool = False) -> SearchResult:
        """Run a search that was checked. `search` and the command ``asd-ray search`` end here."""
        from asd_ray.tuning.watch.console import SearchConsole

        session.check_environment(data.cache)
        console = SearchConsole(quiet=quiet)
        console.dataset(data.table)
        return session.run(data.source(), self.layout.root, console)

    # -- what is stored ------------------------------------------------------------------------------------------

    def records(self, machine: str | None = None, family: str | None = None) -> list[TrialRecord]:
        """All that is stored of each trial beside its scores."""
        self.ledger.require()
        self.ledger.check_known(machine, family)
        return self.ledger.records(machine, family)

    def trials(self, machine: str | None = None, family: str | None = None) -> pd.DataFrame:
        """One row per trial and machine; each parameter is a column ``params_<name>``, as in Optuna."""
        import pandas as pd

        rows = []
        for record in self.records(machine, family):
            row = {name: getattr(record, name) for name in FIRST}
            row |= {f"params_{name}": value for name, value in record.params.items()}
            rows.append(row | {name: getattr(record, name) for name in LAST})
        params = sorted({name for row in rows for name in row if name.startswith("params_")})
        return pd.DataFrame(rows, columns=[*FIRST, *params, *LAST])

    def best(self, machine: str | None = None, family: str | None = None) -> TrialRecord:
        """The complete trial with the highest objective; its `params`, `objective` and `variant` are attributes."""
        complete = [r for r in self.records(machine, family) if r.status == "complete" and r.objective is not None]
        if not complete:
            raise AsdRayError(
                f"{self.layout.root}: no complete trial with an objective; search first, or look at the statuses in "
                "run.trials()"
            )
        return max(complete, key=lambda record: record.objective or 0.0)

    def trial(self, name: str, machine: str | None = None) -> TrialRecord:
        """The trial of a name, such as fan-idnn-0003, or of a hash."""
        found = [record for record in self.records(machine) if name in (record.name, record.trial)]
        if not found:
            raise AsdRayError(f"{self.layout.root}: no trial {name!r}; run.trials() lists all")
        if len(found) > 1:
            names = ", ".join(f"{record.trial} of {record.machine}" for record in found)
            raise AsdRayError(f"{self.layout.root}: {name!r} may be any of {names}; give a hash and a machine")
        return found[0]

    def scores(
        self, trial: TrialRecord | str, *, variant: str | None = None, splits: Sequence[str] = SPLITS
    ) -> pd.DataFrame:
        """One row per clip: clip, id, domain, split, label, variant, score. Higher is more anomalous.

        Of the variant with the best objective unless another is named; ``variant="all"`` gives every variant's rows.
        """
        record = trial if isinstance(trial, TrialRecord) else self.trial(trial)
        scores = self.ledger.scores(record, splits)
        wanted = variant or record.variant
        if wanted in ("", "all"):
            return scores
        if wanted not in set(scores["variant"]):
            known = ", ".join(sorted(set(scores["variant"])))
            raise AsdRayError(f"{record.name} has no variant {wanted!r}; it has {known or 'no scores'}")
        return scores[scores["variant"] == wanted].reset_index(drop=True)

    # -- ensembles and the report --------------------------------------------------------------------------------

    def ensemble(
        self,
        machine: str,
        recipes: Sequence[str | Path | Recipe] | None = None,
        *,
        by: str | None = None,
        drop: bool = False,
        final: bool = False,
        **config: Any,
    ) -> Ensemble:
        """Choose by every recipe, store each ensemble, return the final one: the best of these and of those stored.

        ``ensemble.headline.value`` is the number to quote, ``ensemble.gain.better`` the claim that holds. `config`
        are fields of `EnsembleConfig`, such as ``maximise="auc"``. The other arguments are those of `compare`.
        """
        return self.compare(machine, recipes, by=by, drop=drop, final=final, **config).final

    def compare(
        self,
        machine: str,
        recipes: Sequence[str | Path | Recipe] | None = None,
        *,
        by: str | None = None,
        drop: bool = False,
        final: bool = False,
        **config: Any,
    ) -> Comparison:
        """The same with all that was compared: `ensembles`, the best first, `notes` and `skipped` recipes.

        `recipes` are names of shipped ones, files, or `Recipe` objects; without them all shipped ones are followed, and
        those that the candidates do not allow are skipped. `by` is the split whose scores standardise. `drop` leaves
        out candidates that lack test clips. `final` makes the best of `recipes` the final one in any case.
        """
        from asd_ray.ensembling import EnsembleConfig, choose

        self.ledger.require()
        self.ledger.check_known(machine, None)
        settings = EnsembleConfig(**config)
        return choose(self.ledger, machine, recipes, settings, by=by, drop=drop, final=final)

    def ensembles(self, machine: str | None = None) -> dict[str, dict[str, Ensemble]]:
        """The stored ensembles: machine -> name of the recipe, or "final" -> ensemble."""
        from asd_ray.ensembling import stored

        return stored(self.ledger, machine).ensembles

    def report(self, out: str | Path | None = None) -> Report:
        """Write the report of all final ensembles, by default into the run; its `page` is the file to open."""
        from asd_ray.reporting import write_report

        return write_report(self.ledger.require(), out)
