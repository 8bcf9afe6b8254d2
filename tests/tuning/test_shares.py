"""What a trial takes: by its family, by the command, and by whether there is a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import Family
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.plan import notes_of_shares, share_of
from asd_ray.tuning.study import Share


@pytest.mark.parametrize(
    ("family", "wished", "gpu", "share"),
    [
        ("HeldOnGpu", {}, True, Share(1.0, 0.5)),
        ("HeldOnGpu", {}, False, Share(1.0, 0.0)),
        ("HeldOnGpu", {"gpus_per_trial": 0.25}, True, Share(1.0, 0.25)),
        ("HeldOnGpu", {"gpus_per_trial": 0.0, "cpus_per_trial": 2.0}, True, Share(2.0, 0.0)),
        ("Held", {}, True, Share(1.0, 0.0)),
        ("Held", {"gpus_per_trial": 0.25, "memory_per_trial": 8.0}, True, Share(1.0, 0.0, 8.0)),
    ],
)
def test_a_share_is_what_the_command_says_and_else_what_the_family_says(
    family: str, wished: dict[str, Any], gpu: bool, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    wishes = SearchConfig(["fan"], ["named"], **wished)
    assert share_of(Family("x", f"ray_families:{family}"), wishes, gpu) == share


def test_a_share_of_a_gpu_that_nobody_wants_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    held, with_card = (Family(name, f"ray_families:{name}") for name in ("Held", "HeldOnGpu"))
    (note,) = notes_of_shares(SearchConfig(["fan"], gpus_per_trial=0.25), [held])
    assert note.startswith("--gpus-per-trial changes nothing: no trial of Held wants a GPU")
    assert not list(notes_of_shares(SearchConfig(["fan"], gpus_per_trial=0.25), [held, with_card]))
    assert not list(notes_of_shares(SearchConfig(["fan"]), [held]))
