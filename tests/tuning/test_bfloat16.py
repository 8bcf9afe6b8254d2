"""``--bfloat16``: nets train in it on a CPU that has it. Its speed and accuracy are in docs/speed.md."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from asd_ray.detectors import Context
from asd_ray.detectors.parts import training
from asd_ray.tuning import trial
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.family_choice import notes_of_resources
from asd_ray.tuning.restoring import restore


@pytest.fixture(params=[True, False], ids=["processor has it", "processor lacks it"])
def has_it(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    for module in (training, trial):
        monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: request.param)
    has: bool = request.param
    return has


def dtype_under_autocast(context: Context, net: nn.Conv2d) -> torch.dtype:
    images = torch.zeros(1, net.in_channels, 4, 4)
    with training.autocast(context, net):
        output: torch.Tensor = net(images)
    return output.dtype


@pytest.mark.parametrize("wanted", [True, False])
def test_convolutions_that_train_are_in_bfloat16_where_wanted_and_possible(has_it: bool, wanted: bool) -> None:
    expected = torch.bfloat16 if wanted and has_it else torch.float32
    context = Context(bfloat16=wanted)
    assert dtype_under_autocast(context, nn.Conv2d(2, 2, 3)) is expected
    assert dtype_under_autocast(context, nn.Conv2d(2, 2, 3).eval()) is torch.float32, "scores are in float32"
    assert dtype_under_autocast(context, nn.Conv2d(2, 2, 3, groups=2)) is torch.float32, "depthwise: slower"


def test_a_record_says_that_a_trial_trained_in_it_and_the_trial_is_trained_again_so(
    bench: Any, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    seen: list[bool] = []

    def watched(*fields: Any) -> Context:
        context = Context(*fields)
        seen.append(context.bfloat16)
        return context

    monkeypatch.setattr(trial, "Context", watched)
    bench.search(bench.study(1, bfloat16=True))
    (record,) = bench.records
    assert ("bfloat16" in record.extra) == has_it
    assert restore(bench.ledger, [record], bench.source, serial=True)[record.trial].same
    assert seen == [True, has_it]


def test_it_is_no_part_of_a_trials_identity(bench: Any) -> None:
    bench.search(bench.study(1))
    before = bench.records
    bench.search(bench.study(1, bfloat16=True))
    assert bench.records == before


def test_a_search_says_that_the_processor_lacks_it(has_it: bool) -> None:
    notes = list(notes_of_resources(SearchConfig(["fan"], bfloat16=True), []))
    assert bool(notes) != has_it
    assert all("does not have it" in note for note in notes)
