"""The resources of a trial: by its family, by the command, and by whether there is a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import Family, Resources
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.plan import notes_of_resources, resources_of


@pytest.mark.parametrize(
    ("family", "wished", "gpu", "resources"),
    [
        ("HeldOnGpu", {}, True, Resources(1.0, 0.5)),
        ("HeldOnGpu", {}, False, Resources(1.0, 0.0)),
        ("HeldOnGpu", {"gpus_per_trial": 0.25}, True, Resources(1.0, 0.25)),
        ("HeldOnGpu", {"gpus_per_trial": 0.0, "cpus_per_trial": 2.0}, True, Resources(2.0, 0.0)),
        ("Held", {}, True, Resources(1.0, 0.0)),
        ("Held", {"gpus_per_trial": 0.25, "memory_per_trial": 8.0}, True, Resources(1.0, 0.0, memory=8.0)),
    ],
)
def test_resources_are_those_of_the_command_and_else_those_of_the_family(
    family: str, wished: dict[str, Any], gpu: bool, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    wishes = SearchConfig(["fan"], ["named"], **wished)
    assert resources_of(Family("x", f"ray_families:{family}"), wishes, gpu) == resources


def test_a_gpu_share_that_no_family_wants_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    without_gpu, with_gpu = (Family(name, f"ray_families:{name}") for name in ("Held", "HeldOnGpu"))
    (note,) = notes_of_resources(SearchConfig(["fan"], gpus_per_trial=0.25), [without_gpu])
    assert note.startswith("--gpus-per-trial changes nothing: no trial of Held wants a GPU")
    assert not list(notes_of_resources(SearchConfig(["fan"], gpus_per_trial=0.25), [without_gpu, with_gpu]))
    assert not list(notes_of_resources(SearchConfig(["fan"]), [without_gpu]))
