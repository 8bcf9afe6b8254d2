"""Train stored trials again whose states were not kept, on Ray or in this process, and compare their scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch

from asd_ray.errors import AsdRayError
from asd_ray.families import Family
from asd_ray.families.family import family
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.tuning.config import LOCAL
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.ray_settings import import_ray
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.trial import Learned, learn_again

HALVED = re.compile(r"batch_size \d+ halved to (\d+)")
ROUNDING = 1e-3  # of a variant's deviation over normal clips: differences of rounding and of threads lie below it


@dataclass(frozen=True)
class Restored:
    """A trial that was trained again."""

    record: TrialRecord
    state: bytes
    scores: pd.DataFrame  # of the record's machine, as the ledger has them
    difference: float  # the largest from the ledger's scores, in deviations of the variant's scores of normal clips

    @property
    def same(self) -> bool:
        """Whether the scores are those of the ledger, but for rounding."""
        return self.difference <= ROUNDING


def restore(
    ledger: Ledger,
    records: Sequence[TrialRecord],
    source: DataSource,
    *,
    families: Iterable[type] = (),
    refit: bool = False,
    serial: bool = False,
    address: str = LOCAL,
    progress: Callable[[TrialRecord], None] = lambda record: None,
) -> dict[str, Restored]:
    """Trial -> what it learned when it was trained again. With `refit` it learns from held-out clips, too."""
    own = {known.target: known for known in map(family, families)}
    by_trial = {record.trial: record for record in records}
    jobs = {trial: _job(record, own, source, refit) for trial, record in by_trial.items()}
    if serial:
        results = _serially(jobs, source)
    else:
        import_ray(address)  # before the next import, which needs it
        from asd_ray.tuning.on_ray.restoring import train_on_ray

        results = train_on_ray(jobs, source, address)
    restored = {}
    for trial, (state, tables) in results:
        record = by_trial[trial]
        scores = tables[record.machine]
        difference = 0.0 if refit else largest_difference(ledger.scores(record), scores)
        restored[trial] = Restored(record, state, scores, difference)
        progress(record)
    return restored


def largest_difference(stored: pd.DataFrame, new: pd.DataFrame) -> float:
    """The largest difference of two tables of scores, in deviations of each variant's stored scores of normal clips."""
    keys = ["split", "variant", "clip"]
    stored = stored[~stored["split"].isin(("fault", "crop"))]  # a search plans altered clips
    both = stored.astype({key: str for key in keys}).merge(
        new.astype({key: str for key in keys}), on=keys, suffixes=("", "_new")
    )
    if len(both) != len(stored):
        raise AsdRayError("the trial gave scores of other clips or variants than those that are stored")
    apart = (both["score"].astype(float) - both["score_new"].astype(float)).abs()
    normal = both["split"].isin(("train", "held_out"))
    normal = normal if normal.any() else pd.Series(True, both.index)
    deviation = both[normal].groupby("variant")["score"].std().astype(float)
    unit = both["variant"].map(deviation).fillna(0.0) + 1e-6 * both["score"].abs() + 1e-30
    return float((apart / unit).max())


def _job(record: TrialRecord, own: Mapping[str, Family], source: DataSource, refit: bool) -> tuple[TrialSpec, Family]:
    if record.source != "search" or record.settings is None:
        raise AsdRayError(
            f"{record.name} was imported: the run has its scores, but no detector that could score new sound; choose "
            "an ensemble without it (--recipe NAME)"
        )
    known = own.get(record.target) or _family(record)
    if record.version not in ("", known.version):
        raise AsdRayError(
            f"{record.name} was trained by version {record.version} of {record.target}, and this is version "
            f"{known.version}, which gives other scores; search again, then choose the ensemble again"
        )
    if source.bank.fingerprints.get(record.machine) != record.data_fingerprint:
        hint = source.bank.rate_hint(record.machine) if record.machine in source.bank.fingerprints else ""
        raise AsdRayError(
            f"{record.name} was trained on other clips of {record.machine} than {source.table.place} holds: {hint}name "
            "the dataset of the search, with the same --rate, --channel, --layout, --split-seed and --skip-broken"
        )
    settings = replace(record.settings, held_out=0.0) if refit else record.settings
    params = dict(record.params)
    if halved := HALVED.fullmatch(str(record.extra.get("out_of_memory", ""))):
        params["batch_size"] = int(halved[1])
    spec = TrialSpec(
        machines=record.machines,
        family=record.family,
        target=known.target,
        number=record.number,
        params=params,
        seed=record.seed,
        settings=settings,
        version=known.version,
        stored_as=record.trial,
        paper=record.paper,
        resources=replace(known.resources, gpu=0) if record.device == "cpu" else known.resources,
        bfloat16=record.extra.get("bfloat16") is True,
    )
    return spec, known


def _family(record: TrialRecord) -> Family:
    from asd_ray.families import FAMILIES

    return Family(record.family, FAMILIES.get(record.family, record.target))


def _serially(jobs: Mapping[str, tuple[TrialSpec, Family]], source: DataSource) -> Iterator[tuple[str, Learned]]:
    for trial, (spec, known) in jobs.items():
        with_gpu = spec.resources.gpu > 0 and torch.cuda.is_available()
        yield trial, learn_again(spec, known, source, torch.device("cuda" if with_gpu else "cpu"))
