"""The table of benchmarks/demo_families.py is of its own command's trials, and of no others in the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger
from benchmarks.demo_families import SHORT

Rows = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the runs, beside which the demo set is made once."""
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture
def run(folder: Path, request: pytest.FixtureRequest) -> Path:
    return folder / request.node.name


@pytest.fixture
def rows(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rows:
    """The lines that the benchmark prints of the family `tiny`: a title, an empty one, and the table."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks.demo_families import main

    def printed(*words: str, run: Path = run) -> list[str]:
        family = ("--families", "families_for_tests:Tiny")
        assert main([str(run), *family, "--machines", "fan", "--size", "tiny", *words]) == 0
        return capsys.readouterr().out.splitlines()

    return printed


def without_seconds(lines: list[str]) -> list[str]:
    return [line.rsplit("|", 2)[0] for line in lines[2:]]


def test_other_seeds_and_machines_of_the_run_are_no_part_of_the_table(rows: Rows, run: Path) -> None:
    alone = rows("--seeds", "1")
    assert alone[0] == "paper's settings, at most 10 epochs, 1 seeds: mean (least), protocol oracle"
    assert alone[2] == "| family | fan | seconds a trial |"
    both = rows("--seeds", "2", "--machines", "fan,pump")
    assert both[2] == "| family | fan | pump | seconds a trial |"
    assert len(Ledger(run).records()) == 4
    assert without_seconds(both)[2].split("|")[2] != without_seconds(alone)[2].split("|")[2]  # a mean of two
    assert rows("--seeds", "1") == alone


def test_a_cap_that_cuts_nothing_leaves_a_family_in_the_table(rows: Rows, run: Path) -> None:
    first = rows("--seeds", "1", "--epochs", "20")
    again = rows("--seeds", "1", "--epochs", "30")
    assert len(Ledger(run).records()) == 1
    assert (len(again), again[2:]) == (5, first[2:])


def test_a_family_that_fails_with_one_seed_has_no_mean_of_the_others(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from families_for_tests import Tiny

    fit = Tiny.fit
    monkeypatch.setattr(Tiny, "fit", lambda self, train: fit(self, train) if self.seed == 0 else 1 / 0)
    assert rows("--seeds", "2")[4].startswith("| tiny | failed |")


def test_random_settings_and_faults_are_stored_and_are_no_part_of_the_table(rows: Rows, run: Path) -> None:
    alone = rows("--seeds", "1")
    more = rows("--seeds", "1", "--settings", "3")
    assert (len(more), without_seconds(more)) == (len(alone), without_seconds(alone))
    records = Ledger(run).records()
    assert [record.status for record in records] == ["complete"] * 3, "none is pruned"
    assert "fault" not in set(Ledger(run).scores(records[0])["split"])


def test_clips_of_another_length_with_faults(rows: Rows, run: Path, folder: Path) -> None:
    apart = run / "apart"
    assert rows("--seeds", "1", "--seconds", "1", "--faults", run=apart)[2] == "| family | fan | seconds a trial |"
    (record,) = Ledger(apart).records()
    assert "fault" in set(Ledger(apart).scores(record)["split"])


def test_random_settings_of_a_shipped_family_have_the_short_values(rows: Rows, run: Path) -> None:
    printed = rows("--seeds", "1", "--settings", "3", "--epochs", "1", "--families", "idnn")
    assert printed[4].startswith("| idnn | 0."), "the paper's setting is known as such"
    records = Ledger(run).records()
    assert [record.paper for record in records].count(True) == 1
    assert {record.params["batch_size"] for record in records} == {SHORT["idnn"]["batch_size"]}
    assert len({str(record.params) for record in records}) == 3
