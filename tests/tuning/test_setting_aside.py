"""What a search says of ``--keep-unseen``: what is set aside, and of which machines nothing that could measure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asd_ray.clips.hold_out import set_unseen_apart
from asd_ray.ledger import Settings
from asd_ray.tuning.data import DataSource, MachineData
from asd_ray.tuning.setting_aside import lines_of_unseen


def part(source: DataSource, machine: str, share: float, keep: Any = lambda frame: np.ones(len(frame), bool)) -> Any:
    """A machine with those of its test clips that `keep` gives."""
    whole = source.machine(machine, Settings(fingerprint="f", year=2022))
    test, unseen = set_unseen_apart(whole.test.take(keep(whole.test.frame)), share)
    return replace(whole, clips={**whole.clips, "test": test, "unseen": unseen})


@pytest.mark.parametrize(
    ("keep", "share", "reason"),
    [
        (lambda frame: np.zeros(len(frame), bool), 0.5, "it has no test clips; if you have recordings of faults, add "),
        (lambda frame: (frame["label"] == "normal").to_numpy(), 0.5, "its test clips include no anomalous one; AUC "),
        (lambda frame: np.ones(len(frame), bool), 0.1, "it has too few labelled test clips of each id, domain and "),
    ],
    ids=["no test clips", "no anomalies", "a share that is too small"],
)
def test_where_nothing_can_be_set_aside_one_sentence_has_the_reason(
    two_machines: DataSource, keep: Any, share: float, reason: str
) -> None:
    fan: MachineData = part(two_machines, "fan", share, keep)
    [line] = lines_of_unseen(share, {"fan": fan})
    assert line.startswith(f"note: --keep-unseen sets aside no clips of fan that could measure an ensemble: {reason}")
    pump = part(two_machines, "pump", 0.5)
    first, second = lines_of_unseen(share, {"fan": fan, "pump": pump})
    assert first.startswith(f"{share:.0%} of the labelled test clips of pump are set aside (--keep-unseen): no trial ")
    assert second == line


def test_machines_with_the_same_reason_share_a_line(two_machines: DataSource) -> None:
    parts = {name: part(two_machines, name, 0.1) for name in ("fan", "pump")}
    [line] = lines_of_unseen(0.1, parts)
    assert "sets aside no clips of fan, pump that" in line
    assert list(lines_of_unseen(0.0, parts)) == []
    [both] = lines_of_unseen(0.5, {name: part(two_machines, name, 0.5) for name in ("fan", "pump")})
    assert both.startswith("50% of the labelled test clips are set aside")


def test_a_search_prints_it(options: list[object], verbs: Any, elsewhere: None) -> None:
    said = verbs(*options, "--keep-unseen", "0.5").out
    assert "50% of the labelled test clips are set aside (--keep-unseen)" in said
    said = verbs(*options, "--run", "other", "--keep-unseen", "0.1").out
    assert "note: --keep-unseen sets aside no clips of fan that could measure an ensemble: it has too few" in said
