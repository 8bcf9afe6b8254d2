"""The ledger over a real S3 protocol: moto's server on loopback, spoken to by pyarrow as it would speak to AWS."""

from __future__ import annotations

import time
from typing import Any

import boto3
import numpy as np
import pytest

from asd_ray.cli.ledger import main
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, candidate_matrix, compact, export_table, import_table, verify
from asd_ray.ledger.forgetting import forget_failed
from asd_ray.storage import s3_files

from ..s3_server import S3Server

BUCKET = "asd-ray-test"
pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def client(s3_server: S3Server, aws: None) -> Any:
    made = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")
    made.create_bucket(Bucket=BUCKET)
    return made


@pytest.fixture
def s3(client: Any, s3_server: S3Server, request: pytest.FixtureRequest) -> Ledger:
    return Ledger(f"s3://{BUCKET}/runs/{abs(hash(request.node.name))}?endpoint_override={s3_server.endpoint}")


@pytest.fixture
def s3_filled(s3: Ledger, trial, record) -> Ledger:
    for number in range(5):
        s3.commit(*trial(number))
    s3.commit(record(5, status="failed", objective=None, variant="", error="out of memory"))
    return s3


def keys(client: Any, ledger: Ledger) -> list[str]:
    prefix = ledger.layout.base.partition("/")[2]
    found = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    return [key for key in found if not key.endswith("/")]  # pyarrow marks the folder of a removed object


def test_trials_are_committed_listed_and_read(s3_filled: Ledger, client: Any, trial) -> None:
    ledger = Ledger(s3_filled.layout)
    assert [record.number for record in ledger.records()] == list(range(6))
    record, scores = trial(3)
    assert ledger.has("fan", "ae", record.trial)
    assert not ledger.has("fan", "ae", "t0")
    assert ledger.scores(record)["score"].sum() == pytest.approx(scores["score"].sum(), rel=1e-6)
    assert not ledger.commit(record, scores)
    assert len(keys(client, ledger)) == 6, "one object a trial, no temporary files"


