"""One small machine, and serial searches of a tiny detector on it, into a ledger of the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asd_ray.clips.scan import scan
from asd_ray.detectors import Family
from asd_ray.families import Resources, Space
from asd_ray.ledger import Ledger, Settings
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.search import Search, run_serially
from asd_ray.tuning.study import Study

from .searches import loud_set

PAPER: dict[str, Any] = {"x": 0.75, "epochs": 9, "batch_size": 64, "behaviour": ""}


@dataclasses.dataclass
class Bench:
    """Makes studies of `families_for_tests:Tiny` from the ledger, and runs them in this process."""

    source: DataSource
    ledger: Ledger

    def settings(self, **changes: Any) -> Settings:
        fingerprint = self.source.bank.fingerprints["fan"]
        return dataclasses.replace(Settings(fingerprint=fingerprint, year=2022), **changes)

    def study(
        self,
        wanted: int = 6,
        *,
        space: Callable[[Any], dict[str, Any]] | None = None,
        seed: int = 0,
        settings: dict[str, Any] | None = None,
        fixed: dict[str, Any] | None = None,
        effect: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        bfloat16: bool = False,
        **paper: Any,
    ) -> Study:
        """A study as `make_plan` makes it, with `fixed` values. `paper` changes values of the paper's setting."""

        def default(trial: Any) -> dict[str, Any]:
            return {"x": trial.suggest_float("x", 0.0, 1.0)}

        return Study(
            ["fan"],
            Family("tiny", "families_for_tests:Tiny"),
            Space("space_for_tests.py", PAPER | paper, space or default, fixed or {}),
            self.settings(**(settings or {})),
            resources=Resources(),
            seed=seed,
            wanted=wanted,
            records=self.ledger.records("fan", "tiny"),
            effect=effect,
            bfloat16=bfloat16,
        )

    def search(self, study: Study, **how: Any) -> Search:
        search = Search([study], self.source, self.ledger, **how)
        run_serially(search)
        return search

    @property
    def records(self) -> list[Any]:
        return sorted(self.ledger.records("fan"), key=lambda record: record.number)


def record(folder: Path, machine: str) -> None:
    """24 normal clips to train on, 24 to test on: half of each domain, a third anomalous and louder."""
    plan = [("train", "normal", 1.0, 12), ("test", "normal", 1.0, 8), ("test", "anomaly", 3.0, 4)]
    for split, label, level, count in plan:
        place = folder / "dev_data" / machine / split
        place.mkdir(parents=True, exist_ok=True)
        for domain in ("source", "target"):
            for i in range(count):
                rng = np.random.default_rng([len(split), len(label), len(domain) + (domain == "target"), i])
                wave = rng.normal(0, 0.05 * level * rng.uniform(0.8, 1.2), 1600)
                name = f"section_00_{domain}_{split}_{label}_{i:04d}_vel_1.wav"
                soundfile.write(place / name, wave, 16_000, subtype="PCM_16")


def source_of(folder: Path, *machines: str) -> DataSource:
    for machine in machines:
        record(folder / "small", machine)
    source = DataSource(scan(folder / "small"), cache=str(folder / "cache"))
    assert len(source.bank) == 48 * len(machines)
    return source


@pytest.fixture(scope="session")
def small_machine(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    return source_of(tmp_path_factory.mktemp("one"), "fan")


@pytest.fixture(scope="session")
def two_machines(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    return source_of(tmp_path_factory.mktemp("two"), "fan", "pump")


@pytest.fixture(scope="session")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loud_set(tmp_path_factory.mktemp("data") / "loud")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


@pytest.fixture
def bench(small_machine: DataSource, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr("asd_ray.tuning.trial.free", lambda device: None)  # a full collection takes longer than a trial
    threads = torch.get_num_threads()
    yield Bench(small_machine, ledger)
    torch.set_num_threads(threads)  # every trial sets its own


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def options(small_machine: DataSource) -> list[object]:
    """A serial search of one trial of a shipped family, into the run `r` of this folder."""
    data = ["fan", "--data", str(small_machine.table.root), "--families", "twfr_gmm", "--trials", "1"]
    return ["search", *data, "--serial", "--run", "r"]
