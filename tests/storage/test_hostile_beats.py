"""Files of searches at work, and a bank's own file, as nobody's asd_ray wrote them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from asd_ray.clips._store import Store
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, RunLayout, TrialRecord
from asd_ray.storage.heartbeat import MOST_BYTES
from asd_ray.storage.study_locks import StudyLocks

from ..hostile import Verbs, bounded

STUDY = {"study": "fan-ae", "done": 1, "wanted": 2, "running": 1, "pruned": 0, "failed": 0}
STUDY |= {"exhausted": False, "best": [0.5, "mse", "fan-ae-0000"], "left": 10.0}
RUNNING = {"trial": "fan-ae-0001", "node": "a", "epoch": 1, "epochs": 2, "seconds": 3.0}
BEAT = {"pid": 1, "host": "h", "place": "", "born": "", "command": "asd-ray search", "seconds": 1.0, "turned": 0.0}
BEAT |= {"slots": 1, "cluster": {"nodes": 1}, "ended": 1, "stopping": "", "error": "", "again": {}, "failures": []}
BEAT |= {"studies": [STUDY], "running": [RUNNING]}
CHANGES: dict[str, dict[str, object]] = {
    "seconds that are text": {"seconds": "x"},
    "a command that is a list": {"command": []},
    "studies that are text": {"studies": "x"},
    "a study of nothing": {"studies": [{}]},
    "a study without a name": {"studies": [STUDY | {"study": None}]},
    "a best of one value": {"studies": [STUDY | {"best": [0.5]}]},
    "a best that is text": {"studies": [STUDY | {"best": "x"}]},
    "trials done that are text": {"studies": [STUDY | {"done": "1"}]},
    "a running trial of nothing": {"running": [{}]},
    "an epoch that is text": {"running": [RUNNING | {"epoch": "x"}]},
    "seconds of 400 digits": {"running": [RUNNING | {"seconds": 10**400}]},
    "failures that are numbers": {"failures": [1]},
    "an error that is a number": {"failures": [{"trial": "a", "error": 1}]},
    "a cluster that is a list": {"cluster": [1]},
    "again that is a list": {"again": [1]},
    "a stop that is a number": {"stopping": 1},
    "slots that are text": {"slots": "many"},
    "ended trials that are a list": {"ended": []},
    "claims that are a list": {"claims": [1]},
    "a process that is text": {"pid": "1"},
    "a birth that is a list": {"born": [1]},
}
CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "200,000 nested lists": b"[" * 200_000,
    "200,000 nested objects": b'{"pid":' * 200_000,
    "a list": b"[]",
    "no UTF-8": b"\xff",
    "NaN": b'{"pid": 1, "seconds": NaN}',
    "17 MB": b'{"pid": 1, "x": "' + b"x" * (MOST_BYTES + 1) + b'"}',
}


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    ledger = Ledger(tmp_path / "run")
    ledger.commit(TrialRecord(trial="t1", name="fan-ae-0000", machine="fan", family="ae", status="failed"))
    (tmp_path / "run/status").mkdir()
    return ledger.layout


def test_a_whole_beat_is_shown(layout: RunLayout, verbs: Verbs) -> None:
    Path(layout.status_file("a")).write_text(json.dumps(BEAT))
    answer = verbs("search", "--status", layout.base)
    assert "fan-ae-0001" in answer.out
    assert "1/2" in answer.out
    assert "note:" not in answer.text


@pytest.mark.parametrize("kind", CHANGES)
def test_a_beat_of_a_wrong_type_is_left_out(layout: RunLayout, verbs: Verbs, kind: str) -> None:
    Path(layout.status_file("a")).write_text(json.dumps(BEAT | CHANGES[kind]))
    answer = verbs("search", "--status", layout.base)
    assert answer.status == 0
    assert "fan-ae" in answer.out
    assert "fan-ae-0001" not in answer.out


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_beat_is_no_claim_and_no_status(layout: RunLayout, verbs: Verbs, kind: str) -> None:
    Path(layout.status_file("a")).write_bytes(CONTENTS[kind])
    with bounded(gib=1):
        assert verbs("search", "--status", layout.base).status == 0


@pytest.mark.timeout(120)
def test_a_fifo_among_the_beats_and_the_ensembles_is_never_opened(layout: RunLayout, verbs: Verbs) -> None:
    os.mkfifo(layout.status_file("a"))
    os.makedirs(layout.locks)
    os.mkfifo(layout.claims_file("a"))
    assert verbs("search", "--status", layout.base).status == 0
    assert StudyLocks(layout).take("fan-ae") == ""


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b"[]",
        b'{"root": 5, "bytes": 0, "paths": []}',
        b'{"root": "x", "bytes": "0", "paths": []}',
        b'{"root": "x", "bytes": 0, "paths": [1]}',
        b'{"root": "x", "bytes": 0}',
    ],
    ids=lambda content: content[:40].decode(),
)
def test_a_bank_whose_own_file_is_wrong_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises((AsdRayError, ValueError)):
        Store(tmp_path)
