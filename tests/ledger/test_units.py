"""Objectives by labels and by injected faults are never in one ranking."""

from __future__ import annotations

import pytest

from asd_ray import Run
from asd_ray.cli.ledger.command import main as ledger_command
from asd_ray.cli.status import main as status
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.inspecting import sort_records
from asd_ray.ledger.units import by_objective, unit_of, with_unit
from tests.reporting.conftest import fill, fill_normal_only


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Studies by labels, whose values are higher in part, and studies by injected faults, of one machine."""
    root = tmp_path_factory.mktemp("mixed") / "run"
    ledger = Ledger(root)
    fill(ledger, "fan", trials=2)
    fill_normal_only(ledger, "fan")
    fill_normal_only(ledger, "pump")
    return Run(root)


def test_records_are_sorted_within_their_unit(mixed: Run) -> None:
    ranked = [record for record in sort_records(mixed.records("fan"), "objective") if record.objective is not None]
    units = [unit_of(record) for record in ranked]
    assert units == ["hmean"] * 6 + ["faults"] * 8
    for own in by_objective(ranked).values():
        values = [record.objective for record in own]
        assert values == sorted(values, key=lambda value: -(value or 0))


def test_trials_have_a_column_of_units(mixed: Run) -> None:
    assert mixed.trials("fan")["unit"].value_counts().to_dict() == {"hmean": 6, "faults": 8}


def test_the_best_of_two_units_must_be_asked_for(mixed: Run) -> None:
    with pytest.raises(AsdRayError, match="some trials were compared by labels and some by injected faults"):
        mixed.best("fan")
    assert unit_of(mixed.best("fan", objective="normal-only")) == "faults"
    assert unit_of(mixed.best("fan", objective="labels")) == "hmean"
    assert mixed.best("pump").name == "pump-knn-0003"
    with pytest.raises(AsdRayError, match="no complete trial was compared by the objective labels"):
        mixed.best("pump", objective="labels")
    with pytest.raises(AsdRayError, match="unknown objective 'label'; did you mean 'labels'"):
        mixed.best("fan", objective="label")


def test_lists_name_the_unit(mixed: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger_command(["ls", mixed.layout.root, "--machine", "pump"]) == 0
    listed = capsys.readouterr().out
    assert "0.5850 (faults)" in listed
    assert "faults: value on injected faults" in listed
    assert ledger_command(["show", mixed.layout.root, "pump-knn-0003"]) == 0
    assert "(value on injected faults" in capsys.readouterr().out
    assert status([mixed.layout.root]) == 0
    shown = capsys.readouterr().out
    assert "0.6350 mse, 0.5850 mse (faults)" in shown  # fan-knn has both


@pytest.mark.parametrize(
    ("objective", "text"),
    [("labels", "0.5000 mse"), ("normal-only", "0.5000 mse (faults)"), ("later", "0.5000 mse (later)")],
)
def test_a_value_has_its_unit(objective: str, text: str) -> None:
    assert with_unit(0.5, "mse", objective) == text
