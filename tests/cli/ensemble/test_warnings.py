"""What the verb says below its table: warnings, and whether a mean is optimistic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray._console import Console
from asd_ray.cli._ensemble_tables import print_together
from asd_ray.ensemble import main
from asd_ray.ensembling import Comparison, Ensemble, trust_level
from asd_ray.ensembling.result import Tried
from tests.cli.ensemble.conftest import QUICK
from tests.ensembling.conftest import make_ensemble, make_metric


@pytest.fixture
def in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_ray._console.console", lambda **options: Console(width=80))


def test_warnings_stand_below_the_table_in_80_columns(
    run: Path, in_80_columns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fan", "--run", str(run), "--recipe", "best_single", *QUICK]) == 0
    output = capsys.readouterr().out
    final = json.loads((run / "ensembles" / "fan" / "final.json").read_text())
    assert {warning["name"] for warning in final["warnings"]} == {"few_clips", "false_alarms"}
    words = " ".join(output.split())
    for warning in final["warnings"]:
        assert f"warning: {warning['sentence']}" in words
    paragraphs = output[output.index("  warning: ") : output.index("oracle: chosen ")]
    assert all(line.startswith("  ") and len(line.rstrip()) <= 80 for line in paragraphs.splitlines())


def test_wide_names_all_reasons_of_the_trust(run: Path, said: Callable[..., str]) -> None:
    words = ("fan", "--run", run, "--recipe", "best_single", *QUICK)
    short, wide = said(*words), said(*words, "--wide")
    final = Ensemble.from_json(json.loads((run / "ensembles" / "fan" / "final.json").read_text()))
    trust = trust_level(final, final.warnings)
    assert trust.others, "there are more reasons than the sentence names"
    assert f"trust: {trust.sentence}; all: --wide" in " ".join(short.split())
    for reason in trust.others:
        assert reason not in " ".join(short.split())
    shown = " ".join(wide.split())
    assert "all: --wide" not in shown
    assert all(reason in shown for reason in trust.reasons)


def test_warnings_of_a_final_ensemble_that_was_stored_before_are_shown_with_its_name(
    run: Path, said: Callable[..., str]
) -> None:
    said("fan", "--run", run, *QUICK)
    output = said("fan", "--run", run, "--recipe", "label_free", *QUICK)
    final = json.loads((run / "ensembles" / "fan" / "final.json").read_text())
    assert not final["recipe"]["name"].startswith("label_free")
    name = final["recipe"]["name"]
    assert f"warning about the final ensemble, {name}: {final['warnings'][0]['sentence'][:40]}" in output


def test_json_of_the_command_has_the_warnings(run: Path, said: Callable[..., str]) -> None:
    printed = json.loads(said("fan", "--run", run, "--recipe", "best_single", "--json", *QUICK))
    warnings = printed["machines"]["fan"]["warnings"]
    assert {"name", "sentence", "numbers"} == set(warnings[0])


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (("crossval", "crossval", "crossval"), " (optimistic: each ensemble was picked by this number)"),
        (("crossval", "order", "user"), " (optimistic: the ensemble of fan was picked by this number)"),
        (("crossval", "order", "crossval"), " (optimistic: the ensembles of fan, valve were picked by this number)"),
        (("user", "order", "order"), ""),
    ],
)
def test_a_mean_is_optimistic_only_where_its_number_picked(
    ways: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_ensemble(crossval=make_metric(0.8), oracle=make_metric(0.8))
    finals = [
        replace(made, machine=machine, tried=Tried(3, way))
        for machine, way in zip(("fan", "pump", "valve"), ways, strict=True)
    ]
    print_together([Comparison(final.machine, final, "", (), 0, ()) for final in finals])
    lines = capsys.readouterr().out.splitlines()
    assert f"crossval: harmonic mean over 3 machines 0.8000{said}" in lines
    assert "oracle: harmonic mean over 3 machines 0.8000" in lines
