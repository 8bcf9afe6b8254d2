"""Datasets on S3: a moto server on loopback instead of AWS, and one cache for each node."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.s3.responses import S3Response

from asd_ray.clips import mirror as mirror_module
from asd_ray.clips.bank import open_bank
from asd_ray.clips.check import check
from asd_ray.clips.mirror import Mirror, files_of, list_tree
from asd_ray.clips.scan import scan
from asd_ray.data import main
from asd_ray.errors import AsdRayError
from asd_ray.storage.s3 import as_url, is_s3, parse_s3, whole_url

from ..s3_server import S3Server

BUCKET = "asd-ray-data"
Make = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.usefixtures("aws")


class Bucket:
    """A folder on S3; it records which objects are requested, and can hold back its answers."""

    def __init__(self, server: S3Server, folder: str) -> None:
        self.endpoint = server.endpoint
        self.client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")
        self.client.create_bucket(Bucket=BUCKET)
        self.folder = folder
        self.url = f"s3://{BUCKET}/{folder}?endpoint_override={self.endpoint}"
        self.requests: list[str] = []
        self.answering = threading.Event()  # while it is not set, answers are held back
        self.answering.set()
        self.first_answers = 0  # this many requests are answered even then

    def upload(self, root: Path) -> None:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                self.put(path.relative_to(root).as_posix(), path.read_bytes())

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.folder}/{path}", Body=content)

    def remove(self, path: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.folder}/{path}")


@pytest.fixture
def bucket(
    s3_server: S3Server, aws: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    bucket_on_s3 = Bucket(s3_server, f"{abs(hash(request.node.name))}/dcase2022")
    real = S3Response.get_object

    def counted(response: Any) -> Any:
        bucket_on_s3.requests.append(response.parse_key_name())
        if len(bucket_on_s3.requests) > bucket_on_s3.first_answers:
            bucket_on_s3.answering.wait(60)
        return real(response)

    monkeypatch.setattr(S3Response, "get_object", counted)
    yield bucket_on_s3
    bucket_on_s3.answering.set()


@pytest.fixture
def stored(bucket: Bucket, dataset: Make) -> Bucket:
    bucket.upload(dataset(clips=4, machines=("fan", "pump"), seconds=0.1))
    return bucket


def files(root: Path) -> dict[str, tuple[int, int, int]]:
    """path -> size, time and inode"""
    described = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            status = path.stat()
            described[path.relative_to(root).as_posix()] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return described


def test_a_bank_from_s3_is_the_bank_of_the_folder(stored: Bucket, dataset: Make, tmp_path: Path) -> None:
    here = open_bank(tmp_path / "data")
    there = open_bank(scan(stored.url))
    assert there.fingerprints == here.fingerprints
    assert there.table.machines == ["fan", "pump"]
    assert there.table.layout == "dcase2022", "the address names the year"
    for row in range(len(there)):
        np.testing.assert_array_equal(there.samples(row), here.samples(row))


def test_two_nodes_have_equal_keys_and_the_table_of_one_serves_the_other(stored: Bucket, tmp_path: Path) -> None:
    table = scan(stored.url, cache=tmp_path / "one")
    one, other = (open_bank(table, cache=tmp_path / node) for node in ("one", "other"))
    again = open_bank(scan(stored.url, cache=tmp_path / "other"), cache=tmp_path / "other")
    assert one.fingerprints == other.fingerprints == again.fingerprints
    for machine in ("fan", "pump"):
        assert one.folder(machine).name == other.folder(machine).name
        assert other.folder(machine) == again.folder(machine)
        assert str(tmp_path / "other") in str(other.folder(machine))
    assert other.table.root.is_relative_to(tmp_path / "other")
    sizes_and_times = [{path: entry[:2] for path, entry in files(bank.table.root).items()} for bank in (one, other)]
    assert sizes_and_times[0] == sizes_and_times[1]
    assert len(sizes_and_times[0]) == 12


def test_nothing_is_fetched_twice_and_a_complete_bank_needs_no_mirror(stored: Bucket, tmp_path: Path) -> None:
    bank = open_bank(scan(stored.url))
    assert len(stored.requests) == 12
    before = files(bank.table.root)
    mirror = Mirror(stored.url)
    mirror.fetch(files_of(bank.table.frame))
    open_bank(scan(stored.url), rate=8000)
    assert len(stored.requests) == 12
    assert files(mirror.root) == before, "the very same files"
    for path in before:
        (mirror.root / path).unlink()
    open_bank(scan(stored.url))
    assert len(stored.requests) == 12


def test_only_the_audio_of_the_chosen_machines_is_fetched_but_all_csv_files(stored: Bucket) -> None:
    stored.put("dev_data/pump/attributes_00.csv", b"file_name,d1p,d1v\n")
    table = scan(stored.url, machines=["fan"])
    assert [key.rpartition("/")[2] for key in stored.requests] == ["attributes_00.csv"]
    bank = open_bank(table)
    assert set(bank.frame["machine"]) == {"fan"}
    assert len(stored.requests) == 7
    assert {path.split("/")[1] for path in files(bank.table.root) if path.endswith(".wav")} == {"fan"}
    assert table.layout == scan(stored.url).layout


def test_only_a_changed_object_is_fetched_again(stored: Bucket, dataset: Make, tmp_path: Path) -> None:
    bank = open_bank(scan(stored.url))
    path = "dev_data/fan/train/section_00_source_train_normal_0000_vel_0.wav"
    dataset(clips=4, machines=("fan", "pump"), seconds=0.2)
    stored.put(path, (tmp_path / "data" / path).read_bytes())
    changed = open_bank(scan(stored.url))
    assert stored.requests[12:] == [f"{stored.folder}/{path}"]
    assert changed.fingerprints["fan"] != bank.fingerprints["fan"]
    assert changed.fingerprints["pump"] == bank.fingerprints["pump"]
    assert int(changed.lengths.max()) == 3200


def test_an_object_that_changed_since_it_was_listed_is_reported_and_not_used(stored: Bucket) -> None:
    table = scan(stored.url)
    path = "dev_data/fan/train/section_00_source_train_normal_0000_vel_0.wav"
    stored.put(path, b"RIFF")
    with pytest.raises(AsdRayError, match=f"s3://{BUCKET}/.*vel_0.wav changed since .* run the same command again"):
        open_bank(table)
    stored.remove(path)
    with pytest.raises(AsdRayError, match=r"vel_0.wav: there is no such object"):
        open_bank(table)
    assert open_bank(scan(stored.url)).table.machines == ["fan", "pump"]


def test_a_label_list_that_was_removed_on_s3_is_removed_here(stored: Bucket) -> None:
    stored.put("eval_data_list.csv", b"fan\n")
    mirror = Mirror(stored.url)
    assert [file.path for file in list_tree(stored.url).csv] == ["eval_data_list.csv"]
    assert (mirror.root / "eval_data_list.csv").exists()
    stored.remove("eval_data_list.csv")
    assert list_tree(stored.url).csv == ()
    assert not (mirror.root / "eval_data_list.csv").exists()


def test_a_killed_fetch_leaves_no_half_file_and_the_next_one_completes_it(
    stored: Bucket, python: Start, tmp_path: Path
) -> None:
    table = scan(stored.url)
    stored.first_answers = 5
    stored.answering.clear()
    code = "import sys; from asd_ray.clips.bank import open_bank; open_bank(sys.argv[1])"
    process = python(code, stored.url)
    mirror = Mirror(stored.url)
    parts = mirror.root.parent.with_name(f"{mirror.root.parent.name}.parts")
    deadline = time.monotonic() + 60
    while len(files(mirror.root)) < 5 or not list(parts.iterdir()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stored.answering.set()
    sizes = dict(zip(table.frame["path"], table.frame["size"], strict=True))
    kept = files(mirror.root)
    assert 5 <= len(kept) < 12
    assert all(sizes[path] == size for path, (size, _, _) in kept.items())
    before = len(stored.requests)
    bank = open_bank(table)
    assert len(bank) == 12
    assert len(stored.requests) - before == 12 - len(kept)
    assert files(mirror.root).items() >= kept.items()
    assert not list(parts.iterdir())


def test_processes_of_one_node_fetch_every_object_once(stored: Bucket, python: Start) -> None:
    code = "import sys; from asd_ray.clips.bank import open_bank; print(len(open_bank(sys.argv[1])))"
    processes = [python(code, stored.url) for _ in range(2)]
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert out == "12\n"
    assert sorted(stored.requests) == sorted(set(stored.requests))
    assert len(stored.requests) == 12


@pytest.mark.parametrize(
    "key",
    ["../evil.wav", "a/../../../evil.wav", "/evil.wav", "a//evil.wav", "./evil.wav", "n" * 300 + ".wav", ".evil.wav"],
)
def test_a_key_cannot_lead_out_of_the_mirror(stored: Bucket, tmp_path: Path, key: str) -> None:
    stored.put(key, b"evil")
    stored.put(key.replace(".wav", ".csv"), b"evil")
    bank = open_bank(scan(stored.url))
    assert len(bank) == 12
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.name.startswith("nnn")]


@pytest.mark.parametrize(
    "url", ["s3://bucket/..", "s3://bucket/../../data", "s3://bucket/a/./b", "s3://../x", "s3://.."]
)
def test_an_address_cannot_lead_out_of_the_cache(url: str) -> None:
    with pytest.raises(AsdRayError, match=r"must not contain \. or \.\."):
        Mirror(url)


def test_mirrors_of_different_addresses_lie_apart(tmp_path: Path) -> None:
    urls = ["s3://b/a/data", "s3://b/a-data", "s3://b/data", "s3://c/data", "s3://b/data?endpoint_override=http://x"]
    roots = {Mirror(url, tmp_path).root for url in urls}
    assert len(roots) == 5
    assert all(root.is_relative_to(tmp_path / "mirrors") for root in roots)
    assert Mirror("s3://b/data/", tmp_path).root == Mirror("s3://b//data", tmp_path).root


def test_a_table_knows_the_endpoint_that_the_environment_had(stored: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's environment need not be the driver's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", stored.endpoint)
    table = scan(stored.url.partition("?")[0])
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert len(open_bank(table)) == 12


@pytest.mark.parametrize("options", [{}, {"endpoint_override": "127.0.0.1:9000", "scheme": "http", "region": "x"}])
def test_a_full_address_is_parsed_to_the_same_options(options: dict[str, str]) -> None:
    assert parse_s3(whole_url("bucket/a b/c", options)) == ("bucket/a b/c", options)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://b/x", "s3://b/x"),
        (Path("s3://b/x"), "s3://b/x"),
        (
            Path("s3://b/x?endpoint_override=http://h:1&scheme=http"),
            "s3://b/x?endpoint_override=http://h:1&scheme=http",
        ),
        ("data/s3:/x", "data/s3:/x"),
        ("/data", "/data"),
    ],
)
def test_pathlib_may_have_folded_the_slashes(path: str | Path, url: str) -> None:
    assert as_url(path) == url
    assert is_s3(path) == url.startswith("s3://")


def test_what_cannot_be_fetched_is_reported_with_a_cure(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(AsdRayError, match=r"s3://.*/dcase2022: there is no such object; check the bucket and"):
        scan(bucket.url)
    with pytest.raises(AsdRayError, match=r"s3://no-such-bucket/x: S3 refused .*Check the bucket, AWS credentials"):
        scan(f"s3://no-such-bucket/x?endpoint_override={bucket.endpoint}")
    bucket.put("readme.txt", b"x")
    with pytest.raises(AsdRayError, match=rf"s3://{BUCKET}/.*/dcase2022: no wav or flac file below it"):
        scan(bucket.url)
    real = mirror_module.s3_filesystem
    monkeypatch.setattr(mirror_module, "s3_filesystem", lambda options, attempts=1: real(options, 1))
    with pytest.raises(AsdRayError, match=r"S3 refused or did not answer.*the endpoint"):
        scan("s3://bucket/x?endpoint_override=http://127.0.0.1:9")
    with pytest.raises(AsdRayError, match="keys do not belong in an address"):
        scan("s3://key:secret@bucket/x")


def test_a_broken_clip_is_named_by_its_address(stored: Bucket) -> None:
    path = "dev_data/fan/train/section_00_source_train_normal_0000_vel_0.wav"
    stored.put(path, b"no sound")
    with pytest.raises(AsdRayError, match=f"s3://{BUCKET}/{stored.folder}/{path}: "):
        open_bank(scan(stored.url))


def test_a_fetch_survives_a_server_that_is_away_for_a_while(stored: Bucket, s3_server: S3Server) -> None:
    table = scan(stored.url)
    with s3_server.away(2.0):
        assert len(open_bank(table)) == 12


def test_check_downloads_what_it_opens_and_counts_both(stored: Bucket) -> None:
    table = scan(stored.url)
    with pytest.raises(AsdRayError, match="rate must be between"):
        check(table, rate=1)
    assert stored.requests == [], "a wrong option is reported before anything is downloaded"
    calls: list[tuple[int, int]] = []
    report = check(table, progress=lambda *call: calls.append(call))
    assert (report.ok, len(report.clips), len(stored.requests)) == (True, 12, 12)
    assert calls[-1] == (24, 24)


def test_the_verbs_take_an_address(stored: Bucket, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", stored.url, "--json", "--cache", str(tmp_path / "node")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["root"], report["clips"]) == (f"s3://{BUCKET}/{stored.folder}", 12)
    assert (tmp_path / "node" / "mirrors").is_dir()
    assert main(["bank", stored.url, "--machine", "fan"]) == 0
    assert "6 clips of 1 machine" in capsys.readouterr().out
    assert main(["check", f"s3://{BUCKET}/nowhere?endpoint_override={stored.endpoint}"]) == 2
    assert "there is no such object" in capsys.readouterr().err


def test_a_node_without_the_folder_is_reported_with_a_cure(dataset: Make, tmp_path: Path) -> None:
    table = scan(dataset(clips=2, seconds=0.1))
    elsewhere = dataclasses.replace(table, root=Path("/data/not/here"))
    message = r"/data/not/here is not on this node \(.+\); .*mount it there .*s3://bucket/folder"
    with pytest.raises(AsdRayError, match=message):
        open_bank(elsewhere)
    bank = open_bank(table)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert open_bank(table).folder("fan") == bank.folder("fan"), "a complete bank needs no audio"
