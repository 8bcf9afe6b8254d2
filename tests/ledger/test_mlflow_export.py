"""Trials as runs of MLflow, in a real SQLite store."""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_ray.cli.ledger import main
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.mlflow_export import CONTENT, DEFAULTS, MlflowExport, _name, export_mlflow
from asd_ray.ledger.record import Settings
from asd_ray.storage.run_layout import RunLayout

pytest.importorskip("mlflow", reason="mlflow is not installed")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store of MLflow, which takes seconds to make."""
    ledger = Ledger(tmp_path_factory.mktemp("first") / "run")
    from .conftest import make_trial

    ledger.commit(*make_trial(0, machine="nothing"))
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    export_mlflow(ledger, path)
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store.read_bytes())
    return path


def runs(store: Path, experiment: str) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return sorted(client.search_runs([found.experiment_id]), key=lambda run: run.info.run_name)


def test_each_trial_is_a_run_with_what_is_stored_of_it(filled: Ledger, store: Path) -> None:
    done = export_mlflow(filled, store)
    assert done == MlflowExport(f"sqlite:///{store}", ("run/fan",), new=6)
    found = runs(store, "run/fan")
    assert [run.info.status for run in found] == 5 * ["FINISHED"] + ["FAILED"]
    first = found[0]
    assert first.info.run_name == "fan-ae-0000"
    assert first.data.params == {"lr": "0.001", "norm": "batch", "deep": "True"}
    assert first.data.metrics == {"hmean": 0.5, "hmean_by_epoch": 0.5, "epochs": 2.0}
    assert {"asd_ray.machine": "fan", "asd_ray.variant": "mse", "asd_ray.seed": "0"}.items() <= first.data.tags.items()
    assert found[5].data.tags["asd_ray.error"] == "out of memory"
    assert "hmean" not in found[5].data.metrics


def test_a_second_export_writes_only_what_is_new_or_has_changed(
    filled: Ledger, trial: Callable[..., Any], store: Path
) -> None:
    export_mlflow(filled, store)
    assert export_mlflow(filled, store).unchanged == 6
    filled.commit(*trial(5))  # it had failed
    filled.commit(*trial(6))
    done = export_mlflow(filled, store)
    assert (done.new, done.replaced, done.unchanged) == (1, 1, 5)
    assert [run.info.status for run in runs(store, "run/fan")] == 7 * ["FINISHED"]


def test_half_a_run_of_a_killed_export_is_written_again(filled: Ledger, store: Path) -> None:
    export_mlflow(filled, store)
    with sqlite3.connect(store) as opened:
        one = "(SELECT run_uuid FROM runs WHERE name = 'fan-ae-0000')"
        assert opened.execute(f"DELETE FROM tags WHERE key = ? AND run_uuid = {one}", (CONTENT,)).rowcount == 1
    opened.close()
    done = export_mlflow(filled, store)
    assert (done.replaced, done.unchanged) == (1, 5)
    assert len(runs(store, "run/fan")) == 6


def test_runs_of_one_name_do_not_replace_each_others_trials(
    trial: Callable[..., Any], store: Path, tmp_path: Path
) -> None:
    one, other = Ledger(tmp_path / "a" / "run"), Ledger(tmp_path / "b" / "run")
    one.commit(*trial(0))
    other.commit(*trial(0, objective=0.25))
    assert [export_mlflow(ledger, store).new for ledger in (one, other)] == [1, 1]
    assert [export_mlflow(ledger, store).unchanged for ledger in (one, other)] == [1, 1]
    tags = {run.data.tags["asd_ray.run"]: run.data.metrics["hmean"] for run in runs(store, "run/fan")}
    assert tags == {one.layout.base: 0.5, other.layout.base: 0.25}


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("s3://bucket/runs/fan?endpoint_override=http://host:9000&region=x", "fan"),
        ("s3://bucket/runs/fan/", "fan"),
        ("s3://bucket", "bucket"),
        ("runs/fan/", "fan"),
        (".", Path.cwd().name),
    ],
)
def test_a_run_is_called_by_the_last_part_of_its_path(root: str, name: str) -> None:
    assert RunLayout(root).name == name


def test_settings_of_mlflow_end_with_the_export(filled: Ledger, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in DEFAULTS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    export_mlflow(filled, store)
    assert {setting: os.environ.get(setting) for setting in DEFAULTS} == {
        **dict.fromkeys(DEFAULTS),
        "MLFLOW_LOGGING_LEVEL": "ERROR",
    }


def test_units_are_apart_and_numbers_that_are_none_are_left_out(
    ledger: Ledger, trial: Callable[..., Any], store: Path
) -> None:
    parts = {"00/source/auc": 0.75, "a*b//pauc": 0.5, "a?b//pauc": 0.625, "../auc": math.nan}
    by_faults = Settings(objective="normal-only")
    ledger.commit(*trial(0, settings=by_faults, objective_parts=parts, intermediate={1: 0.25, 2: math.nan}))
    ledger.commit(*trial(1, machine="pump", status="pruned", objective=None))
    assert export_mlflow(ledger, store).experiments == ("run/fan", "run/pump")
    (run,) = runs(store, "run/fan")
    assert run.data.metrics == {
        "faults": 0.5,
        "faults_by_epoch": 0.25,
        "epochs": 2.0,
        "00/source/auc": 0.75,
        "a_b/_/pauc": 0.5,
        "_a_b/_/pauc": 0.625,
    }
    (run,) = runs(store, "run/pump")
    assert run.info.status == "KILLED"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("00/source/auc", "00/source/auc"), ("/auc", "_/auc"), ("./../x", "_/_/x"), ("a\x1b[1m", "a__1m"), ("", "_")],
)
def test_names_are_those_that_mlflow_takes(name: str, expected: str) -> None:
    assert _name(name) == expected


def test_any_name_can_be_stored(ledger: Ledger, trial: Callable[..., Any], store: Path) -> None:
    names = [
        "a\x1b[31mb",
        "a\nb",
        "x" * 400,
        "x" * 401,
        "a*b",
        "a?b",
        "..",
        "Lüfter é",
        "[red]b[/red]",
        "=1+1",
        "\u202e",
    ]
    params = {name: name for name in names}
    ledger.commit(*trial(0, name="\x1b]0;title\x07 fan", params=params, variant="mse", device=names[0]))
    export_mlflow(ledger, store)
    (run,) = runs(store, "run/fan")
    assert run.info.run_name == "\\x1b]0;title\\x07 fan"
    assert len(run.data.params) == len(names)
    stored = json.dumps([run.data.params, run.data.tags, run.info.run_name], ensure_ascii=False)
    assert not any(control in stored for control in ("\x1b", "\u001b", "\u202e"))


def test_what_is_not_a_store_of_mlflow_is_left_as_it_is(filled: Ledger, run: Path, tmp_path: Path) -> None:
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    with sqlite3.connect(other) as opened:
        opened.execute("CREATE TABLE mine (number)")
    opened.close()
    text.write_text("mine")
    before = other.read_bytes()
    for path in (other, text):
        with pytest.raises(AsdRayError, match="is not a file of MLflow; name another file"):
            export_mlflow(filled, path)
    assert (other.read_bytes(), text.read_text()) == (before, "mine")
    for path, message in (
        (run / "ledger" / "mlflow.db", "keeps for its own files"),
        ("s3://bucket/mlflow.db", "name a file such as mlflow.db"),
        (tmp_path, "name a file such as mlflow.db"),
        (text / "below.db", "cannot write the export"),
    ):
        with pytest.raises(AsdRayError, match=message):
            export_mlflow(filled, path)


def test_a_server_that_is_away_is_an_error_at_once(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        with pytest.raises(AsdRayError, match="MLflow cannot store the trials") as error:
            export_mlflow(filled, f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}")
    assert "secret" not in str(error.value)
    assert str(error.value).startswith("http://127.0.0.1:")


def test_the_command_says_what_it_wrote(
    filled: Ledger, run: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mlflow", str(run), str(store), "--status", "complete"]) == 0
    assert main(["mlflow", str(run), str(store)]) == 0
    out = capsys.readouterr().out
    assert f"5 trials written, 0 written again, 0 unchanged → {store}" in out
    assert f"1 trial written, 0 written again, 5 unchanged → {store}" in out
    assert "experiments: run/fan" in out
    assert f"mlflow ui --backend-store-uri sqlite:///{store}" in out


def test_without_mlflow_the_cure_is_named(filled: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(AsdRayError, match=r"pip install 'asd_ray\[mlflow\]'"):
        export_mlflow(filled, tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