def test_a_commit_is_one_put(s3: Ledger, trial, monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[str] = []
    from moto.s3.models import S3Backend

    real = S3Backend.put_object

    def put(self: Any, bucket: str, key: str, *args: Any, **kwargs: Any) -> Any:
        puts.append(key)
        return real(self, bucket, key, *args, **kwargs)

    monkeypatch.setattr(S3Backend, "put_object", put)
    monkeypatch.setattr(S3Backend, "create_multipart_upload", lambda *a, **k: pytest.fail("a multipart upload"))
    record, scores = trial()
    s3.commit(record, scores)
    assert puts == [s3.layout.trial_file("fan", "ae", record.trial).partition("/")[2]]


def test_the_endpoint_may_come_from_the_environment(
    s3_filled: Ledger, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    assert len(Ledger(f"s3://{s3_filled.layout.base}").records()) == 6


def test_compacting_and_the_matrix_give_the_same_as_before(s3_filled: Ledger, client: Any) -> None:
    before = candidate_matrix(s3_filled, "fan")
    report = compact(s3_filled)
    assert (report.trials, report.removed) == (5, 5)
    left = [key.rpartition("/")[2] for key in keys(client, s3_filled)]
    assert [name.partition("-")[0] for name in left if not name.endswith(".failed.parquet")] == [
        ".compacted",
        "compact",
    ]
    assert len(left) == 3
    after = candidate_matrix(Ledger(s3_filled.layout), "fan")
    np.testing.assert_array_equal(before.scores, after.scores)
    assert verify(Ledger(s3_filled.layout)).is_clean


def test_a_compact_file_too_large_for_one_read_is_read_by_ranges(
    s3_filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = candidate_matrix(s3_filled, "fan")
    compact(s3_filled)
    monkeypatch.setattr("asd_ray.ledger.trial_file.WHOLE", 0)
    monkeypatch.setattr("asd_ray.ledger.trial_file.TAIL", 64)
    np.testing.assert_array_equal(candidate_matrix(Ledger(s3_filled.layout), "fan").scores, before.scores)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1 half a file"])
def test_a_broken_object_is_named_skipped_and_set_aside(
    s3_filled: Ledger, client: Any, trial, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    record, scores = trial(2)
    path = s3_filled.layout.trial_file("fan", "ae", record.trial)
    client.put_object(Bucket=BUCKET, Key=path.partition("/")[2], Body=content)
    ledger = Ledger(s3_filled.layout)
    assert len(ledger.records()) == 5
    assert any(f"s3://{path}" in message for message in caplog.messages)
    report = verify(ledger)
    assert len(report.set_aside) == 1
    aside = ledger.layout.set_aside_file(path)
    assert client.get_object(Bucket=BUCKET, Key=aside.partition("/")[2])["Body"].read() == content
    again = Ledger(s3_filled.layout)
    assert again.commit(record, scores)
    assert verify(again).is_clean
    assert len(again.records()) == 6


def test_what_another_verify_has_set_aside_is_no_problem(s3_filled: Ledger, client: Any, trial, monkeypatch) -> None:
    path = s3_filled.layout.trial_file("fan", "ae", trial(2)[0].trial)
    client.put_object(Bucket=BUCKET, Key=path.partition("/")[2], Body=b"half")
    ledger = Ledger(s3_filled.layout)
    move = ledger.files.move

    def verify_then_move(source: str, target: str) -> None:
        assert len(verify(Ledger(s3_filled.layout)).set_aside) == 1
        move(source, target)

    monkeypatch.setattr(ledger.files, "move", verify_then_move)
    assert verify(ledger).is_clean


def test_exports_from_s3_import_into_s3(s3_filled: Ledger, s3: Ledger, tmp_path) -> None:
    export_table(s3_filled, tmp_path / "all.csv")
    other = Ledger(s3.layout.root.replace("/runs/", "/other/"))
    assert len(import_table(other, tmp_path / "all.csv").stored) == 5
    np.testing.assert_array_equal(candidate_matrix(other, "fan").scores, candidate_matrix(s3_filled, "fan").scores)


def test_the_command_line_takes_s3_addresses(s3_filled: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", s3_filled.layout.root]) == 0
    assert "6 trials (5 complete, 1 failed)" in capsys.readouterr().out
    assert main(["verify", s3_filled.layout.root]) == 0
    assert main(["compact", s3_filled.layout.root]) == 0
    assert main(["ls", s3_filled.layout.root + "&region=us-east-1"]) == 0
    capsys.readouterr()
    assert main(["ls", s3_filled.layout.root.replace("/runs/", "/nowhere/")]) == 2
    assert "no run here" in capsys.readouterr().err


def test_a_missing_bucket_and_an_unreachable_server_are_named(
    s3_server: S3Server, trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AsdRayError, match="s3://no-such-bucket/run/.*Check the bucket"):
        Ledger(f"s3://no-such-bucket/run?endpoint_override={s3_server.endpoint}").commit(*trial())
    monkeypatch.setattr(s3_files, "PATIENT", 1)
    monkeypatch.setattr(s3_files, "s3_filesystem", _impatient(s3_files.s3_filesystem))
    nowhere = Ledger("s3://bucket/run?endpoint_override=http://127.0.0.1:9")
    for act in (nowhere.records, lambda: nowhere.commit(*trial())):
        with pytest.raises(AsdRayError, match="S3 refused or did not answer.*the endpoint"):
            act()


def _impatient(filesystem: Any) -> Any:
    return lambda options, attempts=1: filesystem(options, 1)


def test_a_commit_outlasts_a_server_that_is_away_for_a_while(s3: Ledger, s3_server: S3Server, trial) -> None:
    record, scores = trial()
    with s3_server.away(2.0):
        started = time.monotonic()
        assert s3.commit(record, scores)
        assert time.monotonic() - started > 1
        assert s3.records() == [record]


def test_failed_trials_are_set_aside_beside_the_ledger(s3_filled: Ledger, client: Any, record) -> None:
    ledger = Ledger(s3_filled.layout)
    [failed] = forget_failed(ledger)
    assert (failed.number, forget_failed(ledger)) == (5, [])
    aside = [key.partition("/ledger_set_aside/")[2] for key in keys(client, ledger) if "/ledger_set_aside/" in key]
    name = f"machine=fan/family=ae/{failed.trial}.failed.parquet"
    assert aside == [name, f"{name}.reason.txt"]
    assert len(Ledger(ledger.layout).records()) == 5


def test_a_move_that_was_killed_before_it_removed_its_source_goes_on(s3_filled: Ledger, client: Any, record) -> None:
    ledger = Ledger(s3_filled.layout)
    path = ledger.layout.trial_file(*("fan", "ae", record(5).trial), "failed")
    ledger.files.filesystem.copy_file(path, ledger.layout.set_aside_file(path))
    assert len(forget_failed(ledger)) == 1
    assert sum("/ledger_set_aside/" in key for key in keys(client, ledger)) == 2
