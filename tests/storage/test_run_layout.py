from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout


def test_local_paths_lie_below_the_run(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    base = f"{tmp_path}/run"
    assert layout.trial_file("fan", "ae", "t00120119") == f"{base}/ledger/machine=fan/family=ae/t00120119.parquet"
    assert layout.set_aside_file(layout.trial_file("fan", "ae", "t1")) == (
        f"{base}/ledger_set_aside/machine=fan/family=ae/t1.parquet"
    )
    folders = [layout.ledger, layout.ensembles, layout.report, layout.states, layout.set_aside]
    assert len(set(folders)) == 5
    assert all(folder.startswith(base + "/") for folder in folders)


@pytest.mark.parametrize("given", ["s3://bucket/runs/fan", "s3://bucket/runs//fan/", Path("s3://bucket/runs/fan")])
def test_s3_paths_are_bucket_and_key(given: str | Path) -> None:
    layout = RunLayout(given)
    assert layout.is_s3
    assert layout.base == "bucket/runs/fan"
    assert layout.url(layout.ledger) == "s3://bucket/runs/fan/ledger"


def test_endpoint_comes_from_the_address_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://general:1")
    assert RunLayout("s3://b/r").options == {
        "endpoint_override": "general:1",
        "scheme": "https",
        "region": "us-east-1",
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://special:2/")
    assert RunLayout("s3://b/r").options["endpoint_override"] == "special:2"
    named = RunLayout("s3://b/r?endpoint_override=http://mine:3&region=eu-west-1")
    assert named.options == {"endpoint_override": "mine:3", "scheme": "http", "region": "eu-west-1"}


def test_layout_survives_pickling_to_a_worker() -> None:
    layout = RunLayout("s3://b/r?region=eu-west-1")
    again = pickle.loads(pickle.dumps(layout))
    assert again == layout
    assert again.options == layout.options


@pytest.mark.parametrize("name", ["fan", "ToyCar", "3DPrinter", "00120119", "gearbox-2.1", "a+b", "_x"])
def test_plain_names_are_taken_as_they_are(name: str) -> None:
    assert f"machine={name}/family={name}/" in RunLayout("run").trial_file(name, name, "t1")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../../etc", "a\\b", "a b", "a\0", "é", "x" * 129, "a\n"]
)
def test_names_that_could_leave_the_run_are_refused(name: str) -> None:
    for machine, family in ((name, "ae"), ("fan", name)):
        with pytest.raises(AsdRayError, match="name .* must be 1 to 128 of the characters"):
            RunLayout("run").trial_file(machine, family, "t1")


@pytest.mark.parametrize("name", ["", "00120119", "1e5", "../t1", "t/1", "t.1", "compact-1", "-t"])
def test_trial_names_that_a_reader_could_take_for_something_else_are_refused(name: str) -> None:
    with pytest.raises(AsdRayError, match="trial name"):
        RunLayout("run").trial_file("fan", "ae", name)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("", "path of the run is empty"),
        ("gs://bucket/run", "gs:// is not read"),
        ("s3://", "bucket is missing"),
        ("s3://key:secret@bucket/run", "keys do not belong in an address"),
        ("s3://bucket/run?endpoint=x", "did you mean 'endpoint_override'"),
    ],
)
def test_wrong_roots_are_refused_with_a_cure(root: str, message: str) -> None:
    with pytest.raises(AsdRayError, match=message) as refused:
        RunLayout(root)
    assert "secret" not in str(refused.value)
